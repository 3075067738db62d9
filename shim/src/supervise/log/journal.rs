//! systemd's journal, through its native protocol: an entry is a datagram of `FIELD=value` lines to
//! a unix socket (systemd.io, "Native Journal Protocol").
//!
//! The fields are conmon's, which are Docker's, so `podman logs` and `journalctl CONTAINER_NAME=…`
//! find them. A record is a whole line as far as [`MAX_RECORD`](super::MAX_RECORD) allows.

use std::collections::VecDeque;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg_addr, socket_with,
};

use super::lines::Joiner;
use crate::supervise::Source;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// How long to wait before trying again when the journal is not there.
const RETRY: Duration = Duration::from_millis(500);
/// The same when it is there and has more to do than it can.
const BUSY: Duration = Duration::from_millis(5);
/// The wait doubles up to this while the journal takes nothing (it was stopped, it hangs).
const LONGEST: Duration = Duration::from_secs(2);

/// What is asked of the journal.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The container's id: `CONTAINER_ID_FULL`, and its first 12 characters `CONTAINER_ID`.
    pub id: String,
    /// `CONTAINER_NAME`.
    pub name: Option<String>,
    /// `CONTAINER_TAG`.
    pub tag: Option<String>,
    /// Further fields, each `NAME=value`.
    pub labels: Vec<String>,
    /// Whether a piece of a line that goes on gets `CONTAINER_PARTIAL_MESSAGE=true`.
    pub mark_partial: bool,
    /// Whether a line that begins with `<N>` gets the priority N instead of its stream's
    /// (sd-daemon(3)). podman before version 5.6 refuses to show a log that has others than these.
    pub priorities: bool,
    /// Where the journal listens: [`SOCKET`].
    pub socket: PathBuf,
}

/// A log in the journal.
#[derive(Debug)]
pub(super) struct Journal {
    sender: Sender,
    joiner: Joiner,
    priorities: bool,
    /// Entries that the journal has not taken; then new ones queue behind them.
    waiting: VecDeque<Entry>,
    failure: Option<JournalFailure>,
}

/// Why the journal did not take an entry, and when it is tried again.
#[derive(Debug, Clone, Copy)]
struct JournalFailure {
    errno: Errno,
    pause: Duration,
    retry_at: Instant,
}

impl JournalFailure {
    /// After `earlier` nothing has been taken.
    fn new(errno: Errno, earlier: Option<JournalFailure>) -> Self {
        let shortest = if errno == Errno::AGAIN { BUSY } else { RETRY };
        let pause = earlier.map_or(shortest, |earlier| {
            (earlier.pause * 2).clamp(shortest, LONGEST)
        });
        JournalFailure {
            errno,
            pause,
            retry_at: Instant::now() + pause,
        }
    }
}

/// What differs between entries.
#[derive(Debug)]
struct Entry {
    message: Vec<u8>,
    priority: u8,
    partial: bool,
}

#[derive(Debug)]
struct Sender {
    socket: OwnedFd,
    address: SocketAddrUnix,
    path: PathBuf,
    mark_partial: bool,
    /// The fields that all entries share.
    fields: Vec<u8>,
}

impl Journal {
    /// Makes ready to write; that the journal is there is checked, but nothing is sent.
    pub(super) fn open(options: &JournalOptions) -> Result<Self> {
        Ok(Journal {
            sender: Sender::new(options)?,
            joiner: Joiner::default(),
            priorities: options.priorities,
            waiting: VecDeque::new(),
            failure: None,
        })
    }

    /// Sends the lines that `bytes` complete.
    pub(super) fn write(&mut self, source: Source, bytes: &[u8]) {
        // Both are borrowed apart from each other for the closure.
        let mut joiner = std::mem::take(&mut self.joiner);
        joiner.join(source, bytes, |text, ended| {
            self.record(source, text, !ended);
        });
        self.joiner = joiner;
    }

    /// Sends the line that won't be completed.
    pub(super) fn end(&mut self, source: Source) {
        let text = self.joiner.end(source);
        if !text.is_empty() {
            self.record(source, &text, true);
        }
    }

    fn record(&mut self, source: Source, text: &[u8], partial: bool) {
        let priority = match source {
            Source::Stdout => b'6',
            Source::Stderr => b'3',
        };
        let (priority, message) = match text {
            [b'<', level @ b'0'..=b'7', b'>', message @ ..] if self.priorities => (*level, message),
            _ => (priority, text),
        };
        if self.waiting.is_empty() {
            match self.sender.send(message, priority, partial) {
                Ok(()) => return,
                Err(errno) => self.failure = Some(JournalFailure::new(errno, None)),
            }
        }
        self.waiting.push_back(Entry {
            message: message.to_vec(),
            priority,
            partial,
        });
    }

    /// Whether entries wait.
    pub(super) fn stuck(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When [`Journal::retry`] is due.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let failure = self.failure.filter(|_| self.stuck())?;
        Some(failure.retry_at)
    }

