//! The checks of a container's health, one after the other: each is a process that the runtime
//! executes in the container, and that the core supervises like any other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::health::{Check, Condition, Health, Plan};
use crate::record::{Entry, State};
use crate::supervise::{
    Birth, Born, Descent, Exit, Input, Output, ProcessKey, Refusal, Supervisor,
};

/// How much of what a check says is kept, in bytes (Docker's number).
const OUTPUT: usize = 4096;
/// How long what a check has started and left is listened to.
const DRAIN: Duration = Duration::from_secs(1);

/// The checks of one container, in all of its runs.
#[derive(Debug)]
pub(super) struct Checks {
    plan: Plan,
    /// Since when the container runs, if it does.
    runs_since: Option<Instant>,
    /// When there is to be the next one.
    next: Instant,
    current: Option<Current>,
}

/// The one that is under way.
#[derive(Debug)]
struct Current {
    key: ProcessKey,
    started: Timestamp,
    deadline: Instant,
    /// Of which run it is.
    run: Instant,
    is_late: bool,
    output: Vec<u8>,
    exit: Option<Exit>,
}

impl Checks {
    pub(super) fn new(plan: Plan) -> Self {
        Checks {
            plan,
            runs_since: None,
            next: Instant::now(),
            current: None,
        }
    }

    /// Whether this process is a check.
    pub(super) fn own(&self, key: ProcessKey) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.key == key)
    }

    /// None is under way.
    pub(super) fn rest(&self) -> bool {
        self.current.is_none()
    }

    /// Whether the container is to be killed for its health.
    pub(super) fn condemn(&self, state: &State) -> bool {
        let health = state.health.as_ref();
        self.plan.kills && health.is_some_and(|health| health.status == Condition::Unhealthy)
    }

    /// The container runs.
    pub(super) fn begin(&mut self, state: &mut State) {
        let now = Instant::now();
        self.runs_since = Some(now);
        self.next = now + self.plan.interval;
        state.health = Some(Health::new());
    }

    /// The container has ended.
    pub(super) fn end(&mut self, core: &mut Supervisor) {
        self.runs_since = None;
        if let Some(current) = &self.current {
            kill(current.key, "the container has ended", core);
        }
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        match &self.current {
            Some(current) => (!current.is_late).then_some(current.deadline),
            None => self.runs_since.map(|_| self.next),
        }
    }

    /// Begins a check, or ends one, if it is time for that. True if the state has changed.
    pub(super) fn alarm(&mut self, entry: &mut Entry, core: &mut Supervisor) -> bool {
        let now = Instant::now();
        match (&mut self.current, self.runs_since) {
            (Some(current), _) if !current.is_late && current.deadline <= now => {
                current.is_late = true;
                kill(current.key, "it took too long", core);
                false
            }
            (None, Some(run)) if self.next <= now => match write_process(entry, &self.plan) {
                Ok(process) => {
                    let key = core.give_birth(birth(entry, process, &self.plan));
                    self.current = Some(Current {
                        key,
                        started: Timestamp::now(),
                        deadline: now + self.plan.timeout,
                        run,
                        is_late: false,
                        output: Vec::new(),
                        exit: None,
                    });
                    false
                }
                Err(error) => {
                    let now = Timestamp::now();
                    self.note((now, None, format!("{error:#}")), run, &mut entry.state)
                }
            },
            _ => false,
        }
    }

    /// What came of having it made. True if the state has changed.
    pub(super) fn born(
        &mut self,
        outcome: Result<Born, Refusal>,
        state: &mut State,
        core: &mut Supervisor,
    ) -> bool {
        match (outcome, &self.current) {
            (Ok(_), Some(current)) => {
                if current.is_late || self.runs_since != Some(current.run) {
                    kill(current.key, "", core);
                }
                false
            }
            (Err(refusal), Some(_)) => self.conclude(Some(refusal.message), state),
            (_, None) => false,
        }
    }

    /// It has said something.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if let Some(current) = &mut self.current {
            let room = OUTPUT.saturating_sub(current.output.len());
            current.output.extend(&bytes[..bytes.len().min(room)]);
        }
    }

    /// It has ended.
    pub(super) fn exited(&mut self, exit: Exit, core: &mut Supervisor) {
        if let Some(current) = &mut self.current {
            current.exit = Some(exit);
            core.listen_for(current.key, DRAIN);
        }
    }

    /// It has ended, and said all that it had to say. True if the state has changed.
    pub(super) fn drained(&mut self, state: &mut State, core: &mut Supervisor) -> Result<bool> {
        if let Some(current) = &self.current {
            core.forget(current.key)?;
        }
        Ok(self.conclude(None, state))
    }

    fn conclude(&mut self, refusal: Option<String>, state: &mut State) -> bool {
        let Some(current) = self.current.take() else {
            return false;
        };
        let status = current.exit.map(|exit| exit.status);
        let said = || String::from_utf8_lossy(&current.output).into_owned();
        let (status, output) = match refusal {
            _ if current.is_late => {
                let timeout = self.plan.timeout;
                (
                    None,
                    format!("it took more than {timeout:?} and was killed"),
                )
            }
            Some(refusal) => (None, refusal),
            None => (status, said()),
        };
        self.note((current.started, status, output), current.run, state)
    }

    /// The result counts if it is about the container as it runs now.
    fn note(
        &mut self,
        (started, exit_status, output): (Timestamp, Option<i32>, String),
        run: Instant,
        state: &mut State,
    ) -> bool {
        self.next = Instant::now() + self.plan.interval;
        let Some(health) = state
            .health
            .as_mut()
            .filter(|_| self.runs_since == Some(run))
        else {
            return false;
        };
        let check = Check {
            started,
            ended: Timestamp::now(),
            exit_status,
            output,
        };
        health.note(check, &self.plan, run.elapsed());
        true
    }
}

/// Ends a check, whether there is a process of it yet or not.
fn kill(key: ProcessKey, why: &str, core: &mut Supervisor) {
    core.give_up(key, why);
    if let Some((_, handle)) = core.handle(key) {
        handle.signal(libc::SIGKILL);
    }
}

/// The container's own `process` of config.json, but for what it executes.
fn write_process(entry: &Entry, plan: &Plan) -> Result<PathBuf> {
    let config = entry.state.bundle.join("config.json");
    let reading = || format!("reading {}", config.display());
    let text = std::fs::read(&config).with_context(reading)?;
    let mut config: Value = serde_json::from_slice(&text).with_context(reading)?;
    let mut process = config["process"].take();
    process["args"] = json!(["/bin/sh", "-c", plan.command]);
    process["terminal"] = json!(false);
    let path = entry.record.directory().join("health.json");
    std::fs::write(&path, process.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn birth(entry: &Entry, process: PathBuf, plan: &Plan) -> Birth {
    let directory: &Path = entry.record.directory();
    Birth {
        runtime: entry.state.runtime.clone(),
        descent: Descent::Exec(process),
        id: entry.state.id.clone(),
        options: Vec::new(),
        pid_file: directory.join("health.pid"),
        directory: directory.to_owned(),
        terminal: None,
        stdin: Input::Null,
        stdout: Output::Front,
        stderr: Output::Front,
        log: None,
        owner: None,
        patience: Some(plan.timeout),
        listen_pid: false,
    }
}
