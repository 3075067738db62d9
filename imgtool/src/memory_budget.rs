//! How much memory images may make us take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that several parts of the work take their shares of: a layer's decompressor its
/// window, what applies the layer the names that it has to remember. Clones draw on the same bytes.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    most: usize,
    taken: Arc<AtomicUsize>,
}

/// A window of 32 MiB, which is what the best level of Go's encoder takes (the one in `BuildKit`, podman
/// and containerd), and 300,000 files besides; or no window and 3.5 million. All else takes 28 MiB at worst. Go's
/// decoder, so containerd's and umoci's, would take 512 MiB.
pub const USUAL: usize = 36 << 20;

static MOST: AtomicUsize = AtomicUsize::new(USUAL);

/// Sets how many bytes every budget has from here on of which nobody says more: `--max-memory`.
pub fn set_most(bytes: usize) {
    MOST.store(bytes, Ordering::Relaxed);
}

impl Default for MemoryBudget {
    fn default() -> Self {
        MemoryBudget::new(MOST.load(Ordering::Relaxed))
    }
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(most: usize) -> Self {
        MemoryBudget {
            most,
            taken: Arc::default(),
        }
    }

    /// A share of it, of nothing yet.
    pub fn share(&self) -> MemoryShare {
        MemoryShare {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

/// What one part of the work has of a budget. The bytes go back when it is dropped.
#[derive(Debug)]
pub struct MemoryShare {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryShare {
    /// Makes the share so large, whatever it was. Where the budget hasn't that much it stays as it is.
    pub fn hold(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        if bytes == self.bytes {
            return Ok(());
        }
        let MemoryBudget { most, taken } = &self.budget;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                let others = taken.checked_sub(self.bytes)?;
                others.checked_add(bytes).filter(|all| all <= most)
            })
            .map_err(|_| OutOfMemory { most: *most })?;
        self.bytes = bytes;
        Ok(())
    }

    /// Makes the share at least so large.
    pub fn hold_at_least(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        self.hold(self.bytes.max(bytes))
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The budget is too small.
#[derive(Debug, Clone, Copy)]
pub struct OutOfMemory {
    most: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.most;
        write!(
            f,
            "that takes more than the {most} bytes of memory that an image may have (see --max-memory)"
        )
    }
}

impl std::error::Error for OutOfMemory {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_budget() {
        let budget = MemoryBudget::new(10);
        let (mut one, mut other) = (budget.share(), budget.clone().share());
        one.hold(6).unwrap();
        other.hold(5).unwrap_err();
        other.hold(4).unwrap();
        one.hold(7).unwrap_err();
        one.hold_at_least(2).unwrap();
        other.hold(5).unwrap_err();
        one.hold(1).unwrap();
        other.hold(9).unwrap();
        drop(other);
        one.hold(10).unwrap();
        one.hold(usize::MAX).unwrap_err();
    }
}
