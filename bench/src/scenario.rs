//! What is compared: an operation on the container of a config, with a new network namespace or
//! with the host's.

use clap::ValueEnum;
use serde::Serialize;

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Scenario {
    /// The name of the config: a file of `bench/configs/`, or a path.
    pub config: String,
    /// The container's network.
    pub network: Network,
    /// What is done with it.
    pub operation: Operation,
}

impl Scenario {
    /// For people.
    pub fn title(&self) -> String {
        format!(
            "{} · {} · {}",
            self.operation.name(),
            self.config,
            self.network.name()
        )
    }
}

/// The container's network namespace. Making and ending one waits for grace periods of the whole
/// kernel, which hides the runtime's own share; so both are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A namespace of its own.
    New,
    /// The host's.
    Host,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// `run`: from nothing to the end of the program, in the foreground.
    Run,
    /// `create`, `start`, the program's end, `delete`.
    Lifecycle,
    /// `exec` in a container that runs already.
    Exec,
}

impl Network {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new network namespace",
            Self::Host => "host's network",
        }
    }
}

impl Operation {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Lifecycle => "create + start + delete",
            Self::Exec => "exec",
        }
    }
}
