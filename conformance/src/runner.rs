//! Carries cases out, several at a time, each in a process of its own.
//!
//! A case's process is the reaper of the containers that it starts, so it learns how they end; a
//! case that hangs is killed, and what it had is cleaned up from here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::case::{Case, Stop};
use crate::cases;
use crate::harness::{self, Context, Host, cgroup, wait_for};
use crate::report::{CaseResult, Outcome, Run};

/// What a run needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The runtime's program, absolute.
    pub runtime: PathBuf,
    /// Where bundles and the runtime's state directories are made.
    pub root: PathBuf,
    /// How many cases at a time.
    pub jobs: usize,
    /// How long one case may take.
    pub limit: Duration,
    /// Whether the directories stay.
    pub keep: bool,
    /// Whether cases that make very many containers or calls do so in full.
    pub big: bool,
}

/// What a case's process is told.
#[derive(Debug, Deserialize, Serialize)]
struct Order {
    case: String,
    runtime: PathBuf,
    directory: PathBuf,
    probe: PathBuf,
    word: String,
    seconds: f32,
    big: bool,
    host: Host,
}

/// Carries the cases out and returns what came of them, in the order given.
///
/// # Errors
/// Those of making the directories.
pub fn run(settings: &Settings, cases: Vec<&'static Case>) -> io::Result<Run> {
    let began = Instant::now();
    let host = Host::find(&settings.runtime);
    fs::create_dir_all(&settings.root)?;
    let probe = settings.root.join("probe");
    fs::copy("/proc/self/exe", &probe)?;
    crate::sys::keep_descriptors_to_ourselves();
    // What a killed case's process leaves comes to us, and can be ended.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let next = AtomicUsize::new(0);
    let total = cases.len();
    let results = Mutex::new(Vec::with_capacity(total));
    thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&case) = cases.get(number) else {
                        return;
                    };
                    let result = attend(settings, &host, &probe, number, case);
                    if let Ok(mut results) = results.lock() {
                        results.push((number, case, result));
                        progress(results.len(), total);
                    }
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|&(number, _, _)| number);
    while rustix::process::wait(WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
    if !settings.keep {
        fs::remove_dir_all(&settings.root)?;
    }
    Ok(Run {
        runtime: settings.runtime.to_string_lossy().into_owned(),
        host,
        elapsed: began.elapsed(),
        cases: results
            .into_iter()
            .map(|(_, case, result)| (case, result))
            .collect(),
    })
}

/// Tells a person who waits how far it is.
fn progress(done: usize, all: usize) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let end = if done == all { "\r\x1b[K" } else { "" };
        let _ = write!(stderr, "\r{done} of {all} cases{end}");
    }
}

/// Sees one case through, and makes sure that nothing of it is left.
fn attend(
    settings: &Settings,
    host: &Host,
    probe: &Path,
    number: usize,
    case: &'static Case,
) -> CaseResult {
    let began = Instant::now();
    if let Some(reason) = case.needs.iter().find_map(|&need| host.lacks(need)) {
        return CaseResult {
            outcome: Outcome::Skipped,
            reason,
            seconds: 0.0,
            calls: Vec::new(),
        };
    }
    let mut limit = settings.limit * case.patience;
    if settings.big {
        limit *= 20;
    }
    let order = Order {
        case: case.id.to_owned(),
        runtime: settings.runtime.clone(),
        directory: settings.root.join(number.to_string()),
        probe: probe.to_owned(),
        word: format!("wconf-{}-{number}", std::process::id()),
        seconds: limit.as_secs_f32(),
        big: settings.big,
        host: host.clone(),
    };
    let mut result = delegate(&order, limit).unwrap_or_else(|error| CaseResult {
        outcome: Outcome::Broken,
        reason: error.to_string(),
        seconds: 0.0,
        calls: Vec::new(),
    });
    let left = clean_up(&order);
    // Cases that demand that nothing is left look for themselves; of the others it is said.
    if result.outcome == Outcome::Passed && !left.is_empty() {
        result.reason = format!(
            "left behind and cleaned up by the suite: {}",
            left.join(", ")
        );
    }
    if result.outcome == Outcome::Failed
        && let Some(why) = case.known_for(&host.runtime_version, &result.reason)
    {
        result.outcome = Outcome::Known;
        result.reason = format!("{why} ({})", result.reason);
    }
    if settings.keep {
        let script = format!(
            "#!/bin/sh\n# {}: {}\n{}\n",
            case.id,
            case.title,
            result.calls.join("\n")
        );
        let _ = fs::write(order.directory.join("commands.sh"), script);
    } else {
        let _ = fs::remove_dir_all(&order.directory);
    }
    result.seconds = began.elapsed().as_secs_f64();
    result
}

