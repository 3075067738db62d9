//! Containers are created, started, killed and deleted again and again, eight at a time, while one
//! call in three is ended by SIGKILL at some moment: nothing hangs, and nothing is left.
//!
//! `WINDLASS_CYCLES` says how many cycles (200 if it doesn't). Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
#[allow(
    dead_code,
    reason = "its random numbers are all that is needed of it here"
)]
mod seccomp_profiles;

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Sandbox, wait_for};
use seccomp_profiles::Random;

/// How many at a time.
const AT_A_TIME: usize = 8;

/// The calls of one cycle.
const CYCLE: [&[&str]; 4] = [
    &["create", "ID"],
    &["start", "ID"],
    &["kill", "ID", "KILL"],
    &["delete", "ID"],
];

/// What became of the calls.
#[derive(Debug, Default)]
struct Tally {
    cycles: AtomicUsize,
    killed: AtomicUsize,
    undisturbed: AtomicUsize,
}

#[test]
fn nothing_is_left_of_cycles_that_are_broken_off() {
    let cycles = std::env::var("WINDLASS_CYCLES")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(200);
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for worker in 0..AT_A_TIME {
            let tally = &tally;
            scope.spawn(move || {
                let sandbox = Sandbox::new(&format!("cycles{worker}"));
                sandbox.write_config();
                let mut random = Random(0xc1c1e + worker as u64);
                while tally.cycles.fetch_add(1, Ordering::Relaxed) < cycles {
                    cycle(&sandbox, &mut random, tally);
                }
            });
        }
    });
    println!("{tally:?}");
    assert!(tally.killed.into_inner() > cycles / 10);
    assert!(tally.undisturbed.into_inner() > cycles / 10);
}

fn cycle(sandbox: &Sandbox, random: &mut Random, tally: &Tally) {
    let mut disturbed = false;
    for call in CYCLE {
        let mut command = sandbox.command(call);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        if random.below(3) == 0 {
            // Calls take some milliseconds, and longer when eight of them share two processors.
            std::thread::sleep(Duration::from_micros(random.next() % 15_000));
            child.kill().unwrap();
        }
        let status = wait_for(&mut child);
        if status.code().is_none() {
            tally.killed.fetch_add(1, Ordering::Relaxed);
            disturbed = true;
        } else if !disturbed && call[0] != "delete" {
            assert!(status.success(), "{call:?}: {status}");
        }
        // `delete` right after `kill` may find the process in its last moment, as runc's does.
    }
    if !disturbed {
        tally.undisturbed.fetch_add(1, Ordering::Relaxed);
    }
    let removed = sandbox.windlass(&["delete", "--force", "ID"]);
    assert!(
        removed.status.success(),
        "delete --force: {}",
        removed.stderr
    );
    sandbox.assert_clean("a cycle");
}
