//! The inputs of `fuzz/seeds`, findings of the fuzzers among them, and variations of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fuzz_properties;
mod seccomp_interpreter;
#[allow(
    dead_code,
    reason = "its random numbers are all that is needed of it here"
)]
mod seccomp_profiles;

use std::path::Path;

use seccomp_profiles::Random;

/// Variations of each seed.
const VARIATIONS: usize = 400;

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "\\n",
    "\\u0000",
    "/",
    "..",
    "=",
    "\n",
    "true",
    "\u{e9}",
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(runtime.join("../fuzz/seeds").join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    match target {
        "config" => files.push(runtime.join("src/cli/default_config.json")),
        "seccomp_profile" => files.push(runtime.join("tests/data/seccomp/podman.json")),
        _ => {}
    }
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Takes something out, puts something in, or repeats something, one to four times.
fn vary(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..end, random.pick(WORDS).bytes())),
            2 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn what_fuzzers_found_and_what_is_near_it_holds() {
    let mut random = Random(0xf022);
    for (target, property) in fuzz_properties::ALL {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        for seed in &seeds {
            property(seed);
            for _ in 0..VARIATIONS {
                property(&vary(seed, &mut random));
            }
        }
    }
}

#[test]
fn the_full_config_is_understood() {
    let text = include_str!("../../fuzz/seeds/config/full.json");
    let spec: windlass::spec::Spec<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(spec.linux.namespaces.len(), 8);
}
