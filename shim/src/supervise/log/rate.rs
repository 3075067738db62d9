//! How fast a container may write: so many bytes or lines a second, and so many at once before that
//! counts.

use std::time::{Duration, Instant};

use super::lines::pieces;
use crate::supervise::Source;

/// How much output a container may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What is counted.
    pub unit: Unit,
    /// How many of them a second; at least 1.
    pub per_second: u64,
    /// How many of them may come at once after a silence.
    pub burst: u64,
    /// What happens to more than that.
    pub excess: Excess,
}

/// What a [`Rate`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of output.
    Bytes,
    /// Lines of output.
    Lines,
}

/// What happens to a container that writes too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It has to wait.
    Hold,
    /// Its lines don't get into the log, which says how many these were.
    Drop,
}

/// Applies a [`Rate`].
///
/// What has been admitted is paid for by time: `paid` is when it will have been. The container is
/// ahead of its time by at most the burst.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    paid: Instant,
    lifted: bool,
    /// Of stdout and of stderr.
    dropping: [Dropping; 2],
    dropped: u64,
}

/// What was dropped since the log has last said so.
#[derive(Debug, Default)]
struct Dropping {
    lines: u64,
    bytes: u64,
    /// Whether the line goes on whose beginning was dropped.
    in_line: bool,
    /// Whether the line goes on whose beginning was admitted.
    admitted_in_line: bool,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Limiter {
            rate,
            paid: Instant::now(),
            lifted: false,
            dropping: Default::default(),
            dropped: 0,
        }
    }

    /// Gives `put` what may be written of `bytes`; with [`Excess::Hold`], all.
    pub(super) fn admit(&mut self, source: Source, bytes: &[u8], mut put: impl FnMut(&[u8])) {
        if self.rate.excess == Excess::Hold {
            let count = match self.rate.unit {
                Unit::Bytes => bytes.len() as u64,
                Unit::Lines => memchr::memchr_iter(b'\n', bytes).count() as u64,
            };
            self.charge(count);
            put(bytes);
            return;
        }
        // What is admitted in a row is passed on at once.
        let (mut from, mut to) = (0, 0);
        for (piece, ended) in pieces(bytes) {
            let length = piece.len() + usize::from(ended);
            if !self.admits(source, length, ended) {
                if from < to {
                    put(&bytes[from..to]);
                }
                from = to + length;
            } else if self.dropping[source as usize].lines > 0 {
                self.notice(source, &mut put);
            }
            to += length;
        }
        if from < to {
            put(&bytes[from..to]);
        }
    }

    /// Whether a piece of a line is written: all of its line is, or nothing.
    fn admits(&mut self, source: Source, length: usize, ended: bool) -> bool {
        let ahead = self.is_ahead();
        let dropping = &mut self.dropping[source as usize];
        let drop = dropping.in_line || ahead && !dropping.admitted_in_line;
        if drop {
            dropping.lines += u64::from(!dropping.in_line);
            dropping.bytes += length as u64;
            self.dropped += length as u64;
        }
        dropping.in_line = drop && !ended;
        dropping.admitted_in_line = !drop && !ended;
        if !drop {
            self.charge(match self.rate.unit {
                Unit::Bytes => length as u64,
                Unit::Lines => u64::from(ended),
            });
        }
        !drop
    }

    fn charge(&mut self, count: u64) {
        self.paid = self.paid.max(Instant::now()) + self.time_for(count);
    }

    fn time_for(&self, count: u64) -> Duration {
        let nanoseconds =
            u128::from(count) * 1_000_000_000 / u128::from(self.rate.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX / 2))
    }

    /// Whether the container is ahead of its time.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead_until().is_some()
    }

    fn ahead_until(&self) -> Option<Instant> {
        let until = self.paid.checked_sub(self.time_for(self.rate.burst))?;
        (until > Instant::now()).then_some(until)
    }

    /// Whether nothing is held back, because the container has ended.
    pub(super) fn lift(&mut self, lifted: bool) {
        self.lifted = lifted;
    }

    /// The stream has ended: gives `put` what is to be said of what was dropped last.
    pub(super) fn end(&mut self, source: Source, mut put: impl FnMut(&[u8])) {
        self.notice(source, &mut put);
    }

    fn notice(&mut self, source: Source, put: &mut impl FnMut(&[u8])) {
        let dropping = &mut self.dropping[source as usize];
        if dropping.lines == 0 {
            return;
        }
        let (lines, bytes) = (dropping.lines, dropping.bytes);
        (dropping.lines, dropping.bytes) = (0, 0);
        let notice = format!(
            "[windlass-shim: {lines} {} of {bytes} bytes dropped, over the rate of {} {} a second]\n",
            if lines == 1 { "line" } else { "lines" },
            self.rate.per_second,
            match self.rate.unit {
                Unit::Bytes => "bytes",
                Unit::Lines => "lines",
            },
        );
        put(notice.as_bytes());
    }

    /// How many bytes were dropped in all.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Until when the container has to wait, if it has to.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.ahead_until()
            .filter(|_| self.rate.excess == Excess::Hold && !self.lifted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(unit: Unit, excess: Excess) -> Limiter {
        Limiter::new(Rate {
            unit,
            per_second: 10,
            burst: 20,
            excess,
        })
    }

    fn admitted(limiter: &mut Limiter, bytes: &[u8]) -> String {
        let mut all = Vec::new();
        limiter.admit(Source::Stdout, bytes, |piece| all.extend_from_slice(piece));
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn the_burst_is_free_and_more_has_to_wait_its_time() {
        let mut limiter = limiter(Unit::Bytes, Excess::Hold);
        assert_eq!(admitted(&mut limiter, &[b'x'; 19]).len(), 19);
        assert_eq!(limiter.held_until(), None);
        assert_eq!(admitted(&mut limiter, &[b'x'; 11]).len(), 11);
        let wait = limiter.held_until().unwrap() - Instant::now();
        assert!(
            wait > Duration::from_millis(500) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        limiter.lift(true);
        assert_eq!(limiter.held_until(), None);
    }

    #[test]
    fn whole_lines_are_dropped_and_counted() {
        let mut limiter = limiter(Unit::Lines, Excess::Drop);
        assert_eq!(
            admitted(
                &mut limiter,
                "y
"
                .repeat(100)
                .as_bytes()
            ),
            "y
"
            .repeat(21)
        );
        assert_eq!(limiter.held_until(), None);
        assert_eq!(admitted(&mut limiter, b"its beginning"), "");
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(
            admitted(&mut limiter, b" and its end\nadmitted\n")
                .lines()
                .collect::<Vec<_>>(),
            [
                "[windlass-shim: 80 lines of 184 bytes dropped, over the rate of 10 lines a second]",
                "admitted"
            ]
        );
        assert_eq!(limiter.dropped(), 184);
        limiter.end(Source::Stdout, |_| panic!("it was said already"));
    }

    #[test]
    fn what_was_dropped_last_is_said_at_the_end() {
        let mut limiter = limiter(Unit::Bytes, Excess::Drop);
        assert_eq!(admitted(&mut limiter, &[b'x'; 40]).len(), 40);
        assert_eq!(
            admitted(
                &mut limiter,
                b"goes on
dropped"
            ),
            "goes on
"
        );
        let mut said = String::new();
        limiter.end(Source::Stdout, |text| {
            said.push_str(std::str::from_utf8(text).unwrap());
        });
        assert!(said.contains(": 1 line of 7 bytes dropped"), "{said}");
    }
}