    /// Sends what waits, as far as the journal takes it.
    pub(super) fn retry(&mut self) {
        let mut earlier = self.failure.take();
        while let Some(entry) = self.waiting.front() {
            match self
                .sender
                .send(&entry.message, entry.priority, entry.partial)
            {
                Ok(()) => {
                    self.waiting.pop_front();
                    earlier = None;
                }
                Err(errno) => {
                    self.failure = Some(JournalFailure::new(errno, earlier));
                    return;
                }
            }
        }
        self.waiting = VecDeque::new();
    }

    /// Why entries wait.
    pub(super) fn failure(&self) -> Option<String> {
        let JournalFailure { errno, .. } = self.failure.filter(|_| self.stuck())?;
        let path = self.sender.path.display();
        Some(format!("writing to the journal: sendmsg({path}): {errno}"))
    }
}

impl Sender {
    fn new(options: &JournalOptions) -> Result<Self> {
        let path = options.socket.clone();
        let looking = || {
            format!(
                "logging to the journal, which listens at {}",
                path.display()
            )
        };
        ensure!(
            path.try_exists().with_context(looking)?,
            "{}: there is nothing; does systemd-journald run?",
            looking()
        );
        let address = SocketAddrUnix::new(&path).with_context(looking)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
            .context("socket(AF_UNIX)")?;
        Ok(Sender {
            socket,
            address,
            mark_partial: options.mark_partial,
            fields: fields(options)?,
            path,
        })
    }

    fn send(&self, message: &[u8], priority: u8, partial: bool) -> Result<(), Errno> {
        let priority = [priority, b'\n'];
        let partial: &[u8] = if partial && self.mark_partial {
            b"CONTAINER_PARTIAL_MESSAGE=true\n"
        } else {
            b""
        };
        let parts = [
            IoSlice::new(b"MESSAGE="),
            // A piece of a line has no newline in it, the one thing that would need a length in front.
            IoSlice::new(message),
            IoSlice::new(b"\nPRIORITY="),
            IoSlice::new(&priority),
            IoSlice::new(partial),
            IoSlice::new(&self.fields),
        ];
        match self.datagram(&parts, &mut SendAncillaryBuffer::default()) {
            Err(Errno::MSGSIZE | Errno::NOBUFS) => self.send_in_memory(&parts),
            outcome => outcome,
        }
    }

