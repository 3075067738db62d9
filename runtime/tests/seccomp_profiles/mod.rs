//! Profiles made by chance, and our table of system calls as data.

use serde_json::{Value, json};

/// xorshift64: enough for test data, and the same on every machine.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The rows of our system call table: name; number on x86-64, x86, x32, aarch64, arm.
pub fn table() -> Vec<(&'static str, [Option<u32>; 5])> {
    let number = |text: &str| match text.trim().strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.trim().parse().ok(),
    };
    include_str!("../../src/seccomp/syscalls/table.rs")
        .lines()
        .filter_map(|line| {
            let (name, numbers) = line.trim().strip_prefix("Row(\"")?.split_once("\", [")?;
            let numbers: Vec<_> = numbers
                .trim_end_matches("]),")
                .split(',')
                .map(number)
                .collect();
            Some((name, numbers.try_into().unwrap()))
        })
        .collect()
}

const ACTIONS: &[&str] = &[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
];
const OPERATORS: &[&str] = &[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// A profile in which the conditional rules of a system call mostly have one action, so that what
/// it decides does not depend on the order in which they are tried. A rule has up to that many
/// conditions.
pub fn random_profile(random: &mut Random, names: &[&str], arguments: usize) -> Value {
    let action = |random: &mut Random| {
        let action = random.pick(ACTIONS);
        match action {
            "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE" if random.below(2) == 0 => {
                json!({"action": action, "errnoRet": random.below(200)})
            }
            _ => json!({"action": action}),
        }
    };
    let few: Vec<&str> = (0..=random.below(60)).map(|_| random.pick(names)).collect();
    let mut rules = Vec::new();
    for _ in 0..random.below(6) {
        let mut rule = action(random);
        let count = random.below(80);
        rule["names"] = (0..count).map(|_| random.pick(names)).collect();
        rules.push(rule);
    }
    for name in few {
        let mut rule = action(random);
        rule["names"] = json!([name]);
        for _ in 0..random.below(5) {
            let mut rule = rule.clone();
            let arguments = random.below(arguments + 1);
            rule["args"] = (0..arguments).map(|_| random_argument(random)).collect();
            rules.push(rule);
        }
    }
    let default = action(random);
    let mut profile = json!({"defaultAction": default["action"], "syscalls": rules});
    if let Some(errno) = default.get("errnoRet") {
        profile["defaultErrnoRet"] = errno.clone();
    }
    profile
}

fn random_argument(random: &mut Random) -> Value {
    let value = |random: &mut Random| match random.below(4) {
        0 => random.below(4) as u64,
        1 => (random.below(4) as u64) << 32 | random.below(4) as u64,
        2 => u64::MAX - random.below(3) as u64,
        _ => random.next(),
    };
    json!({"index": random.below(6), "op": random.pick(OPERATORS), "value": value(random),
        "valueTwo": value(random)})
}
