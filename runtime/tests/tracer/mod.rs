//! Killing the runtime, or the container's init, after a chosen system call (ptrace(2)).

mod sys;

use std::io::{Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sys::Event;

/// Which of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The one that was called.
    Runtime,
    /// The first process that it clones.
    Init,
}

/// When, and who is killed.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// Whose system calls are counted.
    pub of: Who,
    /// After how many of them.
    pub calls: usize,
    /// Who dies.
    pub kill: &'static [Who],
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it came to the crash: not, if there were no more calls to count.
    pub crashed: bool,
    /// The number of the last system call that was counted (`asm/unistd.h`), for the reader of a
    /// failure.
    #[expect(dead_code, reason = "printed")]
    pub last_call: Option<u64>,
    /// How the runtime ended.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// How long the runtime may take: what it waits for is dead.
const PATIENCE: Duration = Duration::from_secs(20);

impl Crash {
    /// Runs the command into the crash.
    #[expect(
        clippy::zombie_processes,
        reason = "waited for as a tracee, with all others"
    )]
    pub fn run(self, command: &mut Command) -> Outcome {
        let mut errors = tempfile::tempfile().unwrap();
        command.stdout(std::process::Stdio::null());
        command.stderr(errors.try_clone().unwrap());
        sys::trace_me(command);
        let child = command.spawn().unwrap();
        let mut trace = Trace {
            crash: self,
            runtime: i32::try_from(child.id()).unwrap(),
            init: None,
            init_has_come: false,
            in_call: false,
            calls: 0,
            crashed: false,
            last_call: None,
            status: None,
        };
        let runtime = trace.runtime;
        let (done, watch) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    kill(runtime);
                }
            });
            trace.follow();
            drop(done);
        });
        let mut stderr = String::new();
        errors.rewind().unwrap();
        errors.read_to_string(&mut stderr).unwrap();
        Outcome {
            crashed: trace.crashed,
            last_call: trace.last_call,
            status: ExitStatus::from_raw(trace.status.unwrap()),
            stderr,
        }
    }
}

struct Trace {
    crash: Crash,
    runtime: i32,
    init: Option<i32>,
    /// The first child is init; those that come after it, also when it has become the app, are
    /// hooks.
    init_has_come: bool,
    in_call: bool,
    calls: usize,
    crashed: bool,
    last_call: Option<u64>,
    status: Option<i32>,
}

impl Trace {
    fn follow(&mut self) {
        // Until there is neither a child nor a tracee left: an init that was just born when the
        // runtime died is one.
        while let Ok((pid, event)) = sys::wait_any() {
            match event {
                Event::Ended(status) if pid == self.runtime => {
                    self.status = Some(status);
                    if self.crash.of == Who::Init && !self.crashed {
                        // The runtime is done with an init that still waits: so are we.
                        self.init.into_iter().for_each(kill);
                    }
                }
                Event::Ended(_) => {}
                Event::Stopped(stop) => self.stopped(pid, stop),
            }
        }
    }

    fn stopped(&mut self, pid: i32, stop: i32) {
        let is_new = pid != self.runtime && !self.init_has_come;
        if is_new {
            self.init = Some(pid);
            self.init_has_come = true;
        }
        let counted = match self.crash.of {
            Who::Runtime => pid == self.runtime,
            Who::Init => Some(pid) == self.init,
        };
        let mut signal = 0;
        match (stop & 0xff, stop >> 8) {
            (libc::SIGTRAP, libc::PTRACE_EVENT_EXEC) if Some(pid) == self.init => {
                // It has become the app, which is none of ours.
                self.init = None;
                let _ = sys::detach(pid);
                return;
            }
            (libc::SIGTRAP, 0) if pid == self.runtime && self.calls == 0 && !self.in_call => {
                let options = libc::PTRACE_O_TRACESYSGOOD
                    | libc::PTRACE_O_TRACEEXEC
                    | libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_EXITKILL;
                sys::set_options(pid, options).unwrap();
            }
            (libc::SIGTRAP, _) if stop >> 8 != 0 => {}
            // A new tracee's first stop is a SIGSTOP of ptrace's own.
            (libc::SIGSTOP, 0) if is_new => {
                if !counted {
                    let _ = sys::detach(pid);
                    return;
                }
            }
            // A hook's too: passed on to it, it would stop it for good.
            (libc::SIGSTOP, 0) if pid != self.runtime && Some(pid) != self.init => {}
            (stopped, 0) if stopped == libc::SIGTRAP | 0x80 => {
                self.in_call = !self.in_call;
                if self.in_call {
                    if self.calls + 1 == self.crash.calls {
                        self.last_call = sys::call_number(pid);
                    }
                } else {
                    self.calls += 1;
                    if self.calls == self.crash.calls {
                        self.crash();
                        return;
                    }
                }
            }
            (stopped, _) => signal = stopped,
        }
        // It may have been killed meanwhile: then waiting tells.
        let _ = sys::go_on(pid, counted, signal);
    }

    fn crash(&mut self) {
        self.crashed = true;
        for who in self.crash.kill {
            match (who, self.init) {
                (Who::Runtime, _) => kill(self.runtime),
                (Who::Init, Some(init)) => kill(init),
                (Who::Init, None) => {}
            }
        }
        // Whoever was counted and is not to die goes on.
        let counted = match self.crash.of {
            Who::Runtime => Some(self.runtime),
            Who::Init => self.init,
        };
        if let Some(pid) = counted {
            let _ = sys::go_on(pid, false, 0);
        }
    }
}

fn kill(pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}
