//! Our filters decide as runc's do: both are run, instruction by instruction, over system calls
//! and arguments. runc's filter is libseccomp's (built by `data/seccomp/libseccomp.py`, so that
//! this needs python3 and libseccomp2) behind the ENOSYS stub of runc's `patchbpf`, which
//! [`Reference::decide`] models.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod seccomp_interpreter;
mod seccomp_profiles;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

use seccomp_interpreter::{Call, run};
use seccomp_profiles::{Random, random_profile, table};
use serde::Deserialize;
use serde_json::{Value, json};
use windlass::seccomp::bpf::Instruction;
use windlass::seccomp::{Architecture, compile};
use windlass::spec::seccomp::Seccomp;
use windlass::sys::seccomp::Abilities;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;
const X32_BIT: u32 = 1 << 30;
/// socketcall(2) and ipc(2) of x86.
const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;
const ENOSYS: u32 = 0x0005_0026;

/// What libseccomp makes of a profile, and what runc adds to it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Built {
        filter: String,
        greatest: HashMap<String, u32>,
        unknown: Vec<String>,
    },
    Refused {
        error: i32,
    },
}

struct Runc {
    filter: Vec<Instruction>,
    greatest: HashMap<String, u32>,
    has_stub: bool,
}

impl Runc {
    fn decide(&self, call: &Call) -> u32 {
        self.stub(call).unwrap_or_else(|| run(&self.filter, call).0)
    }

    /// runc's `generateEnosysStub`.
    fn stub(&self, call: &Call) -> Option<u32> {
        let name = match call.architecture {
            X86_64 if call.number & X32_BIT != 0 => "SCMP_ARCH_X32",
            X86_64 => "SCMP_ARCH_X86_64",
            X86 => "SCMP_ARCH_X86",
            AARCH64 => "SCMP_ARCH_AARCH64",
            ARM => "SCMP_ARCH_ARM",
            _ => return None,
        };
        let greatest = *self.greatest.get(name).filter(|greatest| **greatest != 0)?;
        (self.has_stub && call.number > greatest).then_some(ENOSYS)
    }
}

struct Request {
    native: Architecture,
    profile: Value,
}

fn libseccomp(requests: &[Request]) -> Vec<Reference> {
    let requests: Vec<Value> = requests
        .iter()
        .map(|request| {
            let names = request.profile["syscalls"].as_array().unwrap().iter();
            let count: usize = names
                .map(|rule| rule["names"].as_array().unwrap().len())
                .sum();
            json!({
                "native": name_of(request.native),
                "optimize": if count > 32 { 2 } else { 0 },
                "profile": request.profile,
            })
        })
        .collect();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/seccomp/libseccomp.py"
    );
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let input = serde_json::to_vec(&requests).unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn name_of(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "SCMP_ARCH_X86_64",
        Architecture::X86 => "SCMP_ARCH_X86",
        Architecture::X32 => "SCMP_ARCH_X32",
        Architecture::Aarch64 => "SCMP_ARCH_AARCH64",
        Architecture::Arm => "SCMP_ARCH_ARM",
    }
}

fn abilities(native: Architecture) -> Abilities {
    Abilities {
        native: Some(native),
        ..Abilities::probe()
    }
}

/// How many calls were decided alike, and how many profiles both refuse.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    refused: u32,
    profiles: u32,
    /// Of calls that libseccomp 2.5 doesn't decide as it is written.
    exempt: u64,
}

fn compare(mut requests: Vec<Request>, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random(seed);
    for request in &mut requests {
        forget(&mut request.profile, &[GAINED_X32.to_owned()]);
    }
    for (request, reference) in requests.iter().zip(libseccomp(&requests)) {
        let mut profile = request.profile.clone();
        tally.profiles += 1;
        match reference {
            Reference::Refused { error } => {
                let text = profile.to_string();
                let profile: Seccomp = serde_json::from_str(&text).unwrap();
                assert!(
                    compile(&profile, &abilities(request.native)).is_err(),
                    "libseccomp refuses with {error}: {text}"
                );
                tally.refused += 1;
            }
            Reference::Built {
                filter,
                greatest,
                unknown,
            } => {
                forget(&mut profile, &unknown);
                let text = profile.to_string();
                let parsed: Seccomp = serde_json::from_str(&text).unwrap();
                let ours = compile(&parsed, &abilities(request.native))
                    .unwrap_or_else(|error| panic!("{error}: {text}"));
                let default = parsed.default_action.as_deref().unwrap();
                let has_stub =
                    !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&default);
                let runc = Runc {
                    filter: decode(&filter),
                    greatest,
                    has_stub,
                };
                let merged = merged_by_libseccomp(&parsed);
                for call in calls(request.native, &parsed, &mut random) {
                    if [X86_64, AARCH64].contains(&call.architecture)
                        && merged.contains(&call.number)
                    {
                        tally.exempt += 1;
                        continue;
                    }
                    let (decision, _) = run(ours.instructions(), &call);
                    let expected = runc.decide(&call);
                    assert_eq!(
                        decision, expected,
                        "{call:x?}: ours {decision:#x}, runc's {expected:#x}: {text}"
                    );
                    tally.calls += 1;
                }
            }
        }
    }
    tally
}

