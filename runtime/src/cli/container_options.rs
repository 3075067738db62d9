//! Options that `create`, `run` and `exec` share.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::net::SocketAddrUnix;

use super::global::Global;
use super::parse::Arguments;
use super::syntax::Flag;
use crate::container::create::Request;
use crate::container::notify;
use crate::error::{CallContext, Error, Result};
use crate::init::ConsoleSocket;
use crate::init::channel::send_descriptor;
use crate::spec::{ConfigText, Spec, read_config, read_opened_config};
use crate::sys::exec::{close_spent, is_inherited, spend};
use crate::trace::Trace;
use crate::unix_socket::connect_stream;

pub(super) static BUNDLE: Flag = Flag::path(
    "bundle",
    "dir",
    "the bundle: the directory with config.json; default: the current one",
)
.or('b');
pub(super) static CONSOLE_SOCKET: Flag = Flag::path(
    "console-socket",
    "path",
    "a unix socket to which the other end of the pseudo-terminal is sent",
);
pub(super) static PIDFD_SOCKET: Flag = Flag::path(
    "pidfd-socket",
    "path",
    "a unix socket to which a pidfd of the process is sent",
);
pub(super) static PID_FILE: Flag =
    Flag::path("pid-file", "file", "write the process id to this file");
pub(super) static NO_PIVOT: Flag = Flag::switch(
    "no-pivot",
    "change the root without pivot_root(2), for a root on a ramdisk",
);
pub(super) static NO_NEW_KEYRING: Flag =
    Flag::switch("no-new-keyring", "keep the caller's session keyring");
pub(super) static PRESERVE_FDS: Flag = Flag::number(
    "preserve-fds",
    "n",
    "pass on n more descriptors, after standard streams and $LISTEN_FDS",
)
.by_default("0");
/// For `create` and `run`.
pub(super) static TRACE: Flag = Flag::path(
    "trace",
    "file",
    "write when each step began and how long it took (Chrome's trace event format), \
     also when one fails",
);

/// The bundle's configuration (bundle.md).
const CONFIG_FILE: &str = "config.json";

/// As many descriptors as can be asked for: `fs.nr_open`'s default.
const MOST_DESCRIPTORS: u32 = 1 << 20;

/// What `create` and `run` were asked.
#[derive(Debug)]
pub(super) struct ContainerOptions<'w> {
    /// The bundle, absolute, without symbolic links in it.
    pub(super) bundle: String,
    /// The container's id.
    pub(super) id: &'w str,
    no_pivot: bool,
    no_new_keyring: bool,
    preserve_fds: u32,
    extra_env: Vec<String>,
    pid_file: Option<&'w Path>,
    notify: Option<PathBuf>,
    trace: Option<Trace>,
}

impl<'w> ContainerOptions<'w> {
    pub(super) fn new(arguments: &Arguments<'w>, bundle: String) -> Result<Self> {
        let (listen_fds, extra_env) = listen_fds()?;
        let preserve_fds = preserve_fds(arguments)? + listen_fds;
        check_open(preserve_fds)?;
        Ok(ContainerOptions {
            bundle,
            id: arguments.id()?,
            no_pivot: arguments.switch(&NO_PIVOT),
            no_new_keyring: arguments.switch(&NO_NEW_KEYRING),
            preserve_fds,
            extra_env,
            pid_file: arguments.path(&PID_FILE),
            notify: notify::hosts_socket(),
            trace: arguments.path(&TRACE).map(Trace::open).transpose()?,
        })
    }

    /// Adds to config.json's words what our caller's environment asks for.
    pub(super) fn add_to(&self, spec: &mut Spec<'_>, global: &Global<'_>) {
        if self.notify.is_some() {
            notify::add_to(spec, &global.store().place(self.id));
        }
    }

    /// The same for those who carry it out.
    ///
    /// # Errors
    /// When what was said about cgroups has no meaning.
    pub(super) fn request(
        &self,
        global: &Global<'_>,
        console_socket: Option<ConsoleSocket>,
        wait_for_start: bool,
    ) -> Result<Request<'_>> {
        Ok(Request {
            id: self.id,
            bundle: &self.bundle,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
            extra_env: &self.extra_env,
            console_socket,
            pid_file: self.pid_file,
            notify: self.notify.as_deref(),
            wait_for_start,
            cgroups: global.cgroups()?,
            trace: self.trace.as_ref(),
        })
    }
}

