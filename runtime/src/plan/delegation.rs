//! To whom a container's cgroup is given.

use crate::spec::Spec;

use super::NamespaceKind;

/// The user of the host who is to own the container's cgroup of version 2, and the entry of
/// `mounts` that shows it to the container: config-linux.md, "Cgroup ownership", for a writable
/// mount of the cgroups on `/sys/fs/cgroup` in a new cgroup namespace. None where that is us.
pub(super) fn cgroup_owner(spec: &Spec<'_>) -> Option<(u32, usize)> {
    let new = |kind: NamespaceKind| {
        spec.linux.namespaces.iter().any(|namespace| {
            let path = namespace.path.as_deref().unwrap_or_default();
            *namespace.kind == *kind.name() && path.is_empty()
        })
    };
    if !new(NamespaceKind::Cgroup) {
        return None;
    }
    let mount = spec.mounts.iter().position(|mount| {
        mount.source.as_deref() == Some("cgroup")
            && mount.destination.trim_end_matches('/') == "/sys/fs/cgroup"
            && !mount.options.iter().any(|option| &**option == "ro")
    })?;
    let user = spec.process.as_ref()?.user.uid;
    let mut namespaces = spec.linux.namespaces.iter();
    let owner = if namespaces.any(|namespace| &*namespace.kind == "user") {
        spec.linux.uid_mappings.iter().find_map(|mapping| {
            let offset = user.checked_sub(mapping.container_id)?;
            (offset < mapping.size).then(|| mapping.host_id.checked_add(offset))?
        })?
    } else {
        user
    };
    (owner != 0).then_some((owner, mount))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(change: impl FnOnce(&mut Value)) -> Option<(u32, usize)> {
        let mut config = json!({
            "ociVersion": "1.0.0",
            "process": { "args": ["a"], "cwd": "/", "user": { "uid": 5, "gid": 0 } },
            "mounts": [
                { "destination": "/proc", "type": "proc" },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }
            ],
            "linux": {
                "namespaces": [{ "type": "cgroup" }, { "type": "user" }],
                "uidMappings": [{ "containerID": 0, "hostID": 1000, "size": 10 }]
            }
        });
        change(&mut config);
        let text = config.to_string();
        let spec: Spec<'_> = serde_json::from_str(&text).unwrap();
        cgroup_owner(&spec)
    }

    #[test]
    fn it_is_the_user_of_the_process() {
        assert_eq!(owner(|_| ()), Some((1005, 1)));
        let namespaces =
            |list: Value| move |config: &mut Value| config["linux"]["namespaces"] = list;
        assert_eq!(
            owner(namespaces(json!([{ "type": "cgroup" }]))),
            Some((5, 1))
        );
        assert_eq!(
            owner(|config| config["process"]["user"]["uid"] = json!(11)),
            None
        );
    }

    #[test]
    fn only_who_can_write_there_gets_it() {
        let options = |list: Value| move |config: &mut Value| config["mounts"][1]["options"] = list;
        assert_eq!(owner(options(json!(["nosuid", "ro"]))), None);
        assert_eq!(owner(options(json!(["rw"]))), Some((1005, 1)));
        let joined = json!([{ "type": "cgroup", "path": "/proc/1/ns/cgroup" }, { "type": "user" }]);
        assert_eq!(owner(|config| config["linux"]["namespaces"] = joined), None);
    }
}
