//! What this host can do, found once and kept as data: the plan asks this, never the system.

use rustix::thread::CapabilitySet;

use crate::cgroup::Hierarchies;
use crate::error::{CallContext, Result};
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
    /// Whether AppArmor is there and enabled.
    pub apparmor: bool,
}

impl Host {
    /// Looks.
    ///
    /// # Errors
    /// When the cgroup hierarchies can't be read.
    pub fn detect(with_seccomp: bool) -> Result<Self> {
        Ok(Host {
            hierarchies: Hierarchies::detect()?,
            capabilities: rustix::thread::capabilities(None)
                .call(|| "capget()")?
                .permitted,
            seccomp: with_seccomp.then(Abilities::probe),
            apparmor: std::fs::read("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|enabled| enabled.starts_with(b"Y")),
        })
    }
}
