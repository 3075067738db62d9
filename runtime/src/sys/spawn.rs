//! What a child has to do between fork and exec (signal-safety(7)).

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::signal::unblock_all;

/// Lets a command begin with no signal blocked and with umask 022, whatever we have made of our
/// own: both outlive fork(2) and execve(2).
pub fn begin_afresh(command: &mut Command) {
    // SAFETY: sigemptyset, sigprocmask and umask are async-signal-safe, and the closure touches
    // nothing else.
    unsafe {
        command.pre_exec(|| {
            unblock_all();
            libc::umask(0o022);
            Ok(())
        });
    }
}
