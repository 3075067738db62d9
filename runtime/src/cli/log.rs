//! Errors, warnings and debug messages, in the form of runc's (logrus): conmon and containerd
//! read them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::global::Global;
use super::host_log::HostLog;
use crate::error::{CallContext, Error, Result};
use crate::report::Listener;

/// Where messages go.
#[derive(Debug, Default)]
pub(super) struct Log {
    destination: Destination,
    format: LogFormat,
    least: Level,
}

#[derive(Debug, Default)]
enum Destination {
    #[default]
    StandardError,
    File(File),
    Host(HostLog),
}

/// How much a message means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Debug,
    #[default]
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

impl std::str::FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Level::Debug, Level::Warning, Level::Error]
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| {
                Error::new(format!("invalid log-level: {name}")).hint("error, warning or debug")
            })
    }
}

/// How messages look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "text" | "" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(Error::new(format!("invalid log-format: {other}"))),
        }
    }
}

impl Log {
    pub(super) fn open(global: &Global<'_>) -> Result<Self> {
        Ok(Log {
            destination: match global.log {
                Some(target) => Destination::open(target)?,
                None => Destination::StandardError,
            },
            format: global.log_format,
            least: global.log_level,
        })
    }

    /// What ends the program. If it goes elsewhere, the bare message is on standard error as well.
    pub(super) fn error(&self, message: &str) {
        if !self.is_on_standard_error() {
            eprintln!("{message}");
        }
        self.write(Level::Error, message);
    }

    /// The same for a verb's error.
    pub(super) fn failure(&self, error: &Error) {
        match error.programs_line() {
            Some(line) if self.is_on_standard_error() => eprintln!("{line}"),
            _ => self.error(&error.to_string()),
        }
    }

    fn is_on_standard_error(&self) -> bool {
        matches!(self.destination, Destination::StandardError)
    }

    fn write(&self, level: Level, message: &str) {
        if level < self.least {
            return;
        }
        // There is nobody left to tell of a log that can't be written.
        let _ = match &self.destination {
            Destination::StandardError => {
                std::io::stderr().write_all(self.line(level.name(), message).as_bytes())
            }
            Destination::File(file) => {
                let mut file: &File = file;
                file.write_all(self.line(level.name(), message).as_bytes())
            }
            Destination::Host(log) => log.write(level, message),
        };
    }

    fn line(&self, level: &str, message: &str) -> String {
        let now = jiff::Timestamp::now();
        let seconds = jiff::Timestamp::from_second(now.as_second())
            .map_or_else(|_| now.to_string(), |time| time.to_string());
        let quoted = serde_json::Value::from(message).to_string();
        match self.format {
            LogFormat::Text => format!("time=\"{seconds}\" level={level} msg={quoted}\n"),
            LogFormat::Json => {
                format!("{{\"level\":\"{level}\",\"msg\":{quoted},\"time\":\"{seconds}\"}}\n")
            }
        }
    }
}

impl Destination {
    /// A file, or one of the host's logs in crun's words.
    fn open(target: &Path) -> Result<Self> {
        let (kind, rest) = target
            .to_str()
            .and_then(|words| words.split_once(':'))
            .unwrap_or_default();
        let file = match kind {
            "journald" => return HostLog::journal(rest).map(Destination::Host),
            "syslog" => return HostLog::syslog(rest).map(Destination::Host),
            "file" => Path::new(rest),
            _ => target,
        };
        File::options()
            .create(true)
            .append(true)
            .open(file)
            .call(|| format!("open log file {}", file.display()))
            .map(Destination::File)
    }
}

impl Listener for Log {
    fn warn(&self, message: &str) {
        self.write(Level::Warning, message);
    }

    fn wants_debug(&self) -> bool {
        self.least == Level::Debug
    }

    fn debug(&self, message: &str) {
        self.write(Level::Debug, message);
    }
}
