//! Ending a process of the runtime, with SIGKILL, at one of the calls that change something.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::process::{Pid, Signal};

use super::{Follower, memory};

/// What a call of the runtime came to.
#[derive(Clone, Debug, Default)]
pub struct Killed {
    /// The calls that change something, by their names, up to the one at which it was ended.
    pub calls: Vec<String>,
}

impl Killed {
    /// Reads what [`follow`] has written.
    pub fn read(file: &Path) -> Killed {
        let text = fs::read_to_string(file).unwrap_or_default();
        Killed {
            calls: text.lines().map(str::to_owned).collect(),
        }
    }
}

/// Follows the program and ends the process that makes the `number`th call that changes something
/// (the first is 1; with 0 none), before the call is carried out. `file` is told of the calls.
///
/// # Errors
/// Those of tracing and of writing the file.
pub fn follow(number: usize, file: &Path, program: &[&str]) -> io::Result<i32> {
    let mut killer = Killer {
        number,
        seen: 0,
        file: File::create(file)?,
    };
    super::follow(program, &mut killer)
}

struct Killer {
    number: usize,
    seen: usize,
    file: File,
}

impl Follower for Killer {
    fn before(&mut self, thread: i32, number: i64, arguments: [u64; 6]) -> io::Result<()> {
        if self.number != 0 && self.seen >= self.number {
            return Ok(());
        }
        let Some(name) = name_of_change(thread, number, arguments) else {
            return Ok(());
        };
        self.seen += 1;
        writeln!(self.file, "{name}")?;
        if self.seen == self.number
            && let Some(process) = Pid::from_raw(process_of(thread)?)
        {
            rustix::process::kill_process(process, Signal::KILL)?;
        }
        Ok(())
    }

    fn after(&mut self, _thread: i32, _value: i64) -> io::Result<()> {
        Ok(())
    }
}

/// The process that a thread belongs to (proc_pid_status(5)).
fn process_of(thread: i32) -> io::Result<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("thread {thread} has no process")))
}

/// Calls that change something that outlives the caller, or start something that does.
const CHANGES: &[(libc::c_long, &str)] = &[
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
    (libc::SYS_bpf, "bpf"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_exit_group, "exit_group"),
];

/// The older calls, which newer architectures lack.
#[cfg(target_arch = "x86_64")]
const OLDER_CHANGES: &[(libc::c_long, &str)] = &[
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mknod, "mknod"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_link, "link"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_chown, "chown"),
    (libc::SYS_fork, "fork"),
    (libc::SYS_vfork, "vfork"),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CHANGES: &[(libc::c_long, &str)] = &[];

/// The call's name, with its path if it has one, when it changes something.
fn name_of_change(thread: i32, number: i64, arguments: [u64; 6]) -> Option<String> {
    let path = |index: usize| {
        memory::string(thread, arguments[index])
            .map(|path| String::from_utf8_lossy(&path).into_owned())
            .unwrap_or_default()
    };
    // Opening changes something when it makes a file.
    if number == libc::SYS_openat {
        let creates = arguments[2] & libc::O_CREAT as u64 != 0;
        return creates.then(|| format!("openat({}, O_CREAT)", path(1)));
    }
    let mut all = CHANGES.iter().chain(OLDER_CHANGES);
    let name = all.find(|(change, _)| *change == number)?.1;
    Some(match name {
        "mkdirat" | "unlinkat" | "mknodat" => format!("{name}({})", path(1)),
        "mkdir" | "rmdir" | "unlink" | "mknod" | "rename" => format!("{name}({})", path(0)),
        "mount" => format!("mount({}, {})", path(0), path(1)),
        _ => name.to_owned(),
    })
}
