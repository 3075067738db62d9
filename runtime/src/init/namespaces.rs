//! Entering namespaces that exist, and cutting the new mount namespace off from the host's.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::error::{CallContext, Error, Result};
use crate::plan::NamespaceKind;

/// Joins the namespace that a path of the host names (setns(2)).
///
/// # Errors
/// With the kind, the path and the call: `EINVAL` when it is of another kind.
pub(crate) fn join(kind: NamespaceKind, path: &str) -> Result<()> {
    let namespace = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .call(|| format!("open {kind} namespace {path}"))?;
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
    move_into_link_name_space(namespace.as_fd(), Some(wanted)).map_err(|errno| {
        let error = Error::call(format!("setns({path}, {kind})"), errno);
        match errno {
            rustix::io::Errno::INVAL => error.hint(format!("{path} is no {kind} namespace")),
            _ => error,
        }
    })
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
