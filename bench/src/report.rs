//! The result: a table for people, JSON for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::measure::{Sample, Summary};
use crate::scenario::Scenario;
use crate::trace::Footprint;

/// The whole comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// The rounds of every scenario.
    pub rounds: usize,
    /// What the shuffling of the rounds began with.
    pub seed: u64,
    /// The comparisons, in the order in which they ran.
    pub results: Vec<Comparison>,
}

/// Where and with what it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The number of processors.
    pub processors: usize,
    /// `v1`, `hybrid` or `v2`.
    pub cgroups: &'static str,
    /// The first line of each runtime's `--version`, by name.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// For people.
    pub fn one_line(&self) -> String {
        let versions: Vec<&str> = self
            .versions
            .iter()
            .map(|(_, version)| &version[..])
            .collect();
        let Self {
            kernel,
            processors,
            cgroups,
            ..
        } = self;
        format!(
            "{}; Linux {kernel}, {processors} processors, cgroups {cgroups}",
            versions.join(", ")
        )
    }
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// What was compared.
    #[serde(flatten)]
    pub scenario: Scenario,
    /// One entry for each contestant: the floor, the runtime of interest, its peers.
    pub contestants: Vec<Measured>,
    /// The runtime of interest against each peer.
    pub ratios: Vec<Ratios>,
}

/// One contestant in one scenario. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The contestant's name.
    pub name: String,
    /// From the first command's start to the last one's end.
    pub wall: Summary,
    /// User and system time of all processes.
    pub cpu: Summary,
    /// System calls and peak memory.
    pub footprint: Footprint,
    /// Every round's wall time, in the order of the rounds.
    pub wall_samples: Vec<f64>,
    /// Every round's CPU time, in the order of the rounds.
    pub cpu_samples: Vec<f64>,
}

impl Measured {
    /// Sums up the rounds of one contestant.
    pub fn new(name: &str, samples: &[Sample], footprint: Footprint) -> Self {
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        Self {
            name: name.to_owned(),
            wall: Summary::of(samples.iter().map(|sample| sample.wall)),
            cpu: Summary::of(samples.iter().map(|sample| sample.cpu)),
            footprint,
            wall_samples: samples
                .iter()
                .map(|sample| milliseconds(sample.wall))
                .collect(),
            cpu_samples: samples
                .iter()
                .map(|sample| milliseconds(sample.cpu))
                .collect(),
        }
    }
}

impl Comparison {
    /// Puts the figures of the floor, the runtime of interest and its peers side by side.
    pub fn new(scenario: Scenario, contestants: Vec<Measured>) -> Self {
        let ratios = match &contestants[..] {
            [floor, own, peers @ ..] => peers
                .iter()
                .map(|peer| Ratios::new(own, peer, floor))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            scenario,
            contestants,
            ratios,
        }
    }

    /// The comparison as a table, and below it the first runtime's share of each peer's figures.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}", self.scenario.title());
        let _ = writeln!(
            text,
            "{:<18}{:>27}{:>18}{:>20}{:>9}{:>10}",
            "", "wall ms", "CPU ms", "above floor ms", "system", "peak"
        );
        let _ = writeln!(
            text,
            "{:<18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}{:>9}{:>9}{:>10}",
            "", "min", "25 %", "median", "25 %", "median", "wall 25 %", "CPU", "calls", "KiB"
        );
        let floor = self.contestants.first();
        for own in &self.contestants {
            let _ = write!(
                text,
                "{:<18}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}",
                own.name,
                own.wall.minimum,
                own.wall.quartile,
                own.wall.median,
                own.cpu.quartile,
                own.cpu.median
            );
            let above = floor.filter(|floor| floor.name != own.name).map_or_else(
                || (String::from("-"), String::from("-")),
                |floor| {
                    let wall = own.wall.quartile - floor.wall.quartile;
                    let cpu = own.cpu.median - floor.cpu.median;
                    (format!("{wall:.2}"), format!("{cpu:.2}"))
                },
            );
            let Footprint { calls, peak_kib } = own.footprint;
            let _ = writeln!(
                text,
                "{:>11}{:>9}{calls:>9}{peak_kib:>10}",
                above.0, above.1
            );
        }
        for ratios in &self.ratios {
            let _ = writeln!(
                text,
                "  share of {}'s: wall {:.2}, CPU {:.2}, wall above floor {:.2}, \
                 CPU above floor {:.2}, calls {:.2}, peak memory {:.2}",
                ratios.peer,
                ratios.wall,
                ratios.cpu,
                ratios.wall_above_floor,
                ratios.cpu_above_floor,
                ratios.calls,
                ratios.peak_memory
            );
        }
        text
    }
}

