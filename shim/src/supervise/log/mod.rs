//! Where a container's output is kept: a file of one of two forms ([`k8s_file`], [`json_file`]), the
//! system's [`journal`], or several of these at once.
//!
//! Nothing is dropped while a log can't be written: it is [stuck](Log::stuck) then, the caller reads
//! no more of the container's output, and the container waits in its own `write`. The same holds
//! back a container that writes more than its [`Rate`] allows, unless it was asked for that the
//! excess is dropped; then the log says how much that was.

mod compression;
mod file;
mod journal;
mod json_file;
mod k8s_file;
mod lines;
mod rate;
mod rotation;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::compression::made_from;
use self::file::LogFile;
use self::journal::Journal;
pub use self::journal::{JournalOptions, SOCKET};
use self::json_file::JsonFile;
use self::rate::Limiter;
pub use self::rate::{Excess, Rate, Unit};
pub use self::rotation::{AtLimit, SizeLimit, numbered};
use super::Source;

/// What is asked of a log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Everything goes into each of these.
    pub outlets: Vec<OutletOptions>,
    /// How much the container may write.
    pub rate: Option<Rate>,
}

impl LogOptions {
    /// The file that can be read back, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.outlets.iter().find_map(|outlet| match outlet {
            OutletOptions::File(file) => Some(file.path.as_path()),
            OutletOptions::Journal(_) => None,
        })
    }
}

/// One place that output goes to.
#[derive(Debug, Clone)]
pub enum OutletOptions {
    /// A file.
    File(FileOptions),
    /// The system's journal.
    Journal(JournalOptions),
}

/// What is asked of a log file.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Where it is. Must be absolute if the process changes its directory later.
    pub path: PathBuf,
    /// What a record looks like.
    pub form: Form,
    /// The permissions of a file that isn't there yet.
    pub mode: u32,
    /// How large it may become, and what happens then.
    pub limit: Option<SizeLimit>,
    /// How much may be written in all, in bytes, whatever was rotated away; what comes then is
    /// dropped and counted (conmon's `--log-global-size-max`).
    pub total: Option<u64>,
}

impl FileOptions {
    /// A file in the k8s-file form at `path`, readable by its owner only, that grows for ever.
    pub fn new(path: PathBuf) -> Self {
        FileOptions {
            path,
            form: Form::K8sFile,
            mode: 0o600,
            limit: None,
            total: None,
        }
    }
}

/// What a record in a log file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `TIME STREAM F|P LINE`, which keeps every byte.
    K8sFile,
    /// Docker's JSON object a line, which can only keep text.
    JsonFile,
}

/// How a log is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// How often a file has been rotated, or started over, since the container was started.
    pub rotations: u64,
    /// How many bytes of output were dropped, because that was asked for.
    pub dropped_bytes: u64,
    /// Whether the container has written faster than its rate, so that it is held back now, or its
    /// lines are dropped.
    pub over_rate: bool,
    /// Why the log can't be written just now, or what else is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    outlets: Vec<Outlet>,
    limiter: Option<Limiter>,
}

#[derive(Debug)]
enum Outlet {
    K8sFile(LogFile),
    JsonFile(JsonFile),
    Journal(Journal),
}

impl Outlet {
    fn open(options: &OutletOptions) -> Result<Self> {
        Ok(match options {
            OutletOptions::File(options) => {
                let file = LogFile::open(options)?;
                match options.form {
                    Form::K8sFile => Outlet::K8sFile(file),
                    Form::JsonFile => Outlet::JsonFile(JsonFile::new(file)),
                }
            }
            OutletOptions::Journal(options) => Outlet::Journal(Journal::open(options)?),
        })
    }

    fn file(&self) -> Option<&LogFile> {
        match self {
            Outlet::K8sFile(file) | Outlet::JsonFile(JsonFile { file, .. }) => Some(file),
            Outlet::Journal(_) => None,
        }
    }

    fn file_mut(&mut self) -> Option<&mut LogFile> {
        match self {
            Outlet::K8sFile(file) | Outlet::JsonFile(JsonFile { file, .. }) => Some(file),
            Outlet::Journal(_) => None,
        }
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        match self {
            Outlet::K8sFile(file) => k8s_file::write(file, source, bytes),
            Outlet::JsonFile(json) => json.write(source, bytes),
            Outlet::Journal(journal) => journal.write(source, bytes),
        }
    }

    fn end(&mut self, source: Source) {
        match self {
            Outlet::K8sFile(_) => {}
            Outlet::JsonFile(json) => json.end(source),
            Outlet::Journal(journal) => journal.end(source),
        }
    }
}

impl Log {
    /// Opens all that `options` name; a file that isn't there is created.
    pub fn open(options: &LogOptions) -> Result<Self> {
        let outlets = options.outlets.iter().map(Outlet::open);
        Ok(Log {
            outlets: outlets.collect::<Result<_>>()?,
            limiter: options.rate.map(Limiter::new),
        })
    }

