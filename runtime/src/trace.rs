//! `--trace`: when each step of a plan began and ended, on both sides, as a file that Perfetto and
//! `chrome://tracing` show.
//!
//! Both processes note the times in memory that they share, without a system call: neither init's
//! filter nor the loss of its descriptors keeps it from that, and what it has noted is there when it
//! was killed. It holds nothing of the host by it.

use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::error::{CallContext, Error, Result};
use crate::plan::{Action, Plan, Side};
use crate::sys::shared::SharedNumbers;

/// When the steps of a plan began and ended; 0 for what has not been.
#[derive(Debug)]
pub struct StepTimes(SharedNumbers);

impl StepTimes {
    /// For this plan, before init is born.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn of(plan: &Plan<'_>) -> Result<Self> {
        let numbers = SharedNumbers::new(2 * plan.steps.len())
            .call(|| "mmap(MAP_SHARED), for the times of --trace")?;
        Ok(StepTimes(numbers))
    }

    /// The step with this number in the plan begins.
    pub fn begin(&self, step: usize) {
        self.note(2 * step);
    }

    /// It has ended well. One that fails never does.
    pub fn end(&self, step: usize) {
        self.note(2 * step + 1);
    }

    fn note(&self, index: usize) {
        if let Some(time) = self.0.as_slice().get(index) {
            time.store(now(), Ordering::Release);
        }
    }

    /// When it began, and when it ended.
    fn of_step(&self, step: usize) -> (Option<u64>, Option<u64>) {
        let time = |index: usize| {
            let noted = self.0.as_slice().get(index);
            let noted = noted.map(|time: &AtomicU64| time.load(Ordering::Acquire));
            noted.filter(|time| *time != 0)
        };
        (time(2 * step), time(2 * step + 1))
    }
}

/// Nanoseconds since the epoch. A time namespace moves all other clocks (`time_namespaces(7)`), and
/// init may be in one.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// The file.
#[derive(Debug)]
pub struct Trace {
    file: File,
    path: String,
    begun: u64,
    written: Cell<bool>,
}

impl Trace {
    /// Opens it: what can't be written is refused before anything is done.
    ///
    /// # Errors
    /// open(2)'s.
    pub fn open(path: &Path) -> Result<Self> {
        let path_shown = path.display().to_string();
        Ok(Trace {
            file: File::create(path).call(|| format!("open the trace {path_shown}"))?,
            path: path_shown,
            begun: now(),
            written: Cell::new(false),
        })
    }

    /// Writes what is known of the steps. `init` is init's pid, if it was born; `failure` is why
    /// there is no container.
    ///
    /// # Errors
    /// write(2)'s.
    pub fn write(
        &self,
        plan: &Plan<'_>,
        times: &StepTimes,
        init: Option<i32>,
        failure: Option<&Error>,
    ) -> Result<()> {
        let read = now();
        let runtime = i64::from(std::process::id());
        let init = init.map_or(0, i64::from);
        let mut events = vec![process_name(runtime, Side::Runtime)];
        if init != 0 {
            events.push(process_name(init, Side::Init));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            let (Some(begun), ended) = times.of_step(index) else {
                continue;
            };
            let mut args = json!({
                "pointer": step.pointer.to_string(),
                "clause": step.clause,
            });
            let ended = match (ended, &step.action, failure) {
                (Some(ended), ..) => ended,
                (None, _, Some(failure)) => {
                    args["error"] = failure.to_string().into();
                    read
                }
                // The program has taken over, or we would not be here.
                (None, Action::Execute, None) => read,
                // Waiting for `start`.
                (None, ..) => continue,
            };
            let side = step.action.side();
            let pid = match side {
                Side::Runtime => runtime,
                Side::Init => init,
            };
            events.push(json!({
                "ph": "X",
                "name": step.action.to_string(),
                "cat": side.name(),
                "ts": microseconds(begun.saturating_sub(self.begun)),
                "dur": microseconds(ended.saturating_sub(begun)),
                "pid": pid,
                "tid": pid,
                "args": args,
            }));
        }
        self.write_events(&events, failure)
    }

    /// Writes a trace of no steps, where it came to none. Does nothing after [`Trace::write`].
    ///
    /// # Errors
    /// write(2)'s.
    pub fn write_without_steps(&self, failure: &Error) -> Result<()> {
        if self.written.get() {
            return Ok(());
        }
        self.write_events(&[], Some(failure))
    }

    fn write_events(&self, events: &[Value], failure: Option<&Error>) -> Result<()> {
        self.written.set(true);
        let mut other = json!({
            "version": concat!("windlass ", env!("CARGO_PKG_VERSION")),
            "begun": jiff::Timestamp::from_nanosecond(i128::from(self.begun))
                .map_or_else(|_| String::new(), |time| time.to_string()),
        });
        if let Some(failure) = failure {
            other["error"] = failure.to_string().into();
        }
        let trace = json!({
            "traceEvents": events,
            "displayTimeUnit": "ns",
            "otherData": other,
        });
        (&self.file)
            .write_all(format!("{trace}\n").as_bytes())
            .call(|| format!("write the trace {}", self.path))
    }
}

/// The name of a side's row.
fn process_name(pid: i64, side: Side) -> Value {
    json!({
        "ph": "M",
        "name": "process_name",
        "pid": pid,
        "tid": pid,
        "args": {"name": side.name()},
    })
}

#[allow(
    clippy::cast_precision_loss,
    reason = "exact for 104 days of nanoseconds"
)]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}
