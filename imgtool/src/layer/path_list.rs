//! What was found out about paths of a tree, in memory that is counted: nobody knows how many there are.

use anyhow::{Context, Result};

use super::path::ImagePath;
use crate::memory_budget::{MemoryBudget, MemoryShare};

/// Paths, and something about each.
#[derive(Debug)]
pub struct PathList<T> {
    list: Vec<(ImagePath, T)>,
    /// Bytes of the paths themselves.
    paths: usize,
    memory: MemoryShare,
}

/// What a block of the heap costs besides, roughly.
const BLOCK: usize = 16;

impl<T> PathList<T> {
    /// Takes its memory of `budget`.
    pub fn new(budget: &MemoryBudget) -> Self {
        PathList {
            list: Vec::new(),
            paths: 0,
            memory: budget.share(),
        }
    }

    /// Adds a path; an error if there are too many.
    pub fn push(&mut self, path: ImagePath, what: T) -> Result<()> {
        if self.list.len() == self.list.capacity() {
            // Growing bit by bit, it never needs twice its memory.
            self.list.reserve_exact(self.list.len() / 8 + 64);
        }
        self.paths += path.as_bytes().len() + BLOCK;
        let list = self.list.capacity() * size_of::<(ImagePath, T)>();
        self.memory
            .hold(list + self.paths)
            .context("there are too many changes")?;
        self.list.push((path, what));
        Ok(())
    }

    /// All of it, by path: what is in a directory right behind it.
    pub fn sorted(&mut self) -> &[(ImagePath, T)] {
        self.list
            .sort_unstable_by(|(one, _), (other, _)| one.components().cmp(other.components()));
        &self.list
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
