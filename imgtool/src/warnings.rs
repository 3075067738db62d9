//! What the person at the terminal is told beside results and errors: warnings, each kind once and
//! then a count, and with `--verbose` what was done.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};

use clap::ValueEnum;

/// How much is told; umoci's names. The error that ends the program always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Only the error that ends the program.
    Fatal,
    /// The same: errors end the program.
    Error,
    /// What was done other than asked for.
    Warn,
    /// What was done.
    Info,
    /// The same: there is nothing finer.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Sets how much is told from here on.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn tells(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// Tells what was done, if that is wanted.
pub fn note(text: impl FnOnce() -> String) {
    if tells(Level::Info) {
        tell(&text());
    }
}

/// Writes a line to stderr. Whatever of an image or a server's answer is in it, the terminal shows it
/// and does nothing.
pub fn tell(text: &str) {
    say(&format!("windlass-img: {}\n", without_control(text)));
}

/// Writes to stderr. That nobody reads it any more (`2>&1 | head`) is no reason to leave off in the
/// middle.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn without_control(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push(' '),
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Tells of something that the caller may not expect.
pub fn warn(text: impl FnOnce() -> String) {
    if tells(Level::Warn) {
        tell(&format!("warning: {}", text()));
    }
}

/// Collects what was done other than asked for.
#[derive(Debug, Default)]
pub struct Warnings {
    counts: BTreeMap<&'static str, (String, u64)>,
}

impl Warnings {
    /// Prints the first warning of a kind to stderr; counts the others.
    pub fn add(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        if let Some((_, count)) = self.counts.get_mut(kind) {
            *count += 1;
        } else {
            let text = text();
            warn(|| text.clone());
            self.counts.insert(kind, (text, 0));
        }
    }

    /// Prints how many more of each kind there were.
    pub fn summarize(&self) {
        for (first, count) in self.counts.values().filter(|(_, count)| *count > 0) {
            warn(|| format!("{count} more like '{first}'"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_an_image() {
        assert_eq!(
            without_control("naïve\x1b]0;x\x07\u{9b}2J\r\nend"),
            "naïve\\u{1b}]0;x\\u{7}\\u{9b}2J\\r end"
        );
    }
}
