//! The command line of `windlass-img-bench`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use super::contest::{Contestant, Daemon, contest};
use super::floor::floor;
use super::sample::{Size, make};

/// Compares programs that unpack images; scripts/bench-img calls it.
#[derive(Debug, Parser)]
#[command(name = "windlass-img-bench", version)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes an image of a directory's files in a new layout, and FILES, a list of them for the floor
    Sample {
        /// At least so many bytes, in MiB
        #[arg(long, value_name = "N", default_value_t = 1024)]
        mebibytes: u64,
        /// At least so many files
        #[arg(long, value_name = "N", default_value_t = 40_000)]
        files: usize,
        /// In so many layers, compressed by gzip
        #[arg(long, value_name = "N", default_value_t = 6)]
        layers: usize,
        /// Where the files come from
        tree: PathBuf,
        /// The image layout; the image is called 'sample'
        layout: PathBuf,
        /// The list of files
        list: PathBuf,
    },
    /// Inflates and hashes an image's layers, then writes empty-handed the same files: what nobody can save
    Floor {
        /// The layout
        layout: PathBuf,
        /// The list of files that `sample` wrote
        list: PathBuf,
        /// Where to write them, a directory that isn't there
        directory: PathBuf,
    },
    /// Runs command lines alternately, and says what each costs compared with the first
    Contest {
        /// A contestant and the shell command that is timed; may be repeated
        #[arg(long = "run", value_name = "NAME=COMMAND", required = true)]
        contestants: Vec<Contestant>,
        /// The process whose time and memory count as the contestant's too; may be repeated
        #[arg(long = "daemon", value_name = "NAME=PID")]
        daemons: Vec<Daemon>,
        /// A shell command before each run, which isn't timed
        #[arg(long, value_name = "COMMAND", default_value = "true")]
        before: String,
        /// Rounds, in each of which every contestant runs once
        #[arg(long, value_name = "N", default_value_t = 10)]
        rounds: usize,
    },
}

/// The program.
pub fn main() -> Result<()> {
    match CommandLine::parse().verb {
        Verb::Sample {
            mebibytes,
            files,
            layers,
            tree,
            layout,
            list,
        } => {
            let size = Size {
                bytes: mebibytes << 20,
                files,
                layers,
            };
            make(&tree, size, &layout, &list)
        }
        Verb::Floor {
            layout,
            list,
            directory,
        } => floor(&layout, &list, &directory),
        Verb::Contest {
            contestants,
            daemons,
            before,
            rounds,
        } => contest(&contestants, &daemons, &before, rounds),
    }
}
