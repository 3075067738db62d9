//! From `process` to its steps: the same for a container's first process and for an exec'd one.

use std::ffi::CString;

use rustix::process::Resource;
use rustix::thread::CapabilitySet;

use super::filter::Filter;
use super::{
    Action, CredentialsStep, EnvironmentStep, Pointer, RlimitStep, SecurityModule, Side, Step,
};
use super::{capabilities, memory_policy, scheduling};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::{MemoryPolicy, Process, Rlimit, Text};

/// What beyond `process` itself decides what becomes of it.
pub(super) struct Surroundings<'a> {
    /// What may be done for it.
    pub(super) rights: Rights,
    /// How many descriptors from 3 on it inherits.
    pub(super) preserve_fds: u32,
    /// What is added to its environment.
    pub(super) extra_env: &'a [String],
    /// `linux.memoryPolicy`.
    pub(super) memory_policy: Option<&'a MemoryPolicy<'a>>,
    /// Whether the cgroup is bound to some CPUs.
    pub(super) on_some_cpus: bool,
}

/// The steps up to, and without, the wait for `start`.
pub(super) fn prepare<'a>(
    process: &'a Process<'a>,
    surroundings: &Surroundings<'a>,
    filter: &mut Filter<'a>,
    steps: &mut Vec<Step<'a>>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let rights = surroundings.rights;
    let (mut env, home_of) = environment(process)?;
    env.extend(
        surroundings
            .extra_env
            .iter()
            .filter_map(|entry| CString::new(entry.as_bytes()).ok()),
    );
    steps.push(Step {
        action: Action::Environment(EnvironmentStep { env, home_of }),
        pointer: Pointer::to("/process/env"),
        clause: "config.md#process",
    });
    if rights.sets_limits == Side::Init {
        rlimits(process, Side::Init, steps)?;
    }
    scheduling::priorities(process, surroundings.on_some_cpus, steps)?;
    if let Some(policy) = surroundings.memory_policy {
        steps.push(memory_policy::step(policy)?);
    }
    if let Some(label) = process
        .selinux_label
        .as_deref()
        .filter(|label| !label.is_empty())
    {
        steps.push(Step {
            action: Action::LabelOnExec(SecurityModule::SeLinux, label),
            pointer: Pointer::to("/process/selinuxLabel"),
            clause: "config.md#linux-process",
        });
    }
    if let Some(profile) = process
        .apparmor_profile
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        steps.push(Step {
            action: Action::LabelOnExec(SecurityModule::AppArmor, profile),
            pointer: Pointer::to("/process/apparmorProfile"),
            clause: "config.md#linux-process",
        });
    }
    if !rights.sets_groups && !process.user.additional_gids.is_empty() {
        return Err(Error::config(
            "/process/user/additionalGids",
            "cannot set any additional groups in a rootless container",
        ));
    }
    steps.push(Step {
        action: Action::CloseDescriptors {
            preserved: surroundings.preserve_fds,
        },
        pointer: Pointer::to("/process"),
        clause: "runtime.md#lifecycle",
    });
    // seccomp(2) wants `no_new_privs`, or CAP_SYS_ADMIN, which is soon given up.
    if !process.no_new_privileges {
        filter.install(steps);
    }
    steps.push(Step {
        action: Action::Credentials(CredentialsStep {
            uid: process.user.uid,
            gid: process.user.gid,
            groups: rights
                .sets_groups
                .then(|| process.user.additional_gids.clone()),
            umask: process.user.umask.unwrap_or(0o022),
            cwd: process.cwd.to_string(),
            capabilities: capabilities::resolve(
                process.capabilities.as_ref(),
                rights.grantable,
                warnings,
            ),
            no_new_privileges: process.no_new_privileges,
        }),
        pointer: Pointer::to("/process"),
        clause: "config.md#linux-process",
    });
    steps.push(Step {
        action: Action::LocateProgram {
            args: &process.args,
            path: value_of(&process.env, "PATH"),
        },
        pointer: Pointer::to("/process/args"),
        clause: "config.md#process",
    });
    if rights.sets_limits == Side::Runtime {
        rlimits(process, Side::Runtime, steps)?;
    }
    // The runtime has to be there to hand the listener over. Otherwise the filter comes last.
    if filter.agent.is_some() {
        filter.install(steps);
    }
    Ok(())
}

/// What init may do to become the process.
#[derive(Clone, Copy)]
pub(super) struct Rights {
    /// The capabilities that it can pass on.
    grantable: CapabilitySet,
    /// Whether it may call setgroups(2).
    sets_groups: bool,
    /// Who may set the resource limits.
    sets_limits: Side,
}

impl Rights {
    /// In a user namespace of its own init has all capabilities (`user_namespaces(7)`), but may not
    /// raise limits.
    pub(super) fn of(host: &Host, in_user_namespace: bool) -> Self {
        if in_user_namespace {
            Rights {
                grantable: capabilities::all(),
                sets_groups: !host.rootless,
                sets_limits: Side::Runtime,
            }
        } else {
            Rights {
                grantable: host.capabilities,
                sets_groups: true,
                sets_limits: Side::Init,
            }
        }
    }
}