/// Has a new process carry out the case.
fn delegate(order: &Order, limit: Duration) -> io::Result<CaseResult> {
    // Files, since nobody reads while it works: what it says can be more than a pipe holds.
    let said = ["result", "complaint"].map(|name| order.directory.with_extension(name));
    let mut child = Command::new("/proc/self/exe")
        .arg("worker")
        .arg(serde_json::to_string(order)?)
        .stdin(Stdio::null())
        .stdout(File::create(&said[0])?)
        .stderr(File::create(&said[1])?)
        .process_group(0)
        .spawn()?;
    let ended = wait_for(&mut child, limit);
    if !matches!(ended, Ok(Some(_))) {
        // With it the calls of the runtime that it waits for.
        rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        child.wait()?;
        return Ok(CaseResult {
            outcome: Outcome::Failed,
            reason: format!("did not end within {:.0} s", limit.as_secs_f32()),
            seconds: 0.0,
            calls: Vec::new(),
        });
    }
    let [answer, complaint] = said.map(|file| {
        let text = fs::read(&file).unwrap_or_default();
        let _ = fs::remove_file(&file);
        String::from_utf8_lossy(&text).into_owned()
    });
    serde_json::from_str(&answer).map_err(|_| io::Error::other(format!("no result: {complaint}")))
}

/// Deletes what the case may have left: containers, processes, mounts, cgroups. Returns what
/// there still was of them after their deletion.
fn clean_up(order: &Order) -> Vec<String> {
    for id in fs::read_to_string(order.directory.join("ids"))
        .unwrap_or_default()
        .lines()
    {
        if order.directory.join("state").join(id).exists() {
            let deletion = Command::new(&order.runtime)
                .arg("--root")
                .arg(order.directory.join("state"))
                .args(["delete", "--force", id])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            if let Ok(mut child) = deletion
                && !matches!(wait_for(&mut child, Duration::from_secs(10)), Ok(Some(_)))
            {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
    let mut left = Vec::new();
    let below = format!("{}/", order.directory.display());
    for mount in harness::mounts()
        .iter()
        .rev()
        .filter(|mount| mount.point.starts_with(&below))
    {
        left.push(format!("a mount at {}", mount.point));
        let _ = unmount(mount.point.as_str(), UnmountFlags::DETACH);
    }
    for top in cgroup::left_behind(&order.word) {
        for directory in fs::read_dir(&top).into_iter().flatten().flatten() {
            if directory.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(format!("a cgroup {}", directory.path().display()));
            }
        }
        kill_all(&top);
        cgroup::remove(&top);
    }
    left
}

/// Kills the processes of a tree of cgroups and waits a moment for their end.
fn kill_all(top: &Path) {
    for _ in 0..100 {
        let processes = processes_below(top);
        if processes.is_empty() {
            return;
        }
        for pid in processes {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn processes_below(directory: &Path) -> BTreeSet<i32> {
    let mut processes: BTreeSet<i32> = fs::read_to_string(directory.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes.extend(processes_below(&entry.path()));
        }
    }
    processes
}

/// The case's process: carries out the order and prints the result.
pub fn worker(order: &str) -> ExitCode {
    match work(order) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(stop) => {
            eprintln!("{stop:?}");
            ExitCode::from(2)
        }
    }
}

fn work(order: &str) -> Result<String, Stop> {
    let order: Order = serde_json::from_str(order)?;
    let case = cases::all()
        .find(|case| case.id == order.case)
        .ok_or_else(|| Stop::Broken(format!("no case {}", order.case)))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let limit = Duration::from_secs_f32(order.seconds);
    let mut context = Context::new(
        order.runtime,
        order.directory,
        order.probe,
        order.word,
        limit,
    )?;
    context.host = order.host;
    context.big = order.big;
    let (outcome, reason) = match (case.run)(&context) {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(Stop::Failed(reason)) => (Outcome::Failed, reason),
        Err(Stop::Skipped(reason)) => (Outcome::Skipped, reason),
        Err(Stop::Broken(reason)) => (Outcome::Broken, reason),
    };
    while rustix::process::wait(WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
    let result = CaseResult {
        outcome,
        reason,
        seconds: 0.0,
        calls: context.transcript(),
    };
    Ok(serde_json::to_string(&result)?)
}
