//! What a child has to do between fork and exec, which no safe interface offers.

#![allow(unsafe_code)]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Gives the child a session of its own, with the terminal on its standard input as the
/// controlling one.
pub fn in_session_of_stdin(command: &mut Command) {
    // SAFETY: setsid and ioctl are async-signal-safe, and the closure touches nothing else.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Makes descriptor `from` the child's descriptor `to`, open across exec.
pub fn pass_descriptor(command: &mut Command, from: i32, to: i32) {
    // SAFETY: dup2 is async-signal-safe, and the closure touches nothing else.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(from, to) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Closes a descriptor of the child.
pub fn close_descriptor(command: &mut Command, number: i32) {
    // SAFETY: close is async-signal-safe, and the child owns its own copy of the table.
    unsafe {
        command.pre_exec(move || {
            libc::close(number);
            Ok(())
        });
    }
}
