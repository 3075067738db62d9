//! Seccomp: from the profile in config.json to one short classic-BPF program (seccomp(2)).
//!
//! A filter must decide as runc's does, which is libseccomp's filter with a few instructions of
//! runc's own in front. Those decisions are:
//!
//! - The machine's architecture is always covered, and those of `architectures` that its kernel
//!   runs programs of; a program of any other is killed at its first system call.
//! - A name that none of them has is passed over: profiles name system calls of other
//!   architectures and of other kernels.
//! - A rule whose action is the default action is passed over.
//! - Conditions of one rule must all hold; but as soon as two are about the same argument, each
//!   condition is a rule of its own.
//! - A rule without conditions beats all rules of the same system call that have some; of two
//!   without conditions the first holds.
//! - Rules with conditions are not tried in the profile's order but in libseccomp's (by argument,
//!   operator and value, see [`conditions`]), and the first that matches decides. A rule that has
//!   the same conditions as an earlier one, or the first of them, and another action is refused.
//!   Here alone we differ: libseccomp 2.5 merges the comparisons of a system call's rules, and where
//!   several of them bound one 64-bit argument by order (LT, LE, GT, GE) or have several conditions
//!   each, it may deny what the profile allows, or allow what it denies. We decide what is
//!   written. And where overlapping rules with different actions mix EQ, NE and `MASKED_EQ` on one
//!   argument, its order depends on theirs; ours does not.
//! - x32 and 32-bit architectures compare the lower halves of arguments; on x86 a rule on a call
//!   that is also behind socketcall(2) or ipc(2) is about both ways.
//! - Where the default action denies, system calls whose numbers are beyond the greatest that the
//!   profile names give ENOSYS, so that the C library falls back to what the profile knows. This
//!   is runc's addition.
//!
//! The way through the modules: [`rules`] gives each number a decision, [`search`] cuts the ranges
//! of equal decisions into a binary tree, [`conditions`] tests arguments, and [`bpf`] assembles it
//! all, backwards.

mod action;
mod architecture;
pub mod bpf;
mod conditions;
mod rules;
mod search;
mod syscalls;

pub use architecture::Architecture;

use crate::error::{Error, Result};
use crate::spec;
use crate::sys::seccomp::{Abilities, Flags};
use action::Action;
use architecture::X32_BIT;
use bpf::{Assembler, EQUAL, Instruction, LOAD, Target};
use conditions::{Condition, ConditionalRule, Operator};
use rules::{Chain, Contradiction, Decision, Range, Rules};
use syscalls::Syscall;

/// A compiled profile, ready for [`crate::sys::seccomp::install`].
#[derive(Debug)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: Flags,
}

impl Program {
    /// The instructions; none if the profile asks for no filter.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The flags for seccomp(2).
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Whether installing it gives a descriptor for a seccomp agent.
    pub fn has_listener(&self) -> bool {
        self.flags.contains(Flags::NEW_LISTENER)
    }
}

/// The words that `defaultAction` and `action` of a profile may be.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    Action::names()
}

/// The kernel's value for such a word (`SECCOMP_RET_*`).
pub fn action_value(name: &str) -> Option<u32> {
    Action::value_of(name)
}

/// The words that `op` of a profile may be.
pub fn operator_names() -> impl Iterator<Item = &'static str> {
    Operator::names()
}

/// The names in a profile that no architecture of ours has: no error, but worth a debug message.
pub fn unknown_names<'a>(profile: &'a spec::seccomp::Seccomp<'_>) -> impl Iterator<Item = &'a str> {
    let names = profile.syscalls.iter().flat_map(|rule| &rule.names);
    names
        .map(|name| &**name)
        .filter(|name| Syscall::named(name).is_none())
}

/// Compiles a profile for a kernel with these abilities (config-linux.md, "Seccomp").
///
/// Errors name the JSON pointer of what can't be done.
pub fn compile(profile: &spec::seccomp::Seccomp<'_>, abilities: &Abilities) -> Result<Program> {
    let native = abilities.native.ok_or_else(|| {
        Error::config(
            "/linux/seccomp",
            "seccomp is not supported on this architecture",
        )
        .hint("windlass knows the system calls of x86-64 and aarch64")
    })?;
    let default = default_action(profile)?;
    let flags = flags(profile, abilities)?;

    let mut chains = Vec::new();
    let mut architectures: Vec<Rules> = architectures(profile, native)?
        .into_iter()
        .map(Rules::new)
        .collect();
    for (index, rule) in profile.syscalls.iter().enumerate() {
        add_rule(rule, index, default, &mut architectures, &mut chains)?;
    }

    let instructions = assemble(&architectures, &chains, default, native);
    if instructions.len() > bpf::MAXIMUM {
        return Err(Error::config(
            "/linux/seccomp/syscalls",
            format!(
                "the filter has {} instructions, and the kernel takes {}",
                instructions.len(),
                bpf::MAXIMUM
            ),
        ));
    }
    Ok(Program {
        instructions,
        flags,
    })
}

