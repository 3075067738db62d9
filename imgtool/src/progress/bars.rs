//! Progress as bars on a terminal: a line for each item under way, those that ended above them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Item, Outcome, View};
use crate::warnings;

/// How often the bars are drawn at most.
const BETWEEN: Duration = Duration::from_millis(100);
/// Characters of a bar.
const WIDTH: u64 = 24;

#[derive(Debug)]
struct Bar {
    item: Item,
    position: u64,
    /// Where it was when we began to watch it: what was there already says nothing of the rate.
    from: Option<(Instant, u64)>,
}

/// The bars.
#[derive(Debug, Default)]
pub(super) struct Bars {
    under_way: BTreeMap<usize, Bar>,
    /// Lines that stand on the terminal and will be drawn over.
    drawn: usize,
    last: Option<Instant>,
}

impl View for Bars {
    fn begin(&mut self, number: usize, item: &Item) {
        let bar = Bar {
            item: item.clone(),
            position: 0,
            from: None,
        };
        self.under_way.insert(number, bar);
        self.draw(None);
    }

    fn advance(&mut self, number: usize, position: u64) {
        if let Some(bar) = self.under_way.get_mut(&number) {
            bar.position = position;
            // A transfer that begins anew begins to be watched anew.
            if bar.from.is_none_or(|(_, from)| position < from) {
                bar.from = Some((Instant::now(), position));
            }
        }
        if self.last.is_none_or(|last| last.elapsed() >= BETWEEN) {
            self.draw(None);
        }
    }

    fn end(&mut self, number: usize, outcome: Outcome) {
        if let Some(bar) = self.under_way.remove(&number) {
            let size = amount(bar.item.size);
            let line = format!("{} {size:>9}  {}", title(&bar.item), outcome.words());
            self.draw(Some(&line));
        }
    }
}

impl Bars {
    /// Draws all anew, below a line that will stay.
    fn draw(&mut self, above: Option<&str>) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first of our lines, and clear from there to the end (ECMA-48).
            let _ = write!(text, "\x1b[{}A\r\x1b[J", self.drawn);
        }
        if let Some(line) = above {
            text.push_str(line);
            text.push('\n');
        }
        for bar in self.under_way.values() {
            text.push_str(&bar.line(Instant::now()));
            text.push('\n');
        }
        self.drawn = self.under_way.len();
        self.last = Some(Instant::now());
        warnings::say(&text);
    }
}

impl Bar {
    fn line(&self, now: Instant) -> String {
        let size = self.item.size.max(1);
        let filled = usize::try_from(WIDTH * self.position.min(size) / size).unwrap_or(0);
        let bar = format!("{}{}", "#".repeat(filled), " ".repeat(24 - filled.min(24)));
        let mut line = format!(
            "{} {:>9}  [{bar}] {:>3}%",
            title(&self.item),
            amount(self.item.size),
            100 * self.position.min(size) / size
        );
        if let Some((rate, left)) = self.pace(now) {
            let _ = write!(line, " {:>9}/s {}", amount(rate), duration(left));
        }
        line
    }

    /// Bytes a second, and seconds until the end.
    fn pace(&self, now: Instant) -> Option<(u64, u64)> {
        let (since, from) = self.from?;
        let milliseconds = u64::try_from(now.duration_since(since).as_millis()).ok()?;
        if milliseconds < 200 || self.position <= from {
            return None;
        }
        let rate = ((self.position - from).checked_mul(1000)? / milliseconds).max(1);
        Some((rate, self.item.size.saturating_sub(self.position) / rate))
    }
}

fn title(item: &Item) -> String {
    format!("{:6} {}", item.what, item.short())
}

/// Bytes as people read them.
pub fn amount(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut whole, mut unit, mut rest) = (bytes, 0, 0);
    while whole >= 1000 && unit + 1 < units.len() {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    match (unit, whole) {
        (0, _) => format!("{whole} B"),
        (_, 0..10) => format!("{whole}.{:02} {}", rest / 10, units[unit]),
        (_, 10..100) => format!("{whole}.{} {}", rest / 100, units[unit]),
        _ => format!("{whole} {}", units[unit]),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_short() {
        let amounts = [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.50 kB"),
            (12_345_678, "12.3 MB"),
        ];
        for (bytes, expected) in amounts {
            assert_eq!(amount(bytes), expected);
        }
        assert_eq!(amount(u64::MAX), "18446744 TB");
        assert_eq!(
            (duration(59), duration(61), duration(7300)),
            ("59s".into(), "1m01s".into(), "2h01m".into())
        );
    }

    #[test]
    fn a_bar_tells_rate_and_time_left() {
        let digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let item = Item {
            what: "layer",
            digest,
            size: 10_000_000,
        };
        let start = Instant::now();
        let bar = Bar {
            item,
            position: 5_000_000,
            from: Some((start, 1_000_000)),
        };
        assert_eq!(
            bar.line(start + Duration::from_secs(2)),
            "layer  abababababab   10.0 MB  [############            ]  50%   2.00 MB/s 2s"
        );
    }
}
