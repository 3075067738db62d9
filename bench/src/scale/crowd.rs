//! `run` while many containers of the same runtime run already: what is looked for in all of them, by the runtime
//! or by the kernel.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use super::Container;
use crate::bundle::{SLEEP, TRUE};
use crate::contestant::{Contestant, Phase, Task};
use crate::ground::Ground;
use crate::measure::{self, Sample, Summary};
use crate::scenario::Network;

/// What a contestant's container costs alone and in the crowd, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Crowded {
    /// The contestant.
    pub name: String,
    /// Wall time with no other container; half of the rounds before the crowd came, half after it went.
    pub wall_alone: Summary,
    /// CPU time of all its processes, likewise.
    pub cpu_alone: Summary,
    /// Wall time with all others.
    pub wall: Summary,
    /// CPU time with all others.
    pub cpu: Summary,
}

/// Measures one contestant after the other, with `others` of its own containers in the crowd.
pub fn measure(
    contestants: &[Contestant],
    ground: &Ground,
    rounds: usize,
    others: usize,
) -> Result<Vec<Crowded>> {
    contestants
        .iter()
        .map(|contestant| one(contestant, ground, rounds, others))
        .collect()
}

fn one(contestant: &Contestant, ground: &Ground, rounds: usize, others: usize) -> Result<Crowded> {
    let network = Network::New;
    let container = Container::lay_out(contestant, ground, "one-more", network, TRUE, &[])?;
    let task = Task {
        timed: vec![Phase::Command(container.run())],
        ..Task::default()
    };
    let time = |rounds: usize| -> Result<Vec<Sample>> {
        (0..rounds)
            .map(|_| {
                measure::go_on()?;
                measure::time(&task, &ground.log)
            })
            .collect()
    };
    time(1)?; // to warm up
    let mut alone = time(rounds.div_ceil(2))?;
    let mut crowd = Crowd {
        ground,
        containers: Vec::new(),
    };
    for number in 0..others {
        measure::go_on()?;
        let name = format!("crowd-{number}");
        let container = Container::lay_out(contestant, ground, &name, network, SLEEP, &[])?;
        let line = container.run_detached();
        crowd.containers.push(container);
        measure::run(&line, &ground.log)?;
    }
    let crowded = time(rounds)?;
    drop(crowd);
    alone.extend(time(rounds / 2)?);
    let wall = |samples: &[Sample]| Summary::of(samples.iter().map(|one| one.wall));
    let cpu = |samples: &[Sample]| Summary::of(samples.iter().map(|one| one.cpu));
    Ok(Crowded {
        name: contestant.name.clone(),
        wall_alone: wall(&alone),
        cpu_alone: cpu(&alone),
        wall: wall(&crowded),
        cpu: cpu(&crowded),
    })
}

/// Containers that run; deleted when this is dropped.
struct Crowd<'a> {
    ground: &'a Ground,
    containers: Vec<Container<'a>>,
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for container in &self.containers {
            if let Err(error) = measure::run(&container.delete(), &self.ground.log) {
                eprintln!("windlass-scale-bench: clean-up: {error:#}");
            }
        }
    }
}

/// For people.
pub fn table(crowded: &[Crowded], others: usize) -> String {
    let mut text = format!("run with {others} running already, new network namespace: 25 %, ms\n");
    let _ = writeln!(
        text,
        "{:<24}{:>9}{:>9}{:>9}",
        "", "alone", "crowded", "ratio"
    );
    for one in crowded {
        for (what, alone, crowded) in [
            ("wall", one.wall_alone.quartile, one.wall.quartile),
            ("CPU", one.cpu_alone.quartile, one.cpu.quartile),
        ] {
            let ratio = crowded / alone;
            let _ = writeln!(
                text,
                "{:<18}{what:<6}{alone:>9.2}{crowded:>9.2}{ratio:>9.2}",
                one.name
            );
        }
    }
    text
}
