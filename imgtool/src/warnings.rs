//! Warnings for the person at the terminal: each kind once, then a count.

use std::collections::BTreeMap;

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
            eprintln!("windlass-img: warning: {text}");
            self.counts.insert(kind, (text, 0));
        }
    }

    /// Prints how many more of each kind there were.
    pub fn summarize(&self) {
        for (first, count) in self.counts.values().filter(|(_, count)| *count > 0) {
            eprintln!("windlass-img: warning: {count} more like '{first}'");
        }
    }
}
