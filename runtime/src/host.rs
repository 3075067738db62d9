//! What this host can do, found once and kept as data: the plan asks this, never the system.

use rustix::fs::{Mode, OFlags, open};
use rustix::thread::CapabilitySet;

use crate::cgroup::{Driver, Hierarchies};
use crate::error::{CallContext, Result};
use crate::resctrl::Resctrl;
use crate::spec::{Process, Spec, Text};
use crate::sys;
use crate::sys::seccomp::Abilities;

/// The host, as far as the plan depends on it.
#[derive(Debug)]
pub struct Host {
    /// Where the cgroup hierarchies are, and which version each is.
    pub hierarchies: Hierarchies,
    /// The capabilities that we hold: no others can be given to a container.
    pub capabilities: CapabilitySet,
    /// Whether our effective uid is not root's.
    pub rootless: bool,
    /// What seccomp(2) takes; asked for only when there is a profile with flags.
    pub seccomp: Option<Abilities>,
    /// Whether AppArmor is there and enabled; looked for only when there is a profile.
    pub apparmor: bool,
    /// Whether SELinux is there and enabled; looked for only when there is a label, of the process or of
    /// mounts.
    pub selinux: bool,
    /// The resctrl file system; looked for only when a group is asked for.
    pub resctrl: Option<Resctrl>,
}

impl Host {
    /// Whether we may join a container's namespaces, mount namespaces included, and come back from
    /// them (setns(2)).
    pub fn may_join_namespaces(&self) -> bool {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT;
        self.capabilities.contains(needed)
    }

    /// Looks for what this process in a container of this config.json depends on, and for nothing
    /// else.
    ///
    /// # Errors
    /// When the cgroup hierarchies can't be read.
    pub fn detect(spec: &Spec<'_>, process: Option<&Process<'_>>, driver: Driver) -> Result<Self> {
        Ok(Host {
            hierarchies: match driver {
                Driver::Disabled => Hierarchies::none(),
                Driver::Cgroupfs | Driver::Systemd => Hierarchies::detect()?,
            },
            capabilities: rustix::thread::capabilities(None)
                .call(|| "capget()")?
                .permitted,
            rootless: !sys::identity::is_root(),
            seccomp: spec.linux.seccomp.as_ref().map(|profile| {
                if profile.flags.is_some() {
                    Abilities::probe()
                } else {
                    Abilities::of_every_kernel()
                }
            }),
            apparmor: asks_for(process, |process| &process.apparmor_profile)
                && std::fs::read("/sys/module/apparmor/parameters/enabled")
                    .is_ok_and(|enabled| enabled.starts_with(b"Y")),
            selinux: (asks_for(process, |process| &process.selinux_label)
                || is_given(spec.linux.mount_label.as_ref()))
                && selinux_is_enabled(),
            resctrl: spec
                .linux
                .intel_rdt
                .as_ref()
                .and_then(|_| Resctrl::detect()),
        })
    }
}

fn asks_for<'p, 'a>(
    process: Option<&'p Process<'a>>,
    field: impl Fn(&'p Process<'a>) -> &'p Option<Text<'a>>,
) -> bool {
    is_given(process.and_then(|process| field(process).as_ref()))
}

fn is_given(word: Option<&Text<'_>>) -> bool {
    word.is_some_and(|word| !word.is_empty())
}

/// Whether there is SELinux: its file system is mounted, and a policy is loaded: before that, everything is labelled
/// `kernel`.
pub fn selinux_is_enabled() -> bool {
    /// `SELINUX_MAGIC` (include/uapi/linux/magic.h).
    const MAGIC: i64 = 0xf97c_ff8c;
    #[allow(clippy::useless_conversion)] // the type differs between architectures
    let mounted =
        rustix::fs::statfs("/sys/fs/selinux").is_ok_and(|found| i64::from(found.f_type) == MAGIC);
    mounted
        && std::fs::read("/proc/self/attr/current")
            .is_ok_and(|label| label.split(|byte| *byte == 0).next() != Some(b"kernel"))
}

/// What our uid 0 stands for outside, if we are in a user namespace that isn't the first.
pub fn user_namespace() -> Option<u32> {
    // The first range is what we look at, and the kernel gives as much of the file as there is
    // room for.
    let mut text = [0; 128];
    let map = open(
        "/proc/self/uid_map",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let length = rustix::io::read(&map, &mut text).ok()?;
    uid_outside(str::from_utf8(&text[..length]).ok()?)
}

/// See [`user_namespace`]; `map` is the text of /proc/self/uid_map (user_namespaces(7)).
fn uid_outside(map: &str) -> Option<u32> {
    let mut ranges = map.lines().map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some((next()?, next()?, next()?))
    });
    match ranges.next().flatten()? {
        (0, 0, u32::MAX) => None,
        (0, outside, _) => Some(outside),
        // Another range may have it; whatever it is, it is not all of the host's ids.
        _ => Some(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_namespace_maps_everything_to_itself() {
        assert_eq!(uid_outside("         0          0 4294967295\n"), None);
        assert_eq!(
            uid_outside("         0       1000          1\n         1     100000      65536\n"),
            Some(1000)
        );
        assert_eq!(uid_outside("0 0 65536\n"), Some(0));
        assert_eq!(uid_outside("5 1000 1\n"), Some(u32::MAX));
        assert_eq!(uid_outside(""), None);
    }
}
