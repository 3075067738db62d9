//! Where in a file something is, by hashes, in sixteen bytes and an eighth for each.

use anyhow::{Context, Result};

use crate::memory_budget::{MemoryBudget, MemoryShare};

/// Hashes and places: those of one path may come more than once, then the last one counts.
#[derive(Debug)]
pub(super) struct Places {
    known: Vec<(u64, u64)>,
    besides: usize,
    /// How many aren't taken.
    left: usize,
    memory: MemoryShare,
}

/// In place of the place of what has been taken: no file is so long.
const TAKEN: u64 = u64::MAX;

impl Places {
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        Places {
            known: Vec::new(),
            besides: 0,
            left: 0,
            memory: budget.share(),
        }
    }

    /// Adds one that is further on than all before it.
    pub(super) fn push(&mut self, hash: u64, place: u64) -> Result<()> {
        if self.known.len() == self.known.capacity() {
            // Growing bit by bit, it never needs twice its memory.
            self.known.reserve_exact(self.known.len() / 8 + 64);
            self.hold()?;
        }
        self.known.push((hash, place));
        Ok(())
    }

    /// Counts so many bytes of the caller's with it.
    pub(super) fn hold_besides(&mut self, bytes: usize) -> Result<()> {
        if bytes == self.besides {
            return Ok(());
        }
        self.besides = bytes;
        self.hold()
    }

    fn hold(&mut self) -> Result<()> {
        let own = self.known.capacity() * size_of::<(u64, u64)>();
        let held = self.memory.hold(own + self.besides);
        held.context("the manifest lists too many files")
    }

    /// Ends the adding.
    pub(super) fn seal(&mut self) {
        self.known.sort_unstable();
        self.known.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                *kept = *later;
            }
            is_same
        });
        self.left = self.known.len();
    }

    /// Whether all have been taken.
    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The place of a hash, unless it has been taken.
    pub(super) fn find(&self, hash: u64) -> Option<u64> {
        let index = self.index(hash)?;
        Some(self.known[index].1).filter(|&place| place != TAKEN)
    }

    /// The same, and takes it.
    pub(super) fn take(&mut self, hash: u64) -> Option<u64> {
        let index = self.index(hash)?;
        let place = std::mem::replace(&mut self.known[index].1, TAKEN);
        if place == TAKEN {
            return None;
        }
        self.left -= 1;
        Some(place)
    }

    fn index(&self, hash: u64) -> Option<usize> {
        self.known
            .binary_search_by_key(&hash, |&(hash, _)| hash)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_counts_once() {
        let mut places = Places::new(&MemoryBudget::new(1 << 20));
        for (hash, place) in [(7, 1), (3, 2), (7, 3), (9, 4), (7, 5)] {
            places.push(hash, place).unwrap();
        }
        places.seal();
        assert_eq!(
            [3, 7, 8].map(|hash| places.find(hash)),
            [Some(2), Some(5), None]
        );
        assert_eq!(
            (places.take(7), places.take(7), places.find(7)),
            (Some(5), None, None)
        );
        assert!(!places.is_empty());
        assert_eq!((places.take(9), places.take(3)), (Some(4), Some(2)));
        assert!(places.is_empty());
        let mut places = Places::new(&MemoryBudget::new(10_000));
        assert!((0..1000).any(|number| places.push(number, number).is_err()));
    }
}
