//! Input that is wrong: one line that says where, a failure's exit status, and nothing left.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use harness::{Finished, Sandbox};
use serde_json::{Value, json};

/// `create`, `run` and `explain` refuse the bundle, each with one line that has `words` in it.
#[track_caller]
fn refused(sandbox: &Sandbox, words: &str) {
    for verb in [&["explain"][..], &["create", "ID"], &["run", "ID"]] {
        let failed = sandbox.windlass(verb);
        assert_eq!(failed.code(), 1, "{verb:?}: {}", failed.stderr);
        let line = failed.error_line();
        assert!(line.contains(words), "{verb:?}: no {words:?} in {line}");
        assert_eq!(failed.stdout, "", "{verb:?}");
    }
    sandbox.assert_clean(words);
}

/// The same for what only the kernel can refuse: `explain` doesn't ask it.
#[track_caller]
fn refused_by_create(sandbox: &Sandbox, words: &str) {
    for verb in [["create", "ID"], ["run", "ID"]] {
        let failed = sandbox.windlass(&verb);
        assert_eq!(failed.code(), 1, "{verb:?}: {}", failed.stderr);
        let line = failed.error_line();
        assert!(line.contains(words), "{verb:?}: no {words:?} in {line}");
    }
    sandbox.assert_clean(words);
}

#[test]
fn a_config_that_is_none() {
    let sandbox = Sandbox::new("nojson");
    fs::remove_file(sandbox.bundle().join("config.json")).unwrap();
    refused(&sandbox, "config.json not found");
    for (text, words) in [
        (&b""[..], "config.json"),
        (b"[]", "config.json"),
        (b"null", "config.json"),
        (b"\xff\xfe", "config.json"),
        (b"{}", "ociVersion"),
    ] {
        sandbox.write_config_text(text);
        refused(&sandbox, words);
    }
    let whole = sandbox.config.to_string();
    for length in [1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        sandbox.write_config_text(&whole[..length]);
        refused(&sandbox, "config.json");
    }
    fs::remove_file(sandbox.bundle().join("config.json")).unwrap();
    fs::create_dir(sandbox.bundle().join("config.json")).unwrap();
    refused(&sandbox, "config.json");
}

/// Puts `value` at the pointer; the last name may be a new one, or `-` behind a list's end.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(members) => {
            members.insert(name.to_owned(), value);
        }
        Value::Array(elements) if name == "-" => elements.push(value),
        Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = value,
        other => panic!("{parent} is {other}"),
    }
}

#[test]
fn a_wrong_value_is_named_by_its_pointer() {
    let original = Sandbox::new("pointer");
    for (at, value, words) in [
        ("/ociVersion", json!("2.0.0"), "/ociVersion"),
        ("/ociVersion", json!(1), "/ociVersion"),
        ("/process/args", json!("sh"), "/process/args"),
        ("/process/args", json!([]), "/process/args"),
        ("/process/args/0", json!(7), "/process/args/0"),
        ("/process/env/0", json!({}), "/process/env"),
        ("/process/env/-", json!("novalue"), "/process/env/1"),
        ("/process/user/uid", json!(-1), "/process/user/uid"),
        ("/process/user/uid", json!("0"), "/process/user/uid"),
        (
            "/process/user/uid",
            json!(4_294_967_296_u64),
            "/process/user/uid",
        ),
        ("/process/user/uid", json!(u32::MAX), "/process/user/uid"),
        ("/process/user/gid", json!(u32::MAX), "/process/user/gid"),
        ("/process/cwd", json!("tmp"), "/process/cwd"),
        ("/linux/maskedPaths/-", json!("/./"), "/linux/maskedPaths/2"),
        ("/process/terminal", json!("no"), "/process/terminal"),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
            "/process/rlimits/0/type",
        ),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NOFILE", "soft": 2, "hard": 1 }]),
            "/process/rlimits/0",
        ),
        ("/root/path", json!(""), "/root/path"),
        ("/root", json!([1]), "/root"),
        ("/mounts/1/destination", json!(3), "/mounts/1/destination"),
        ("/mounts/0/options", json!("ro"), "/mounts/0/options"),
        (
            "/linux/namespaces/0/type",
            json!("pidd"),
            "/linux/namespaces/0/type",
        ),
        (
            "/linux/namespaces/-",
            json!({ "type": "pid" }),
            "/linux/namespaces/5/type",
        ),
        (
            "/linux/namespaces/0/path",
            json!("relative"),
            "/linux/namespaces/0/path",
        ),
        (
            "/linux/resources/pids/limit",
            json!("64"),
            "/linux/resources/pids/limit",
        ),
        (
            "/linux/sysctl",
            json!({ "kernel.panic": "1" }),
            "/linux/sysctl/kernel.panic",
        ),
        (
            "/linux/personality",
            json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] }),
            "/linux/personality/flags",
        ),
        (
            "/linux/rootfsPropagation",
            json!("up"),
            "/linux/rootfsPropagation",
        ),
        (
            "/hooks",
            json!({ "prestart": [{ "path": "true" }] }),
            "/hooks/prestart/0/path",
        ),
        (
            "/hooks",
            json!({ "poststop": [{ "path": "/bin/true", "timeout": 0 }] }),
            "/hooks/poststop/0/timeout",
        ),
    ] {
        let mut config = original.config.clone();
        set(&mut config, at, value);
        println!("{at}");
        original.write_config_text(config.to_string());
        refused(&original, words);
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let mut sandbox = Sandbox::new("noeffect");
    sandbox.script("true");
    sandbox.config["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0");
    let bind = json!({ "destination": "/mnt/etc", "source": "/etc",
        "options": ["bind", "mode=755", "size=1k"] });
    let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
    mounts.push(bind);
    let index = mounts.len() - 1;
    sandbox.write_config();
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        println!("skipped: this host has SELinux");
        return;
    }
    let ran = sandbox.must(&["run", "ID"]);
    for warning in [
        "/linux/mountLabel: ignored".to_owned(),
        format!("/mounts/{index}/options: mode= is ignored"),
    ] {
        assert!(ran.stderr.contains(&warning), "{}", ran.stderr);
    }
}

