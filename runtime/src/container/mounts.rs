//! Mounts in a running container, made and taken away from its outside (crun's `mounts add` and
//! `mounts remove`).
//!
//! The tree is opened on the host and moved into the container's mount namespace, where its
//! destination is resolved below init's root.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::Pid;

use super::mount_source::MountSources;
use super::state::{Container, Status};
use super::visit::Visit;
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::host::selinux_is_enabled;
use crate::plan::{self, IdMap, MountSource, MountStep, Places, Pointer};
use crate::rootfs::bind::{self, Source};
use crate::rootfs::mount::{new_filesystem, place_filesystem, set_propagation};
use crate::rootfs::{RootFd, unmount};
use crate::spec::{Mount, Spec};

/// The file that the verb is given, as errors call it.
const DOCUMENT: &str = "mounts file";

/// Makes mounts, in order. `spec` is the container's config.json; a relative source is relative to
/// the working directory.
///
/// # Errors
/// `container not running`; with the place in the list. What was mounted before stays.
pub fn add(container: &Container, spec: &Spec<'_>, mounts: &[Mount<'_>]) -> Result<()> {
    let _lock = container.directory.lock()?;
    let entered = Entered::of(container)?;
    let current = std::env::current_dir().call(|| "getcwd()")?;
    let places = Places {
        bundle: current.to_str().unwrap_or("/"),
        rootfs: &container.created()?.config.rootfs,
    };
    let label = spec.linux.mount_label.as_deref();
    let label = label.filter(|label| !label.is_empty() && selinux_is_enabled());
    let mut sources = MountSources::default();
    for (index, mount) in mounts.iter().enumerate() {
        let pointer = Pointer::element("", index);
        plan::mount_step(mount, pointer, places, &spec.linux, label)
            .and_then(|step| match step.without_effect {
                // Whoever adds mounts by hand means each word.
                Some(option) => Err(Error::new(format!(
                    "{option}= has no effect on a bind mount"
                ))),
                None => entered.add(step, spec, &mut sources),
            })
            .map_err(|error| error.at(pointer.to_string()).in_document(DOCUMENT))?;
    }
    Ok(())
}

/// Takes mounts away, in order, with what is mounted below them. Of an entry only the destination
/// counts.
///
/// # Errors
/// As [`add`]; for a destination where nothing is mounted.
pub fn remove(container: &Container, mounts: &[Mount<'_>]) -> Result<()> {
    let _lock = container.directory.lock()?;
    let entered = Entered::of(container)?;
    for (index, mount) in mounts.iter().enumerate() {
        Visit::to(entered.pidfd.as_fd())?
            .during(|| unmount::unmount(&entered.root, &mount.destination))
            .at(|| Pointer::element("", index).to_string())
            .map_err(|error| error.in_document(DOCUMENT))?;
    }
    Ok(())
}

/// What is held of the container's init.
struct Entered {
    pid: Pid,
    pidfd: OwnedFd,
    root: RootFd,
}

impl Entered {
    fn of(container: &Container) -> Result<Self> {
        let not_running = || Error::new("container not running");
        match container.status()? {
            Status::Running | Status::Created | Status::Paused => {}
            Status::Creating | Status::Stopped => return Err(not_running()),
        }
        let init = container.init().ok_or_else(not_running)?;
        let pidfd = init.open()?.ok_or_else(not_running)?;
        let path = format!("/proc/{}/root", init.pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path.as_str(), flags, Mode::empty()).call(|| format!("open({path})"))?;
        // The root that was opened is init's if init is still there: its pid was not another's.
        if !init.is_running() {
            return Err(not_running());
        }
        Ok(Entered {
            pid: Pid::from_raw(init.pid).ok_or_else(not_running)?,
            pidfd,
            root: RootFd::of(root),
        })
    }

    fn add(
        &self,
        mut step: MountStep<'_>,
        spec: &Spec<'_>,
        sources: &mut MountSources,
    ) -> Result<()> {
        if step.copy_up {
            return Err(Error::new(
                "tmpcopyup is for containers that are being made",
            ));
        }
        let mapped = spec.linux.namespaces.iter().any(|of| &*of.kind == "user");
        let tree = match &step.source {
            MountSource::Bind { .. } => self.bind_source(&step, sources)?,
            MountSource::Filesystem {
                kind,
                source,
                options,
            } if !of_namespaces(kind) => {
                // The file system is the host's: in a user namespace root is to own it all the same.
                step.idmap = mapped.then_some(IdMap {
                    mappings: None,
                    recursive: false,
                });
                let options = options.iter().copied();
                let tree = new_filesystem(kind, Some(source), options, step.attributes.set)?;
                sources.map_owners(&step, tree.as_fd(), self.pid)?;
                tree
            }
            _ => {
                return Err(Error::new(
                    "only bind mounts, and file systems that show no namespace, can be added to a \
                     running container",
                ));
            }
        };
        // Nothing that happens below either of them is to be seen at the other, unless asked for.
        if step.propagation.is_empty() {
            set_propagation(tree.as_fd(), libc::MS_PRIVATE | libc::MS_REC)?;
        }
        Visit::to(self.pidfd.as_fd())?
            .during(|| match Source::of(&step) {
                Some(source) => bind::attach(&self.root, &step, source, tree),
                None => place_filesystem(&self.root, &step, tree),
            })
            .context(|| format!("error mounting to {:?}", step.destination))
    }

    fn bind_source(&self, step: &MountStep<'_>, sources: &mut MountSources) -> Result<OwnedFd> {
        let source = Source::of(step).ok_or_else(|| Error::new("no bind mount"))?;
        if source.links.copy_symlink {
            return Err(Error::new(
                "copy-symlink is for containers that are being made",
            ));
        }
        let tree = sources.open_here(step, source, self.pid)?;
        bind::set_flags(tree.as_fd(), step)?;
        Ok(tree)
    }
}

/// File systems that show the namespaces of whoever makes them, which are the host's here.
fn of_namespaces(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "mqueue" | "cgroup" | "cgroup2" | "nsfs"
    )
}
