//! The inputs of `fuzz/seeds`, findings of the fuzzers among them, and variations of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fuzz_properties;
mod image_builder;

use std::path::Path;

use image_builder::{directory, entry, file, hard_link, symlink, tar};

/// Variations of each seed; `FUZZ_VARIATIONS` asks for others.
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
    "\\u0000",
    "/",
    "..",
    "=",
    "\n",
    "\0",
    "//",
    "://",
    "@",
    "#",
    "?",
    "sha256:",
    "realm=",
    "%2e%2e",
    "7777777",
    "GNU.sparse.size=1",
    "13 path=..\n",
    "$",
    "${A:-",
    "\\\n",
    "<<E\n",
    "**/",
    "--mount=type=",
    "\u{80}",
    "\u{e9}",
];

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut files: Vec<_> = std::fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut seeds: Vec<_> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    if target == "img_layer" {
        seeds.push(archive_of_all_kinds());
    }
    seeds
}

fn archive_of_all_kinds() -> Vec<u8> {
    tar(&[
        directory("d/"),
        file("d/f", "content").owner(1000, 5).pax("mtime", b"1.5"),
        file("x", "y")
            .pax("path", b"d/other")
            .xattr("user.a", b"\0b"),
        hard_link("d/h", "d/f"),
        symlink("l", "../d"),
        entry(b'3', "null").device(1, 3),
        entry(b'6', "fifo"),
        file("d/.wh.f", ""),
    ])
}

/// Takes something out, puts something in, or repeats something, one to four times. An archive keeps
/// its blocks: something else stands in the place of what was there.
fn vary(seed: &[u8], in_place: bool, random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        let word = WORDS[random.below(WORDS.len())].as_bytes();
        match random.below(4) {
            0 if !in_place => drop(bytes.drain(at..end)),
            1 if !in_place => drop(bytes.splice(at..end, word.iter().copied())),
            2 if !in_place => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            0 | 1 => {
                let end = (at + word.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            2 => {
                let (from, to) = (
                    random.below(bytes.len() / 512),
                    random.below(bytes.len() / 512),
                );
                bytes.copy_within(from * 512..from * 512 + 512, to * 512);
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
    let asked = std::env::var("FUZZ_VARIATIONS").ok();
    let variations = asked.map_or(VARIATIONS, |asked| asked.parse().unwrap());
    for (target, property) in fuzz_properties::ALL {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        for seed in &seeds {
            property(seed);
            for _ in 0..variations {
                property(&vary(seed, target == "img_layer", &mut random));
            }
        }
    }
}