#[test]
fn the_root_of_the_cgroups_is_no_containers() {
    let mut sandbox = Sandbox::new("cgroot");
    sandbox.config["linux"]["cgroupsPath"] = json!("/");
    sandbox.write_config();
    refused_by_create(&sandbox, "/linux/cgroupsPath");
}

#[test]
fn a_rootfs_that_is_none() {
    let mut sandbox = Sandbox::new("norootfs");
    sandbox.config["root"]["path"] = json!("missing");
    sandbox.write_config();
    refused_by_create(&sandbox, "missing");
    fs::write(sandbox.bundle().join("file"), "").unwrap();
    sandbox.config["root"]["path"] = json!("file");
    sandbox.write_config();
    refused_by_create(&sandbox, "not a directory");
}

#[test]
fn mounts_that_cannot_be_made() {
    let original = Sandbox::new("mounts");
    for (mount, words) in [
        (
            json!({ "destination": "/m", "type": "nosuchfs", "source": "x" }),
            "nosuchfs",
        ),
        (
            json!({ "destination": "/m", "type": "bind", "source": "/no/such", "options": ["bind"] }),
            "/no/such",
        ),
        (
            json!({ "destination": "/bin/busybox/x", "type": "tmpfs", "source": "tmpfs" }),
            "/bin/busybox/x",
        ),
        (
            json!({ "destination": "/m", "type": "tmpfs", "source": "t", "options": ["size=x"] }),
            "/mounts/4",
        ),
    ] {
        let mut config = original.config.clone();
        set(&mut config, "/mounts/-", mount);
        original.write_config_text(config.to_string());
        refused_by_create(&original, words);
    }
}

#[test]
fn a_bundle_that_is_none() {
    let sandbox = Sandbox::new("nobundle");
    for verb in ["create", "run"] {
        let failed = sandbox.windlass(&[verb, "--bundle", "/no/such/bundle", "ID"]);
        assert_eq!(failed.code(), 1);
        assert!(
            failed.error_line().contains("/no/such/bundle"),
            "{}",
            failed.stderr
        );
    }
    sandbox.assert_clean("no bundle");
}

#[test]
fn an_id_is_a_name() {
    let sandbox = Sandbox::new("badid");
    for id in [
        "../x", "a/b", "", ".", "..", ".hidden", "/abs", "a b", "a\nb", "\u{e4}",
    ] {
        for verb in ["create", "run", "start", "state", "kill", "delete", "exec"] {
            let mut arguments = vec![verb, id];
            if verb == "exec" {
                arguments.push("true");
            }
            let failed = sandbox.windlass(&arguments);
            let status = if verb == "exec" { 255 } else { 1 };
            assert_eq!(failed.code(), status, "{arguments:?}");
            let line = failed.error_line();
            assert!(
                line.contains("container") && line.to_lowercase().contains("id"),
                "{line}"
            );
        }
        let failed = sandbox.windlass(&["delete", "--force", id]);
        assert_eq!(failed.code(), 1, "{id:?}");
    }
    sandbox.assert_clean("bad ids");
    assert!(!sandbox.directory().join("x").exists());
}

