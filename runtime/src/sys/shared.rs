//! Numbers in memory that a process shares with its children (mmap(2), `MAP_SHARED`).

use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::io::Errno;

use super::clone::last_errno;

/// Numbers, at first 0, that children which are cloned from now on share with us until they execute
/// another program.
#[derive(Debug)]
pub struct SharedNumbers {
    first: NonNull<AtomicU64>,
    count: usize,
}

impl SharedNumbers {
    /// `count` of them.
    ///
    /// # Errors
    /// mmap(2)'s: `EINVAL` for none at all, `ENOMEM`.
    pub fn new(count: usize) -> Result<Self, Errno> {
        // SAFETY: a new mapping, at an address of the kernel's choice, of no file.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                count * size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let first = NonNull::new(address.cast()).ok_or(Errno::NOMEM)?;
        Ok(SharedNumbers { first, count })
    }

    /// All of them.
    pub fn as_slice(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has room for `count` of them, begins at a page, is full of zeros, which
        // are numbers, and is there as long as we are; whoever shares it changes it atomically.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl Drop for SharedNumbers {
    fn drop(&mut self) {
        // SAFETY: our own mapping, of that length; no slice of it outlives us.
        unsafe {
            libc::munmap(
                self.first.as_ptr().cast(),
                self.count * size_of::<AtomicU64>(),
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn they_are_zero_and_keep_what_is_written() {
        let numbers = SharedNumbers::new(1000).unwrap();
        assert!(
            numbers
                .as_slice()
                .iter()
                .all(|number| number.load(Ordering::Relaxed) == 0)
        );
        numbers.as_slice()[999].store(7, Ordering::Relaxed);
        assert_eq!(numbers.as_slice()[999].load(Ordering::Relaxed), 7);
        assert!(SharedNumbers::new(0).is_err());
    }
}
