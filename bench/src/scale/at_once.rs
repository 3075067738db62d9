//! Many containers, several at a time: what runtimes make each other wait for.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::Container;
use crate::bundle::TRUE;
use crate::contestant::{CommandLine, Contestant};
use crate::ground::Ground;
use crate::measure::{self, ErrorLog, Summary};
use crate::scenario::Network;
use crate::shuffle::Shuffle;
use crate::sys;

/// So many containers in a round.
pub const CONTAINERS: usize = 100;
/// So many of them at a time.
pub const AT_A_TIME: usize = 8;

/// What a contestant took for all containers of a round, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Round {
    /// The contestant.
    pub name: String,
    /// From the first one's start to the last one's end.
    pub wall: Summary,
}

/// Measures all contestants alternately.
pub fn measure(
    contestants: &[Contestant],
    ground: &Ground,
    rounds: usize,
    shuffle: &mut Shuffle,
) -> Result<Vec<Round>> {
    let lines = contestants
        .iter()
        .map(|contestant| {
            (0..CONTAINERS)
                .map(|number| {
                    let name = format!("at-once-{number}");
                    let container =
                        Container::lay_out(contestant, ground, &name, Network::New, TRUE, &[])?;
                    Ok(container.run())
                })
                .collect::<Result<Vec<_>>>()
        })
        .collect::<Result<Vec<_>>>()?;
    let walls = measure::alternately(lines.len(), rounds, shuffle, |which| {
        run_all(&lines[which], &ground.log)
    })?;
    Ok(contestants
        .iter()
        .zip(walls)
        .map(|(contestant, walls)| Round {
            name: contestant.name.clone(),
            wall: Summary::of(walls.into_iter()),
        })
        .collect())
}

/// Runs all commands, [`AT_A_TIME`]. After a failure no more are begun, and those that run are waited for.
fn run_all(lines: &[CommandLine], log: &ErrorLog) -> Result<Duration> {
    let begin = Instant::now();
    let mut waiting = lines.iter();
    let mut running = HashMap::new();
    let mut result = Ok(());
    loop {
        while result.is_ok() && running.len() < AT_A_TIME {
            let Some(line) = waiting.next() else { break };
            let started = log.command(line).and_then(|mut command| {
                let child = command.spawn();
                child.with_context(|| format!("start {}", line[0].display()))
            });
            match started {
                Ok(child) => {
                    running.insert(child.id(), line);
                }
                Err(error) => result = Err(error),
            }
        }
        if running.is_empty() {
            return result.map(|()| begin.elapsed());
        }
        // Others are containers' processes, which became ours.
        let ended = sys::wait4(-1, 0)?.context("the commands are gone")?;
        if let Some(line) = running.remove(&ended.pid.unsigned_abs()) {
            result = result.and(log.check(line, ended.status));
        }
    }
}

/// For people: the first one's time is compared with the others'.
pub fn table(rounds: &[Round]) -> String {
    let mut text = format!(
        "run of {CONTAINERS} containers, {AT_A_TIME} at a time, new network namespaces: wall, ms\n"
    );
    let _ = writeln!(
        text,
        "{:<18}{:>9}{:>9}{:>9}{:>20}",
        "", "min", "25 %", "median", "the first's share"
    );
    for round in rounds {
        let share = rounds[0].wall.quartile / round.wall.quartile;
        let Summary {
            minimum,
            quartile,
            median,
        } = round.wall;
        let _ = writeln!(
            text,
            "{:<18}{minimum:>9.0}{quartile:>9.0}{median:>9.0}{share:>20.2}",
            round.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::run_all;
    use crate::measure::ErrorLog;

    #[test]
    fn one_that_fails_is_named_and_the_others_are_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let log = ErrorLog::in_file(&directory.path().join("log")).unwrap();
        let done = directory.path().join("done");
        let shell = |script: String| ["sh".into(), "-c".into(), script.into()].to_vec();
        let lines = [
            shell(format!("sleep 0.2; echo > {}", done.display())),
            shell("echo no such moon >&2; exit 3".into()),
        ];
        let error = run_all(&lines, &log).unwrap_err().to_string();
        assert!(error.contains("no such moon"), "{error}");
        assert!(done.exists());
    }
}
