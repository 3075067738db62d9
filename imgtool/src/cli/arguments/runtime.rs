//! `--runtime`.

use std::path::PathBuf;

use clap::Args;

use crate::network::joined::Runtime;

/// Who runs a bundle's container.
#[derive(Debug, Args)]
pub struct RuntimeArguments {
    /// The runtime that runs the container: windlass unless given, or another with runc's command
    /// line.
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,

    /// The runtime's --root.
    #[arg(long, value_name = "DIR")]
    runtime_root: Option<PathBuf>,
}

impl RuntimeArguments {
    /// The runtime. The one that was installed beside us comes before others of its name.
    pub fn runtime(self) -> Runtime {
        let beside = || {
            let ours = std::env::current_exe().ok()?.with_file_name("windlass");
            ours.is_file().then_some(ours)
        };
        let program = self.runtime.or_else(beside);
        Runtime {
            program: program.unwrap_or_else(|| "windlass".into()),
            root: self.runtime_root,
        }
    }
}
