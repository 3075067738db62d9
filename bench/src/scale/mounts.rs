//! `run` of a container with 1, 10, 100 and 1,000 bind mounts: what a further mount costs.

use std::fmt::Write;
use std::fs;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::Container;
use crate::bundle::TRUE;
use crate::contestant::{Contestant, Phase, Task};
use crate::ground::Ground;
use crate::measure::{self, Summary};
use crate::scenario::Network;
use crate::shuffle::Shuffle;

/// How many bind mounts the containers have.
pub const COUNTS: [usize; 4] = [1, 10, 100, 1_000];

/// What a contestant took for each of [`COUNTS`], in milliseconds.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// The contestant.
    pub name: String,
    /// Wall time.
    pub wall: Vec<Summary>,
    /// CPU time of all processes.
    pub cpu: Vec<Summary>,
}

impl Growth {
    /// Wall and CPU time of a further mount in microseconds: between one and [`COUNTS`]' last, by the 25th
    /// percentile.
    pub fn slope(&self) -> (f64, f64) {
        #[allow(clippy::cast_precision_loss)] // counts far below 2^52
        let further = (COUNTS[COUNTS.len() - 1] - COUNTS[0]) as f64;
        let of = |times: &[Summary]| match times {
            [first, .., last] => (last.quartile - first.quartile) / further * 1e3,
            _ => f64::NAN,
        };
        (of(&self.wall), of(&self.cpu))
    }
}

/// Measures all contestants alternately.
pub fn measure(
    contestants: &[Contestant],
    ground: &Ground,
    rounds: usize,
    shuffle: &mut Shuffle,
) -> Result<Vec<Growth>> {
    let mut growths: Vec<Growth> = contestants
        .iter()
        .map(|contestant| Growth {
            name: contestant.name.clone(),
            wall: Vec::new(),
            cpu: Vec::new(),
        })
        .collect();
    for count in COUNTS {
        let mounts = bind_mounts(ground, count)?;
        let tasks = contestants
            .iter()
            .map(|contestant| {
                let name = format!("{count}-mounts");
                // A new network namespace would hide the mounts behind its grace periods.
                let container =
                    Container::lay_out(contestant, ground, &name, Network::Host, TRUE, &mounts)?;
                Ok(Task {
                    timed: vec![Phase::Command(container.run())],
                    ..Task::default()
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let samples = measure::alternately(tasks.len(), rounds, shuffle, |which| {
            measure::time(&tasks[which], &ground.log)
        })?;
        for (growth, samples) in growths.iter_mut().zip(samples) {
            growth
                .wall
                .push(Summary::of(samples.iter().map(|one| one.wall)));
            growth
                .cpu
                .push(Summary::of(samples.iter().map(|one| one.cpu)));
        }
    }
    Ok(growths)
}

/// Bind mounts of one directory on as many others, which are made.
fn bind_mounts(ground: &Ground, count: usize) -> Result<Vec<serde_json::Value>> {
    let workplace = ground.workplace();
    let source = workplace.directory.join("mounted");
    fs::create_dir_all(&source)?;
    (0..count)
        .map(|number| {
            let destination = format!("/mounts/{number}");
            fs::create_dir_all(workplace.rootfs.join(&destination[1..]))?;
            Ok(json!({
                "destination": destination,
                "type": "bind",
                "source": source,
                "options": ["rbind", "rprivate"],
            }))
        })
        .collect()
}

/// For people.
pub fn table(growths: &[Growth]) -> String {
    let mut text = String::from("run with so many bind mounts, host's network: 25 %, ms\n");
    let _ = write!(text, "{:<24}", "");
    for count in COUNTS {
        let _ = write!(text, "{count:>9}");
    }
    let _ = writeln!(text, "{:>20}", "µs a further mount");
    for growth in growths {
        let (wall, cpu) = growth.slope();
        for (what, times, slope) in [("wall", &growth.wall, wall), ("CPU", &growth.cpu, cpu)] {
            let _ = write!(text, "{:<18}{what:<6}", growth.name);
            for time in times {
                let _ = write!(text, "{:>9.2}", time.quartile);
            }
            let _ = writeln!(text, "{slope:>20.1}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Growth;
    use crate::measure::Summary;

    #[test]
    fn the_slope_is_that_of_a_further_mount() {
        let at = |milliseconds: f64| Summary {
            minimum: 0.0,
            quartile: milliseconds,
            median: 0.0,
        };
        let growth = Growth {
            name: String::new(),
            wall: [2.0, 2.1, 3.0, 11.99].map(at).to_vec(),
            cpu: [1.0, 1.0, 1.0, 1.0].map(at).to_vec(),
        };
        let (wall, cpu) = growth.slope();
        assert!((wall - 10.0).abs() < 1e-6, "{wall}");
        assert!(cpu.abs() < 1e-6, "{cpu}");
    }
}
