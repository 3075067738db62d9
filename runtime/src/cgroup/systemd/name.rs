//! From `cgroupsPath` to a unit, and from a unit to its cgroup.

use std::path::Path;

use super::Unit;
use crate::error::{Error, Result};

/// Longer names are refused by systemd (`UNIT_NAME_MAX`).
const LONGEST: usize = 255;

const SLICE: &str = ".slice";

impl Unit {
    /// The scope of the container `id` with `linux.cgroupsPath` `cgroups_path`, which for systemd
    /// is `SLICE:PREFIX:NAME`; made by the user's systemd if `user`.
    ///
    /// Without a path, or without a slice in it, the scope is in `system.slice`, or the user's
    /// `user.slice`; without a path it is called after the id.
    ///
    /// # Errors
    /// For what systemd would not take as a name.
    pub fn of_container(cgroups_path: Option<&str>, id: &str, user: bool) -> Result<Self> {
        let path = cgroups_path.unwrap_or_default();
        let (slice, prefix, name) = match *path.split(':').collect::<Vec<_>>() {
            [""] => ("", "windlass", id),
            [slice, prefix, name] => (slice, prefix, name),
            _ => {
                return Err(refused(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd \
                     cgroups, got {path:?} instead"
                ))
                .hint("such as system.slice:windlass:ID"));
            }
        };
        let slice = match slice {
            "" if user => "user.slice",
            "" => "system.slice",
            slice => slice,
        };
        cgroup_of_slice(slice)?;
        if name.ends_with(SLICE) {
            return Err(refused(format!(
                "{name:?} would be a slice, and processes can't stand in a slice"
            )));
        }
        let scope = format!("{prefix}-{name}.scope");
        if !is_unit_name(&scope) {
            return Err(refused(format!("invalid unit name {scope:?}"))
                .hint("letters, digits and :-_.\\@ are allowed, 255 in all"));
        }
        Ok(Unit {
            name: scope,
            slice: slice.to_owned(),
            description: String::new(),
            user,
        })
    }

    /// The same with a description that only the container of this directory has: no two
    /// containers have one at the same time, while any number may ask for one cgroup.
    #[must_use]
    pub fn described(self, directory: &Path) -> Self {
        Unit {
            description: format!("windlass container in {}", directory.display()),
            ..self
        }
    }

    /// The path of its cgroup below that of its manager: `/machine.slice/PREFIX-NAME.scope`.
    ///
    /// # Errors
    /// When the slice's name is none.
    pub fn cgroup(&self) -> Result<String> {
        let slice = cgroup_of_slice(&self.slice)?;
        Ok(format!("{slice}/{}", self.name))
    }
}

fn refused(problem: String) -> Error {
    Error::config("/linux/cgroupsPath", problem)
}

/// The path of a slice's cgroup (systemd.slice(5)): that of `a-b.slice` is `/a.slice/a-b.slice`,
/// and that of `-.slice` is the root.
fn cgroup_of_slice(slice: &str) -> Result<String> {
    let invalid = || refused(format!("invalid slice name: {slice}"));
    let stem = slice.strip_suffix(SLICE).ok_or_else(invalid)?;
    if stem == "-" {
        return Ok(String::new());
    }
    // `a--b.slice` and `-a.slice` have no parent.
    if stem.split('-').any(str::is_empty) || !is_unit_name(slice) || stem.contains(['@', ':']) {
        return Err(invalid());
    }
    let mut path = String::new();
    for (end, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        path.extend(["/", &stem[..end], SLICE]);
    }
    Ok(path)
}

/// Whether systemd takes `name` as that of a unit (systemd.unit(5), "Description"), without the
/// two that would lead a path astray.
fn is_unit_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    name.len() <= LONGEST && name.bytes().all(allowed) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_slice_prefix_and_name() {
        for (path, user, name, cgroup) in [
            (
                None,
                false,
                "windlass-c1.scope",
                "/system.slice/windlass-c1.scope",
            ),
            (
                Some(""),
                true,
                "windlass-c1.scope",
                "/user.slice/windlass-c1.scope",
            ),
            (
                Some("machine-pod.slice:runc-x:a.b"),
                false,
                "runc-x-a.b.scope",
                "/machine.slice/machine-pod.slice/runc-x-a.b.scope",
            ),
            (Some("-.slice:p:n"), false, "p-n.scope", "/p-n.scope"),
            (
                Some(":docker:1234"),
                false,
                "docker-1234.scope",
                "/system.slice/docker-1234.scope",
            ),
            (
                Some("kubepods-burstable-pod1_2.slice:cri-containerd:0ab"),
                false,
                "cri-containerd-0ab.scope",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-0ab.scope",
            ),
        ] {
            let unit = Unit::of_container(path, "c1", user).unwrap();
            assert_eq!((unit.name.as_str(), unit.user), (name, user));
            assert_eq!(unit.cgroup().unwrap(), cgroup);
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for bad in [
            "/windlass/c1",
            "a.slice:b",
            "a.slice:b:c:d",
            "a:b:c",
            ".slice:b:c",
            "a--b.slice:c:d",
            "-a.slice:c:d",
            "a/b.slice:c:d",
            "a@b.slice:c:d",
            "a.slice:../x:d",
            "a.slice:b:c/d",
            "a.slice:b:c.slice",
            "a.slice:.:c",
            "a.slice:b:\u{e9}",
        ] {
            let refusal = Unit::of_container(Some(bad), "c1", false).unwrap_err();
            assert!(refusal.to_string().contains("/linux/cgroupsPath"), "{bad}");
        }
        assert!(Unit::of_container(None, &"x".repeat(250), false).is_err());
    }
}