    fn files(&self) -> impl Iterator<Item = &LogFile> {
        self.outlets.iter().filter_map(Outlet::file)
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut LogFile> {
        self.outlets.iter_mut().filter_map(Outlet::file_mut)
    }

    /// The files that [`Log::open`] has created.
    pub fn created(&self) -> impl Iterator<Item = &Path> {
        self.files().filter_map(LogFile::created)
    }

    /// Writes the complete lines of `bytes`, and of what follows them every full [`MAX_RECORD`];
    /// returns how many bytes at the end are left for the caller, who gives them again in front of
    /// what it reads next, or to [`Log::pause`].
    pub fn write_lines(&mut self, source: Source, bytes: &[u8]) -> usize {
        let left = lines::unfinished(bytes);
        self.take(source, &bytes[..bytes.len() - left]);
        left
    }

    /// The reading pauses with `unfinished`, the beginning of a line. A k8s-file has a record for
    /// that, so that whoever follows the log sees a prompt; the others keep it until the line goes
    /// on.
    pub fn pause(&mut self, source: Source, unfinished: &[u8]) {
        if !unfinished.is_empty() {
            self.take(source, unfinished);
        }
    }

    fn take(&mut self, source: Source, bytes: &[u8]) {
        match &mut self.limiter {
            None => put(&mut self.outlets, source, bytes),
            Some(limiter) => {
                let outlets = &mut self.outlets;
                limiter.admit(source, bytes, |admitted| put(outlets, source, admitted));
            }
        }
        self.files_mut().for_each(LogFile::flush);
    }

    /// The stream has ended: nothing is kept of it any more.
    pub fn end(&mut self, source: Source) {
        if let Some(limiter) = &mut self.limiter {
            let outlets = &mut self.outlets;
            limiter.end(source, |notice| put(outlets, source, notice));
        }
        self.outlets
            .iter_mut()
            .for_each(|outlet| outlet.end(source));
        self.files_mut().for_each(LogFile::flush);
    }

    /// The container has ended: what it has left in its pipes is little and isn't held back.
    pub fn lift_rate(&mut self) {
        if let Some(limiter) = &mut self.limiter {
            limiter.lift(true);
        }
    }

    /// Another container writes: what was said of the rate holds again.
    pub fn apply_rate(&mut self) {
        if let Some(limiter) = &mut self.limiter {
            limiter.lift(false);
        }
    }

    /// Whether the caller must not read more output now: records wait because they can't be
    /// written, or the container has written too fast.
    pub fn stuck(&self) -> bool {
        let waits = |outlet: &Outlet| match outlet {
            Outlet::Journal(journal) => journal.stuck(),
            file => file.file().is_some_and(LogFile::stuck),
        };
        self.outlets.iter().any(waits) || self.held_until().is_some()
    }

    fn held_until(&self) -> Option<Instant> {
        self.limiter.as_ref().and_then(Limiter::held_until)
    }

    /// When [`Log::retry`] is due, if there is anything to do that isn't output.
    pub fn retry_at(&self) -> Option<Instant> {
        let due = |outlet: &Outlet| match outlet {
            Outlet::Journal(journal) => journal.retry_at(),
            file => file.file().and_then(LogFile::retry_at),
        };
        let outlets = self.outlets.iter().filter_map(due);
        outlets.chain(self.held_until()).min()
    }

    /// Tries to write what waits, and looks after a compression that is under way.
    pub fn retry(&mut self) {
        for outlet in &mut self.outlets {
            match outlet {
                Outlet::Journal(journal) => journal.retry(),
                Outlet::K8sFile(file) | Outlet::JsonFile(JsonFile { file, .. }) => file.retry(),
            }
        }
    }

    /// What keeps the log from being written, in words.
    pub fn failure(&self) -> Option<String> {
        self.outlets.iter().find_map(|outlet| match outlet {
            Outlet::Journal(journal) => journal.failure(),
            file => file.file().and_then(LogFile::failure),
        })
    }

    /// How the log is doing.
    pub fn status(&self) -> LogStatus {
        let mut status = LogStatus {
            over_rate: self.limiter.as_ref().is_some_and(Limiter::is_ahead),
            dropped_bytes: self.limiter.as_ref().map_or(0, Limiter::dropped),
            trouble: self.failure(),
            ..LogStatus::default()
        };
        for file in self.files() {
            status.rotations += file.rotations();
            status.dropped_bytes += file.dropped();
            status.trouble = status.trouble.or_else(|| file.trouble());
        }
        status
    }

    /// Opens files anew by their names, because someone has renamed them (logrotate, the kubelet).
    pub fn reopen(&mut self) -> Result<()> {
        self.files_mut().try_for_each(LogFile::reopen)
    }

    /// Rotates files now, as if they had reached their limit; one without a limit is opened anew.
    pub fn rotate(&mut self) -> Result<()> {
        self.files_mut().try_for_each(LogFile::rotate_now)
    }

    /// Has the kernel write files to their disk, and waits for it (`fdatasync(2)`).
    pub fn sync(&self) -> Result<()> {
        self.files().try_for_each(LogFile::sync)
    }

    /// Gives up buffers until there is output again.
    pub fn release(&mut self) {
        self.files_mut().for_each(LogFile::release);
    }
}

fn put(outlets: &mut [Outlet], source: Source, bytes: &[u8]) {
    for outlet in outlets {
        outlet.write(source, bytes);
    }
}

/// The present time as RFC 3339 with nanoseconds, in UTC.
fn now() -> String {
    format!("{:.9}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(path: &Path) -> FileOptions {
        FileOptions::new(path.to_owned())
    }

    fn open(file: FileOptions) -> Result<Log> {
        Log::open(&LogOptions {
            outlets: vec![OutletOptions::File(file)],
            rate: None,
        })
    }

    /// Writes each chunk as one turn of reading.
    fn write(log: &mut Log, chunks: &[&[u8]]) {
        for chunk in chunks {
            let left = log.write_lines(Source::Stdout, chunk);
            log.pause(Source::Stdout, &chunk[chunk.len() - left..]);
        }
    }

    /// The records of a k8s-file, without their times.
    fn records(text: &str) -> Vec<&str> {
        let record = |line| str::split_once(line, ' ').unwrap().1;
        text.lines().map(record).collect()
    }

    #[test]
    fn a_k8s_file_has_a_record_for_each_line_and_each_piece_of_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = open(file(&path)).unwrap();
        assert_eq!(log.created().collect::<Vec<_>>(), [path.as_path()]);
        write(&mut log, &[b"one\n\ntwo\n", b"on", b"e\n"]);
        let text = fs::read_to_string(&path).unwrap();
        let expected = [
            "stdout F one",
            "stdout F ",
            "stdout F two",
            "stdout P on",
            "stdout F e",
        ];
        assert_eq!(records(&text), expected);
        let time = text.split_once(' ').unwrap().0;
        assert_eq!(time.len(), "2026-11-22T10:08:14.123456789Z".len(), "{time}");
        assert_eq!(open(file(&path)).unwrap().created().count(), 0);
    }

