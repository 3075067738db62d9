//! What the most memory is that a program takes, and where it works meanwhile.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

/// Runs a program to its end. With how it ended, the most memory that it was seen to have, in KiB: none
/// may have been of one that is done at once.
pub fn watch(command: &mut Command) -> (ExitStatus, u64) {
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status, most);
        }
        most = peak(child.id()).unwrap_or(0).max(most);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The most memory that a process has had so far, in KiB (proc_pid_status(5)).
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// So many files take their time on a disk.
pub fn place_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}
