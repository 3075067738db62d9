//! What `run` is told of a container's health.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use crate::health::Plan;

/// Options of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "they are the options' own names")]
pub struct HealthArguments {
    /// Execute `/bin/sh -c COMMAND` in the container now and then, with the environment, directory
    /// and user of its program: status 0 means that it is healthy. ps and inspect say what came of it,
    /// with the last five checks and 4 kB of what each said
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// The pause before the first check, and after each, such as 1m30s or 500ms
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive, requires = "health_cmd")]
    health_interval: Duration,
    /// After how long a check is killed, and has failed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive, requires = "health_cmd")]
    health_timeout: Duration,
    /// How many checks have to fail, one after the other, until the container is unhealthy
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), requires = "health_cmd")]
    health_retries: u32,
    /// How long the failures of a container that has not been healthy yet don't count
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, requires = "health_cmd")]
    health_start_period: Duration,
    /// What becomes of a container that is unhealthy. One that is killed has failed, so that --restart
    /// may start it again
    #[arg(long, value_enum, default_value = "none", requires = "health_cmd")]
    health_on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnFailure {
    /// It runs on
    None,
    /// It is killed
    Kill,
}

impl HealthArguments {
    /// None without a command.
    pub fn plan(self) -> Option<Plan> {
        Some(Plan {
            command: self.health_cmd?,
            interval: self.health_interval,
            timeout: self.health_timeout,
            retries: self.health_retries,
            start_period: self.health_start_period,
            kills: self.health_on_failure == OnFailure::Kill,
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "it is a time such as 30s, 1m30s or 500ms".to_owned())
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        // Docker's shortest.
        short if short < Duration::from_millis(1) => Err("it is at least 1ms".to_owned()),
        long => Ok(long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_elsewhere() {
        assert_eq!(positive("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(positive("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "30", "soon", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive("0s").is_err());
    }
}
