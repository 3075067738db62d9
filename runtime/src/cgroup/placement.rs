//! Where a container stands in each hierarchy.

use serde::{Deserialize, Serialize};

use super::driver::Driver;
use super::hierarchies::{Hierarchies, Hierarchy, Version};
use crate::error::{Error, Result};

/// A container's cgroup in every hierarchy, as strings: all that is needed to find it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Placement {
    /// One for each hierarchy; none for a container that has no cgroups of its own.
    pub places: Vec<Place>,
}

/// A container's cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The hierarchy's name, as in [`Hierarchy::name`]; empty for cgroup v2.
    pub hierarchy: String,
    /// The absolute path of the cgroup's directory.
    pub path: String,
    /// How many of the directories above it, from the innermost, were made for this container.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parents_made: usize,
    /// Whether the cgroup was there, made by someone else, before the container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Hierarchies {
    /// Where the container `id` with `linux.cgroupsPath` `cgroups_path` stands (config-linux.md,
    /// "Cgroups Path"), by runc's rules: an absolute path is below the root of each hierarchy; a
    /// relative one, or the id if there is none, is below the runtime's own cgroup on v1, and
    /// beside it on v2, where a cgroup with processes of its own can't pass controllers on.
    /// `..` never leads out of there.
    ///
    /// Refuses the root of a hierarchy.
    pub fn place(&self, cgroups_path: Option<&str>, id: &str) -> Result<Placement> {
        let wanted = cgroups_path.filter(|path| !path.is_empty()).unwrap_or(id);
        let inner = clean(wanted);
        if inner.is_empty() || wanted.contains('\0') {
            return Err(Error::config(
                "/linux/cgroupsPath",
                format!("{wanted:?} can't be a container's cgroup"),
            )
            .hint("name a cgroup below the root, such as /windlass/ID"));
        }
        let below = |hierarchy: &Hierarchy| -> Result<String> {
            let base = if wanted.starts_with('/') {
                String::new()
            } else {
                self.relative_base(hierarchy)?
            };
            Ok(format!("{}{base}/{inner}", hierarchy.mount_point))
        };
        let place = |hierarchy: &Hierarchy| -> Result<Place> {
            let path = below(hierarchy)?;
            Ok(Place {
                hierarchy: hierarchy.name.clone(),
                path,
                parents_made: 0,
                found: false,
            })
        };
        Ok(Placement {
            places: self.list.iter().map(place).collect::<Result<_>>()?,
        })
    }

    /// Where a systemd unit stands whose cgroup is `cgroup`, a path that begins with `/`.
    pub fn place_unit(&self, cgroup: &str) -> Placement {
        let place = |hierarchy: &Hierarchy| Place {
            hierarchy: hierarchy.name.clone(),
            path: format!("{}{cgroup}", hierarchy.mount_point),
            parents_made: 0,
            found: true,
        };
        Placement {
            places: self.list.iter().map(place).collect(),
        }
    }

    /// What a relative path is relative to in `hierarchy`: empty, or a path that starts with `/`.
    fn relative_base(&self, hierarchy: &Hierarchy) -> Result<String> {
        if hierarchy.own.ends_with(" (deleted)") {
            return Err(
                Error::new("the runtime's own cgroup has been removed under it")
                    .hint("start it from another shell, or give an absolute cgroupsPath"),
            );
        }
        let own = clean(&hierarchy.own);
        let base = match hierarchy.version {
            Version::V1 => own.as_str(),
            // In hybrid mode runc takes the root: there are no controllers to pass on.
            Version::V2 if self.list.len() > 1 => "",
            Version::V2 => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        };
        Ok(if base.is_empty() {
            String::new()
        } else {
            format!("/{base}")
        })
    }
}

impl Placement {
    /// What has to be known of the host to go on with it: nothing for a container without cgroups.
    pub fn driver(&self) -> Driver {
        if self.places.is_empty() {
            Driver::Disabled
        } else {
            Driver::Cgroupfs
        }
    }

    /// The place where `controller` is at work.
    pub(super) fn with_controller(&self, controller: &str) -> Option<&Place> {
        self.places
            .iter()
            .find(|place| place.hierarchy.split(',').any(|name| name == controller))
            .or_else(|| {
                if self.places.len() == 1 {
                    self.v2()
                } else {
                    None
                }
            })
    }

    /// Whether there is a place where `controller` is at work.
    pub fn has_controller(&self, controller: &str) -> bool {
        self.with_controller(controller).is_some()
    }

