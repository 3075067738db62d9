//! The two fifos in the bundle through which conmon is told things: `ctl` and `winsz`.
//!
//! A line of `ctl` is `1 ROWS COLUMNS` (the terminal's new size) or `2 X Y` (reopen the logs; both
//! numbers have to be there); a line of `winsz` is `ROWS COLUMNS`. More numbers are passed over.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// The longest line, in bytes; conmon's.
const LONGEST_LINE: usize = 200;
/// No side of a terminal may be longer; conmon's limit, since sizes grow applications' buffers.
const LONGEST_SIDE: i64 = 1000;

/// What the container's keeper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The terminal has so many rows and columns now.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Begin the log files anew: someone has renamed them.
    ReopenLogs,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fifo {
    /// `ctl`.
    Control,
    /// `winsz`.
    WindowSize,
}

/// One fifo, read line by line.
#[derive(Debug)]
pub struct ControlFifo {
    kind: Fifo,
    fd: OwnedFd,
    line: Vec<u8>,
    /// The line was too long, and its rest is still to come.
    skipping: bool,
}

impl ControlFifo {
    /// Makes the fifo in `directory`, in the place of whatever bears its name.
    pub fn make(kind: Fifo, directory: &Path) -> Result<Self> {
        let path = directory.join(match kind {
            Fifo::Control => "ctl",
            Fifo::WindowSize => "winsz",
        });
        let make = || {
            let mode = Mode::from_raw_mode(0o660);
            rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0)
        };
        make()
            .or_else(|errno| match errno {
                Errno::EXIST => rustix::fs::unlink(&path).and_then(|()| make()),
                errno => Err(errno),
            })
            .with_context(|| format!("Failed to mkfifo at {}", path.display()))?;
        // For writing, too: with a writer of our own the fifo never comes to its end (fifo(7)).
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(&path, flags, Mode::empty())
            .with_context(|| format!("Failed to open {}", path.display()))?;
        Ok(ControlFifo {
            kind,
            fd,
            line: Vec::new(),
            skipping: false,
        })
    }

    /// Reads what is there: wishes, and for each line that is none what is wrong with it.
    pub fn read(&mut self) -> Vec<Result<Wish, String>> {
        let mut wishes = Vec::new();
        let mut buffer = [0; 512];
        // One turn; what comes without end must not keep the supervisor from its work.
        if let Ok(count) = rustix::io::read(&self.fd, &mut buffer) {
            for byte in &buffer[..count] {
                self.take(*byte, &mut wishes);
            }
        }
        wishes
    }

    fn take(&mut self, byte: u8, wishes: &mut Vec<Result<Wish, String>>) {
        if byte != b'\n' {
            if self.line.len() < LONGEST_LINE {
                self.line.push(byte);
            } else {
                self.skipping = true;
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) {
            wishes.push(Err(format!("a line of more than {LONGEST_LINE} bytes")));
        } else if !line.is_empty() {
            wishes.push(self.kind.parse(&line));
        }
    }
}

impl AsFd for ControlFifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Fifo {
    fn parse(self, line: &[u8]) -> Result<Wish, String> {
        let invalid = || {
            format!(
                "Invalid control message format: {:?}",
                String::from_utf8_lossy(line)
            )
        };
        let wanted = match self {
            Fifo::Control => 3,
            Fifo::WindowSize => 2,
        };
        let numbers = numbers(line, wanted).ok_or_else(invalid)?;
        let (kind, rows, columns) = match numbers[..] {
            [kind, rows, columns] => (kind, rows, columns),
            [rows, columns] => (1, rows, columns),
            _ => return Err(invalid()),
        };
        if ![1, 2].contains(&kind) {
            return Err(format!("Invalid control message type: {kind}"));
        }
        let side = |side: i64| u16::try_from(side).ok().filter(|_| side <= LONGEST_SIDE);
        let (Some(rows), Some(columns)) = (side(rows), side(columns)) else {
            return Err(format!(
                "Invalid window size: {rows}x{columns} (must be between 0 and {LONGEST_SIDE})"
            ));
        };
        Ok(match kind {
            1 => Wish::Resize { rows, columns },
            _ => Wish::ReopenLogs,
        })
    }
}

/// The first `wanted` decimal numbers, as `sscanf("%d %d …")` finds them.
fn numbers(line: &[u8], wanted: usize) -> Option<Vec<i64>> {
    let mut rest = std::str::from_utf8(line).ok()?;
    let mut numbers = Vec::new();
    while numbers.len() < wanted {
        rest = rest.trim_start();
        let sign = usize::from(rest.starts_with(['-', '+']));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(sign + digits);
        numbers.push(number.parse().ok()?);
        rest = behind;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resize(rows: u16, columns: u16) -> Wish {
        Wish::Resize { rows, columns }
    }

    #[test]
    fn lines_are_understood_as_conmon_understands_them() {
        let ctl = |line: &str| Fifo::Control.parse(line.as_bytes());
        assert_eq!(ctl("1 24 80"), Ok(resize(24, 80)));
        assert_eq!(ctl(" 1  0010\t0020"), Ok(resize(10, 20)));
        assert_eq!(ctl("1 2 2 3"), Ok(resize(2, 2)));
        assert_eq!(ctl("1 1000 1000"), Ok(resize(1000, 1000)));
        assert_eq!(ctl("2 0 0"), Ok(Wish::ReopenLogs));
        let wrong = [
            "1 -1 -1",
            "1 2",
            "1",
            "",
            "foo",
            "999",
            "999 2 2",
            "1 10.5 20.3",
            "1 0x10 0x20",
            "1 100000 100000",
            "1 1001 1000",
            "1 1000 1001",
            "0 1 1",
            "1 99999999999999999999 1",
        ];
        for line in wrong {
            assert!(ctl(line).is_err(), "{line}");
        }
        assert_eq!(Fifo::WindowSize.parse(b"24 80"), Ok(resize(24, 80)));
    }

    #[test]
    fn a_fifo_gives_whole_lines_and_survives_its_writers() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("ctl"), "not a fifo").expect("written");
        let mut fifo = ControlFifo::make(Fifo::Control, place.path()).expect("made");
        let say = |text: &str| std::fs::write(place.path().join("ctl"), text).expect("written");
        say("1 2");
        assert_eq!(fifo.read(), []);
        say(" 3\n\n2 0 0\n1 4 5");
        assert_eq!(fifo.read(), [Ok(resize(2, 3)), Ok(Wish::ReopenLogs)]);
        say(&format!("{}\n1 6 7\n", " ".repeat(300)));
        let wishes = fifo.read();
        assert!(wishes[0].is_err());
        assert_eq!(wishes[1], Ok(resize(6, 7)));
        assert_eq!(fifo.read(), []);
    }
}
