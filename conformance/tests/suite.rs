//! The suite as a person calls it: against runc, in each format, and with wrong options.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn conformance(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_windlass-conformance"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A short run that has a pass, a known failure of runc 1.1, and a skip on any host.
const SAMPLE: [&str; 8] = [
    "--filter",
    "process/umask",
    "--filter",
    "process/rlimits-duplicate",
    "--filter",
    "cgroups/pids-v*",
    "--jobs",
    "2",
];

fn sample(format: &str) -> String {
    let mut arguments = vec!["--runtime", "runc", "--format", format];
    arguments.extend_from_slice(&SAMPLE);
    stdout(&conformance(&arguments))
}

/// A moment, as proc_stat(5) and proc_pid_stat(5) count time: in hundredths of a second, of all
/// processors together.
struct Effort {
    /// What nobody wanted.
    idle: u64,
    /// What this process and those that it has waited for have had.
    own: u64,
    processors: u64,
}

impl Effort {
    fn now() -> Self {
        let machine = fs::read_to_string("/proc/stat").unwrap();
        let of_machine: Vec<u64> = machine.lines().next().unwrap()["cpu".len()..]
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        let process = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, behind_name) = process.rsplit_once(") ").unwrap();
        let of_process: Vec<&str> = behind_name.split(' ').collect();
        let is_processor = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        Effort {
            idle: of_machine[3] + of_machine[4],
            own: of_process[11..15]
                .iter()
                .map(|number| number.parse::<u64>().unwrap())
                .sum(),
            processors: machine.lines().filter(is_processor).count() as u64,
        }
    }

    /// How long what has been done since then would have taken if nobody else had wanted the
    /// processors meanwhile: what others get on a busy machine tells nothing of the suite.
    fn seconds(&self) -> u64 {
        let now = Effort::now();
        (now.idle - self.idle + now.own - self.own) / self.processors / 100
    }
}

#[test]
fn runc_passes_and_nothing_is_left() {
    let directory = tempfile::Builder::new()
        .prefix("wconf-test-")
        .tempdir()
        .unwrap();
    let root = directory.path().to_string_lossy().into_owned();
    let began = Effort::now();
    let output = conformance(&["--runtime", "runc", "--format", "json", "--root", &root]);
    let seconds = began.seconds();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let failed: Vec<&Value> = document["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| ["failed", "broken"].contains(&case["outcome"].as_str().unwrap()))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(output.status.code(), Some(0));
    let passed = document["counts"]["passed"].as_u64().unwrap();
    assert!(passed >= 200, "only {passed} cases passed");
    assert!(seconds < 300, "takes {seconds} s on a machine of its own");

    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&root), "a mount is left below {root}");
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let mount = line.split(' ').nth(4).unwrap();
        let word = format!("wconf-{}-", document["suite"]["process"]);
        let cgroups: Vec<_> = fs::read_dir(mount)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&word))
            .collect();
        assert!(cgroups.is_empty(), "{cgroups:?}");
    }
}

#[test]
fn tap_is_well_formed() {
    let text = sample("tap");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TAP version 14"));
    assert_eq!(lines.next(), Some("1..4"));
    let mut number = 0;
    let mut in_yaml = false;
    for line in lines {
        match line {
            "  ---" => in_yaml = true,
            "  ..." => in_yaml = false,
            line if in_yaml => assert!(line.starts_with("  ") && line.contains(": "), "{line}"),
            line => {
                number += 1;
                let rest = line.strip_prefix("not ").unwrap_or(line);
                let expected = format!("ok {number} - ");
                assert!(rest.starts_with(&expected), "{line}");
            }
        }
    }
    assert_eq!(number, 4);
    assert!(text.contains("process/umask"));
    assert!(text.contains(" # SKIP needs a cgroup"), "{text}");
}

#[test]
fn junit_is_well_formed() {
    let text = sample("junit");
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    assert_eq!(root.attribute("tests"), Some("4"));
    assert_eq!(root.attribute("failures"), Some("0"));
    let cases: Vec<_> = root
        .descendants()
        .filter(|node| node.tag_name().name() == "testcase")
        .collect();
    assert_eq!(cases.len(), 4);
    for case in cases {
        assert!(case.attribute("classname").is_some());
        case.attribute("time").unwrap().parse::<f64>().unwrap();
    }
}