    #[test]
    fn a_json_file_has_a_record_for_each_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let form = Form::JsonFile;
        let mut log = open(FileOptions {
            form,
            ..file(&path)
        })
        .unwrap();
        write(&mut log, &[b"a \"quoted\" li", b"ne\nrest"]);
        log.end(Source::Stdout);
        let text = fs::read_to_string(&path).unwrap();
        let values = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let values: Vec<serde_json::Value> = values.collect();
        let logged: Vec<_> = values
            .iter()
            .map(|value| value["log"].as_str().unwrap())
            .collect();
        assert_eq!(logged, ["a \"quoted\" line\n", "rest"]);
        assert_eq!(values[0]["stream"], "stdout");
        assert!(
            values[0]["time"]
                .as_str()
                .unwrap()
                .parse::<Timestamp>()
                .is_ok()
        );
    }

    #[test]
    fn a_pipe_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        // Held open for reading, or the opening itself would fail.
        let _reader = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let error = open(file(&path)).unwrap_err().to_string();
        assert!(
            error.contains("neither a regular file nor a device"),
            "{error}"
        );
    }

    #[test]
    fn a_full_disk_holds_the_records_back() {
        let mut log = open(file(Path::new("/dev/full"))).unwrap();
        assert_eq!(log.created().count(), 0);
        assert_eq!(log.write_lines(Source::Stderr, b"kept\n"), 0);
        assert!(log.stuck());
        let failure = log.failure().unwrap();
        assert!(failure.contains("/dev/full: No space left"), "{failure}");
        assert!(log.retry_at().is_some());
    }

    fn limited(path: &Path, size: u64, then: AtLimit) -> FileOptions {
        let limit = Some(SizeLimit { size, then });
        FileOptions {
            limit,
            ..file(path)
        }
    }

    #[test]
    fn a_full_file_is_rotated_between_records_and_the_oldest_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rotate = AtLimit::Rotate {
            files: 2,
            compress: false,
        };
        // Three records of 46 bytes fit.
        let mut log = open(limited(&path, 150, rotate)).unwrap();
        let lines: Vec<String> = (0..20).map(|number| format!("line{number:02}\n")).collect();
        write(
            &mut log,
            &[
                lines[..10].concat().as_bytes(),
                lines[10..].concat().as_bytes(),
            ],
        );
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        let [newest, middle, oldest] = ["log", "log.1", "log.2"].map(read);
        for text in [&newest, &middle, &oldest] {
            assert!(text.len() <= 150, "{text}");
        }
        let all = oldest + &middle + &newest;
        let kept: Vec<String> = records(&all)
            .iter()
            .map(|record| record.replace("stdout F ", "") + "\n")
            .collect();
        assert!(kept.len() >= 7, "{all}");
        assert_eq!(kept, lines[20 - kept.len()..]);
        assert!(!directory.path().join("log.3").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        assert!(log.status().rotations >= 4);
    }

    #[test]
    fn a_rotation_leaves_files_of_others_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let others = ["log.new", "log.gz", "log.gz.unfinished", "log.old"];
        for name in others {
            fs::write(directory.path().join(name), name).unwrap();
        }
        // Left by a supervisor that was killed.
        let left = directory.path().join("log.windlass-new");
        fs::write(&left, "").unwrap();
        let rotate = AtLimit::Rotate {
            files: 1,
            compress: true,
        };
        let mut log = open(limited(&path, 1 << 20, rotate)).unwrap();
        write(&mut log, &[b"line\n"]);
        log.rotate().unwrap();
        assert!(!left.exists());
        while log.retry_at().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            log.retry();
        }
        assert!(directory.path().join("log.1.gz").exists());
        for name in others {
            let kept = fs::read_to_string(directory.path().join(name));
            assert_eq!(kept.unwrap(), name);
        }
        // Not one of ours, since ours are empty: no place for the new file.
        fs::write(&left, "kept").unwrap();
        let error = log.rotate().unwrap_err().to_string();
        assert!(error.contains("File exists"), "{error}");
        assert_eq!(fs::read_to_string(&left).unwrap(), "kept");
        write(&mut log, &[b"still written\n"]);
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with("still written\n")
        );
    }

    #[test]
    fn a_file_that_is_begun_anew_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = open(limited(&path, 100, AtLimit::StartOver)).unwrap();
        write(&mut log, &[b"1\n2\n3\n4\n5\n"]);
        assert_eq!(records(&fs::read_to_string(&path).unwrap()), ["stdout F 5"]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_rotated_is_written_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rotate = AtLimit::Rotate {
            files: 1,
            compress: false,
        };
        // In the way, and not to be removed by remove_file.
        fs::create_dir(directory.path().join("log.1")).unwrap();
        let mut log = open(limited(&path, 50, rotate)).unwrap();
        write(&mut log, &[b"1\n2\n3\n"]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(records(&text), ["stdout F 1", "stdout F 2", "stdout F 3"]);
        assert!(!log.stuck());
        assert!(
            log.status()
                .trouble
                .unwrap()
                .starts_with("rotating the log")
        );
    }

    #[test]
    fn a_file_that_someone_has_renamed_is_left_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = open(file(&path)).unwrap();
        write(&mut log, &[b"old\n"]);
        fs::rename(&path, directory.path().join("old")).unwrap();
        log.reopen().unwrap();
        write(&mut log, &[b"new\n"]);
        assert_eq!(
            records(&fs::read_to_string(&path).unwrap()),
            ["stdout F new"]
        );
        let old = fs::read_to_string(directory.path().join("old")).unwrap();
        assert_eq!(records(&old), ["stdout F old"]);
    }

    #[test]
    fn rotated_files_are_compressed_by_someone_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rotate = AtLimit::Rotate {
            files: 3,
            compress: true,
        };
        let mut log = open(limited(&path, 1 << 20, rotate)).unwrap();
        let line = "x".repeat(1000) + "\n";
        for _ in 0..3 {
            write(&mut log, &[line.repeat(60).as_bytes()]);
            log.rotate().unwrap();
        }
        let deadline = Instant::now() + std::time::Duration::from_secs(10);
        while let Some(due) = log.retry_at() {
            assert!(Instant::now() < deadline, "the compression does not end");
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            log.retry();
        }
        assert_eq!(log.status().trouble, None);
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1.gz", "log.2.gz", "log.3.gz"]);
        for name in &names[1..] {
            let file = fs::File::open(directory.path().join(name)).unwrap();
            let mut text = String::new();
            let mut gzip = flate2::read::GzDecoder::new(file);
            std::io::Read::read_to_string(&mut gzip, &mut text).unwrap();
            assert_eq!(records(&text).len(), 60);
        }
    }

    #[test]
    fn what_is_above_the_total_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let total = Some(50);
        let mut log = open(FileOptions {
            total,
            ..file(&path)
        })
        .unwrap();
        write(&mut log, &[b"first\nsecond\nthird\n"]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(records(&text), ["stdout F first", "stdout F second"]);
        assert_eq!(log.status().dropped_bytes, "third\n".len() as u64);
    }
}