/// A system call that x32 got later than x86-64 did; older libseccomps have the older state.
const GAINED_X32: &str = "map_shadow_stack";

/// Takes out names: those that this libseccomp is too old for, and rules that are left without any.
fn forget(profile: &mut Value, unknown: &[String]) {
    for rule in profile["syscalls"].as_array_mut().unwrap() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !unknown.iter().any(|unknown| name == unknown));
    }
    let rules = profile["syscalls"].as_array_mut().unwrap();
    rules.retain(|rule| !rule["names"].as_array().unwrap().is_empty());
}

fn decode(hex: &str) -> Vec<Instruction> {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    bytes
        .chunks_exact(8)
        .map(|bytes| Instruction {
            code: u16::from_le_bytes([bytes[0], bytes[1]]),
            jump_true: bytes[2],
            jump_false: bytes[3],
            k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect()
}

/// Every number on every architecture of a machine, with arguments at the edges of the profile's
/// conditions: at each edge in each place where a rule looks at arguments, else at some.
fn calls(native: Architecture, profile: &Seccomp<'_>, random: &mut Random) -> Vec<Call> {
    let mut edges = vec![0, 1, u64::MAX, 1 << 32];
    for argument in profile.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [
            argument.value,
            argument.value_two,
            argument.value & argument.value_two,
        ] {
            edges.extend([value, value.wrapping_add(1), value.wrapping_sub(1)]);
            edges.extend([
                value.wrapping_add(1 << 32),
                value.wrapping_sub(1 << 32),
                !value,
            ]);
        }
    }
    edges.sort_unstable();
    edges.dedup();
    let vectors = if edges.len() > 4 { 12 } else { 1 };

    let mut numbers: Vec<u32> = (0..600).collect();
    numbers.extend((0..600).map(|number| number | X32_BIT));
    numbers.extend(0xe_fff8..0xf_0018);
    numbers.extend([
        X32_BIT - 1,
        (1 << 31) - 1,
        1 << 31,
        3 << 30,
        u32::MAX - 1,
        u32::MAX,
    ]);
    let mut calls = Vec::new();
    let conditional = conditional_numbers(profile);
    // No kernel reports an architecture of another machine.
    let architectures = match native {
        Architecture::X86_64 => [X86_64, X86],
        _ => [AARCH64, ARM],
    };
    for architecture in architectures {
        for &number in &numbers {
            let mut add = |arguments| {
                calls.push(Call {
                    number,
                    architecture,
                    arguments,
                });
            };
            for _ in 0..vectors {
                add(std::array::from_fn(|_| edges[random.below(edges.len())]));
            }
            if conditional.contains(&(number & !X32_BIT)) {
                for (place, edge) in
                    (0..6).flat_map(|place| edges.iter().map(move |edge| (place, edge)))
                {
                    let others = edges[random.below(edges.len())];
                    for other in [0, u64::MAX, others] {
                        let mut arguments = [other; 6];
                        arguments[place] = *edge;
                        add(arguments);
                    }
                }
            }
        }
    }
    calls
}

/// The numbers, with 64-bit arguments, of calls with several rules that bound one argument by order:
/// libseccomp 2.5 merges their comparisons and may decide otherwise than the profile. That ours
/// decides what is written is `seccomp_as_written.rs`'s part.
fn merged_by_libseccomp(profile: &Seccomp<'_>) -> HashSet<u32> {
    let mut bounds: HashMap<(&str, u64), u32> = HashMap::new();
    for rule in &profile.syscalls {
        for argument in &rule.args {
            if ["SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GE", "SCMP_CMP_GT"].contains(&&*argument.op)
            {
                for name in &rule.names {
                    *bounds.entry((&**name, argument.index)).or_default() += 1;
                }
            }
        }
    }
    let names: HashSet<&str> = bounds
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((name, _), _)| name)
        .collect();
    table()
        .into_iter()
        .filter(|(name, _)| names.contains(name))
        .flat_map(|(_, numbers)| [numbers[0], numbers[3]].into_iter().flatten())
        .collect()
}

/// The numbers, on any architecture, of calls that the profile has rules with conditions on, and
/// those behind which x86 has some of them.
fn conditional_numbers(profile: &Seccomp<'_>) -> HashSet<u32> {
    let names: HashSet<&str> = profile
        .syscalls
        .iter()
        .filter(|rule| !rule.args.is_empty())
        .flat_map(|rule| rule.names.iter().map(|name| &**name))
        .collect();
    let of_a_name = table()
        .into_iter()
        .filter(|(name, _)| names.contains(name))
        .flat_map(|(_, numbers)| numbers.into_iter().flatten());
    of_a_name.chain([SOCKETCALL, IPC]).collect()
}