#[test]
fn json_says_what_each_case_demands() {
    let document: Value = serde_json::from_str(&sample("json")).unwrap();
    let counts: u64 = document["counts"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(counts, 4);
    for case in document["cases"].as_array().unwrap() {
        assert!(case["clause"]["file"].is_string());
        assert!(["MUST", "SHOULD", "CONTRACT"].contains(&case["level"].as_str().unwrap()));
    }
}

#[test]
fn a_failure_is_exit_status_1() {
    // A runtime that works, and says nothing of itself.
    let output = conformance(&["--runtime", "/bin/true", "--filter", "process/umask"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let text = stdout(&output);
    assert!(
        text.contains("FAIL") && text.contains("config.md"),
        "{text}"
    );
}

#[test]
fn strict_counts_known_failures() {
    let known = [
        "--runtime",
        "runc",
        "--filter",
        "process/rlimits-duplicate",
        "--format",
        "json",
    ];
    let document: Value = serde_json::from_str(&stdout(&conformance(&known))).unwrap();
    let mut strict = known.to_vec();
    strict.push("--strict");
    let status = conformance(&strict).status.code();
    // A later runc may have learnt to refuse it.
    let expected = i32::from(document["counts"]["known"] == 1);
    assert_eq!(status, Some(expected));
}

#[test]
fn wrong_options_are_exit_status_2() {
    for arguments in [
        &["--runtime", "/no/such/runtime"][..],
        &["--runtime", "runc", "--filter", "no-such-case"][..],
        &["--runtime", "runc", "--format", "prose"][..],
        &["--explain", "no-such-case"][..],
        &[][..],
    ] {
        let output = conformance(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_case_that_hangs_is_ended() {
    let directory = tempfile::Builder::new()
        .prefix("wconf-test-")
        .tempdir()
        .unwrap();
    let runtime = directory.path().join("hangs");
    fs::write(
        &runtime,
        "#!/bin/sh\n[ \"$1\" = --version ] && exec echo hangs version 1\necho $$ >> $0.calls\nexec sleep 600\n",
    )
    .unwrap();
    make_executable(&runtime);
    let began = std::time::Instant::now();
    let program = runtime.to_string_lossy().into_owned();
    let output = conformance(&[
        "--runtime",
        &program,
        "--filter",
        "process/umask",
        "--timeout",
        "1",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(began.elapsed().as_secs() < 60);
    let calls = fs::read_to_string(runtime.with_extension("calls")).unwrap();
    assert!(!calls.is_empty());
    let sleeps = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("Name:\tsleep") && !status.contains("State:\tZ")
    };
    for pid in calls.lines() {
        // What is killed ends a moment later.
        while sleeps(pid) {
            assert!(began.elapsed().as_secs() < 60, "{pid} is still there");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_listed_case_can_be_explained() {
    let text = stdout(&conformance(&["--list"]));
    let ids: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let chapters: BTreeSet<&str> = ids.iter().map(|id| id.split('/').next().unwrap()).collect();
    assert!(chapters.len() >= 14, "{chapters:?}");
    for id in ids {
        let text = stdout(&conformance(&["--explain", id]));
        for part in ["demands", "clause", "does", "by hand"] {
            assert!(text.contains(part), "{id}: {text}");
        }
    }
}

#[test]
fn kept_bundles_can_be_run_by_hand() {
    let directory = tempfile::Builder::new()
        .prefix("wconf-test-")
        .tempdir()
        .unwrap();
    let keep = directory.path().to_string_lossy().into_owned();
    let output = conformance(&[
        "--runtime",
        "runc",
        "--filter",
        "process/umask",
        "--keep",
        &keep,
    ]);
    assert_eq!(output.status.code(), Some(0));
    let run = fs::read_dir(directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let script = run.join("0/commands.sh");
    let output = Command::new("sh").arg(&script).output().unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["umask"], 0o027);
    remove_cgroup_of(&run.join("0/bundle-1/config.json"));
}

/// The runtime removes the container's cgroup; the directory above it is the suite's, and by hand
/// nobody removes it.
fn remove_cgroup_of(config: &Path) {
    let config: Value = serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    let path = config["linux"]["cgroupsPath"].as_str().unwrap();
    let top = Path::new(path.trim_start_matches('/')).parent().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let directory = Path::new(line.split(' ').nth(4).unwrap()).join(top);
        if directory.exists() {
            fs::remove_dir(directory).unwrap();
        }
    }
}