/// The share that the first runtime's figures are of a peer's: below 1 it needs less.
#[derive(Debug, Clone, Serialize)]
pub struct Ratios {
    /// The peer.
    pub peer: String,
    /// Wall time, by the 25th percentile.
    pub wall: f64,
    /// CPU time, by the median.
    pub cpu: f64,
    /// Wall time above the floor.
    pub wall_above_floor: f64,
    /// CPU time above the floor.
    pub cpu_above_floor: f64,
    /// System calls.
    pub calls: f64,
    /// Peak memory.
    pub peak_memory: f64,
}

impl Ratios {
    fn new(own: &Measured, peer: &Measured, floor: &Measured) -> Self {
        let share = |pick: &dyn Fn(&Measured) -> f64| pick(own) / pick(peer);
        Self {
            peer: peer.name.clone(),
            wall: share(&|one| one.wall.quartile),
            cpu: share(&|one| one.cpu.median),
            wall_above_floor: share(&|one| one.wall.quartile - floor.wall.quartile),
            cpu_above_floor: share(&|one| one.cpu.median - floor.cpu.median),
            calls: share(&|one| as_figure(one.footprint.calls)),
            peak_memory: share(&|one| as_figure(one.footprint.peak_kib)),
        }
    }
}

impl Report {
    /// One table for each peer of the first runtime: its share of the peer's figures, a scenario a
    /// line.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let Some([_, own, peers @ ..]) = self.results.first().map(|one| &one.contestants[..])
        else {
            return text;
        };
        for peer in peers {
            let _ = writeln!(
                text,
                "{:<62}{:>7}{:>7}{:>19}{:>7}{:>7}",
                format!("{}'s share of {}'s", own.name, peer.name),
                "wall",
                "CPU",
                "above floor: both",
                "calls",
                "peak"
            );
            for result in &self.results {
                for ratios in result
                    .ratios
                    .iter()
                    .filter(|ratios| ratios.peer == peer.name)
                {
                    let _ = writeln!(
                        text,
                        "  {:<60}{:>7.2}{:>7.2}{:>11.2} {:>7.2}{:>7.2}{:>7.2}",
                        result.scenario.title(),
                        ratios.wall,
                        ratios.cpu,
                        ratios.wall_above_floor,
                        ratios.cpu_above_floor,
                        ratios.calls,
                        ratios.peak_memory
                    );
                }
            }
        }
        text
    }
}

#[allow(clippy::cast_precision_loss)] // counts far below 2^52
fn as_figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Measured};
    use crate::measure::Sample;
    use crate::scenario::{Network, Operation, Scenario};
    use crate::trace::Footprint;
    use std::time::Duration;

    fn measured(name: &str, milliseconds: u64, calls: u64) -> Measured {
        let time = Duration::from_millis(milliseconds);
        let footprint = Footprint {
            calls,
            peak_kib: 100,
        };
        Measured::new(
            name,
            &[Sample {
                wall: time,
                cpu: time,
            }],
            footprint,
        )
    }

    #[test]
    fn ratios_are_to_each_peer_and_above_the_floor() {
        let scenario = Scenario {
            config: "docker".into(),
            network: Network::Host,
            operation: Operation::Run,
        };
        let contestants = vec![
            measured("floor", 2, 50),
            measured("windlass", 4, 100),
            measured("crun", 10, 400),
        ];
        let comparison = Comparison::new(scenario, contestants);
        let table = comparison.table();
        let expected = "share of crun's: wall 0.40, CPU 0.40, wall above floor 0.25, \
                        CPU above floor 0.25, calls 0.25, peak memory 1.00";
        assert!(table.contains(expected), "{table}");
    }
}