fn rlimits<'a>(process: &'a Process<'a>, side: Side, steps: &mut Vec<Step<'a>>) -> Result<()> {
    for (index, rlimit) in process.rlimits.iter().enumerate() {
        steps.push(Step {
            action: Action::Rlimit(limit(rlimit, index, side)?),
            pointer: Pointer::element("/process/rlimits", index),
            clause: "config.md#posix-process",
        });
    }
    Ok(())
}

/// `NAME=VALUE` as the app gets it: the last one of a name, once, in the place of the first
/// (runc's order); and whose home is still missing.
fn environment(process: &Process<'_>) -> Result<(Vec<CString>, Option<u32>)> {
    let mut env: Vec<(&str, &Text<'_>)> = Vec::with_capacity(process.env.len() + 1);
    for (index, entry) in process.env.iter().enumerate() {
        let pointer = || Pointer::element("/process/env", index).to_string();
        let Some((name, _)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::config(
                pointer(),
                format!("invalid environment variable {entry:?}: it has no NAME="),
            ));
        };
        if entry.contains('\0') {
            return Err(Error::config(
                pointer(),
                format!("invalid environment variable {name:?}: it contains a NUL byte"),
            ));
        }
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = entry,
            None => env.push((name, entry)),
        }
    }
    let has_home = env
        .iter()
        .any(|(name, entry)| *name == "HOME" && entry.len() > "HOME=".len());
    env.retain(|(name, _)| has_home || *name != "HOME");
    let strings = env
        .into_iter()
        .map(|(_, entry)| CString::new(entry.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::config("/process/env", "contains a NUL byte"))?;
    Ok((strings, (!has_home).then_some(process.user.uid)))
}

/// The value of the last entry of this name.
fn value_of<'a>(env: &'a [Text<'a>], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|entry| {
        entry
            .split_once('=')
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
    })
}

fn limit(rlimit: &Rlimit<'_>, index: usize, side: Side) -> Result<RlimitStep> {
    const NAMES: [(&str, Resource); 16] = [
        ("RLIMIT_AS", Resource::As),
        ("RLIMIT_CORE", Resource::Core),
        ("RLIMIT_CPU", Resource::Cpu),
        ("RLIMIT_DATA", Resource::Data),
        ("RLIMIT_FSIZE", Resource::Fsize),
        ("RLIMIT_LOCKS", Resource::Locks),
        ("RLIMIT_MEMLOCK", Resource::Memlock),
        ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
        ("RLIMIT_NICE", Resource::Nice),
        ("RLIMIT_NOFILE", Resource::Nofile),
        ("RLIMIT_NPROC", Resource::Nproc),
        ("RLIMIT_RSS", Resource::Rss),
        ("RLIMIT_RTPRIO", Resource::Rtprio),
        ("RLIMIT_RTTIME", Resource::Rttime),
        ("RLIMIT_SIGPENDING", Resource::Sigpending),
        ("RLIMIT_STACK", Resource::Stack),
    ];
    let pointer = || Pointer::element("/process/rlimits", index).to_string();
    let Some((name, resource)) = NAMES.iter().find(|(name, _)| *name == &*rlimit.kind) else {
        return Err(Error::config(
            format!("{}/type", pointer()),
            format!("invalid rlimit type: {}", rlimit.kind),
        ));
    };
    if rlimit.soft > rlimit.hard {
        return Err(Error::config(
            pointer(),
            format!(
                "{name}: the soft limit {} is above the hard limit {}",
                rlimit.soft, rlimit.hard
            ),
        ));
    }
    let value = |value: u64| (value != u64::MAX).then_some(value);
    Ok(RlimitStep {
        resource: *resource,
        name,
        limits: rustix::process::Rlimit {
            current: value(rlimit.soft),
            maximum: value(rlimit.hard),
        },
        side,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(env: &[&'static str]) -> Process<'static> {
        let mut process: Process<'static> =
            serde_json::from_str(r#"{"user":{"uid":7,"gid":0},"args":["a"],"cwd":"/"}"#).unwrap();
        process.env = env.iter().map(|entry| Text::from(*entry)).collect();
        process
    }

    #[test]
    fn the_last_of_a_name_wins_and_is_passed_once() {
        let (env, home) = environment(&process(&["A=1", "HOME=/h", "A=2", "B=x=\ny"])).unwrap();
        let env: Vec<_> = env.iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(env, ["A=2", "HOME=/h", "B=x=\ny"]);
        assert_eq!(home, None);
    }

    #[test]
    fn an_empty_home_counts_as_missing() {
        let (env, home) = environment(&process(&["HOME="])).unwrap();
        assert!(env.is_empty());
        assert_eq!(home, Some(7));
    }

    #[test]
    fn an_entry_without_a_name_is_refused_with_its_place() {
        let error = environment(&process(&["A=1", "novalue"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/process/env/1"), "{error}");
    }
}
