//! Entering namespaces, existing ones and new ones, and cutting the new mount namespace off from the
//! host's.

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces, set_thread_res_gid, set_thread_res_uid,
};

use super::trusted_proc::TrustedProc;
use crate::error::{CallContext, Error, Result};
use crate::plan::{NamespaceKind, namespace_kinds};
use crate::spec::TimeOffset;
use crate::sys;

/// Joins the namespace that a path of the host names (setns(2)).
///
/// # Errors
/// With the kind, the path and the call: `EINVAL` when it is of another kind.
pub(crate) fn join(kind: NamespaceKind, path: &str) -> Result<()> {
    setns(open_namespace(kind, path)?.as_fd(), kind, path)
}

fn open_namespace(kind: NamespaceKind, path: &str) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .call(|| format!("open {kind} namespace {path}"))
}

fn setns(namespace: BorrowedFd<'_>, kind: NamespaceKind, path: &str) -> Result<()> {
    let wanted = match kind {
        NamespaceKind::User => LinkNameSpaceType::User,
        NamespaceKind::Pid => LinkNameSpaceType::ProcessID,
        NamespaceKind::Network => LinkNameSpaceType::Network,
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
        NamespaceKind::Time => LinkNameSpaceType::Time,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
    };
    move_into_link_name_space(namespace, Some(wanted)).map_err(|errno| {
        let error = Error::call(format!("setns({path}, {kind})"), errno);
        match errno {
            Errno::INVAL => error.hint(format!("{path} is no {kind} namespace")),
            _ => error,
        }
    })
}

/// Joins namespaces of which one is a user namespace. The others are joined first, where our rights
/// allow it: they may be of another user namespace, to which there are no rights from within that
/// one. What our rights do not allow, those that the user namespace gives may.
///
/// # Errors
/// As [`join`]. Nothing is joined before all are open.
pub(crate) fn join_with_user(list: &[(NamespaceKind, &str)]) -> Result<()> {
    let (mut users, mut others) = (Vec::new(), Vec::new());
    for (kind, path) in list {
        let opened = (open_namespace(*kind, path)?, *kind, *path);
        if *kind == NamespaceKind::User {
            users.push(opened);
        } else {
            others.push(opened);
        }
    }
    let mut refused = Vec::new();
    for one in others {
        match setns(one.0.as_fd(), one.1, one.2) {
            Err(error) if error.errno() == Some(Errno::PERM) => refused.push(one),
            result => result?,
        }
    }
    users
        .iter()
        .chain(&refused)
        .try_for_each(|(namespace, kind, path)| setns(namespace.as_fd(), *kind, path))
}

/// Leaves namespaces (`CLONE_NEW*`) for new ones.
///
/// # Errors
/// unshare(2)'s.
pub(crate) fn unshare(namespaces: u64) -> Result<()> {
    let flags = u32::try_from(namespaces).map_or(UnshareFlags::empty(), |bits| {
        UnshareFlags::from_bits_retain(bits)
    });
    sys::clone::unshare(flags).map_err(|errno| {
        let names: Vec<_> = namespace_kinds()
            .into_iter()
            .filter(|kind| namespaces & kind.clone_flag() != 0)
            .map(NamespaceKind::name)
            .collect();
        let error = Error::call(format!("unshare({})", names.join(", ")), errno);
        match errno {
            Errno::NOSPC => error.hint("too many namespaces: see /proc/sys/user"),
            _ => error,
        }
    })
}

/// Makes a time namespace whose clocks are moved, and enters it: unshare(2) alone is for children
/// (`time_namespaces(7)`, Linux 5.6).
///
/// # Errors
/// With the call.
pub(crate) fn new_time_namespace(
    proc: &mut TrustedProc,
    offsets: &[(&str, TimeOffset)],
) -> Result<()> {
    unshare(NamespaceKind::Time.clone_flag())?;
    if !offsets.is_empty() {
        let mut lines = String::new();
        for (clock, offset) in offsets {
            let _ = writeln!(lines, "{clock} {} {}", offset.secs, offset.nanosecs);
        }
        match proc.write("self/timens_offsets", &lines) {
            // Born not dumpable, without root's rights: the file is ours only for this moment, in
            // which whoever was in the user namespace before us could trace us.
            Err(error) if error.errno() == Some(Errno::ACCESS) => {
                set_dumpable_behavior(DumpableBehavior::Dumpable)
                    .call(|| "prctl(PR_SET_DUMPABLE, 1)")?;
                let written = proc.write("self/timens_offsets", &lines);
                super::hide_from_tracers()?;
                written?;
            }
            written => written?,
        }
    }
    let path = "/proc/self/ns/time_for_children";
    setns(
        open_namespace(NamespaceKind::Time, path)?.as_fd(),
        NamespaceKind::Time,
        path,
    )
}

/// Takes on the uid and the gid 0 of the user namespace, whose capabilities we have.
///
/// # Errors
/// With the call: `EINVAL` when there is no such id.
pub(crate) fn become_root() -> Result<()> {
    let unmapped = |call: &'static str, errno| {
        let error = Error::call(call, errno);
        match errno {
            Errno::INVAL => error.hint("the mappings must include the container's id 0"),
            _ => error,
        }
    };
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(|errno| unmapped("setresgid(0)", errno))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .map_err(|errno| unmapped("setresuid(0)", errno))
}

/// Joins the namespaces (`CLONE_NEW*`) of the process that the pidfd stands for, all at once
/// (setns(2) with a pidfd, Linux 5.8).
///
/// # Errors
/// setns(2)'s.
pub(crate) fn join_all(process: &OwnedFd, flags: u64) -> Result<()> {
    let flags = u32::try_from(flags).map_or(ThreadNameSpaceType::empty(), |bits| {
        ThreadNameSpaceType::from_bits_retain(bits)
    });
    if flags.is_empty() {
        return Ok(());
    }
    move_into_thread_name_spaces(process.as_fd(), flags)
        .call(|| format!("setns(container's init, {flags:?})"))
}

/// Sets how the mounts that came along from the host propagate: `MS_*` with `MS_REC`.
///
/// # Errors
/// mount(2)'s.
pub(crate) fn set_host_propagation(flags: u64) -> Result<()> {
    let flags = u32::try_from(flags).map_or(MountPropagationFlags::empty(), |bits| {
        MountPropagationFlags::from_bits_retain(bits)
    });
    mount_change("/", flags).call(|| format!("mount(\"/\", {flags:?})"))
}
