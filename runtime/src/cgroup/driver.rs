//! Who makes a container's cgroups.

use std::path::Path;

use super::systemd::Unit;
use crate::error::Result;
use crate::host::user_namespace;
use crate::sys::identity;

/// Who makes cgroups (crun's `--cgroup-manager`; runc's `--systemd-cgroup` is the second).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// The runtime itself, as directories of the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: the container stays in the cgroups of the runtime's caller.
    Disabled,
}

impl Driver {
    /// Those that can be named, by their names.
    pub const NAMES: [(&'static str, Driver); 3] = [
        ("cgroupfs", Driver::Cgroupfs),
        ("systemd", Driver::Systemd),
        ("disabled", Driver::Disabled),
    ];
}

/// What the caller says about cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Who makes them.
    pub driver: Driver,
    /// `--rootless`: whether we have no right to the host's cgroups; `None` is to find out.
    pub rootless: Option<bool>,
}

/// Who makes the cgroups of a container, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maker {
    /// The runtime, as directories.
    Runtime,
    /// systemd, as a scope.
    Systemd(Unit),
    /// Nobody.
    Nobody,
}

impl Options {
    /// Who makes the cgroups of the container `id`, which is kept in `directory`, with this
    /// `linux.cgroupsPath`.
    ///
    /// # Errors
    /// For a path that systemd would not understand.
    pub fn maker(self, cgroups_path: Option<&str>, id: &str, directory: &Path) -> Result<Maker> {
        Ok(match self.driver {
            Driver::Cgroupfs => Maker::Runtime,
            Driver::Systemd => {
                let user = self.rootless.unwrap_or_else(is_a_users);
                let unit = Unit::of_container(cgroups_path, id, user)?;
                Maker::Systemd(unit.described(directory))
            }
            Driver::Disabled => Maker::Nobody,
        })
    }

    /// Whether we have no right to the host's cgroups but what somebody has delegated.
    pub fn is_rootless(self) -> bool {
        self.rootless
            .unwrap_or_else(|| !identity::is_root() || user_namespace().is_some())
    }
}

/// Whether we are a user's who is not root: by our uid, or by what it stands for outside of our
/// user namespace (podman without root's rights starts us in one).
fn is_a_users() -> bool {
    let uid = rustix::process::geteuid();
    !uid.is_root() || user_namespace().is_some_and(|uid_outside| uid_outside != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_says_who_makes_them() {
        let options = |driver| Options {
            driver,
            rootless: Some(true),
        };
        let directory = Path::new("/run/windlass/id");
        let of = |driver, path| options(driver).maker(Some(path), "id", directory);
        let maker = |driver| of(driver, "a.slice:b:c").unwrap();
        assert_eq!(maker(Driver::Cgroupfs), Maker::Runtime);
        assert_eq!(maker(Driver::Disabled), Maker::Nobody);
        let Maker::Systemd(unit) = maker(Driver::Systemd) else {
            unreachable!()
        };
        assert_eq!((unit.name.as_str(), unit.user), ("b-c.scope", true));
        let wrong = of(Driver::Systemd, "/a/b");
        assert!(wrong.unwrap_err().to_string().contains("slice:prefix:name"));
    }
}
