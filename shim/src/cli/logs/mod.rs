//! `logs`: what a container wrote, read back from its log.

mod files;
mod record;
mod tail;

use std::collections::VecDeque;
use std::io::{self, BufWriter, Stderr, Stdout, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use self::files::{LogFile, open_after, open_all};
use self::record::Record;
use self::tail::open_tail;
use crate::record::Record as Container;
use crate::supervise::Source;

/// How long it is waited for a file that takes the place of the one that was rotated.
const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Print what a container has written: its standard output to ours, its standard error to ours
///
/// Byte by byte as it was written, unless --timestamps is given; with the files that the log was
/// rotated to, compressed or not.
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on until the container has ended
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// Put the time in front of each line
    #[arg(short, long)]
    timestamps: bool,
    /// The container's id
    id: String,
}

impl Logs {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let container = Container::open(root, &self.id)?;
        let path = container.state()?.log.with_context(|| {
            format!(
                "container {0} was run without --log (what went to the journal: \
                 journalctl CONTAINER_ID_FULL={0})",
                self.id
            )
        })?;
        let files = match self.tail {
            Some(lines) => open_tail(&path, lines)?,
            None => open_all(&path)?,
        };
        let supervisor = if self.follow {
            container.supervisor()?
        } else {
            None
        };
        let mut printer = Printer::new(self.timestamps);
        let outcome = print(&path, files, supervisor, &mut printer);
        match outcome
            .as_ref()
            .map_err(|error| error.downcast_ref::<io::Error>())
        {
            Err(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            _ => outcome.map(|()| 0),
        }
    }
}

/// Prints what is in `files`, and what follows in them and after them for as long as there is a
/// `supervisor`.
fn print(
    path: &Path,
    files: Vec<LogFile>,
    mut supervisor: Option<OwnedFd>,
    printer: &mut Printer,
) -> Result<()> {
    let mut files = VecDeque::from(files);
    while let Some(mut file) = files.pop_front() {
        print_rest(&mut file, printer)?;
        if !files.is_empty() {
            continue;
        }
        if supervisor.is_none() {
            return Ok(());
        }
        // The newest: it grows, until it is rotated and there is one after it.
        let changes = Changes::watch(&file)?;
        while let Some(alive) = supervisor.take() {
            // Looked at after the watch has begun, or a change in between would go unnoticed.
            let was_rotated = !file.is_at(path);
            print_rest(&mut file, printer)?;
            if was_rotated && path.exists() {
                files = open_after(path, &file)?.into();
                supervisor = Some(alive);
                break;
            }
            // Between its going and the next one's coming there is a moment.
            let patience = was_rotated.then_some(MOMENT);
            if changes.wait(&alive, patience)? {
                supervisor = Some(alive);
            } else {
                // What was written last.
                print_rest(&mut file, printer)?;
                if !file.is_at(path) {
                    files = open_after(path, &file)?.into();
                }
            }
        }
    }
    Ok(())
}

fn print_rest(file: &mut LogFile, printer: &mut Printer) -> Result<()> {
    loop {
        // A record that is still being written stays until its newline is there.
        let mut record = std::mem::take(&mut printer.incomplete);
        file.read_record(&mut record)?;
        if record.last() != Some(&b'\n') {
            printer.incomplete = record;
            return printer.flush();
        }
        printer.print(&record)?;
    }
}

/// Tells when a file has grown, or has another name (inotify(7)).
struct Changes(OwnedFd);

impl Changes {
    fn watch(file: &LogFile) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("inotify_init1")?;
        if let Some(file) = file.growing() {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let changes = inotify::WatchFlags::MODIFY
                | inotify::WatchFlags::MOVE_SELF
                // Of its links: it was replaced by another.
                | inotify::WatchFlags::ATTRIB;
            inotify::add_watch(&inotify, &path, changes)
                .with_context(|| format!("inotify_add_watch({path})"))?;
        }
        Ok(Changes(inotify))
    }

    /// Waits for a change; false if the supervisor is gone, so that there won't be any.
    fn wait(&self, supervisor: &OwnedFd, patience: Option<Timespec>) -> Result<bool> {
        let mut fds = [
            PollFd::new(&self.0, PollFlags::IN),
            PollFd::new(supervisor, PollFlags::IN),
        ];
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        let mut events = [0; 4096];
        // Only that something has changed matters.
        while rustix::io::read(&self.0, &mut events).is_ok_and(|length| length > 0) {}
        Ok(fds[1].revents().is_empty())
    }
}

/// Joins records to lines again, each on the stream that it came from.
struct Printer {
    timestamps: bool,
    stdout: BufWriter<Stdout>,
    stderr: BufWriter<Stderr>,
    /// Whether the last record of stdout, of stderr, left its line unfinished.
    unfinished: [bool; 2],
    /// What there is of a record that isn't complete yet.
    incomplete: Vec<u8>,
}

impl Printer {
    fn new(timestamps: bool) -> Self {
        Printer {
            timestamps,
            stdout: BufWriter::with_capacity(64 * 1024, io::stdout()),
            stderr: BufWriter::with_capacity(64 * 1024, io::stderr()),
            unfinished: [false; 2],
            incomplete: Vec::new(),
        }
    }

    fn print(&mut self, record: &[u8]) -> Result<()> {
        // A write that was cut short (the machine stopped, the disk was full) ends no log for good.
        let entry = match Record::parse(record) {
            Ok(entry) => entry,
            Err(error) => {
                self.flush()?;
                eprintln!("windlass-shim: warning: left out: {error:#}");
                return Ok(());
            }
        };
        let unfinished = &mut self.unfinished[entry.source as usize];
        let with_time = self.timestamps && !*unfinished;
        *unfinished = !entry.full;
        // What is on its way to the other stream goes first, to keep the order for a terminal.
        let out: &mut dyn Write = match entry.source {
            Source::Stdout => {
                self.stderr.flush()?;
                &mut self.stdout
            }
            Source::Stderr => {
                self.stdout.flush()?;
                &mut self.stderr
            }
        };
        if with_time {
            out.write_all(&entry.time)?;
            out.write_all(b" ")?;
        }
        out.write_all(&entry.text)?;
        if entry.full {
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.stdout.flush()?;
        self.stderr.flush()?;
        Ok(())
    }
}
