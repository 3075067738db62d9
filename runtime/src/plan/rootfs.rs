//! The root file system: its mounts, and what is done to it before and after it becomes the root.

use std::collections::BTreeSet;

use super::build::{Builder, ContainerRequest};
use super::namespaces::Namespaces;
use super::{
    Action, MountSource, MountStep, NamespaceKind, OwnMount, Places, Pointer, clause, mounts,
};
use crate::error::{Error, Result};
use crate::spec::{Process, Spec};

impl<'a> Builder<'a> {
    /// The root file system, up to the point where the hooks see it.
    pub(super) fn rootfs(
        &mut self,
        spec: &'a Spec<'a>,
        namespaces: &Namespaces<'a>,
        process: &'a Process<'a>,
        request: &ContainerRequest<'a>,
    ) -> Result<()> {
        if !namespaces.has(NamespaceKind::Mount) && !spec.mounts.is_empty() {
            self.warnings.push(
                "mounts: without a mount namespace of the container's own they are the host's, and \
                 stay when the container is deleted"
                    .to_owned(),
            );
        }
        if namespaces.makes(NamespaceKind::Mount) {
            // Nothing that is mounted inside may reach the host. What the host mounts later is
            // seen inside unless config.json says private, as with runc.
            self.push(
                Action::HostPropagation(host_propagation(spec) | libc::MS_REC),
                Pointer::to("/linux/rootfsPropagation"),
                clause::PROPAGATION,
            );
        }
        let root = spec
            .root
            .as_ref()
            .ok_or_else(|| Error::config("/root", "config.json has no root file system"))?;
        let path = if root.path.starts_with('/') {
            root.path.to_string()
        } else {
            format!("{}/{}", request.bundle, &*root.path)
        };
        let rootfs = path.clone();
        self.push(
            Action::OpenRootfs {
                path,
                own_mount: own_mount(spec, namespaces),
            },
            Pointer::to("/root/path"),
            clause::ROOT,
        );
        for (index, mount) in spec.mounts.iter().enumerate() {
            let pointer = Pointer::element("/mounts", index);
            let places = Places {
                bundle: request.bundle,
                rootfs: &rootfs,
            };
            let mut step = mounts::step(mount, pointer, places, &spec.linux, self.label)?;
            if is_readonly_later(&step) {
                step.attributes.set &= !libc::MOUNT_ATTR_RDONLY;
                self.readonly_later.push((step.destination, index));
            }
            if let Some(option) = step.without_effect {
                self.warnings.push(format!(
                    "{pointer}/options: {option}= is ignored, as a bind mount is no new file system"
                ));
            }
            self.push(Action::Mount(step), pointer, clause::MOUNTS);
        }
        if dev_is_ours(spec) {
            self.devices(spec, namespaces.has(NamespaceKind::User))?;
        }
        if &*process.cwd != "/" {
            self.push(
                Action::WorkingDirectory(&process.cwd),
                Pointer::to("/process/cwd"),
                clause::PROCESS,
            );
        }
        self.console(process, true);
        Ok(())
    }

    pub(super) fn change_root(
        &mut self,
        spec: &Spec<'_>,
        namespaces: &Namespaces<'a>,
        request: &ContainerRequest<'a>,
    ) {
        let action = if !namespaces.has(NamespaceKind::Mount) {
            Action::ChangeRoot
        } else if request.no_pivot {
            Action::MoveRoot
        } else {
            // A joined mount namespace may be the host's, or shared with it, for all we know.
            let shared = !namespaces.makes(NamespaceKind::Mount)
                || host_propagation(spec) == libc::MS_SHARED;
            Action::PivotRoot { shared }
        };
        self.push(action, Pointer::to("/root/path"), clause::ROOT);
        // Only now: pivot_root(2) refuses a new root that is shared.
        if namespaces.has(NamespaceKind::Mount)
            && let Some(flags) = spec
                .linux
                .rootfs_propagation
                .as_deref()
                .and_then(propagation)
        {
            self.push(
                Action::RootPropagation(flags),
                Pointer::to("/linux/rootfsPropagation"),
                clause::PROPAGATION,
            );
        }
    }

