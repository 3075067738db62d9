//! A runtime that is killed at any moment: what is left can be deleted.
//!
//! A case first counts the calls to the kernel that change something, then makes the same call of
//! the runtime again and again, and each time kills the process that makes the next one of those
//! calls (`--big`: every one; else some that are spread over all). Behind each kill `delete --force`
//! has to leave nothing, and the id has to be free for the next time.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};

use crate::case::{CRUN, Case, Known, RUNC, Stop, Verdict, check, fail};
use crate::harness::{Bundle, Container, Context};
use crate::tracer::Killed;

const CLAUSE: (&str, &str, &str) = (
    "runtime.md",
    "Delete",
    "MUST delete the resources that were created during the `create` step",
);

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "crash/create",
        "what a killed create leaves, delete --force deletes",
        "kills a process of create at one call after the other that changes something, and deletes",
        |context| {
            let bundle = waiting(context)?;
            each_kill(context, &bundle, |_, _, _| Ok(()), &["create", "--bundle"])
        },
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2)
    .patience(6)
    .known(&[
        Known {
            runtimes: RUNC,
            why: "a cgroup or a state directory that is made before state.json is written is forgotten: runc issue 4534",
        },
        Known {
            runtimes: CRUN,
            why: "a cgroup or a process that is made before the status file is written is forgotten",
        },
    ]),
    Case::contract(
        "crash/start",
        "what a killed start leaves, delete --force deletes",
        "kills start at one call after the other that changes something, and deletes",
        |context| {
            let bundle = waiting(context)?;
            each_kill(context, &bundle, created, &["start"])
        },
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2)
    .patience(6),
    Case::contract(
        "crash/exec",
        "what a killed exec leaves, delete --force deletes, and the container goes on until then",
        "kills a process of exec at one call after the other that changes something, and deletes",
        |context| {
            let bundle = waiting(context)?;
            each_kill(context, &bundle, started, &["exec", "--detach"])
        },
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2)
    .patience(6)
    .known(&[
        Known {
            runtimes: RUNC,
            why: "the bind mount of its own program in the state directory stays, and delete stumbles over it",
        },
        Known {
            runtimes: CRUN,
            why: "waits for ever on a socket without connection for a child that was killed",
        },
    ]),
    Case::contract(
        "crash/delete",
        "what a killed delete leaves, the next delete --force deletes",
        "kills delete --force at one call after the other that changes something, and deletes",
        |context| {
            let bundle = waiting(context)?;
            each_kill(context, &bundle, started, &["delete", "--force"])
        },
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2)
    .patience(6)
    .known(&[Known {
        runtimes: RUNC,
        why: "a delete that was killed behind the removal of state.json leaves the directory for good",
    }]),
];

/// A bundle whose process waits for signals.
fn waiting(context: &Context) -> Result<Bundle, Stop> {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.write()?;
    Ok(bundle)
}

/// At how many of the calls a case kills, unless all are wanted.
const KILLS: usize = 24;

/// The case: `prepare` makes the container as far as the words to be killed need it.
fn each_kill(
    context: &Context,
    bundle: &Bundle,
    prepare: fn(&Context, &Bundle, &Container<'_>) -> Verdict,
    words: &[&str],
) -> Verdict {
    let record = context.directory.join("calls");
    let container = context.container()?;
    let attempt = |number: usize| -> Result<Killed, Stop> {
        prepare(context, bundle, &container)?;
        let mut words = words.to_vec();
        let directory = bundle.directory.to_string_lossy();
        if words.contains(&"--bundle") {
            words.push(&directory);
        }
        words.push(&container.id);
        if words.contains(&"exec") {
            words.extend(["/probe", "probe", "wait"]);
        }
        let file = record.to_string_lossy();
        let output = context
            .call(&words)
            .tracer(&["kill", &number.to_string(), &file])
            .run()?;
        if output.stderr().contains("tracer: Input/output error") {
            return Err(Stop::Skipped(
                "needs a kernel whose ptrace tells of system calls".to_owned(),
            ));
        }
        if number == 0 {
            output.must_work()?;
        }
        Ok(Killed::read(&record))
    };
    let all = attempt(0)?.calls.len();
    if let Some(left) = after_delete(context, &container)? {
        return fail(format_args!("nobody was killed, and {left}"));
    }
    check(all > 0, "it changed nothing")?;
    let kills = if context.big { all } else { all.min(KILLS) };
    let mut failures = Vec::new();
    for index in 0..kills {
        let number = 1 + index * all / kills;
        let killed = attempt(number)?;
        if let Some(left) = after_delete(context, &container)? {
            let call = killed.calls.last().cloned().unwrap_or_default();
            failures.push(format!("killed at call {number} of {all}, {call}: {left}"));
            clean(context, &container);
        }
    }
    check(
        failures.is_empty(),
        format_args!(
            "{} of {kills} kills left something: {}",
            failures.len(),
            failures.join("; ")
        ),
    )
}

fn created(_: &Context, bundle: &Bundle, container: &Container<'_>) -> Verdict {
    let directory = bundle.directory.to_string_lossy();
    container
        .call("create", &["--bundle", &directory], &[])?
        .must_work()?;
    Ok(())
}

fn started(context: &Context, bundle: &Bundle, container: &Container<'_>) -> Verdict {
    created(context, bundle, container)?;
    container.start()?;
    Ok(())
}

/// Deletes the container, and says what there still is of it.
fn after_delete(context: &Context, container: &Container<'_>) -> Result<Option<String>, Stop> {
    let mut deletion = context
        .call(&["delete", "--force", &container.id])
        .spawn()?;
    // The container's first process can't end before we have reaped what exec has put beside it
    // and left to us (pid_namespaces(7)).
    let deadline = Instant::now() + context.call_limit();
    while !deletion.has_ended()? && Instant::now() < deadline {
        for pid in children().into_iter().filter(|pid| *pid != deletion.pid()) {
            let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
        sleep(Duration::from_millis(1));
    }
    // What it exits with is its own affair: there may be nothing to delete.
    let output = deletion.wait()?;
    if let Err(Stop::Failed(left)) = context.nothing_left(&container.id) {
        return Ok(Some(format!("{left} ({})", output.description())));
    }
    Ok(processes_left().map(|pid| format!("process {pid} is left")))
}

/// A process that was orphaned and goes on: such come to this process, which is their reaper.
fn processes_left() -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        while rustix::process::wait(WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
        let child = *children().first()?;
        if Instant::now() > deadline {
            return Some(child);
        }
        sleep(Duration::from_millis(2));
    }
}

fn children() -> Vec<i32> {
    let own = std::process::id();
    fs::read_to_string(format!("/proc/self/task/{own}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Removes what the runtime has left, so that the next kill is judged by itself.
fn clean(context: &Context, container: &Container<'_>) {
    for _ in 0..100 {
        for pid in children() {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        while rustix::process::wait(WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
        if children().is_empty() {
            break;
        }
        sleep(Duration::from_millis(5));
    }
    for mount in crate::harness::mounts().iter().rev() {
        if Path::new(&mount.point).starts_with(&context.directory) {
            let _ =
                rustix::mount::unmount(mount.point.as_str(), rustix::mount::UnmountFlags::DETACH);
        }
    }
    for top in crate::harness::cgroup::left_behind(&context.word) {
        crate::harness::cgroup::remove(&top);
    }
    let state: PathBuf = context.state.join(&container.id);
    let _ = fs::remove_dir_all(&state);
    let _ = fs::remove_file(&state);
}