    /// An entry that is too large for a datagram goes in a sealed memory file, whose descriptor is
    /// sent.
    fn send_in_memory(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create("journal-entry", flags)?;
        let mut file = std::fs::File::from(memory);
        for part in parts {
            file.write_all(part)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [file.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        self.datagram(&[], &mut ancillary)
    }

    fn datagram(
        &self,
        parts: &[IoSlice<'_>],
        ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
    ) -> Result<(), Errno> {
        loop {
            match sendmsg_addr(
                &self.socket,
                &self.address,
                parts,
                ancillary,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Whether a label can be a field of the journal, as conmon asks: `NAME=value` with capital letters,
/// digits and `_` in its name, and no second `=`.
pub fn check_label(label: &str) -> Result<()> {
    let (name, value) = label
        .split_once('=')
        .with_context(|| format!("the label {label:?} is not of the form NAME=value"))?;
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        !name.is_empty() && name.chars().all(allowed),
        "the name of the label {label:?}: it takes capital letters, digits and _ only"
    );
    ensure!(
        !value.contains('='),
        "the label {label:?} has more than one ="
    );
    Ok(())
}

fn fields(options: &JournalOptions) -> Result<Vec<u8>> {
    let id = options.id.as_str();
    let short = id.char_indices().nth(12).map_or(id, |(end, _)| &id[..end]);
    let mut fields = Vec::new();
    let mut field = |name: &str, value: &str| append(&mut fields, name, value);
    field("CONTAINER_ID_FULL", id);
    field("CONTAINER_ID", short);
    if let Some(tag) = &options.tag {
        field("CONTAINER_TAG", tag);
    }
    if let Some(name) = &options.name {
        field("CONTAINER_NAME", name);
    }
    let identifier = options.tag.as_deref().or(options.name.as_deref());
    field("SYSLOG_IDENTIFIER", identifier.unwrap_or(short));
    for label in &options.labels {
        check_label(label)?;
        if let Some((name, value)) = label.split_once('=') {
            field(name, value);
        }
    }
    Ok(fields)
}

/// One field; a value that has a newline has its length in front instead of an `=`.
fn append(fields: &mut Vec<u8>, name: &str, value: &str) {
    fields.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        fields.push(b'\n');
        fields.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        fields.push(b'=');
    }
    fields.extend_from_slice(value.as_bytes());
    fields.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    fn options(socket: &Path) -> JournalOptions {
        JournalOptions {
            id: "0123456789abcdef".to_owned(),
            name: Some("web".to_owned()),
            tag: None,
            labels: vec!["TIER=front".to_owned()],
            mark_partial: true,
            priorities: false,
            socket: socket.to_owned(),
        }
    }

    /// One entry, whether it comes as a datagram or in memory.
    fn receive(journald: &UnixDatagram) -> BTreeMap<String, String> {
        let mut bytes = vec![0; 1 << 20];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::DONTWAIT;
        let length = recvmsg(journald, &mut parts, &mut ancillary, flags)
            .unwrap()
            .bytes;
        bytes.truncate(length);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                for fd in fds {
                    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
                    std::fs::File::open(path)
                        .unwrap()
                        .read_to_end(&mut bytes)
                        .unwrap();
                }
            }
        }
        let field = |line: &str| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(field)
            .collect()
    }

    #[test]
    fn an_entry_has_conmons_fields() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let mut journal = Journal::open(&options(&socket)).unwrap();
        journal.write(Source::Stderr, b"a li");
        journal.write(Source::Stderr, b"ne\n<5>not looked at\nend");
        journal.end(Source::Stderr);
        let entry = receive(&journald);
        let expected = [
            ("CONTAINER_ID", "0123456789ab"),
            ("CONTAINER_ID_FULL", "0123456789abcdef"),
            ("CONTAINER_NAME", "web"),
            ("MESSAGE", "a line"),
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "web"),
            ("TIER", "front"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(entry, BTreeMap::from(expected));
        assert_eq!(receive(&journald)["MESSAGE"], "<5>not looked at");
        assert_eq!(receive(&journald)["CONTAINER_PARTIAL_MESSAGE"], "true");

        let mark_partial = false;
        let options = JournalOptions {
            mark_partial,
            ..options(&socket)
        };
        let mut journal = Journal::open(&options).unwrap();
        journal.write(Source::Stderr, b"end");
        journal.end(Source::Stderr);
        let entry = receive(&journald);
        assert_eq!(entry["MESSAGE"], "end");
        assert!(
            !entry.contains_key("CONTAINER_PARTIAL_MESSAGE"),
            "{entry:?}"
        );
    }

    #[test]
    fn a_line_can_bring_its_priority() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let priorities = true;
        let options = JournalOptions {
            priorities,
            ..options(&socket)
        };
        let mut journal = Journal::open(&options).unwrap();
        journal.write(Source::Stdout, b"<4>look out\n<8>no priority\n");
        let entry = receive(&journald);
        assert_eq!((&*entry["PRIORITY"], &*entry["MESSAGE"]), ("4", "look out"));
        let entry = receive(&journald);
        assert_eq!(
            (&*entry["PRIORITY"], &*entry["MESSAGE"]),
            ("6", "<8>no priority")
        );
    }

    #[test]
    fn what_no_datagram_can_hold_goes_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let labels = vec![format!("LONG={}", "x".repeat(512 * 1024))];
        let options = JournalOptions {
            labels,
            ..options(&socket)
        };
        let mut journal = Journal::open(&options).unwrap();
        journal.write(Source::Stdout, b"line\n");
        assert!(!journal.stuck(), "{:?}", journal.failure());
        let entry = receive(&journald);
        assert_eq!(
            (&*entry["MESSAGE"], entry["LONG"].len()),
            ("line", 512 * 1024)
        );
    }

    #[test]
    fn a_journal_that_is_away_or_busy_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let error = Journal::open(&options(&socket)).unwrap_err().to_string();
        assert!(error.contains("does systemd-journald run?"), "{error}");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let mut journal = Journal::open(&options(&socket)).unwrap();
        drop(journald);
        journal.write(Source::Stdout, b"one\n");
        assert!(journal.failure().unwrap().contains("refused"));
        std::fs::remove_file(&socket).unwrap();
        let journald = UnixDatagram::bind(&socket).unwrap();
        journal.retry();
        assert_eq!(receive(&journald)["MESSAGE"], "one");
        let mut sent = 0;
        while !journal.stuck() {
            journal.write(Source::Stdout, format!("{sent}\n").as_bytes());
            sent += 1;
        }
        for number in 0..sent {
            assert_eq!(receive(&journald)["MESSAGE"], number.to_string());
            journal.retry();
        }
        assert!(!journal.stuck());
    }
    #[test]
    fn a_journal_that_hangs_is_tried_less_and_less_often() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let mut journal = Journal::open(&options(&socket)).unwrap();
        let mut sent = 0;
        while !journal.stuck() {
            journal.write(Source::Stdout, format!("{sent}\n").as_bytes());
            sent += 1;
        }
        let until = Instant::now() + Duration::from_secs(1);
        let mut tries = 0;
        while let Some(due) = journal.retry_at().filter(|due| *due < until) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            journal.retry();
            tries += 1;
        }
        assert!((4..=8).contains(&tries), "{tries} tries in a second");
        // It goes on: what it takes makes the waits short again.
        for number in 0..sent - 1 {
            assert_eq!(receive(&journald)["MESSAGE"], number.to_string());
        }
        journal.retry();
        assert_eq!(receive(&journald)["MESSAGE"], (sent - 1).to_string());
        while !journal.stuck() {
            journal.write(Source::Stdout, b"more\n");
        }
        let wait = journal.retry_at().unwrap() - Instant::now();
        assert!(wait <= BUSY, "{wait:?}");
    }
}