/// The bundle, absolute, without symbolic links in it, and its config.json.
///
/// # Errors
/// When there is none, or its path is not UTF-8, as a container's state has to be.
pub(super) fn load_bundle(arguments: &Arguments<'_>) -> Result<(String, ConfigText)> {
    let bundle = arguments.path(&BUNDLE).unwrap_or(Path::new("."));
    let loaded = if let Some((path, config, file)) = open_plainly(bundle) {
        (path, read_opened_config(&config, file)?)
    } else {
        let path = resolve(bundle)?;
        let config = read_config(&Path::new(&path).join(CONFIG_FILE))?;
        (path, config)
    };
    close_spent();
    Ok(loaded)
}

/// As engines write it, the path of the bundle is what would be found, and config.json is a file in it:
/// then one call opens it, and says that there is no symbolic link on the way.
fn open_plainly(bundle: &Path) -> Option<(String, PathBuf, OwnedFd)> {
    let path = bundle.to_str().filter(|path| is_plain(path))?;
    let config = bundle.join(CONFIG_FILE);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat2(
        CWD,
        &config,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )
    .ok()?;
    Some((path.to_owned(), config, file))
}

/// The path of a directory without symbolic links in it.
fn resolve(bundle: &Path) -> Result<String> {
    let shown = || format!("bundle {}", bundle.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // What realpath(3) asks of one directory after the other.
    let directory = rustix::fs::open(bundle, flags, Mode::empty()).call(shown)?;
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new()).call(shown)?;
    spend([directory]);
    path.into_string()
        .map_err(|_| Error::new(format!("bundle {} is not UTF-8", bundle.display())))
}

/// Whether a path begins at the root and has no part that could be left out.
fn is_plain(path: &str) -> bool {
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// How many descriptors from 3 on the caller wants passed on.
///
/// # Errors
/// When no process can have as many.
pub(super) fn preserve_fds(arguments: &Arguments<'_>) -> Result<u32> {
    let count = arguments.number(&PRESERVE_FDS).unwrap_or(0);
    u32::try_from(count)
        .ok()
        .filter(|count| *count <= MOST_DESCRIPTORS)
        .ok_or_else(|| {
            Error::new(format!("invalid value {count} for --preserve-fds"))
                .hint("from 0 to 1048576")
        })
}

/// Socket activation (sd_listen_fds(3)): when the descriptors were meant for us they are the
/// container's, where its first process has the pid 1. How many, and what to tell it.
///
/// # Errors
/// When there are too many to be true.
fn listen_fds() -> Result<(u32, Vec<String>)> {
    let meant_for_us =
        std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    let count = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse::<u32>().ok());
    match count {
        Some(count) if meant_for_us && count > MOST_DESCRIPTORS => Err(Error::new(format!(
            "LISTEN_FDS={count} is more than a process can have"
        ))),
        Some(count) if meant_for_us && count > 0 => Ok((
            count,
            vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()],
        )),
        _ => Ok((0, Vec::new())),
    }
}

/// Checks that the descriptors to be passed on are there: the app must get what was promised.
pub(super) fn check_open(count: u32) -> Result<()> {
    for fd in (3..).take(count as usize) {
        if !is_inherited(fd) {
            return Err(
                Error::new(format!("unable to preserve fd {fd}: it is not open"))
                    .hint("--preserve-fds"),
            );
        }
    }
    Ok(())
}

/// The console socket, if there is a terminal to send through it.
pub(super) fn console_socket(
    arguments: &Arguments<'_>,
    terminal: bool,
    detached: bool,
) -> Result<Option<ConsoleSocket>> {
    match arguments.path(&CONSOLE_SOCKET) {
        Some(path) if terminal => Ok(Some(ConsoleSocket {
            socket: connect_to(path)?,
            keep_line_feeds: false,
        })),
        Some(_) => Err(Error::new(
            "cannot use console socket if runc will not detach or allocate tty",
        )
        .hint("process.terminal is false")),
        None if terminal && detached => Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        None => Ok(None),
    }
}

fn connect_to(path: &Path) -> Result<OwnedFd> {
    let shown = || format!("connect({})", path.display());
    let address = SocketAddrUnix::new(path).call(shown)?;
    connect_stream(&address).call(shown)
}

/// Sends a pidfd to whoever listens on the socket.
pub(super) fn send_pidfd(arguments: &Arguments<'_>, pidfd: impl std::os::fd::AsFd) -> Result<()> {
    let Some(path) = arguments.path(&PIDFD_SOCKET) else {
        return Ok(());
    };
    let socket = connect_to(path)?;
    send_descriptor(&socket, "pidfd", pidfd.as_fd())
        .call(|| format!("sendmsg({}, SCM_RIGHTS)", path.display()))
}
