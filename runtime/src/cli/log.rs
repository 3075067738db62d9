//! Errors, warnings and debug messages, in the form of runc's (logrus): conmon and containerd
//! read them.

use std::fs::File;
use std::io::Write;

use super::global::Global;
use crate::error::{CallContext, Error, Result};
use crate::report::Listener;

/// Where messages go.
#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<File>,
    format: LogFormat,
    debug: bool,
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
        let file = match &global.log {
            None => None,
            Some(path) => Some(
                File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .call(|| format!("open log file {}", path.display()))?,
            ),
        };
        Ok(Log {
            file,
            format: global.log_format,
            debug: global.debug,
        })
    }

    /// What ends the program. With a log file, the bare message is on standard error as well.
    pub(super) fn error(&self, message: &str) {
        if self.file.is_some() {
            eprintln!("{message}");
        }
        self.write("error", message);
    }

    /// The same for a verb's error.
    pub(super) fn failure(&self, error: &Error) {
        match error.programs_line() {
            Some(line) if self.file.is_none() => eprintln!("{line}"),
            _ => self.error(&error.to_string()),
        }
    }

    fn write(&self, level: &str, message: &str) {
        let line = self.line(level, message);
        // There is nobody left to tell of a log that can't be written.
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
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

impl Listener for Log {
    fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    fn wants_debug(&self) -> bool {
        self.debug
    }

    fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }
}
