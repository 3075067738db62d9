//! Reaping the processes whose parent, the runtime, was killed.
//!
//! A pid namespace ends only when all in it have been reaped (pid_namespaces(7)), a process of
//! `exec` by its parent outside: the host's first process, which may take its time.

use std::fs;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use rustix::thread::gettid;

/// From now on this process is the parent of its descendants that lose theirs, and reaps them.
///
/// They become children of the first thread, so that who waits for children of a thread of its own
/// sees nothing of them. Does nothing where the kernel can't list a thread's children, or this is
/// the first thread.
pub fn reap_orphans() {
    static BEGIN: Once = Once::new();
    let first = getpid();
    let children = format!("/proc/self/task/{}/children", first.as_raw_nonzero());
    if gettid() == first || !Path::new(&children).exists() {
        return;
    }
    BEGIN.call_once(|| {
        set_child_subreaper(Some(first)).unwrap();
        std::thread::spawn(move || {
            loop {
                let orphans = fs::read_to_string(&children).unwrap_or_default();
                orphans.split_whitespace().for_each(reap_if_dead);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    });
}

/// One that is traced is its tracer's to wait for.
fn reap_if_dead(pid: &str) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let dead = status.contains("\nState:\tZ") && status.contains("\nTracerPid:\t0\n");
    if let (true, Some(pid)) = (dead, pid.parse().ok().and_then(Pid::from_raw)) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}
