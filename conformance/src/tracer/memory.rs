//! The memory of a traced thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// A path has at most so many bytes (`PATH_MAX`).
const LONGEST: usize = 4096;

fn of(thread: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{thread}/mem"))
}

/// The string at an address, without its zero byte; what can't be read is none.
pub fn string(thread: i32, address: u64) -> Option<Vec<u8>> {
    let memory = of(thread).ok()?;
    let mut text = Vec::new();
    let mut piece = [0; 256];
    while text.len() < LONGEST {
        let place = address + text.len() as u64;
        // Not beyond the page, which may be the last one that is mapped.
        let size = piece.len().min(usize::try_from(4096 - place % 4096).ok()?);
        let read = memory.read_at(&mut piece[..size], place).ok()?;
        if read == 0 {
            return None;
        }
        if let Some(end) = piece[..read].iter().position(|&byte| byte == 0) {
            text.extend_from_slice(&piece[..end]);
            return Some(text);
        }
        text.extend_from_slice(&piece[..read]);
    }
    None
}

/// Writes bytes at an address, also where the thread itself may only read.
///
/// # Errors
/// The kernel's errno.
pub fn write(thread: i32, address: u64, bytes: &[u8]) -> io::Result<()> {
    of(thread)?.write_all_at(bytes, address)
}
