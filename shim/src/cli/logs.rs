//! `logs`: what a container wrote, read back from its log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Stderr, Stdout, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::record::Record;
use crate::supervise::Source;

/// Print what a container has written: its standard output to ours, its standard error to ours
///
/// Byte by byte as it was written, unless --timestamps is given.
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
        let record = Record::open(root, &self.id)?;
        let path = record.state()?.log;
        let path = path.with_context(|| format!("container {} was run without --log", self.id))?;
        let opening = || format!("opening the log {}", path.display());
        let file = File::open(&path).with_context(opening)?;
        ensure!(
            file.metadata().with_context(opening)?.is_file(),
            "the log {} can't be read back: it is no regular file",
            path.display()
        );
        // Watched before the first read, or a write in between would go unnoticed.
        let changes = if self.follow {
            Some(Changes::watch(&record, &path)?)
        } else {
            None
        };
        let mut log = BufReader::with_capacity(64 * 1024, file);
        if let Some(lines) = self.tail {
            let start = start_of_tail(&mut log, lines).with_context(opening)?;
            log.seek(SeekFrom::Start(start)).with_context(opening)?;
        }
        let outcome = print(&mut log, changes, &mut Printer::new(self.timestamps));
        match outcome
            .as_ref()
            .map_err(|error| error.downcast_ref::<io::Error>())
        {
            Err(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            _ => outcome.map(|()| 0),
        }
    }
}

fn print(
    log: &mut BufReader<File>,
    mut changes: Option<Changes>,
    printer: &mut Printer,
) -> Result<()> {
    let mut record = Vec::new();
    loop {
        // A record that is still being written stays in `record` until its newline is there.
        log.read_until(b'\n', &mut record)
            .context("reading the log")?;
        if record.last() == Some(&b'\n') {
            printer.print(&record)?;
            record.clear();
            continue;
        }
        printer.flush()?;
        let more = match &mut changes {
            Some(changes) => changes.wait()?,
            None => false,
        };
        if !more {
            return Ok(());
        }
    }
}

/// Tells when there may be more in a log.
struct Changes {
    inotify: OwnedFd,
    /// Readable when nothing more will come; none once that is so.
    supervisor: Option<OwnedFd>,
}

impl Changes {
    fn watch(record: &Record, path: &Path) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("inotify_init1")?;
        inotify::add_watch(&inotify, path, inotify::WatchFlags::MODIFY)
            .with_context(|| format!("inotify_add_watch({})", path.display()))?;
        Ok(Changes {
            inotify,
            supervisor: record.supervisor()?,
        })
    }

    /// Waits for more; false if there won't be any.
    fn wait(&mut self) -> Result<bool> {
        let Some(supervisor) = &self.supervisor else {
            return Ok(false);
        };
        let mut fds = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(supervisor, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        if !fds[1].revents().is_empty() {
            // What was written last has to be read yet.
            self.supervisor = None;
        }
        let mut events = [0; 4096];
        // Only that something has changed matters.
        while rustix::io::read(&self.inotify, &mut events).is_ok_and(|length| length > 0) {}
        Ok(true)
    }
}

/// One record, taken apart.
struct Entry<'a> {
    time: &'a [u8],
    source: Source,
    /// The line ends with it.
    full: bool,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        let mut fields = record.strip_suffix(b"\n")?.splitn(4, |byte| *byte == b' ');
        let time = fields.next()?;
        let source = match fields.next()? {
            b"stdout" => Source::Stdout,
            b"stderr" => Source::Stderr,
            _ => return None,
        };
        let full = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Entry {
            time,
            source,
            full,
            text: fields.next()?,
        })
    }
}

/// The offset of the record where the last `lines` lines begin.
fn start_of_tail(log: &mut BufReader<File>, lines: usize) -> io::Result<u64> {
    let mut starts: VecDeque<u64> = VecDeque::new();
    let mut open: [Option<u64>; 2] = [None; 2];
    let (mut offset, mut record) = (0, Vec::new());
    let mut push = |start: u64| {
        starts.push_back(start);
        if starts.len() > lines {
            starts.pop_front();
        }
    };
    loop {
        record.clear();
        let length = log.read_until(b'\n', &mut record)?;
        if length == 0 {
            break;
        }
        if let Some(entry) = Entry::parse(&record) {
            let start = open[entry.source as usize].take().unwrap_or(offset);
            if entry.full {
                push(start);
            } else {
                open[entry.source as usize] = Some(start);
            }
        }
        offset += length as u64;
    }
    open.sort_unstable();
    open.into_iter().flatten().for_each(&mut push);
    Ok(starts.into_iter().min().unwrap_or(offset))
}

/// Joins records to lines again, each on the stream that it came from.
struct Printer {
    timestamps: bool,
    stdout: BufWriter<Stdout>,
    stderr: BufWriter<Stderr>,
    /// Whether the last record of stdout, of stderr, left its line unfinished.
    unfinished: [bool; 2],
}

impl Printer {
    fn new(timestamps: bool) -> Self {
        Printer {
            timestamps,
            stdout: BufWriter::with_capacity(64 * 1024, io::stdout()),
            stderr: BufWriter::with_capacity(64 * 1024, io::stderr()),
            unfinished: [false; 2],
        }
    }

    fn print(&mut self, record: &[u8]) -> Result<()> {
        let entry = Entry::parse(record).with_context(|| {
            let record = String::from_utf8_lossy(&record[..record.len().min(80)]);
            format!("this is no record of a k8s-file log: {record:?}")
        })?;
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
            out.write_all(entry.time)?;
            out.write_all(b" ")?;
        }
        out.write_all(entry.text)?;
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
