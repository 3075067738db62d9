//! `windlass checkpoint`

use std::os::fd::OwnedFd;
use std::path::Path;

use super::ExitCode;
use super::criu_options::{self as options, settings, warn_without_root};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::checkpoint::{Request, checkpoint};
use crate::container::delete::delete;
use crate::error::{CallContext, Error, Result};
use crate::report::Listener;

pub(super) static VERB: Verb = Verb {
    name: "checkpoint",
    summary: "write a running container's processes into images, by CRIU",
    description: "\
The container is deleted then, unless it is left running: \"restore\" brings it
back. criu is looked for in $PATH.",
    positionals: Positionals::CONTAINER,
    flags: &[
        &options::IMAGE_PATH,
        &options::WORK_PATH,
        &PARENT_PATH,
        &LEAVE_RUNNING,
        &options::TCP_ESTABLISHED,
        &TCP_SKIP_IN_FLIGHT,
        &LINK_REMAP,
        &options::EXT_UNIX_SK,
        &options::SHELL_JOB,
        &options::LAZY_PAGES,
        &STATUS_FD,
        &PAGE_SERVER,
        &options::FILE_LOCKS,
        &PRE_DUMP,
        &options::MANAGE_CGROUPS_MODE,
        &options::EMPTY_NS,
        &options::AUTO_DEDUP,
    ],
    enters_container: false,
    failure_status: 1,
    run,
};

static PARENT_PATH: Flag = Flag::text(
    "parent-path",
    "dir",
    "the images of the dump before, relative to these",
);
static LEAVE_RUNNING: Flag = Flag::switch("leave-running", "leave the container running");
static TCP_SKIP_IN_FLIGHT: Flag = Flag::switch(
    "tcp-skip-in-flight",
    "leave out TCP connections that are being made",
);
static LINK_REMAP: Flag = Flag::switch(
    "link-remap",
    "give open files without a name one for the time being",
);
static STATUS_FD: Flag = Flag::number(
    "status-fd",
    "fd",
    "gets a zero byte once --lazy-pages can be asked for",
)
.by_default("-1");
static PAGE_SERVER: Flag = Flag::text(
    "page-server",
    "address:port",
    "where a page server takes the memory",
);
static PRE_DUMP: Flag = Flag::switch(
    "pre-dump",
    "dump the memory only, and leave the container running",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let settings = settings(arguments)?;
    let container = global.container(arguments.id()?)?;
    let request = Request {
        settings,
        parent: parent(settings.images, arguments.text(&PARENT_PATH))?,
        leave_running: arguments.switch(&LEAVE_RUNNING),
        tcp_skip_in_flight: arguments.switch(&TCP_SKIP_IN_FLIGHT),
        link_remap: arguments.switch(&LINK_REMAP),
        pre_dump: arguments.switch(&PRE_DUMP),
        page_server: arguments.text(&PAGE_SERVER).map(page_server).transpose()?,
        status: status(arguments)?,
    };
    let runs_on = request.leave_running || request.pre_dump;
    warn_without_root(log);
    checkpoint(&container, request)?;
    if !runs_on && let Err(error) = delete(container, false, log) {
        log.warn(&format!("deleting the container: {error}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the images' directory, and checks that the parent's is where CRIU will look for it.
fn parent<'a>(images: &Path, parent: Option<&'a str>) -> Result<Option<&'a str>> {
    std::fs::create_dir_all(images).call(|| format!("mkdir -p {}", images.display()))?;
    let Some(parent) = parent.filter(|parent| !parent.is_empty()) else {
        return Ok(None);
    };
    if parent.starts_with('/') {
        return Err(Error::new("--parent-path must be relative")
            .hint(format!("it is looked for from {}", images.display())));
    }
    let path = images.join(parent);
    let found = std::fs::metadata(&path).call(|| format!("stat {}", path.display()));
    let found = found.map_err(|error| error.context("invalid --parent-path"))?;
    if !found.is_dir() {
        return Err(Error::new(format!(
            "invalid --parent-path: {} is not a directory",
            path.display()
        )));
    }
    Ok(Some(parent))
}

fn page_server(text: &str) -> Result<(&str, u16)> {
    let Some((address, port)) = text
        .rsplit_once(':')
        .filter(|(address, port)| !address.is_empty() && !port.is_empty())
    else {
        return Err(Error::new(
            "Use --page-server ADDRESS:PORT to specify page server",
        ));
    };
    let port = port
        .parse()
        .map_err(|_| Error::new("Invalid port number").hint("--page-server ADDRESS:PORT"))?;
    // An IPv6 address stands in brackets, as in a URL.
    Ok((address.trim_start_matches('[').trim_end_matches(']'), port))
}

fn status(arguments: &Arguments<'_>) -> Result<Option<OwnedFd>> {
    let number = arguments.number(&STATUS_FD).unwrap_or(-1);
    if number == -1 || !arguments.switch(&options::LAZY_PAGES) {
        return Ok(None);
    }
    let invalid = |why: Error| why.context(format!("invalid --status-fd argument {number}"));
    let descriptor = crate::sys::exec::take_descriptor(i32::try_from(number).unwrap_or(-1))
        .call(|| format!("fcntl({number})"))
        .map_err(invalid)?;
    let flags = rustix::fs::fcntl_getfl(&descriptor)
        .call(|| format!("fcntl({number}, F_GETFL)"))
        .map_err(invalid)?;
    if !flags.intersects(rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::RDWR) {
        return Err(invalid(Error::new("not writable")));
    }
    Ok(Some(descriptor))
}
