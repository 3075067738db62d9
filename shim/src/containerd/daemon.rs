//! The shim's process: what `start` leaves behind. It lives as long as there are containers to be
//! served, whatever becomes of containerd.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt;

use super::command_line::CommandLine;
use super::events::Publisher;
use super::log::Log;
use super::runtime_choice::shim_name;
use super::service::{PUBLISHER, Service, Setting};
use super::start::TTRPC_ADDRESS;
use super::task_socket::TaskSocket;
use crate::supervise::{Supervisor, Token};
use crate::sys;

/// Signals that end the shim; its containers are then `delete`'s, as with the stock shim.
const ENDING: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Serves until there is nothing left to be served. `events` is where events go, if not where the
/// environment says.
pub fn serve(program: &str, line: CommandLine, events: Option<String>) -> Result<()> {
    sys::close_inherited_descriptors().context("close_range(3, ~0)")?;
    if line.namespace.is_empty() {
        bail!("-namespace is missing");
    }
    sys::raise_descriptor_limit().context("setrlimit(RLIMIT_NOFILE)")?;
    let listener = listener(&line)?;
    // Fails where a person has started it, by -socket: it leads a process group already.
    let _ = rustix::process::setsid();
    let bundle = std::env::current_dir().context("getcwd")?;
    let runtime = format!("io.containerd.{}.v2", shim_name(program));
    let log = Log::open(&bundle, runtime, line.debug)?;
    let setting = Setting {
        program: program.to_owned(),
        namespace: line.namespace.clone(),
        socket: TaskSocket::of_bundle(&bundle),
        log: log.clone(),
    };
    let outcome = run(setting, listener, &line, events);
    if let Err(error) = &outcome {
        log.fatal(&format!("{error:#}"));
    }
    outcome
}

fn run(
    setting: Setting,
    listener: OwnedFd,
    line: &CommandLine,
    events: Option<String>,
) -> Result<()> {
    let mut core = Supervisor::new(&ENDING)?;
    let events = events
        .or_else(|| std::env::var(TTRPC_ADDRESS).ok())
        .filter(|events| !events.is_empty());
    // Containerd's name for it, if it doesn't say.
    let events = events.unwrap_or_else(|| format!("{}.ttrpc", line.address));
    let publisher = Publisher::new(
        &events,
        line.namespace.clone(),
        Token::of_front(PUBLISHER),
        setting.log.clone(),
    );
    let mut service = Service::new(setting, listener, publisher, &core)?;
    core.run(&mut service)
}

/// The socket to be served: what `start` has given us as standard input, or the one of `-socket`.
/// Afterwards standard input is `/dev/null`.
fn listener(line: &CommandLine) -> Result<OwnedFd> {
    if let Some(path) = &line.socket {
        return UnixListener::bind(path)
            .map(OwnedFd::from)
            .with_context(|| format!("listening on {}", path.display()));
    }
    let stdin = std::io::stdin();
    if !sockopt::socket_acceptconn(&stdin).unwrap_or(false) {
        bail!("containerd starts this program: standard input is no listening socket (see -help)");
    }
    let listener = stdin.as_fd().try_clone_to_owned().context("dup")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("opening /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("dup2")?;
    Ok(listener)
}
