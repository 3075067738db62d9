//! The command line of `windlass-scale-bench`.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::json;

use super::{CONFIG, at_once, crowd, mounts};
use crate::bundle;
use crate::contestant;
use crate::ground::Ground;
use crate::shuffle::Shuffle;

/// Compares how OCI runtimes bear numbers; scripts/bench-scale calls it.
#[derive(Debug, Parser)]
#[command(name = "windlass-scale-bench", version)]
struct Arguments {
    /// A runtime: a path, a name in PATH, or NAME=PATH. The first is compared with the others
    #[arg(long = "runtime", value_name = "RUNTIME", required = true)]
    runtimes: Vec<String>,

    /// What is measured [default: all three]
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<Measurement>,

    /// Rounds of each measurement
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..))]
    rounds: u16,

    /// How many containers run already in `crowd`
    #[arg(long, value_name = "N", default_value_t = 999, value_parser = clap::value_parser!(u16).range(1..))]
    crowd: u16,

    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// 1, 10, 100 and 1,000 bind mounts in a container
    Mounts,
    /// 100 containers, 8 at a time
    AtOnce,
    /// A container more where many run already
    Crowd,
}

/// Parses the command line and measures.
pub fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut contestants = Vec::new();
    contestant::add_runtimes(&mut contestants, &arguments.runtimes)?;
    let asked = |what| arguments.only.is_empty() || arguments.only.contains(&what);
    let ground = Ground::make(&[bundle::config(CONFIG)?])?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut shuffle = Shuffle::new(since_1970.subsec_nanos().into());
    let rounds = arguments.rounds.into();
    let mut results = json!({});
    if asked(Measurement::Mounts) {
        let growths = mounts::measure(&contestants, &ground, rounds, &mut shuffle)?;
        println!("{}", mounts::table(&growths));
        results["mounts"] = json!(growths);
    }
    if asked(Measurement::AtOnce) {
        let measured = at_once::measure(&contestants, &ground, rounds, &mut shuffle)?;
        println!("{}", at_once::table(&measured));
        results["at_once"] = json!(measured);
    }
    if asked(Measurement::Crowd) {
        let others = arguments.crowd.into();
        let crowded = crowd::measure(&contestants, &ground, rounds, others)?;
        println!("{}", crowd::table(&crowded, others));
        results["crowd"] = json!(crowded);
    }
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&results)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
