//! Starting a program without a copy of this one: the child borrows our memory until it executes, as
//! posix_spawn(3) has it, and does there what posix_spawn can't (`PR_SET_PDEATHSIG`, `LISTEN_PID`). fork(2)
//! would copy our page tables, and have us copy each page that we write to next.

use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, WaitId, WaitIdOptions, setrlimit, waitid};

use super::{GIVEN_LIMIT, die_with, reset_signals};

/// Room for the child's frames until it executes; execvpe(3) has a path and the arguments' addresses there.
const STACK: usize = 16 * 1024;
/// `LISTEN_PID=` with room for any process id, and the zero that ends it.
const LISTEN_PID: &[u8] = b"LISTEN_PID=";
const LISTEN_PID_ROOM: usize = LISTEN_PID.len() + 11;

/// A program that is to be executed, with the settings of [`super::with_clean_settings`] and
/// [`super::dying_with_us`], our environment, and /dev/null where it is given no stream.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    streams: [Option<OwnedFd>; 3],
    listen_pid: bool,
}

/// A child that executes its program.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id.
    pub pid: Pid,
    /// The same, as a descriptor that is readable once it has ended.
    pub pidfd: OwnedFd,
}

impl Program {
    /// The program at `path`; if that is a mere name, it is looked for in `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Program {
            path: path.into(),
            arguments: Vec::new(),
            streams: [None, None, None],
            listen_pid: false,
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Gives it a standard input.
    pub fn stdin(&mut self, stream: impl Into<Option<OwnedFd>>) -> &mut Self {
        self.streams[0] = stream.into();
        self
    }

    /// Gives it a standard output.
    pub fn stdout(&mut self, stream: impl Into<Option<OwnedFd>>) -> &mut Self {
        self.streams[1] = stream.into();
        self
    }

    /// Gives it a standard error.
    pub fn stderr(&mut self, stream: impl Into<Option<OwnedFd>>) -> &mut Self {
        self.streams[2] = stream.into();
        self
    }

    /// It finds its own process id in `LISTEN_PID`, as sd_listen_fds(3) wants it for the sockets that we
    /// have been given.
    pub fn with_own_listen_pid(&mut self) -> &mut Self {
        self.listen_pid = true;
        self
    }

    /// What is executed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Executes it in a child. Our copies of its streams are closed.
    pub fn spawn(self) -> io::Result<Spawned> {
        let path = c_string(self.path.as_os_str())?;
        let arguments = [self.path.as_os_str()].into_iter();
        let arguments = arguments
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(c_string)
            .collect::<io::Result<Vec<_>>>()?;
        let changed = if self.listen_pid {
            environment_of_others()?
        } else {
            Vec::new()
        };
        let streams = above_standard(self.streams)?;
        let mut own_listen_pid = [0; LISTEN_PID_ROOM];
        let own_listen_pid = &raw mut own_listen_pid;
        let mut variables = pointers(&changed);
        variables.insert(0, own_listen_pid.cast_const().cast());
        let arguments = pointers(&arguments);
        let mut task = Task {
            path: path.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: if self.listen_pid {
                variables.as_ptr()
            } else {
                // SAFETY: nobody changes the environment while we read where it is (one thread).
                unsafe { environ }
            },
            streams: [0, 1, 2].map(|stream: usize| streams[stream].as_raw_fd()),
            listen_pid: self.listen_pid.then_some(own_listen_pid),
            parent: std::process::id(),
            limit: GIVEN_LIMIT.get().copied(),
            error: 0,
        };
        let spawned = clone_borrowing(&mut task)?;
        if task.error == 0 {
            return Ok(spawned);
        }
        // It has ended, or is about to: nobody else is to find it.
        let _ = waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
        Err(io::Error::from_raw_os_error(task.error))
    }
}

/// What the child needs to know, all of it made beforehand, and where it says what went wrong.
struct Task {
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    streams: [c_int; 3],
    listen_pid: Option<*mut [u8; LISTEN_PID_ROOM]>,
    parent: u32,
    limit: Option<Rlimit>,
    /// The kernel's number.
    error: c_int,
}

/// `clone(2)` with `CLONE_VM` and `CLONE_VFORK`: this thread waits until the child has executed or ended.
fn clone_borrowing(task: &mut Task) -> io::Result<Spawned> {
    #[repr(align(16))]
    struct Stack([MaybeUninit<u8>; STACK]);
    let mut stack = Stack([MaybeUninit::uninit(); STACK]);
    let top = stack.0.as_mut_ptr_range().end;
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let task: *mut Task = task;
    // SAFETY: the child runs `carry_out` on `stack`, which grows down from `top` and is nobody else's. Since
    // this thread, the only one, stands still until the child has executed or ended, the child may read and
    // write what `task` points to, all of which lives until then. No signal has a handler that could run in it.
    let pid = unsafe { libc::clone(carry_out, top.cast(), flags, task.cast(), &raw mut pidfd) };
    let born = if pid > 0 { Pid::from_raw(pid) } else { None };
    let Some(pid) = born else {
        return Err(io::Error::last_os_error());
    };
    Ok(Spawned {
        pid,
        // SAFETY: the kernel has just given us this descriptor and nobody else knows of it.
        pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
    })
}

