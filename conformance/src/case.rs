//! What a case is: what it demands, where the demand is written, and how it ends.

use serde::Serialize;

use crate::harness::Context;
use crate::known;
pub use crate::need::Need;
use crate::upstream;
pub use crate::verdict::{Stop, Verdict, check, equal, fail};

/// How binding the clause of a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The runtime-spec says MUST (or REQUIRED, SHALL).
    Must,
    /// The runtime-spec says SHOULD.
    Should,
    /// Not in the runtime-spec: what Docker, containerd, podman or safety rely on.
    Contract,
}

impl Level {
    /// The word that reports print.
    pub fn word(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::Contract => "contract",
        }
    }
}

/// The sentence that a case tests, so that a reader can look it up.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Clause {
    /// File of the runtime-spec, or the name of another public contract.
    pub file: &'static str,
    /// The heading below which the sentence stands.
    pub heading: &'static str,
    /// At most a line of it.
    pub quote: &'static str,
}

/// A failure that was looked into: which runtimes have it, and why the case stands all the same.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How the first line of `RUNTIME --version` begins, for each version that was seen to fail.
    pub runtimes: &'static [&'static str],
    /// Why it fails there.
    pub why: &'static str,
}

/// Debian 12's and 13's runc.
pub const RUNC: &[&str] = &["runc version 1.1."];

/// Debian 12's runc alone.
pub const OLD_RUNC: &[&str] = &["runc version 1.1.5"];

/// Debian 12's and 13's crun.
pub const CRUN: &[&str] = &["crun version 1.8.1", "crun version 1.21"];

/// Debian 12's crun alone.
pub const OLD_CRUN: &[&str] = &["crun version 1.8.1"];

/// Debian 13's crun alone.
pub const NEW_CRUN: &[&str] = &["crun version 1.21"];

/// One case of the suite.
#[derive(Debug)]
pub struct Case {
    /// `chapter/name`.
    pub id: &'static str,
    /// The demand, as a short sentence.
    pub title: &'static str,
    /// What the case does to find out.
    pub does: &'static str,
    /// Where the demand is written.
    pub clause: Clause,
    /// How binding it is.
    pub level: Level,
    /// What it needs of the host.
    pub needs: &'static [Need],
    /// Runtimes that are known to fail it.
    pub known: &'static [Known],
    /// How many times the usual time limit it may take.
    pub patience: u32,
    /// Carries it out.
    pub run: fn(&Context) -> Verdict,
}

impl Case {
    const fn new(
        level: Level,
        id: &'static str,
        title: &'static str,
        does: &'static str,
        run: fn(&Context) -> Verdict,
    ) -> Self {
        let clause = Clause {
            file: "",
            heading: "",
            quote: "",
        };
        Case {
            id,
            title,
            does,
            clause,
            level,
            needs: &[],
            known: &[],
            patience: 1,
            run,
        }
    }

    /// A case whose clause says MUST.
    pub const fn must(
        id: &'static str,
        title: &'static str,
        does: &'static str,
        run: fn(&Context) -> Verdict,
    ) -> Self {
        Self::new(Level::Must, id, title, does, run)
    }

    /// A case whose clause says SHOULD.
    pub const fn should(
        id: &'static str,
        title: &'static str,
        does: &'static str,
        run: fn(&Context) -> Verdict,
    ) -> Self {
        Self::new(Level::Should, id, title, does, run)
    }

    /// A case of what callers rely on beyond the runtime-spec.
    pub const fn contract(
        id: &'static str,
        title: &'static str,
        does: &'static str,
        run: fn(&Context) -> Verdict,
    ) -> Self {
        Self::new(Level::Contract, id, title, does, run)
    }

    /// Says where the demand is written.
    pub const fn clause(
        mut self,
        file: &'static str,
        heading: &'static str,
        quote: &'static str,
    ) -> Self {
        self.clause = Clause {
            file,
            heading,
            quote,
        };
        self
    }

    /// Says what the case needs of the host.
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Says that it takes so many times longer than others.
    pub const fn patience(mut self, times: u32) -> Self {
        self.patience = times;
        self
    }

    /// Says which runtimes are known to fail it, and why.
    pub const fn known(mut self, known: &'static [Known]) -> Self {
        self.known = known;
        self
    }

    /// Its chapter: the part of its id before the slash.
    pub fn chapter(&self) -> &'static str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Why the runtime whose `--version` begins with `version` is known to fail this case.
    /// `reason` says how it failed.
    pub fn known_for(&self, version: &str, reason: &str) -> Option<String> {
        let fails = |known: &&Known| {
            known
                .runtimes
                .iter()
                .any(|beginning| version.starts_with(beginning))
        };
        let here = self.known.iter().find(fails).map(|known| known.why);
        let why = here.or_else(|| known::why(self.id, version, reason))?;
        Some(match upstream::thread(self.id, version, why) {
            Some(thread) => format!("{why} ({thread})"),
            None => why.to_owned(),
        })
    }
}
