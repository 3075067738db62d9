//! Filters decide what the profile says, also where libseccomp 2.5 does not: rules with several
//! conditions each, and with several bounds on one argument.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod seccomp_interpreter;
mod seccomp_profiles;

use seccomp_interpreter::{Call, run};
use seccomp_profiles::{Random, random_profile, table};
use serde_json::json;
use windlass::seccomp::{Architecture, action_value, compile};
use windlass::spec::seccomp::{Argument, Rule, Seccomp};
use windlass::sys::seccomp::Abilities;

/// One architecture: its column in the table, `AUDIT_ARCH_*`, the bit of its numbers.
struct Section {
    column: usize,
    architecture: u32,
    bit: u32,
    is_64_bit: bool,
}

const SECTIONS: [Section; 3] = [
    Section {
        column: 0,
        architecture: 0xc000_003e,
        bit: 0,
        is_64_bit: true,
    },
    Section {
        column: 2,
        architecture: 0xc000_003e,
        bit: 1 << 30,
        is_64_bit: false,
    },
    Section {
        column: 1,
        architecture: 0x4000_0003,
        bit: 0,
        is_64_bit: false,
    },
];

/// x86 has these behind socketcall(2) and ipc(2) too, which the other test is about.
const MULTIPLEXED: &[&str] = &[
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
    "socketcall",
    "ipc",
];

fn value(action: &str, errno: Option<u64>) -> u32 {
    let errno = match action {
        "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE" => u32::try_from(errno.unwrap_or(1)).unwrap(),
        _ => 0,
    };
    action_value(action).unwrap() | errno
}

fn holds(argument: &Argument<'_>, arguments: [u64; 6], is_64_bit: bool) -> bool {
    let mask = if is_64_bit {
        u64::MAX
    } else {
        u64::from(u32::MAX)
    };
    let given = arguments[usize::try_from(argument.index).unwrap()] & mask;
    let (one, two) = (argument.value & mask, argument.value_two & mask);
    match &*argument.op {
        "SCMP_CMP_NE" => given != one,
        "SCMP_CMP_LT" => given < one,
        "SCMP_CMP_LE" => given <= one,
        "SCMP_CMP_EQ" => given == one,
        "SCMP_CMP_GE" => given >= one,
        "SCMP_CMP_GT" => given > one,
        _ => given & one == two & one,
    }
}

/// Whether a rule's condition can fail at all.
fn is_tautology(argument: &Argument<'_>, is_64_bit: bool) -> bool {
    let mask = if is_64_bit {
        u64::MAX
    } else {
        u64::from(u32::MAX)
    };
    &*argument.op == "SCMP_CMP_MASKED_EQ" && argument.value & mask == 0
}

/// What a profile says of a system call; None if its rules disagree.
fn decide(profile: &Seccomp<'_>, name: &str, arguments: [u64; 6], is_64_bit: bool) -> Option<u32> {
    let default = value(
        profile.default_action.as_deref().unwrap(),
        profile.default_errno_ret,
    );
    let rules = || {
        let named = |rule: &&Rule<'_>| rule.names.iter().any(|listed| &**listed == name);
        let action = |rule: &Rule<'_>| value(&rule.action, rule.errno_ret);
        profile
            .syscalls
            .iter()
            .filter(named)
            .map(move |rule| (rule, action(rule)))
    };
    let mut decisions: Vec<u32> = Vec::new();
    for (rule, action) in rules().filter(|(_, action)| *action != default) {
        let mut indices: Vec<u64> = rule.args.iter().map(|argument| argument.index).collect();
        indices.sort_unstable();
        let is_apart = indices.windows(2).any(|pair| pair[0] == pair[1]);
        let always = |argument: &Argument<'_>| is_tautology(argument, is_64_bit);
        if rule.args.iter().all(always) || is_apart && rule.args.iter().any(always) {
            return Some(action);
        }
        let holds = |argument: &Argument<'_>| holds(argument, arguments, is_64_bit);
        let matches = if is_apart {
            rule.args.iter().any(holds)
        } else {
            rule.args.iter().all(holds)
        };
        if matches {
            decisions.push(action);
        }
    }
    // An unconditional rule that comes later beats these: looked for above, in order.
    decisions.dedup();
    match decisions[..] {
        [] => Some(default),
        [decision] => Some(decision),
        _ => None,
    }
}

#[test]
fn what_is_written_is_what_is_decided() {
    let mut random = Random(0xace);
    let table: Vec<_> = table()
        .into_iter()
        .filter(|(name, _)| !MULTIPLEXED.contains(name))
        .collect();
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let abilities = Abilities {
        native: Some(Architecture::X86_64),
        ..Abilities::probe()
    };
    let (mut calls, mut refused) = (0, 0);
    for _ in 0..200 {
        let mut profile = random_profile(&mut random, &names, 3);
        profile["architectures"] = json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        let text = profile.to_string();
        let profile: Seccomp = serde_json::from_str(&text).unwrap();
        let Ok(program) = compile(&profile, &abilities) else {
            refused += 1;
            continue;
        };
        let edges: Vec<u64> = (profile.syscalls.iter().flat_map(|rule| &rule.args))
            .flat_map(|argument| [argument.value, argument.value & argument.value_two])
            .flat_map(|edge| {
                [
                    edge,
                    edge.wrapping_add(1),
                    edge.wrapping_sub(1),
                    edge ^ 1 << 32,
                ]
            })
            .chain([0, u64::MAX])
            .collect();
        for (name, numbers) in &table {
            let is_named = |rule: &Rule<'_>| rule.names.iter().any(|listed| &**listed == *name);
            if !profile.syscalls.iter().any(is_named) {
                continue;
            }
            for section in &SECTIONS {
                let Some(number) = numbers[section.column] else {
                    continue;
                };
                for _ in 0..40 {
                    let arguments = std::array::from_fn(|_| edges[random.below(edges.len())]);
                    let Some(written) = decide(&profile, name, arguments, section.is_64_bit) else {
                        continue;
                    };
                    let Section {
                        architecture, bit, ..
                    } = *section;
                    let call = Call {
                        number: number | bit,
                        architecture,
                        arguments,
                    };
                    let (decision, _) = run(program.instructions(), &call);
                    assert_eq!(decision, written, "{name} {call:x?}: {text}");
                    calls += 1;
                }
            }
        }
    }
    assert!(refused < 20, "{refused}");
    assert!(calls > 500_000, "{calls}");
}
