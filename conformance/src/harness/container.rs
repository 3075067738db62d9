//! One container, which is gone when its guard is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::Value;

use super::Context;
use super::runtime::{Output, ends_within};
use crate::verdict::{Stop, Verdict, fail};

/// A container that the runtime was asked to create. However the case ends, `delete --force` is
/// called for it.
#[derive(Debug)]
pub struct Container<'a> {
    /// Its id.
    pub id: String,
    /// What the call that created it said; its files hold what the container's process writes.
    pub created: Option<Output>,
    context: &'a Context,
    deleted: bool,
}

impl<'a> Container<'a> {
    /// Guards an id before anything is created under it.
    pub fn guard(context: &'a Context, id: String) -> Self {
        Container {
            id,
            created: None,
            context,
            deleted: false,
        }
    }

    /// Calls a verb for this container.
    ///
    /// # Errors
    /// As [`super::runtime::Call::run`].
    pub fn call(&self, verb: &str, options: &[&str], rest: &[&str]) -> Result<Output, Stop> {
        let mut words = vec![verb];
        words.extend_from_slice(options);
        words.push(&self.id);
        words.extend_from_slice(rest);
        self.context.call(&words).run()
    }

    /// `start`, which must work.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn start(&self) -> Result<Output, Stop> {
        self.call("start", &[], &[])?.must_work()
    }

    /// What `state` prints.
    ///
    /// # Errors
    /// A failure of the runtime: `state` fails or prints no JSON object.
    pub fn state(&self) -> Result<Value, Stop> {
        let output = self.call("state", &[], &[])?.must_work()?;
        match serde_json::from_str::<Value>(&output.stdout()) {
            Ok(state) if state.is_object() => Ok(state),
            _ => fail(format_args!(
                "{} printed no JSON object: {}",
                output.command,
                output.stdout()
            )),
        }
    }

    /// The state's `status`.
    ///
    /// # Errors
    /// As [`Container::state`].
    pub fn status(&self) -> Result<String, Stop> {
        Ok(self.state()?["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// The state's `pid`.
    ///
    /// # Errors
    /// As [`Container::state`], or there is none.
    pub fn pid(&self) -> Result<i32, Stop> {
        let state = self.state()?;
        match state["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
        {
            Some(pid) if pid > 0 => Ok(pid),
            _ => fail(format_args!("state has no process id: {state}")),
        }
    }

    /// Waits for the end of the container's process, reaps it, and returns its exit status as a
    /// shell says it; none when it was no child of ours.
    ///
    /// # Errors
    /// A failure of the runtime when the process goes on for longer than the time limit.
    pub fn wait(&self, pid: i32) -> Result<Option<i32>, Stop> {
        let limit = self.context.call_limit();
        if !ends_within(pid, limit)? {
            return fail(format_args!("process {pid} did not end within {limit:?}"));
        }
        match waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => Ok(status
                .exit_status()
                .or(status.terminating_signal().map(|signal| 128 + signal))),
            _ => Ok(None),
        }
    }

    /// Waits until `state` says this status.
    ///
    /// # Errors
    /// A failure of the runtime when it does not come in time.
    pub fn wait_for_status(&self, wanted: &str) -> Verdict {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = self.status()?;
            if seen == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                return fail(format_args!("status: wanted {wanted:?}, saw {seen:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill` with this signal, which must work.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn kill(&self, signal: &str) -> Result<Output, Stop> {
        self.call("kill", &[], &[signal])?.must_work()
    }

    /// Kills the container's process and waits for its end.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn stop(&self) -> Verdict {
        let pid = self.pid()?;
        self.kill("KILL")?;
        self.wait(pid)?;
        self.wait_for_status("stopped")
    }

    /// `delete`, which must work.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn delete(&mut self, options: &[&str]) -> Result<Output, Stop> {
        let output = self.call("delete", options, &[])?.must_work()?;
        self.deleted = true;
        Ok(output)
    }

    /// Forgets the container: the runtime itself has deleted it, as `run` does.
    pub fn gone(&mut self) {
        self.deleted = true;
    }

    /// Where the container's process writes to standard output.
    pub fn stdout_file(&self) -> PathBuf {
        self.created
            .as_ref()
            .map(|output| output.stdout_file.clone())
            .unwrap_or_default()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if !self.deleted {
            // A failure shows when the harness looks for what is left.
            let _ = self.call("delete", &["--force"], &[]);
        }
    }
}
