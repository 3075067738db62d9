//! The few calls that neither the standard library nor rustix offers: fork, signal masks and
//! descriptors, `close_range`, and giving memory back. The only unsafe code of this crate.
#![allow(unsafe_code)]

pub mod argv;
mod spawn;

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

pub use self::spawn::{Program, Spawned};

/// What is to be done first: standard streams that our caller has closed become `/dev/null`, so that
/// nothing else gets their numbers, and a closed pipe is an error (`EPIPE`) instead of a signal. Rust's own
/// start-up would do the same, and more that we have no use for.
pub fn begin() -> io::Result<()> {
    let _ = IGNORED_AT_FIRST.set(ignored_signals());
    // SAFETY: SIG_IGN is no function that could be called.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
    for stream in 0..=2 {
        // SAFETY: F_GETFD only asks whether there is a descriptor of this number.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } < 0 {
            // The lowest number that is free: all below are open.
            let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
            let _ = null.into_raw_fd();
        }
    }
    Ok(())
}

/// The signals that our caller had ignored: a bit for each, that of signal 1 the lowest.
static IGNORED_AT_FIRST: OnceLock<u64> = OnceLock::new();

/// The signals that are ignored now.
fn ignored_signals() -> u64 {
    let is_ignored = |signal: &i32| {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: nothing is changed; the kernel fills `action` in, except where there is no such signal.
        unsafe {
            libc::sigaction(*signal, std::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    };
    let ignored = SIGNALS.filter(is_ignored);
    ignored.fold(0, |set, signal| set | 1 << (signal - 1))
}

/// All that the kernel has.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Which side of [`fork`] a process is on.
#[derive(Debug, Clone, Copy)]
pub enum Forked {
    /// The process that called; it gets its child's id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// `fork(2)`: the child goes on with a copy of everything, so it needs no second exec.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: this program never starts a thread, so no lock (the allocator's, stdio's) can be held
    // by a thread that doesn't exist in the child, and the child may do whatever the parent may.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid).map_or(Forked::Child, Forked::Parent)),
    }
}

/// Ends a child of [`fork`] at once (`_exit(2)`): nothing that it has copied from its parent is
/// dropped, flushed or called.
pub fn leave(status: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor from 3 on (`close_range(2)`, Linux 5.9): whatever our caller left open
/// must reach neither the long-lived supervisor nor the runtime and through it the container.
///
/// Must be called before this process has opened a descriptor of its own, or in a child of [`fork`]
/// that ends with [`leave`] and uses none of them until then.
pub fn close_inherited_descriptors() -> io::Result<()> {
    // SAFETY: at the start of the program nothing in it owns a descriptor above 2, and in a child
    // that leaves no owner ever acts again; so no owner closes a number that has become someone
    // else's.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes every descriptor from 3 on that our caller has left open for us, by its number. None of them
/// is changed, so whatever this program starts gets them, too, until they are closed.
///
/// Must be called before this process has opened a descriptor of its own, and only once.
pub fn adopt_inherited_descriptors() -> io::Result<BTreeMap<i32, OwnedFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers: Vec<i32> = names.filter_map(|name| name.parse().ok()).collect();
    // The directory's own descriptor was among them, and is closed by now.
    // SAFETY: F_GETFD only asks whether there is a descriptor of this number.
    let is_open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    let numbers = numbers.into_iter().filter(|number| *number > 2);
    Ok(numbers
        .filter(is_open)
        // SAFETY: it is open, and at the start of the program nothing in it owns one above 2.
        .map(|number| (number, unsafe { OwnedFd::from_raw_fd(number) }))
        .collect())
}

/// Signals that are read from a descriptor instead of interrupting the program (`signalfd(2)`).
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks `signals` for this process and makes a descriptor that yields them.
    ///
    /// The mask survives `fork` and `exec`: see [`with_clean_settings`].
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = signal_set(signals);
        // SAFETY: `set` is an initialised sigset_t; the old mask is not asked for (null is allowed).
        if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } != 0
        {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else knows of it.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has arrived, without waiting.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for `size` bytes, which is what one record takes.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if usize::try_from(read) != Ok(size) {
            return None;
        }
        // SAFETY: the kernel has filled in the whole record, as its size says.
        i32::try_from(unsafe { info.assume_init() }.ssi_signo).ok()
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Unblocks `signals` again, in the child of a [`fork`] that does not want its parent's mask.
pub fn unblock_signals(signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: `set` is an initialised sigset_t; the old mask is not asked for (null is allowed).
    match unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; sigaddset then only changes bits in it, and
    // refuses (without harm) a number that is no signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// The limit of open descriptors that we were given, once ours is another.
static GIVEN_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of open descriptors to the hard one (`setrlimit(2)`): the shim of a pod has a
/// dozen for each container. What [`with_clean_settings`] applies to gets back what we were given.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let given = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: given.maximum,
        ..given
    };
    setrlimit(Resource::Nofile, raised)?;
    // Only called once; a second call would find the raised limit given.
    let _ = GIVEN_LIMIT.set(given);
    Ok(())
}

/// No signal is blocked, and none ignored but SIGPIPE, which Rust programs get as an error instead:
/// for a child of [`fork`] that is to live as if it were executed.
pub fn clean_signals() {
    reset_signals();
    // SAFETY: SIG_IGN is no function that could be called.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// No signal is blocked, and all do what they do by default: none has a handler of ours, so that is a matter
/// of those that are ignored, by our caller's will or ([`begin`]) ours.
fn reset_signals() {
    let none = signal_set(&[]);
    let ignored = IGNORED_AT_FIRST.get().copied().unwrap_or(u64::MAX) | 1 << (libc::SIGPIPE - 1);
    // SAFETY: sigprocmask and signal are async-signal-safe (signal-safety(7)), which is what the
    // child between fork and exec may call; `none` is initialised. That KILL and STOP can't be
    // changed is no failure.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for signal in SIGNALS.filter(|signal| ignored & 1 << (signal - 1) != 0) {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Takes a variable out of the environment.
pub fn forget_variable(name: &str) {
    // SAFETY: this program never starts a thread, so nobody else reads the environment meanwhile.
    unsafe {
        std::env::remove_var(name);
    }
}

/// What `command` starts gets no signal blocked and none ignored, whatever our mask is (the
/// standard library passes it on) and whatever our caller did: a container started by `nohup` or
/// in the background of a script is to handle signals like any other.
///
/// It also gets the limit of open descriptors that we were given, if we have raised ours.
pub fn with_clean_settings(command: &mut Command) {
    let given = GIVEN_LIMIT.get().copied();
    let reset = move || {
        reset_signals();
        if let Some(given) = given {
            // A mere system call, without memory or locks of the C library's.
            setrlimit(Resource::Nofile, given)?;
        }
        Ok(())
    };
    // SAFETY: `reset` only makes calls that are allowed there and touches no memory but its own.
    unsafe {
        command.pre_exec(reset);
    }
}

/// Starts `command` with `descriptors` as its 3, 4 and 5.
pub fn spawn_with_descriptors(
    mut command: Command,
    descriptors: [&OwnedFd; 3],
) -> io::Result<std::process::Child> {
    // As long as 3 to 5 are taken here, no other descriptor that the child needs before its exec has
    // one of those numbers.
    let mut taken = Vec::new();
    let mut sources = [0; 3];
    for (descriptor, source) in descriptors.iter().zip(&mut sources) {
        loop {
            let copy = rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?;
            *source = copy.as_raw_fd();
            taken.push(copy);
            if *source > 5 {
                break;
            }
        }
    }
    let place = move || {
        for (source, number) in sources.iter().zip(3..) {
            // SAFETY: dup2 is async-signal-safe; the sources are open in the parent until spawn
            // returns, and what had the number in the child is closed at exec anyway.
            if unsafe { libc::dup2(*source, number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: `place` only makes calls that are allowed between fork and exec.
    unsafe {
        command.pre_exec(place);
    }
    let child = command.spawn();
    drop(taken);
    child
}

/// What `command` starts is killed when this process ends (prctl(2), `PR_SET_PDEATHSIG`): what nobody
/// waits for any more must not go on making a container that whoever cleans up doesn't find. It
/// doesn't pass to what that program starts in turn.
pub fn dying_with_us(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: `die_with` only makes calls that are allowed between fork and exec (signal-safety(7)),
    // and allocates nothing.
    unsafe {
        command.pre_exec(move || die_with(parent));
    }
}

/// Has the kernel kill this process when `parent`, which is its own, ends.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: prctl and getppid are system calls that touch no memory.
    let (result, found) = unsafe {
        (
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
            libc::getppid(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent's end may have come before the call: then there is nobody to tell of this, either.
    if u32::try_from(found) == Ok(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// The real-time signals that a program may use, as the C library counts them.
pub fn realtime_signals() -> std::ops::RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Sends `signal` through a pidfd (`pidfd_send_signal(2)`, Linux 5.1), which can't hit another
/// process that was given the same number. rustix's own call knows no real-time signals.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the borrow; a null siginfo makes the kernel
    // fill in what kill(2) would.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A child of ours that has ended and has not been waited for, if there is one (`waitid(2)`). It
/// stays so; rustix's own call doesn't say which child it is.
pub fn ended_child() -> Option<Pid> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` has room for a siginfo_t, which the kernel fills in.
    if unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) } != 0 {
        return None;
    }
    // SAFETY: all zeros are a siginfo_t, and what waitid leaves is one; without a child that has ended
    // it leaves a pid of 0.
    Pid::from_raw(unsafe { info.assume_init().si_pid() })
}

/// Gives memory that the allocator has free back to the kernel: a supervisor idles for months, so
/// what parsing its arguments and a burst of output once needed must not stay resident.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only touches memory that the allocator holds free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives the part of the stack back that lies below what is in use: parsing arguments once took it to
/// a depth that waiting for events never does.
pub fn release_stack() {
    /// How much is kept for the frames of the calls below, in bytes.
    const KEPT: usize = 8 * 1024;
    /// How deep the pages may be that are given back. What the kernel has mapped for the stack, and
    /// the gap that it keeps below (`stack_guard_gap`), is more.
    const DEPTH: usize = 128 * 1024;
    let here = 0u8;
    // SAFETY: sysconf has no preconditions.
    let Ok(page) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else {
        return;
    };
    let end = (&raw const here as usize).saturating_sub(KEPT) / page * page;
    let start = end.saturating_sub(DEPTH);
    // SAFETY: the stack grows down, this is the only thread, and no signal has a handler: nothing that
    // lives is below the frame of this function and of what it calls, for which KEPT is left. Pages
    // that are used again are new ones, which is all that a new frame expects.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
    }
}

/// Drops this program's own code and constants from our resident memory. They stay in the page
/// cache, and what is executed again is mapped again: what remains is what an idle supervisor needs,
/// without the parsing of arguments.
pub fn release_code() {
    unsafe extern "C" {
        /// Where the linker put the program's first byte, and the end of its code.
        static __executable_start: u8;
        static etext: u8;
    }
    // Only the addresses count, as the linker means these symbols to be used.
    let (start, end) = (
        &raw const __executable_start as usize,
        &raw const etext as usize,
    );
    // SAFETY: sysconf has no preconditions.
    let Ok(page) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else {
        return;
    };
    let (start, end) = (start.next_multiple_of(page), end / page * page);
    // SAFETY: the pages between these addresses are mapped from the executable, read-only and never
    // written (what is relocated lies behind `etext`), so the kernel gives the same bytes again.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
    }
}
