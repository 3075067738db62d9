//! Is the published matrix one that `compare --markdown` can have printed, and is windlass in it
//! without a failure?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

/// The rows of the table below a heading, without its second line.
fn table<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, behind) = text.split_once(heading).expect(heading);
    behind
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .filter(|line| !line.starts_with("|---"))
        .map(|line| {
            let inner = line.trim_matches('|');
            inner.split(" | ").map(str::trim).collect()
        })
        .collect()
}

fn published() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance-matrix.md");
    std::fs::read_to_string(path).unwrap()
}

/// The suite's cases.
fn cases() -> BTreeSet<String> {
    let listed = Command::new(env!("CARGO_BIN_EXE_windlass-conformance"))
        .arg("--list")
        .output()
        .unwrap();
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn the_published_matrix_is_well_formed() {
    let text = published();
    let hosts = table(&text, "# How runtimes do");
    let columns: Vec<&str> = hosts[1..].iter().map(|row| row[0]).collect();
    for runtime in ["runc", "crun", "youki", "windlass"] {
        for cgroup in ["v1", "v2"] {
            let column = format!("{runtime} {cgroup}");
            assert!(columns.contains(&column.as_str()), "no column {column}");
        }
    }
    for row in &hosts[1..] {
        let date: Vec<&str> = row[4].split('-').collect();
        assert_eq!(date.len(), 3, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let listed = cases();
    let cases = table(&text, "## Case by case");
    let mut seen = BTreeSet::new();
    for row in &cases[1..] {
        assert_eq!(row.len(), 1 + columns.len(), "{row:?}");
        assert!(listed.contains(row[0]), "no case {}", row[0]);
        assert!(seen.insert(row[0]), "{} twice", row[0]);
        for cell in &row[1..] {
            let words = ["ok", "fail", "**FAIL**", "-", "BROKE", ""];
            assert!(words.contains(cell), "{row:?}");
        }
    }
    assert!(seen.len() >= 400, "only {} cases", seen.len());
}

#[test]
fn windlass_fails_none() {
    let text = published();
    let cases = table(&text, "## Case by case");
    for (place, _) in cases[0]
        .iter()
        .enumerate()
        .filter(|(_, head)| head.starts_with("windlass"))
    {
        for row in &cases[1..] {
            assert!(["ok", "-"].contains(&row[place]), "{row:?}");
        }
    }
}

/// Each `hostile/` case is in docs/security.md, and what is named there is a case.
#[test]
fn the_table_of_advisories_names_the_hostile_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    let named: BTreeSet<String> = table(&text, "# Advisories")[1..]
        .iter()
        .flat_map(|row| {
            row[2..]
                .iter()
                .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        })
        .map(|name| match name.split_once('/') {
            Some(_) => name.to_owned(),
            None => format!("hostile/{name}"),
        })
        .collect();
    let cases = cases();
    for name in &named {
        assert!(cases.contains(name), "there is no case {name}");
    }
    for case in cases.iter().filter(|case| case.starts_with("hostile/")) {
        assert!(named.contains(case), "{case} is not in docs/security.md");
    }
}
