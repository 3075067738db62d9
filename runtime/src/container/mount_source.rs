//! The sources of mounts that init can't open itself: idmapped ones, which take rights over the
//! host's file systems and a user namespace that holds the mapping, and those that the root of a
//! user namespace may not look at.
//!
//! They are opened in init's mount namespace all the same: a source may be a place that an earlier
//! mount has made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, chroot, fchdir, waitpid};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::{IdMappings, MountSource, MountStep};
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
        let MountSource::Bind {
            path,
            recursive,
            links,
            covers_proc,
        } = &step.source
        else {
            return Err(Error::new("only bind mounts have a source on the host"));
        };
        let source = Source {
            path,
            recursive: *recursive,
            links: *links,
            covers_proc: *covers_proc,
        };
        let owners = match &step.idmap {
            Some(idmap) => Some((self.user_namespace(idmap.mappings.as_ref(), pid)?, idmap)),
            None => None,
        };
        Visit::to(pidfd)?.during(|| {
            let tree = clone_of(source).call(|| open_tree_call(source))?;
            if let Some((namespace, idmap)) = owners {
                set_owners(tree.as_fd(), namespace.as_fd(), idmap.recursive).map_err(|errno| {
                    let error =
                        Error::call(format!("mount_setattr({path:?}, MOUNT_ATTR_IDMAP)"), errno);
                    match errno {
                        Errno::INVAL => error
                            .hint("does its file system, on this kernel, support idmapped mounts?"),
                        _ => error,
                    }
                })?;
            }
            Ok(tree)
        })
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

fn namespace_of(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call(|| format!("open({path})"))
}

/// A user namespace exists as long as a process is in it or a descriptor of it is open: the process
/// is a child that ends as soon as we have the descriptor, or are dead.
fn make_user_namespace(mappings: &IdMappings) -> Result<OwnedFd> {
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

/// This process in another's mount namespace, for a moment (setns(2): a process with one thread may).
struct Visit {
    own: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl Visit {
    fn to(process: BorrowedFd<'_>) -> Result<Self> {
        let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let visit = Visit {
            own: open(
                "/proc/self/ns/mnt",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .call(|| "open(/proc/self/ns/mnt)")?,
            root: open("/", path, Mode::empty()).call(|| "open(/)")?,
            directory: openat(CWD, ".", path, Mode::empty()).call(|| "open(.)")?,
        };
        move_into_thread_name_spaces(process, ThreadNameSpaceType::MOUNT)
            .call(|| "setns(container's init, CLONE_NEWNS)")?;
        Ok(visit)
    }

    fn during<T>(self, visit: impl FnOnce() -> Result<T>) -> Result<T> {
        let seen = visit();
        self.back()?;
        seen
    }

    /// setns(2) has changed the root and the working directory to the namespace's root.
    fn back(self) -> Result<()> {
        move_into_link_name_space(self.own.as_fd(), Some(LinkNameSpaceType::Mount))
            .call(|| "setns(own mount namespace)")?;
        fchdir(&self.root).call(|| "fchdir(own root)")?;
        chroot(".").call(|| "chroot(own root)")?;
        fchdir(&self.directory).call(|| "fchdir(own working directory)")
    }
}
