//! What the shim itself has to say goes to the `log` fifo in its bundle, which containerd copies to its
//! own log; in logrus' text form, as the stock shim's.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The shim's log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Which shim speaks.
    runtime: String,
    debug: bool,
}

impl Log {
    /// Takes standard error to the bundle's log, if there is one.
    ///
    /// It is opened for reading, too: so it stays open while containerd is away, and what is said
    /// then waits for it. What doesn't fit the pipe any more is lost.
    pub fn open(bundle: &Path, runtime: String, debug: bool) -> Result<Self> {
        let path = bundle.join("log");
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fifo) => rustix::stdio::dup2_stderr(fifo).context("dup2")?,
            Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("opening {}", path.display()));
            }
        }
        Ok(Log { runtime, debug })
    }

    /// Something went wrong, and the shim goes on.
    pub fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// The shim can't go on.
    pub fn fatal(&self, message: &str) {
        self.write("fatal", message);
    }

    /// What is said only where `-debug` was given.
    pub fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let time = Timestamp::now();
        let line = format!(
            "time=\"{time:.9}\" level={level} msg={message:?} runtime={}\n",
            self.runtime
        );
        // In one piece, which a pipe takes whole or not at all. There is no one else to tell.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
