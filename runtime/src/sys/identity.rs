//! Who we are, from the auxiliary vector (getauxval(3)): what the kernel said at our execve, without
//! a call.

/// Whether every uid and gid of this process was 0 when it was executed. The saved ones are what
/// the effective ones were (execve(2)).
pub fn started_as_root() -> bool {
    [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID]
        .into_iter()
        .all(|entry| {
            // SAFETY: reads an integer that the kernel put on the stack at execve.
            unsafe { libc::getauxval(entry) == 0 }
        })
}

/// Whether the effective uid was 0, in whatever user namespace.
pub fn is_root() -> bool {
    // SAFETY: reads an integer that the kernel put on the stack at execve.
    unsafe { libc::getauxval(libc::AT_EUID) == 0 }
}
