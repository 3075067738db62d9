//! The sources of mounts that init can't open itself: idmapped ones, which take rights over the
//! host's file systems and a user namespace that holds the mapping, and those that the root of a
//! user namespace may not look at.
//!
//! They are opened in init's mount namespace all the same: a source may be a place that an earlier
//! mount has made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::conduct::hide_own_child;
use super::visit::Visit;
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::{IdMappings, MountStep};
use crate::rootfs::bind::{Source, clone_of, open_tree_call};
use crate::spec::IdMapping;
use crate::sys::clone::{Cloned, clone_process};
use crate::sys::mount::set_owners;

/// Opens sources, and keeps the user namespaces that it has made for their mappings.
#[derive(Debug, Default)]
pub struct MountSources {
    made: Vec<(IdMappings, OwnedFd)>,
}

impl MountSources {
    /// Opens the source of a bind mount for the process `pid`, in its mount namespace, as a detached
    /// tree with its owners mapped. `pidfd` is the same process.
    ///
    /// # Errors
    /// With the call.
    pub fn open(
        &mut self,
        step: &MountStep<'_>,
        pid: Pid,
        pidfd: BorrowedFd<'_>,
    ) -> Result<OwnedFd> {
        let source = Source::of(step)
            .ok_or_else(|| Error::new("only bind mounts have a source on the host"))?;
        let owners = self.owners(step, pid)?;
        Visit::to(pidfd)?.during(|| {
            let tree = clone_of(source).call(|| open_tree_call(source))?;
            owners.map_or(Ok(()), |owners| owners.apply(tree.as_fd(), source.path))?;
            Ok(tree)
        })
    }

    /// Opens the source of a bind mount as this process finds it, for a container whose init is
    /// `pid`.
    ///
    /// # Errors
    /// With the call.
    pub fn open_here(
        &mut self,
        step: &MountStep<'_>,
        source: Source<'_>,
        pid: Pid,
    ) -> Result<OwnedFd> {
        let tree = clone_of(source).call(|| open_tree_call(source))?;
        self.map_owners(step, tree.as_fd(), pid)?;
        Ok(tree)
    }

    /// Maps the owners of a detached tree as the step asks.
    ///
    /// # Errors
    /// With the call.
    pub fn map_owners(
        &mut self,
        step: &MountStep<'_>,
        tree: BorrowedFd<'_>,
        pid: Pid,
    ) -> Result<()> {
        match self.owners(step, pid)? {
            Some(owners) => owners.apply(tree, step.destination),
            None => Ok(()),
        }
    }

    fn owners(&mut self, step: &MountStep<'_>, pid: Pid) -> Result<Option<Owners>> {
        let Some(idmap) = &step.idmap else {
            return Ok(None);
        };
        Ok(Some(Owners {
            namespace: self.user_namespace(idmap.mappings.as_ref(), pid)?,
            recursive: idmap.recursive,
        }))
    }

    /// A user namespace with these maps, made once; without maps that of the process.
    fn user_namespace(&mut self, mappings: Option<&IdMappings>, pid: Pid) -> Result<OwnedFd> {
        let Some(mappings) = mappings else {
            return namespace_of(pid);
        };
        let known = self.made.iter().find(|(known, _)| known == mappings);
        if let Some((_, namespace)) = known {
            return namespace.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        }
        let namespace = make_user_namespace(mappings).context(|| "id mapping of the mount")?;
        let kept = namespace.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        self.made.push((mappings.clone(), kept));
        Ok(namespace)
    }
}

/// The owners that a mount is to show.
struct Owners {
    namespace: OwnedFd,
    recursive: bool,
}

impl Owners {
    fn apply(&self, tree: BorrowedFd<'_>, path: &str) -> Result<()> {
        set_owners(tree, self.namespace.as_fd(), self.recursive).map_err(|errno| {
            let error = Error::call(format!("mount_setattr({path:?}, MOUNT_ATTR_IDMAP)"), errno);
            match errno {
                Errno::INVAL => {
                    error.hint("does its file system, on this kernel, support idmapped mounts?")
                }
                _ => error,
            }
        })
    }
}

/// Opens a directory, as an `O_PATH` descriptor, in the mount namespace of a process, whose user may
/// not get there.
///
/// # Errors
/// With the path.
pub fn open_directory(path: &str, pidfd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Visit::to(pidfd)?.during(|| open(path, flags, Mode::empty()).call(|| format!("open({path:?})")))
}

fn namespace_of(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call(|| format!("open({path})"))
}

/// A user namespace exists as long as a process is in it or a descriptor of it is open: the process
/// is a child that ends as soon as we have the descriptor, or are dead.
fn make_user_namespace(mappings: &IdMappings) -> Result<OwnedFd> {
    hide_own_child()?;
    let (until, held) = pipe_with(PipeFlags::CLOEXEC).call(|| "pipe2()")?;
    let pid =
        match clone_process(libc::CLONE_NEWUSER as u64, None).call(|| "clone3(CLONE_NEWUSER)")? {
            Cloned::Child => {
                drop(held);
                let _ = rustix::io::read(&until, &mut [0_u8; 1]);
                std::process::exit(0);
            }
            Cloned::Parent(pid, _) => pid,
        };
    let namespace = write_map(pid, "uid_map", &mappings.uids)
        .and_then(|()| write_map(pid, "gid_map", &mappings.gids))
        .and_then(|()| namespace_of(pid));
    drop(held);
    while matches!(waitpid(Some(pid), WaitOptions::empty()), Err(Errno::INTR)) {}
    namespace
}

fn write_map(pid: Pid, file: &str, mappings: &[IdMapping]) -> Result<()> {
    let lines = mappings.iter().map(|mapping| {
        let (inside, outside, size) = (mapping.container_id, mapping.host_id, mapping.size);
        format!("{inside} {outside} {size}\n")
    });
    let text: String = lines.collect();
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    std::fs::write(&path, &text)
        .call(|| format!("write({path}, {:?})", text.trim_end()))
        .map_err(|error| match error.errno() {
            Some(Errno::PERM) => {
                error.hint("id-mapped mounts are not supported for rootless containers")
            }
            _ => error,
        })
}
