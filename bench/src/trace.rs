//! Counts a task's system calls and finds its peak memory, by ptrace(2). Tracing slows a program
//! down many times, so this is a pass of its own.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::contestant::{CommandLine, Phase, Task};
use crate::measure::ErrorLog;
use crate::sys;

/// What a task used, all its processes and threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// System calls, the container's program included.
    pub calls: u64,
    /// The most memory that any one process had resident (`VmHWM` of proc(5), which begins anew
    /// at execve), in KiB.
    pub peak_kib: u64,
}

/// The footprint of the timed part of a task: of three runs, the one in the middle by calls.
pub fn footprint(task: &Task, log: &ErrorLog) -> Result<Footprint> {
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(trace(task, log)?);
    }
    runs.sort_by_key(|run| run.calls);
    Ok(runs[1])
}

fn trace(task: &Task, log: &ErrorLog) -> Result<Footprint> {
    let mut tracer = Tracer {
        known: HashSet::new(),
        calls: 0,
        peak_kib: 0,
    };
    for phase in &task.timed {
        match phase {
            Phase::Command(line) => tracer.run(line, log)?,
            Phase::UntilStopped => {
                tracer.follow_until(None)?;
            }
        }
    }
    Ok(Footprint {
        calls: tracer.calls,
        peak_kib: tracer.peak_kib,
    })
}

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_EXITKILL;

struct Tracer {
    /// The threads that have stopped for us at least once.
    known: HashSet<i32>,
    calls: u64,
    peak_kib: u64,
}

impl Tracer {
    fn run(&mut self, line: &CommandLine, log: &ErrorLog) -> Result<()> {
        let mut command = log.command(line)?;
        sys::ask_to_be_traced(&mut command);
        let pid = i32::try_from(command.spawn()?.id())?;
        // It stops by itself at its execve, where the count begins.
        sys::wait4(pid, 0)?.context("the traced command is gone")?;
        self.known.insert(pid);
        sys::ptrace_set_options(pid, OPTIONS)?;
        sys::ptrace_go_on(pid, 0)?;
        log.check(line, self.follow_until(Some(pid))?)
    }

    /// Lets all tracees go on from stop to stop until `pid` ends, and returns its wait(2) status;
    /// without a pid, until none is left.
    fn follow_until(&mut self, pid: Option<i32>) -> Result<i32> {
        while let Some(stopped) = sys::wait4(-1, libc::__WALL)? {
            if libc::WIFSTOPPED(stopped.status) {
                let signal = self.at_stop(stopped.pid, stopped.status);
                // A tracee that was killed meanwhile can't go on; its end is reported next.
                let _ = sys::ptrace_go_on(stopped.pid, signal);
            } else if Some(stopped.pid) == pid {
                return Ok(stopped.status);
            }
        }
        Ok(0)
    }

    /// Takes note of a stop and returns the signal that the tracee is to get.
    fn at_stop(&mut self, pid: i32, status: i32) -> i32 {
        let (signal, event) = ((status >> 8) & 0xff, status >> 16);
        let is_new = self.known.insert(pid);
        if signal == libc::SIGTRAP | 0x80 {
            if let Ok(Some(call)) = sys::ptrace_entered_call(pid) {
                self.calls += 1;
                if [libc::SYS_execve, libc::SYS_execveat].contains(&call.cast_signed()) {
                    self.note_peak(pid);
                }
            }
            return 0;
        }
        if event == libc::PTRACE_EVENT_EXIT {
            self.note_peak(pid);
        }
        // A new tracee's first stop is a SIGSTOP that nobody sent.
        if event != 0 || (is_new && signal == libc::SIGSTOP) {
            0
        } else {
            signal
        }
    }

    fn note_peak(&mut self, pid: i32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::footprint;
    use crate::contestant::{Phase, Task};
    use crate::measure::ErrorLog;
    use crate::tiny_elf;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_tiny_program_makes_one_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("true");
        std::fs::write(&path, tiny_elf::exit_zero()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let log = ErrorLog::in_file(&directory.path().join("log")).unwrap();
        let timed = vec![Phase::Command(vec![path.into()])];
        let footprint = footprint(
            &Task {
                timed,
                ..Task::default()
            },
            &log,
        )
        .unwrap();
        assert_eq!(footprint.calls, 1);
    }
}
