//! What runtimes did on hosts: a column for each of both.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::cases;
use crate::report::{Outcome, Run};

/// All columns of a matrix, in the order in which they are printed.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Columns {
    /// The columns.
    pub columns: Vec<Column>,
}

/// What one runtime did on one host.
#[derive(Debug, Deserialize, Serialize)]
pub struct Column {
    /// The name of the runtime's program.
    pub name: String,
    /// First line of its `--version`.
    pub version: String,
    /// Of the host's kernel.
    pub kernel: String,
    /// `v1` or `v2`: whose cgroups the host uses.
    pub cgroup: String,
    /// When the cases were run, as YYYY-MM-DD in UTC.
    pub date: String,
    /// What came of the cases, by their ids.
    pub results: BTreeMap<String, Entry>,
}

/// What came of one case.
#[derive(Debug, Deserialize, Serialize)]
pub struct Entry {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub reason: String,
}

impl Columns {
    /// Adds those of a file that [`Columns::json`] has made.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn read(&mut self, file: &Path) -> io::Result<()> {
        let explained = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("read {}: {error}", file.display()))
        };
        let text = fs::read_to_string(file).map_err(|error| explained(&error))?;
        let read: Columns = serde_json::from_str(&text).map_err(|error| explained(&error))?;
        self.columns.extend(read.columns);
        for column in &mut self.columns {
            column.judge();
        }
        Ok(())
    }

    /// Adds what a runtime has just done here.
    pub fn add(&mut self, program: &Path, run: Run) {
        let name = program.file_name().unwrap_or(program.as_os_str());
        let uses_v1 = run.host.cgroup_v1.contains("memory");
        self.columns.push(Column {
            name: name.to_string_lossy().into_owned(),
            version: run.host.runtime_version.clone(),
            kernel: run.host.kernel.clone(),
            cgroup: if uses_v1 { "v1" } else { "v2" }.to_owned(),
            date: today(),
            results: run
                .cases
                .into_iter()
                .map(|(case, result)| {
                    let entry = Entry {
                        outcome: result.outcome,
                        reason: result.reason,
                    };
                    (case.id.to_owned(), entry)
                })
                .collect(),
        });
    }

    /// As one JSON document.
    ///
    /// # Errors
    /// Those of serialising.
    pub fn json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The cases that any column has a result of, in the suite's order; with `differences` those
    /// in which the columns part.
    pub fn cases(&self, differences: bool) -> Vec<&'static Case> {
        cases::all()
            .filter(|case| {
                let mut good = self.columns.iter().filter_map(|column| column.good(case));
                match good.next() {
                    Some(first) if differences => good.any(|other| other != first),
                    Some(_) => true,
                    None => {
                        !differences
                            && self
                                .columns
                                .iter()
                                .any(|column| column.results.contains_key(case.id))
                    }
                }
            })
            .collect()
    }
}

impl Column {
    /// Takes note of what has become known of its failures since.
    fn judge(&mut self) {
        for case in cases::all() {
            if let Some(entry) = self.results.get_mut(case.id)
                && entry.outcome == Outcome::Failed
                && case.known_for(&self.version, &entry.reason).is_some()
            {
                entry.outcome = Outcome::Known;
            }
        }
    }

    /// Whether the runtime does what the case demands; none when the case was not carried out.
    fn good(&self, case: &Case) -> Option<bool> {
        match self.results.get(case.id)?.outcome {
            Outcome::Passed => Some(true),
            Outcome::Failed | Outcome::Known => Some(false),
            Outcome::Skipped | Outcome::Broken => None,
        }
    }

    /// Of these cases: how many it passes, and how many it passes or fails.
    pub fn score<'a>(&self, cases: impl Iterator<Item = &'a &'static Case>) -> (usize, usize) {
        cases
            .filter_map(|case| self.good(case))
            .fold((0, 0), |(passed, run), good| {
                (passed + usize::from(good), run + 1)
            })
    }

    /// How a case stands, in a word of at most five letters.
    pub fn word(&self, case: &Case) -> &'static str {
        match self.results.get(case.id).map(|entry| entry.outcome) {
            Some(Outcome::Passed) => "ok",
            Some(Outcome::Failed) => "FAIL",
            Some(Outcome::Known) => "fail",
            Some(Outcome::Skipped) => "-",
            Some(Outcome::Broken) => "BROKE",
            None => "",
        }
    }

    /// The number of its version, if it says one.
    pub fn number(&self) -> &str {
        self.version
            .split_whitespace()
            .skip_while(|word| *word != "version" && *word != "version:")
            .nth(1)
            .unwrap_or("")
    }
}

/// Today's date in UTC.
fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The date that is so many days after 1970-01-01.
fn date(mut days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_779, "2026-11-22"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_version_is_the_word_behind_version() {
        for (line, expected) in [
            ("runc version 1.1.5+ds1", "1.1.5+ds1"),
            ("crun version 1.8.1", "1.8.1"),
            ("youki version: 0.7.0", "0.7.0"),
            ("mine", ""),
        ] {
            let column = Column {
                name: String::new(),
                version: line.to_owned(),
                kernel: String::new(),
                cgroup: String::new(),
                date: String::new(),
                results: BTreeMap::new(),
            };
            assert_eq!(column.number(), expected);
        }
    }
}
