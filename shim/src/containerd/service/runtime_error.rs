//! Why the runtime refused, in its own words: containerd's callers look for them in the error
//! (Docker tells 126 and 127 apart by `permission denied` and `executable file not found`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::containerd::runtime_choice::log_file;
use crate::containerd::ttrpc::{Code, Failure};
use crate::supervise::Refusal;

/// How much of the log is looked at, in bytes.
const LIMIT: u64 = 1 << 20;

/// The place in the runtime's log that a call begins to write at.
#[derive(Debug, Clone)]
pub(super) struct LogMark {
    path: PathBuf,
    offset: u64,
}

impl LogMark {
    /// Where the log of the container in `bundle` ends now.
    pub(super) fn now(bundle: &Path) -> Self {
        let path = log_file(bundle);
        let offset = path.metadata().map_or(0, |log| log.len());
        LogMark { path, offset }
    }

    /// The last error that was written since.
    fn error(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Record {
            level: String,
            msg: String,
        }
        let mut log = File::open(&self.path).ok()?;
        log.seek(SeekFrom::Start(self.offset)).ok()?;
        let mut text = Vec::new();
        log.take(LIMIT).read_to_end(&mut text).ok()?;
        text.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Record>(line).ok())
            .rfind(|record| record.level == "error")
            .map(|record| record.msg.trim().to_owned())
    }

    /// The failure of a call that failed, `otherwise` if the runtime's log doesn't say why.
    pub(super) fn failure(&self, what: &str, otherwise: &str) -> Failure {
        let why = self.error();
        let why = why.as_deref().filter(|why| !why.is_empty());
        let message = format!("{what}: {}", why.unwrap_or(otherwise));
        Failure::new(Code::Unknown, message)
    }

    /// The failure of a birth.
    pub(super) fn refusal(&self, what: &str, refusal: &Refusal) -> Failure {
        if refusal.by_runtime {
            return self.failure(what, &refusal.message);
        }
        Failure::new(Code::Unknown, format!("{what}: {}", refusal.message))
    }

    /// The failure of a signal that could not be sent: that there is nobody left is to be told apart.
    pub(super) fn kill_failure(&self, otherwise: &str) -> Failure {
        let why = self.error().unwrap_or_else(|| otherwise.to_owned());
        let lower = why.to_lowercase();
        let gone = [
            "process already finished",
            "container not running",
            "no such process",
        ];
        if gone.iter().any(|text| lower.contains(text)) {
            return Failure::new(Code::NotFound, "process already finished");
        }
        if lower.contains("does not exist") {
            return Failure::new(Code::NotFound, "no such container");
        }
        Failure::new(Code::Unknown, format!("unknown error after kill: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_since_is_the_runtimes_word() {
        let bundle = tempfile::tempdir().unwrap();
        let path = log_file(bundle.path());
        let old = r#"{"level":"error","msg":"old","time":"x"}"#;
        std::fs::write(&path, format!("{old}\n")).unwrap();
        let mark = LogMark::now(bundle.path());
        assert_eq!(
            mark.failure("it", "nobody knows").message,
            "it: nobody knows"
        );
        let warning = r#"{"level":"warning","msg":"beware","time":"x"}"#;
        let new = r#"{"level":"error","msg":"new\n","time":"x"}"#;
        std::fs::write(&path, format!("{old}\nnonsense\n{new}\n{warning}\n")).unwrap();
        assert_eq!(mark.failure("it", "nobody knows").message, "it: new");
        let running = r#"{"level":"error","msg":"container not running","time":"x"}"#;
        std::fs::write(&path, format!("{old}\n{running}\n")).unwrap();
        assert_eq!(mark.kill_failure("").code, Code::NotFound);
    }
}