fn default_action(profile: &spec::seccomp::Seccomp<'_>) -> Result<Action> {
    let at = || "/linux/seccomp/defaultAction".to_owned();
    let Some(name) = profile
        .default_action
        .as_deref()
        .filter(|name| !name.is_empty())
    else {
        return Err(Error::config(at(), "defaultAction is required").hint(
            "leave out linux.seccomp for a container without a filter; \
             SCMP_ACT_ALLOW allows what no rule names",
        ));
    };
    let errno_at = || "/linux/seccomp/defaultErrnoRet".to_owned();
    let action = Action::parse(name, profile.default_errno_ret, at, errno_at)?;
    if action.is_notify() {
        return Err(
            Error::config(at(), "SCMP_ACT_NOTIFY cannot be used as default action")
                .hint("the runtime's own write of the listener would wait for the agent forever"),
        );
    }
    Ok(action)
}

/// The architectures to cover: the machine's first.
fn architectures(
    profile: &spec::seccomp::Seccomp<'_>,
    native: Architecture,
) -> Result<Vec<Architecture>> {
    let mut architectures = vec![native];
    for (index, name) in profile.architectures.iter().enumerate() {
        match Architecture::named(name) {
            Some(Some(architecture)) if architecture.runs_on(native) => {
                if !architectures.contains(&architecture) {
                    architectures.push(architecture);
                }
            }
            // The kernel never reports it, so no filter has to know it.
            Some(_) => {}
            None => {
                return Err(Error::config(
                    format!("/linux/seccomp/architectures/{index}"),
                    format!("string {} is not a valid arch for seccomp", &**name),
                ));
            }
        }
    }
    Ok(architectures)
}

fn flags(profile: &spec::seccomp::Seccomp<'_>, abilities: &Abilities) -> Result<Flags> {
    let mut flags = Flags::empty();
    match &profile.flags {
        None => flags |= Flags::SPEC_ALLOW & abilities.flags,
        Some(names) => {
            for (index, name) in names.iter().enumerate() {
                let at = format!("/linux/seccomp/flags/{index}");
                let Some(flag) = Flags::named(name) else {
                    let problem = format!("seccomp flag {} is not known to windlass", &**name);
                    return Err(Error::config(at, problem));
                };
                if !abilities.flags.contains(flag) {
                    let problem = format!("this kernel has no seccomp flag {}", &**name);
                    return Err(Error::config(at, problem));
                }
                // Whoever installs the filter has one thread, and TSYNC does not go together with
                // a listener; runc leaves it out too.
                flags |= flag - Flags::TSYNC;
            }
        }
    }

    let is_notify = |rule: &&spec::seccomp::Rule| &*rule.action == "SCMP_ACT_NOTIFY";
    if profile
        .syscalls
        .iter()
        .any(|rule| is_notify(&rule) && !rule.names.is_empty())
    {
        if !abilities.flags.contains(Flags::NEW_LISTENER) {
            return Err(Error::config(
                "/linux/seccomp",
                "this kernel has no SCMP_ACT_NOTIFY (SECCOMP_FILTER_FLAG_NEW_LISTENER)",
            )
            .hint("Linux 5.0 has it"));
        }
        if profile
            .listener_path
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            return Err(Error::config(
                "/linux/seccomp/listenerPath",
                "seccomp listenerPath is not set",
            )
            .hint("SCMP_ACT_NOTIFY needs the socket of a seccomp agent"));
        }
        flags |= Flags::NEW_LISTENER;
    } else if flags.contains(Flags::WAIT_KILLABLE_RECV) {
        // The kernel would say EINVAL.
        return Err(Error::config(
            "/linux/seccomp/flags",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is about calls that SCMP_ACT_NOTIFY hands over, \
             and no rule has that action",
        ));
    }
    Ok(flags)
}

