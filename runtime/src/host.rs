//! What this host can do, found once and kept as data: the plan asks this, never the system.

use rustix::thread::CapabilitySet;

use crate::cgroup::Hierarchies;
use crate::error::{CallContext, Result};
use crate::spec::{Process, Spec};
use crate::sys::seccomp::Abilities;

/// The host, as far as the plan depends on it.
#[derive(Debug)]
pub struct Host {
    /// Where the cgroup hierarchies are, and which version each is.
    pub hierarchies: Hierarchies,
    /// The capabilities that we hold: no others can be given to a container.
    pub capabilities: CapabilitySet,
    /// What seccomp(2) takes; looked for only when there is a profile.
    pub seccomp: Option<Abilities>,
    /// Whether AppArmor is there and enabled; looked for only when there is a profile.
    pub apparmor: bool,
}

impl Host {
    /// Looks for what this process in a container of this config.json depends on, and for nothing
    /// else.
    ///
    /// # Errors
    /// When the cgroup hierarchies can't be read.
    pub fn detect(spec: &Spec<'_>, process: Option<&Process<'_>>) -> Result<Self> {
        Ok(Host {
            hierarchies: Hierarchies::detect()?,
            capabilities: rustix::thread::capabilities(None)
                .call(|| "capget()")?
                .permitted,
            seccomp: spec.linux.seccomp.is_some().then(Abilities::probe),
            apparmor: asks_for_apparmor(process)
                && std::fs::read("/sys/module/apparmor/parameters/enabled")
                    .is_ok_and(|enabled| enabled.starts_with(b"Y")),
        })
    }
}

fn asks_for_apparmor(process: Option<&Process<'_>>) -> bool {
    process
        .and_then(|process| process.apparmor_profile.as_deref())
        .is_some_and(|profile| !profile.is_empty())
}