fn engine_profile(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const DOCKER: &str = include_str!("data/seccomp/docker.json");
const PODMAN: &str = include_str!("data/seccomp/podman.json");

const ARCHITECTURES: [(Architecture, &[&str]); 6] = [
    (
        Architecture::X86_64,
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    ),
    (Architecture::X86_64, &["SCMP_ARCH_X86"]),
    (Architecture::X86_64, &["SCMP_ARCH_X32"]),
    (Architecture::X86_64, &["SCMP_ARCH_AARCH64"]),
    (Architecture::X86_64, &[]),
    (
        Architecture::Aarch64,
        &["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
    ),
];

#[test]
fn engines_profiles_decide_as_runc_does() {
    let mut requests = Vec::new();
    for profile in [DOCKER, PODMAN] {
        for (native, architectures) in ARCHITECTURES {
            let mut profile = engine_profile(profile);
            profile["architectures"] = json!(architectures);
            requests.push(Request { native, profile });
        }
    }
    let tally = compare(requests, 1);
    assert_eq!((tally.profiles, tally.refused), (12, 0));
    assert!(tally.calls > 300_000, "{tally:?}");
}

/// How long the filters are, and how many instructions a call takes: ours, and libseccomp's own
/// without what runc puts in front.
#[test]
fn filters_are_no_longer_than_libseccomps() {
    for (engine, text) in [("Docker's", DOCKER), ("podman's", PODMAN)] {
        let profile = engine_profile(text);
        let request = Request {
            native: Architecture::X86_64,
            profile: profile.clone(),
        };
        let [Reference::Built { filter, .. }] = &libseccomp(&[request])[..] else {
            panic!("libseccomp refuses {engine} profile");
        };
        let theirs = decode(filter);
        let text = profile.to_string();
        let parsed: Seccomp = serde_json::from_str(&text).unwrap();
        let ours = compile(&parsed, &abilities(Architecture::X86_64)).unwrap();
        let steps = |filter: &[Instruction]| {
            (0..450)
                .map(|number| {
                    let call = Call {
                        number,
                        architecture: X86_64,
                        arguments: [0; 6],
                    };
                    run(filter, &call).1
                })
                .max()
        };
        let (our_steps, their_steps) = (steps(ours.instructions()), steps(&theirs));
        println!(
            "{engine} profile: {} instructions, {our_steps:?} at most for a call; libseccomp: {}, \
             {their_steps:?}",
            ours.instructions().len(),
            theirs.len(),
        );
        assert!(ours.instructions().len() <= theirs.len(), "{engine}");
        assert!(our_steps <= their_steps, "{engine}");
    }
}

#[test]
fn every_name_has_libseccomps_numbers() {
    let names: Vec<&str> = table().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 450);
    let rules: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": index + 100})
        })
        .collect();
    let requests: Vec<Request> = ARCHITECTURES
        .into_iter()
        .map(|(native, architectures)| Request {
            native,
            profile: json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules,
                "architectures": architectures}),
        })
        .collect();
    compare(requests, 2);
}

#[test]
fn random_profiles_decide_as_runc_does() {
    let mut random = Random(0x5eed);
    let names: Vec<&str> = table().into_iter().map(|(name, _)| name).collect();
    let requests: Vec<Request> = (0..120)
        .map(|index| {
            let (native, architectures) = ARCHITECTURES[index % ARCHITECTURES.len()];
            let mut profile = random_profile(&mut random, &names, 1);
            profile["architectures"] = json!(architectures);
            Request { native, profile }
        })
        .collect();
    let tally = compare(requests, 3);
    // The others name a system call twice, with conditions that contradict each other.
    assert!(tally.profiles == 120 && tally.refused < 20, "{tally:?}");
    assert!(tally.exempt < tally.calls / 20, "{tally:?}");
    println!("{tally:?}");
}

/// Rules of one system call that overlap, being about different arguments, and that have different
/// actions.
#[test]
fn overlapping_rules_are_tried_in_libseccomps_order() {
    let mut random = Random(0x0dd5);
    let actions = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_KILL",
    ];
    let rule = |random: &mut Random| {
        let argument = json!({"index": random.below(4), "op": "SCMP_CMP_EQ",
            "value": random.pick(&["0", "1", "4294967296"]).parse::<u64>().unwrap()});
        json!({"names": ["clone"], "action": random.pick(&actions), "args": [argument]})
    };
    let requests: Vec<Request> = (0..200)
        .map(|_| {
            let rules: Vec<Value> = (0..3).map(|_| rule(&mut random)).collect();
            let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules});
            Request {
                native: Architecture::X86_64,
                profile,
            }
        })
        .collect();
    let tally = compare(requests, 4);
    // Some have the same condition twice.
    assert!(
        tally.profiles == 200 && (1..100).contains(&tally.refused),
        "{tally:?}"
    );
}