/// Adds one entry of `syscalls` to the rules of every architecture.
fn add_rule(
    rule: &spec::seccomp::Rule<'_>,
    index: usize,
    default: Action,
    architectures: &mut [Rules],
    chains: &mut Vec<Chain>,
) -> Result<()> {
    let at = |field: &str| format!("/linux/seccomp/syscalls/{index}/{field}");
    let action = Action::parse(
        &rule.action,
        rule.errno_ret,
        || at("action"),
        || at("errnoRet"),
    )?;
    let alternatives = alternatives(rule, action, at)?;
    if rule.names.is_empty() {
        let rule = format!("/linux/seccomp/syscalls/{index}");
        return Err(Error::config(rule, "a rule must name a system call"));
    }
    for (position, name) in rule.names.iter().enumerate() {
        let at = || at(&format!("names/{position}"));
        if name.is_empty() {
            return Err(Error::config(at(), "empty string is not a valid syscall"));
        }
        // The runtime writes the listener's number after installing the filter, and nobody could
        // answer for that write before it is done.
        if action.is_notify() && &**name == "write" {
            let problem = "SCMP_ACT_NOTIFY cannot be used for the write syscall";
            return Err(Error::config(at(), problem));
        }
        let Some(syscall) = Syscall::named(name) else {
            continue;
        };
        for rules in &mut *architectures {
            rules.name(syscall);
            let added = if action == default {
                Ok(())
            } else if rule.args.is_empty() {
                rules.add(syscall, action, chains)
            } else {
                alternatives
                    .iter()
                    .try_for_each(|rule| rules.add_if(syscall, rule, chains))
            };
            added.map_err(|Contradiction| {
                let problem = format!("two rules on {} contradict each other", &**name);
                Error::config(at(), problem)
                    .hint("an earlier one has the same conditions and another action")
            })?;
        }
    }
    Ok(())
}

/// The rules that one entry stands for: one, or one for each condition if two of its conditions
/// are about the same argument.
fn alternatives(
    rule: &spec::seccomp::Rule<'_>,
    action: Action,
    at: impl Fn(&str) -> String,
) -> Result<Vec<ConditionalRule>> {
    let unconditional = ConditionalRule {
        action,
        conditions: [None; 6],
    };
    let mut together = unconditional;
    let mut apart = Vec::with_capacity(rule.args.len().max(1));
    let mut is_apart = false;
    for (position, argument) in rule.args.iter().enumerate() {
        let Some(operator) = Operator::named(&argument.op) else {
            return Err(Error::config(
                at(&format!("args/{position}/op")),
                format!(
                    "string {} is not a valid operator for seccomp",
                    &*argument.op
                ),
            ));
        };
        let index = usize::try_from(argument.index).unwrap_or(usize::MAX);
        if index >= together.conditions.len() {
            return Err(Error::config(
                at(&format!("args/{position}/index")),
                format!(
                    "a system call has no argument {}: they are 0 to 5",
                    argument.index
                ),
            ));
        }
        let condition = Condition::new(operator, argument.value, argument.value_two);
        is_apart |= together.conditions[index].replace(condition).is_some();
        let mut alone = unconditional;
        alone.conditions[index] = Some(condition);
        apart.push(alone);
    }
    Ok(if is_apart { apart } else { vec![together] })
}

/// Puts the filter together, from its end on: the architectures that are hardly ever met last.
fn assemble(
    architectures: &[Rules],
    chains: &[Chain],
    default: Action,
    native: Architecture,
) -> Vec<Instruction> {
    let newer = (!default.lets_through()).then_some(Action::ENOSYS);
    let mut bpf = Assembler::with_capacity(512);
    let mut next = Target::Return(Action::BAD_ARCHITECTURE);
    for rules in architectures.iter().rev() {
        let architecture = rules.architecture();
        let mut ranges = Vec::with_capacity(256);
        rules.ranges(default, newer, native, &mut ranges);
        match architecture {
            // The kernel calls both x86-64: they share a section.
            Architecture::X32 => continue,
            Architecture::X86_64 => {
                let x32 = architectures
                    .iter()
                    .find(|x| x.architecture() == Architecture::X32);
                if let Some(x32) = x32 {
                    x32.ranges(default, newer, native, &mut ranges);
                }
                without_meaning(rules, x32, default, newer, &mut ranges);
            }
            _ => {}
        }
        let search = search::assemble(&mut bpf, &ranges, chains, default);
        let search = bpf.before(LOAD, bpf::NUMBER, search);
        next = bpf.branch(EQUAL, architecture.audit(), search, next);
    }
    let start = bpf.before(LOAD, bpf::ARCHITECTURE, next);
    bpf.finish(start)
}

/// The decisions for numbers that stand for no system call of x86-64: x32's where the profile
/// does not list x32, and negative ones.
fn without_meaning(
    rules: &Rules,
    x32: Option<&Rules>,
    default: Action,
    newer: Option<Action>,
    ranges: &mut Vec<Range>,
) {
    let outside = if x32.is_some() {
        default
    } else {
        Action::BAD_ARCHITECTURE
    };
    let newer = |rules: &Rules| newer.filter(|_| rules.first_newer().is_some());
    let mut add = |first, action| {
        Range {
            first,
            decision: Decision::Always(action),
            weight: 1,
        }
        .append_to(ranges);
    };
    if x32.is_none() {
        add(X32_BIT, outside);
    }
    add(1 << 31, newer(rules).unwrap_or(outside));
    add(1 << 31 | X32_BIT, x32.and_then(newer).unwrap_or(outside));
    if x32.is_none() {
        // -1 is a tracer's way to skip a system call (seccomp(2), SECCOMP_RET_TRACE).
        add(u32::MAX, default);
    }
}

#[cfg(test)]
mod tests;
