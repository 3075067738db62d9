//! The options that stand in front of the verb, or after it.

use std::path::{Path, PathBuf};

use super::log::{Level, LogFormat};
use super::parse::{Arguments, boolean};
use super::syntax::Flag;
use crate::cgroup::{self, Driver};
use crate::container::{Container, Store};
use crate::error::{Error, Result};
use crate::host::user_namespace;

static DEBUG: Flag = Flag::switch("debug", "write debug messages as well");
static LOG: Flag = Flag::path(
    "log",
    "file",
    "write messages to this file, or with journald:NAME or syslog:NAME to the host's log; errors go \
     to standard error too",
);
static LOG_LEVEL: Flag = Flag::text(
    "log-level",
    "level",
    "the least that is written: error, warning or debug (default: warning, or debug with --debug)",
);
static LOG_FORMAT: Flag =
    Flag::text("log-format", "format", "the form of messages: text or json").by_default("text");
pub(super) static ROOT: Flag = Flag::path(
    "root",
    "dir",
    "where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without \
     root's rights)",
);
static SYSTEMD_CGROUP: Flag = Flag::switch(
    "systemd-cgroup",
    "let systemd make the cgroups; cgroupsPath is then slice:prefix:name",
);
static CGROUP_MANAGER: Flag = Flag::text(
    "cgroup-manager",
    "name",
    "who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or \
     disabled (the container stays in the caller's)",
);
static ROOTLESS: Flag = Flag::text(
    "rootless",
    "bool",
    "ignore cgroup permission errors: true, false or auto",
)
.by_default("auto");

/// The table of them.
pub(super) static FLAGS: &[&Flag] = &[
    &DEBUG,
    &LOG,
    &LOG_FORMAT,
    &LOG_LEVEL,
    &ROOT,
    &SYSTEMD_CGROUP,
    &CGROUP_MANAGER,
    &ROOTLESS,
];

/// What they were set to.
#[derive(Debug)]
pub(super) struct Global<'w> {
    /// `--log-level`, and `--debug`.
    pub(super) log_level: Level,
    /// `--log`
    pub(super) log: Option<&'w Path>,
    /// `--log-format`
    pub(super) log_format: LogFormat,
    /// `--root`, absolute.
    root: Option<PathBuf>,
    systemd_cgroup: bool,
    cgroup_manager: Option<&'w str>,
    rootless: &'w str,
}

impl<'w> Global<'w> {
    /// Takes them out of the command line.
    ///
    /// # Errors
    /// When a value can't be used.
    pub(super) fn new(arguments: &Arguments<'w>) -> Result<Self> {
        Ok(Global {
            log_level: match arguments.text(&LOG_LEVEL) {
                Some(level) => level.parse()?,
                None if arguments.switch(&DEBUG) => Level::Debug,
                None => Level::Warning,
            },
            log: arguments.path(&LOG),
            log_format: arguments.text(&LOG_FORMAT).unwrap_or_default().parse()?,
            root: root(arguments)?,
            systemd_cgroup: arguments.switch(&SYSTEMD_CGROUP),
            cgroup_manager: arguments.text(&CGROUP_MANAGER),
            rootless: arguments.text(&ROOTLESS).unwrap_or_default(),
        })
    }

    /// What can be said of them when there is a log to say it in.
    ///
    /// # Errors
    /// When one can't be honoured.
    pub(super) fn check(&self) -> Result<()> {
        self.cgroups().map(drop)
    }

    /// What was said about cgroups.
    ///
    /// # Errors
    /// For a value that has no meaning.
    pub(super) fn cgroups(&self) -> Result<cgroup::Options> {
        Ok(cgroup::Options {
            driver: self.driver()?,
            rootless: rootless(self.rootless)?,
        })
    }

    /// Who makes cgroups; the name wins over the switch.
    fn driver(&self) -> Result<Driver> {
        match self.cgroup_manager {
            None if self.systemd_cgroup => Ok(Driver::Systemd),
            None => Ok(Driver::Cgroupfs),
            Some(name) => Driver::NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, driver)| *driver)
                .ok_or_else(|| {
                    Error::new(format!("invalid value {name:?} for --cgroup-manager"))
                        .hint("cgroupfs, systemd or disabled")
                }),
        }
    }

    /// Whether the caller said where containers are kept.
    pub(super) fn has_root(&self) -> bool {
        self.root.is_some()
    }

    pub(super) fn store(&self) -> Store {
        Store::new(self.root.clone().unwrap_or_else(default_root))
    }

    pub(super) fn container(&self, id: &str) -> Result<Container> {
        Container::load(self.store().find(id)?)
    }
}

/// `None` is to find out.
fn rootless(value: &str) -> Result<Option<bool>> {
    if value.is_empty() || value.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    boolean(value).map(Some).ok_or_else(|| {
        Error::new(format!("invalid value {value:?} for --rootless")).hint("true, false or auto")
    })
}

fn root(arguments: &Arguments<'_>) -> Result<Option<PathBuf>> {
    if !arguments.has(&ROOT) {
        return Ok(None);
    }
    let given = arguments.path(&ROOT).unwrap_or(Path::new("."));
    let root = std::path::absolute(given)
        .map_err(|error| Error::new(format!("--root {}: {error}", given.display())))?;
    // By however many ways it was written: `..` at the top stays there.
    if root.components().all(|component| {
        use std::path::Component::{CurDir, ParentDir, RootDir};
        matches!(component, RootDir | CurDir | ParentDir)
    }) || arguments.path(&ROOT).is_none()
    {
        return Err(Error::new("Option --root argument should not be set to /"));
    }
    Ok(Some(root))
}

fn default_root() -> PathBuf {
    let runtime_directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    match runtime_directory {
        Some(path) if is_a_users() => PathBuf::from(path).join("windlass"),
        _ => PathBuf::from("/run/windlass"),
    }
}

/// Whether we run for someone who is not root, though perhaps as root of a user namespace, as
/// podman starts us without root's rights; by runc's rules.
fn is_a_users() -> bool {
    !rustix::process::geteuid().is_root()
        || (std::env::var_os("USER").is_none_or(|user| user != "root")
            && user_namespace().is_some())
}