/// The child: only what is allowed between vfork(2) and execve(2), without allocating or dropping anything.
extern "C" fn carry_out(task: *mut c_void) -> c_int {
    // SAFETY: `clone_borrowing` has given us the only pointer to it that is used until we are gone.
    let task = unsafe { &mut *task.cast::<Task>() };
    task.error = match prepare(task) {
        Ok(()) => {
            // SAFETY: the path is a string, the others are arrays of strings that a null pointer ends; all
            // are our waiting parent's. It only comes back with an error.
            unsafe { libc::execvpe(task.path, task.arguments, task.environment) };
            errno()
        }
        Err(error) => error,
    };
    127
}

fn prepare(task: &Task) -> Result<(), c_int> {
    for (source, number) in task.streams.iter().zip(0..) {
        // SAFETY: dup2 touches no memory; the sources are above 2, so none is replaced before its turn.
        if unsafe { libc::dup2(*source, number) } < 0 {
            return Err(errno());
        }
    }
    reset_signals();
    if let Some(limit) = task.limit {
        setrlimit(Resource::Nofile, limit).map_err(rustix::io::Errno::raw_os_error)?;
    }
    die_with(task.parent).map_err(|error| error.raw_os_error().unwrap_or(libc::EPERM))?;
    if let Some(room) = task.listen_pid {
        // SAFETY: it is our waiting parent's, and nothing refers to it but the environment to come.
        write_listen_pid(unsafe { &mut *room });
    }
    Ok(())
}

/// Writes our own process id, without the allocator, which is our parent's.
fn write_listen_pid(room: &mut [u8; LISTEN_PID_ROOM]) {
    let (name, digits) = room.split_at_mut(LISTEN_PID.len());
    name.copy_from_slice(LISTEN_PID);
    // The C library's, unlike the standard library's, is sure to be asked of the kernel here.
    // SAFETY: getpid has no preconditions.
    let mut rest = unsafe { libc::getpid() }.unsigned_abs();
    let length = rest.checked_ilog10().map_or(1, |log| log as usize + 1);
    for digit in digits[..length].iter_mut().rev() {
        *digit = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
    }
    digits[length] = 0;
}

fn errno() -> c_int {
    // SAFETY: the address of this thread's errno is always valid; that it is our parent's, too, which has
    // none of its own now, does no harm.
    unsafe { *libc::__errno_location() }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

unsafe extern "C" {
    /// The environment, as execve(2) takes it (environ(7)): a copy for each call would stay in the heap.
    static environ: *const *const c_char;
}

/// Our environment, without the variable that says for whom sockets were meant.
fn environment_of_others() -> io::Result<Vec<CString>> {
    std::env::vars_os()
        .filter(|(name, _)| name != "LISTEN_PID")
        .map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            c_string(&variable)
        })
        .collect()
}

/// Their addresses, and the null pointer that ends them.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let addresses = strings.iter().map(|string| string.as_ptr());
    addresses.chain([std::ptr::null()]).collect()
}

/// The streams, /dev/null for those that are none, by numbers that are no standard stream's.
fn above_standard(streams: [Option<OwnedFd>; 3]) -> io::Result<Vec<OwnedFd>> {
    let above = |stream: Option<OwnedFd>| {
        let stream = match stream {
            Some(stream) => stream,
            None => rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?,
        };
        match stream.as_raw_fd() {
            0..=2 => rustix::io::fcntl_dupfd_cloexec(&stream, 3),
            _ => Ok(stream),
        }
    };
    let streams: Result<Vec<_>, _> = streams.into_iter().map(above).collect();
    Ok(streams?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    /// What a shell prints that is spawned as `change` says, once it has ended well.
    fn said_by(script: &str, change: impl FnOnce(&mut Program)) -> String {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut program = Program::new("sh");
        program.args(["-c", script]).stdout(write);
        change(&mut program);
        let spawned = program.spawn().unwrap();
        let mut said = String::new();
        File::from(read).read_to_string(&mut said).unwrap();
        let ended = waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
        assert_eq!(ended.unwrap().unwrap().exit_status(), Some(0));
        said
    }

    #[test]
    fn it_has_our_environment_and_its_own_number_in_it() {
        let script = "echo $PATH; echo $LISTEN_PID $$";
        let said = said_by(script, |program| {
            program.with_own_listen_pid();
        });
        let (path, pids) = said.trim().split_once('\n').unwrap();
        assert_eq!(path, std::env::var("PATH").unwrap());
        let (told, own) = pids.split_once(' ').unwrap();
        assert_eq!(told, own);
    }

    #[test]
    fn streams_that_it_is_not_given_are_no_streams_of_ours() {
        let said = said_by("readlink /proc/$$/fd/0 /proc/$$/fd/2", |_| {});
        assert_eq!(said, "/dev/null\n/dev/null\n");
    }

    #[test]
    fn what_is_not_there_is_an_error_and_leaves_no_child() {
        let error = Program::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let error = Program::new("/etc/passwd").spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    }

    #[test]
    fn a_script_without_an_interpreter_is_the_shells() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        // Written by another process: no child of another thread of ours has it open for writing then.
        let write = r#"echo "exit 7" >"$0"; chmod +x "$0""#;
        said_by(write, |program| {
            program.arg(&script);
        });
        let spawned = Program::new(&script).spawn().unwrap();
        let ended = waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
        assert_eq!(ended.unwrap().unwrap().exit_status(), Some(7));
    }
}