/// xorshift64: chance that is the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// The pointers of all values.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            pointers(member, &format!("{at}/{name}"), found);
        }),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(index, element)| {
            pointers(element, &format!("{at}/{index}"), found);
        }),
        _ => {}
    }
    if !at.is_empty() {
        found.push(at.to_owned());
    }
}

fn strange_value(random: &mut Random) -> Value {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let all = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("\0"),
        json!("a\0b"),
        json!("/../../../.."),
        json!("\u{fffd}\n\r\t\"\\"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!([[], {}, null]),
        json!({ "": "", "~/": [1] }),
        deep,
    ];
    all[random.below(all.len())].clone()
}

/// Whatever it makes of it: it ends by itself, without a panic, and says in one line what is wrong
/// if something is.
#[track_caller]
fn assert_orderly(finished: &Finished, config: &str) {
    let shown = format!(
        "{}\n{}",
        finished.stderr,
        config.get(..4000).unwrap_or(config)
    );
    assert_eq!(finished.status.signal(), None, "{shown}");
    assert!(!finished.stderr.contains("panicked"), "{shown}");
    assert!(
        matches!(finished.status.code(), Some(0 | 1)),
        "{:?} {shown}",
        finished.status
    );
    let errors = finished
        .stderr
        .lines()
        .filter(|line| !line.contains("level=warning"));
    assert_eq!(
        errors.count(),
        usize::from(!finished.status.success()),
        "{shown}"
    );
}

#[test]
fn strange_configs_are_refused_in_an_orderly_way() {
    let mut sandbox = Sandbox::new("fuzz");
    sandbox.config["hooks"] = json!({ "poststop": [{ "path": "/bin/busybox", "args": ["true"] }] });
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": ["reboot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                       "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] }],
    });
    sandbox.config["linux"]["devices"] =
        json!([{ "path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438 }]);
    sandbox.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]);
    let mut places = Vec::new();
    pointers(&sandbox.config, "", &mut places);
    // A cgroup that a mutation names, or none, is not found by the sandbox's own name.
    places.retain(|place| place != "/linux" && place != "/linux/cgroupsPath");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let mut config = sandbox.config.clone();
        for _ in 0..=random.below(2) {
            let place = &places[random.below(places.len())];
            let (parent, name) = place.rsplit_once('/').unwrap();
            let value = strange_value(&mut random);
            let remove = random.below(4) == 0;
            let is_there = config.pointer(place).is_some();
            match config.pointer_mut(parent) {
                Some(Value::Object(members)) if remove => drop(members.remove(name)),
                Some(Value::Object(_) | Value::Array(_)) if is_there => {
                    set(&mut config, place, value);
                }
                _ => {}
            }
        }
        let mut text = config.to_string();
        if round % 10 == 0 {
            // Not only strange JSON, but none.
            let cut = (0..=random.below(text.len())).rev();
            let cut = cut
                .into_iter()
                .find(|&at| text.is_char_boundary(at))
                .unwrap();
            text.truncate(cut);
        }
        sandbox.write_config_text(&text);
        assert_orderly(&sandbox.windlass(&["explain"]), &text);
        if round % 3 == 0 && is_harmless(&text) {
            assert_orderly(&sandbox.windlass(&["create", "ID"]), &text);
            sandbox.must(&["delete", "--force", "ID"]);
            sandbox.assert_clean(&text);
        }
    }
    sandbox.write_config_text(format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)));
    refused(&sandbox, "config.json");
}

/// Whether creating it can only change the container's own: it still has its own mounts.
fn is_harmless(text: &str) -> bool {
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return true;
    };
    let namespaces = config["linux"]["namespaces"].as_array();
    namespaces.is_none_or(|list| {
        ["mount", "uts", "network"]
            .iter()
            .all(|kind| list.iter().any(|one| one["type"] == *kind))
    }) && config["linux"]["namespaces"].is_array()
        && config["root"]["path"] == "rootfs"
}
