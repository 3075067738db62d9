//! Whether a container is well, as a command says that is executed in it now and then. The rules are
//! those of Docker's `HEALTHCHECK`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many checks are remembered (Docker's number).
const REMEMBERED: usize = 5;

/// What is checked, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What `/bin/sh -c` is told in the container.
    pub command: String,
    /// The pause before the first check, and after each.
    pub interval: Duration,
    /// After how long a check has failed.
    pub timeout: Duration,
    /// How many checks have to fail, one after the other, until the container is unhealthy.
    pub retries: u32,
    /// How long failures of a container that has never been healthy don't count.
    pub start_period: Duration,
    /// Whether a container that is unhealthy is killed.
    pub kills: bool,
}

/// What the checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Nothing yet.
    Starting,
    /// The last one succeeded, or too few have failed since.
    Healthy,
    /// Too many have failed.
    Unhealthy,
}

impl Condition {
    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Starting => "starting",
            Condition::Healthy => "healthy",
            Condition::Unhealthy => "unhealthy",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When it was begun.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// Its exit status, 0 for success; none if it did not end by itself, or never ran.
    pub exit_status: Option<i32>,
    /// What it said, or why it did not end.
    pub output: String,
}

/// The health of one run of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What the checks say.
    pub status: Condition,
    /// How many have failed since the last that succeeded.
    pub failing_streak: u32,
    /// The last of them, the oldest first.
    pub checks: Vec<Check>,
}

impl Health {
    /// Before any check.
    pub fn new() -> Self {
        Health {
            status: Condition::Starting,
            failing_streak: 0,
            checks: Vec::new(),
        }
    }

    /// Notes a check of a container that has run for so long.
    pub fn note(&mut self, check: Check, plan: &Plan, ran: Duration) {
        if check.exit_status == Some(0) {
            self.failing_streak = 0;
            self.status = Condition::Healthy;
        } else if self.status != Condition::Starting || ran >= plan.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= plan.retries {
                self.status = Condition::Unhealthy;
            }
        }
        if self.checks.len() >= REMEMBERED {
            self.checks.remove(0);
        }
        self.checks.push(check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn plan() -> Plan {
        Plan {
            command: "true".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::from_secs(60),
            kills: false,
        }
    }

    fn check(exit_status: Option<i32>) -> Check {
        Check {
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            exit_status,
            output: String::new(),
        }
    }

    #[test]
    fn so_many_failures_make_it_unhealthy_and_one_success_heals() {
        let mut health = Health::new();
        for expected in [
            Condition::Starting,
            Condition::Starting,
            Condition::Unhealthy,
        ] {
            health.note(check(Some(1)), &plan(), LONG);
            assert_eq!(health.status, expected);
        }
        health.note(check(Some(0)), &plan(), LONG);
        assert_eq!(
            (health.status, health.failing_streak),
            (Condition::Healthy, 0)
        );
        health.note(check(None), &plan(), LONG);
        assert_eq!(
            (health.status, health.failing_streak),
            (Condition::Healthy, 1)
        );
    }

    #[test]
    fn failures_while_it_starts_do_not_count_until_it_has_been_healthy() {
        let mut health = Health::new();
        for _ in 0..9 {
            health.note(check(Some(1)), &plan(), Duration::from_secs(59));
        }
        assert_eq!(
            (health.status, health.failing_streak),
            (Condition::Starting, 0)
        );
        assert_eq!(health.checks.len(), REMEMBERED);
        health.note(check(Some(0)), &plan(), Duration::from_secs(10));
        health.note(check(Some(1)), &plan(), Duration::from_secs(11));
        assert_eq!(
            (health.status, health.failing_streak),
            (Condition::Healthy, 1)
        );
    }
}
