//! Which entry of a layer a file's further names are links to.

use std::collections::HashMap;

use anyhow::{Context, Result};
use rustix::fs::Stat;

use crate::layer::path::ImagePath;
use crate::memory_budget::{MemoryBudget, MemoryShare};

/// The first name of each file of which others may come, by device and inode.
#[derive(Debug)]
pub(super) struct FirstNames {
    names: HashMap<(u64, u64), FirstName>,
    /// Bytes of the names themselves.
    bytes: usize,
    memory: MemoryShare,
}

#[derive(Debug)]
struct FirstName {
    path: ImagePath,
    /// How many others there are.
    others: u64,
}

/// What a place of the table costs, and a block of the heap, roughly.
const PLACE: usize = size_of::<((u64, u64), FirstName)>() + 1;
const BLOCK: usize = 16;

impl FirstNames {
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        FirstNames {
            names: HashMap::new(),
            bytes: 0,
            memory: budget.share(),
        }
    }

    /// Notes a file's first name.
    pub(super) fn insert(&mut self, file: &Stat, path: &ImagePath) -> Result<()> {
        let path = path.clone();
        self.bytes += path.as_bytes().len() + BLOCK;
        // 32 bits elsewhere than on x86_64.
        #[allow(clippy::useless_conversion)]
        let names = u64::from(file.st_nlink);
        let others = names.saturating_sub(1);
        self.names.insert(key(file), FirstName { path, others });
        // An eighth of the table is free at least (hashbrown).
        let table = self.names.capacity() / 7 * 8 * PLACE;
        let held = self.memory.hold(table + self.bytes);
        held.context("too many files have several names")
    }

    /// The first name of a file of which this is a further one.
    pub(super) fn take_one(&mut self, file: &Stat) -> Option<ImagePath> {
        let key = key(file);
        let first = self.names.get_mut(&key)?;
        first.others = first.others.saturating_sub(1);
        if first.others > 0 {
            return Some(first.path.clone());
        }
        let last = self.names.remove(&key)?;
        self.bytes -= last.path.as_bytes().len() + BLOCK;
        Some(last.path)
    }
}

fn key(file: &Stat) -> (u64, u64) {
    (file.st_dev, file.st_ino)
}