    /// Whether there is nothing but cgroup v2.
    pub(super) fn layout_is_v2(&self) -> bool {
        self.places.iter().all(|place| place.hierarchy.is_empty())
    }

    /// The place in the unified hierarchy, if there is one.
    pub fn v2(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.hierarchy.is_empty())
    }
}

/// `path` without empty and `.` components, each `..` taken together with the one before it, and
/// without slashes at its ends.
fn clean(path: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Layout;

    fn hierarchy(name: &str, own: &str) -> Hierarchy {
        Hierarchy {
            version: if name.is_empty() {
                Version::V2
            } else {
                Version::V1
            },
            name: name.to_owned(),
            controllers: Vec::new(),
            mount_point: format!("/cg/{name}").trim_end_matches('/').to_owned(),
            own: own.to_owned(),
        }
    }

    fn paths(hierarchies: &Hierarchies, cgroups_path: Option<&str>) -> Vec<String> {
        let placement = hierarchies.place(cgroups_path, "id").unwrap();
        placement
            .places
            .into_iter()
            .map(|place| place.path)
            .collect()
    }

    #[test]
    fn v1_and_hybrid_stand_where_runc_puts_them() {
        let hierarchies = Hierarchies {
            layout: Layout::Hybrid,
            list: vec![
                hierarchy("cpu,cpuacct", "/"),
                hierarchy("name=systemd", "/user/me"),
                hierarchy("", "/user/me"),
            ],
        };
        for (cgroups_path, expected) in [
            (Some("/a/b"), ["a/b", "a/b", "a/b"]),
            (Some("//a/./b/../c/"), ["a/c", "a/c", "a/c"]),
            (Some("/../../etc"), ["etc", "etc", "etc"]),
            (Some("a"), ["a", "user/me/a", "a"]),
            (Some("../../a"), ["a", "user/me/a", "a"]),
            (Some(""), ["id", "user/me/id", "id"]),
            (None, ["id", "user/me/id", "id"]),
        ] {
            let mounts = ["/cg/cpu,cpuacct", "/cg/name=systemd", "/cg"];
            let expected: Vec<_> = mounts
                .iter()
                .zip(expected)
                .map(|(mount, path)| format!("{mount}/{path}"))
                .collect();
            assert_eq!(
                paths(&hierarchies, cgroups_path),
                expected,
                "{cgroups_path:?}"
            );
        }
    }

    #[test]
    fn v2_stands_beside_the_runtime() {
        for (own, expected) in [
            ("/", "/cg/id"),
            ("/session.scope", "/cg/id"),
            ("/user.slice/session.scope", "/cg/user.slice/id"),
            ("/../../elsewhere/x", "/cg/elsewhere/id"),
        ] {
            let hierarchies = Hierarchies {
                layout: Layout::V2,
                list: vec![hierarchy("", own)],
            };
            assert_eq!(paths(&hierarchies, None), [expected], "{own}");
            assert_eq!(paths(&hierarchies, Some("/x")), ["/cg/x"]);
        }
    }

    #[test]
    fn the_root_of_a_hierarchy_is_refused() {
        let hierarchies = Hierarchies {
            layout: Layout::V2,
            list: vec![hierarchy("", "/a")],
        };
        for bad in ["/", "..", "/a/..", "./", "/a\0b"] {
            let bad = bad.replace("\\0", "\0");
            let refusal = hierarchies.place(Some(&bad), "id").unwrap_err().to_string();
            assert!(refusal.contains("/linux/cgroupsPath"), "{refusal}");
        }
        let removed = Hierarchies {
            layout: Layout::V2,
            list: vec![hierarchy("", "/a/b (deleted)")],
        };
        assert!(removed.place(None, "id").is_err());
        assert!(removed.place(Some("/x"), "id").is_ok());
    }

    #[test]
    fn the_state_file_holds_names_and_paths() {
        let placement = Placement {
            places: vec![
                Place {
                    hierarchy: "memory".into(),
                    path: "/cg/memory/a".into(),
                    parents_made: 0,
                    found: true,
                },
                Place {
                    hierarchy: String::new(),
                    path: "/cg/x/a".into(),
                    parents_made: 1,
                    found: false,
                },
            ],
        };
        let json = serde_json::to_string(&placement).unwrap();
        assert_eq!(
            json,
            r#"[{"hierarchy":"memory","path":"/cg/memory/a","found":true},{"hierarchy":"","path":"/cg/x/a","parents_made":1}]"#
        );
        assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
    }
}