    /// What may be done only after everything has been made in the rootfs.
    pub(super) fn finish_rootfs(&mut self, spec: &'a Spec<'a>) {
        for (destination, index) in std::mem::take(&mut self.readonly_later) {
            self.push(
                Action::Readonly(destination),
                Pointer::element("/mounts", index),
                clause::MOUNTS,
            );
        }
        if is_root_readonly(spec) {
            self.push(
                Action::Readonly("/"),
                Pointer::to("/root/readonly"),
                clause::ROOT,
            );
        }
        for (key, value) in &spec.linux.sysctl {
            self.push(
                Action::Sysctl { key, value },
                Pointer::member("/linux/sysctl", key),
                clause::SYSCTL,
            );
        }
        for (index, path) in spec.linux.readonly_paths.iter().enumerate() {
            self.push(
                Action::ReadonlyPath(path),
                Pointer::element("/linux/readonlyPaths", index),
                clause::READONLY,
            );
        }
        let mut masked = BTreeSet::new();
        for (index, path) in spec.linux.masked_paths.iter().enumerate() {
            if !masked.insert(path.trim_end_matches('/')) {
                continue;
            }
            self.push(
                Action::Mask {
                    path,
                    label: self.label,
                },
                Pointer::element("/linux/maskedPaths", index),
                clause::MASKED,
            );
        }
    }
}

/// How the host's mounts propagate into a new mount namespace.
fn host_propagation(spec: &Spec<'_>) -> u64 {
    match spec.linux.rootfs_propagation.as_deref() {
        Some("private" | "rprivate" | "unbindable" | "runbindable") => libc::MS_PRIVATE,
        Some("shared" | "rshared") => libc::MS_SHARED,
        _ => libc::MS_SLAVE,
    }
}

fn is_root_readonly(spec: &Spec<'_>) -> bool {
    spec.root.as_ref().is_some_and(|root| root.readonly)
}

/// How the rootfs becomes a mount. A joined mount namespace is left as shared as it is. In the
/// host's there is one only where something is mounted in it: runc leaves it there for the caller.
fn own_mount(spec: &Spec<'_>, namespaces: &Namespaces<'_>) -> OwnMount {
    let host = !namespaces.has(NamespaceKind::Mount);
    if host && spec.mounts.is_empty() && !is_root_readonly(spec) {
        OwnMount::None
    } else if namespaces.makes(NamespaceKind::Mount) && host_propagation(spec) == libc::MS_SHARED {
        OwnMount::OnItselfInShared
    } else {
        OwnMount::OnItself
    }
}

/// Whether /dev is for the runtime to fill: not when the caller mounts a /dev of his own.
fn dev_is_ours(spec: &Spec<'_>) -> bool {
    !spec.mounts.iter().any(|mount| {
        mount.destination.trim_end_matches('/') == "/dev"
            && (matches!(mount.kind.as_deref(), Some("bind" | "rbind"))
                || mount
                    .options
                    .iter()
                    .any(|option| matches!(&**option, "bind" | "rbind")))
    })
}

/// A read-only tmpfs, or whatever is on /dev, becomes so only once the mount points and devices in it are made.
fn is_readonly_later(step: &MountStep<'_>) -> bool {
    step.attributes.set & libc::MOUNT_ATTR_RDONLY != 0
        && match step.source {
            MountSource::Filesystem { kind, .. } => {
                kind == "tmpfs" || step.destination.trim_end_matches('/') == "/dev"
            }
            _ => false,
        }
}

/// `rootfsPropagation` as `MS_*`.
pub(super) fn propagation(name: &str) -> Option<u64> {
    let (recursive, name) = match name.strip_prefix('r') {
        Some(rest) => (libc::MS_REC, rest),
        None => (0, name),
    };
    Some(
        recursive
            | match name {
                "shared" => libc::MS_SHARED,
                "slave" => libc::MS_SLAVE,
                "private" => libc::MS_PRIVATE,
                "unbindable" => libc::MS_UNBINDABLE,
                _ => return None,
            },
    )
}
