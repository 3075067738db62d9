//! The runtime without root's rights: a user whose ids are the container's root's, and who may make
//! no cgroups.
//!
//! Needs root, to become that user, and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use harness::{Finished, Sandbox, WINDLASS, finish};
use serde_json::{Value, json};

/// Nobody of this machine's, and without cgroups of his own.
const USER: u32 = 54_321;

/// A bundle of that user's, as `spec --rootless` writes it, and a copy of the runtime that he can
/// execute wherever it was built.
struct Rootless {
    sandbox: Sandbox,
    base: Value,
}

impl Rootless {
    fn new(test: &str) -> Rootless {
        let sandbox = Sandbox::new(test);
        fs::set_permissions(sandbox.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(WINDLASS, sandbox.directory().join("windlass")).unwrap();
        for path in [sandbox.bundle(), sandbox.rootfs()] {
            chown(&path, Some(USER), Some(USER)).unwrap();
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                if !entry.file_type().unwrap().is_symlink() {
                    chown(entry.path(), Some(USER), Some(USER)).unwrap();
                }
            }
        }
        fs::create_dir_all(sandbox.state_root()).unwrap();
        chown(sandbox.state_root(), Some(USER), Some(USER)).unwrap();
        fs::remove_file(sandbox.bundle().join("config.json")).unwrap();
        let written = call(&sandbox, &["spec", "--rootless"]);
        assert!(written.status.success(), "{}", written.stderr);
        let text = fs::read_to_string(sandbox.bundle().join("config.json")).unwrap();
        let mut base: Value = serde_json::from_str(&text).unwrap();
        base["process"]["terminal"] = json!(false);
        Rootless { sandbox, base }
    }

    /// Calls the runtime with config.json changed.
    fn with(&self, arguments: &[&str], change: impl FnOnce(&mut Value)) -> Finished {
        let mut config = self.base.clone();
        change(&mut config);
        self.sandbox.write_config_text(config.to_string());
        call(&self.sandbox, arguments)
    }
}

fn call(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    let mut command = Command::new(sandbox.directory().join("windlass"));
    command
        .arg("--root")
        .arg(sandbox.state_root())
        .args(arguments.iter().map(|&word| match word {
            "ID" => sandbox.id.as_str(),
            word => word,
        }))
        .current_dir(sandbox.bundle())
        .uid(USER)
        .gid(USER);
    finish(&mut command)
}

#[test]
fn a_whole_life() {
    let rootless = Rootless::new("rootless-life");
    let ran = rootless.with(&["run", "-d", "ID"], |config| {
        config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    });
    assert!(ran.status.success(), "{}", ran.stderr);
    let said = call(
        &rootless.sandbox,
        &["exec", "ID", "/bin/cat", "/proc/self/uid_map"],
    );
    assert!(said.status.success(), "{}", said.stderr);
    let map: Vec<&str> = said.stdout.split_whitespace().collect();
    assert_eq!(map, ["0", "54321", "1"]);
    let pid = rootless.sandbox.pid();
    let outside = fs::metadata(format!("/proc/{pid}")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&outside), USER);
    for verb in [&["kill", "ID", "KILL"][..], &["delete", "--force", "ID"]] {
        let called = call(&rootless.sandbox, verb);
        assert!(called.status.success(), "{verb:?}: {}", called.stderr);
    }
    assert_eq!(rootless.sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_created_container_is_ready_for_exec_at_once() {
    let rootless = Rootless::new("rootless-ready");
    for round in 0..8 {
        let created = rootless.with(&["create", "ID"], |_| {});
        assert!(created.status.success(), "{}", created.stderr);
        let said = call(&rootless.sandbox, &["exec", "ID", "/bin/true"]);
        assert!(said.status.success(), "round {round}: {}", said.stderr);
        let deleted = call(&rootless.sandbox, &["delete", "--force", "ID"]);
        assert!(deleted.status.success(), "{}", deleted.stderr);
    }
    assert_eq!(rootless.sandbox.leftovers(), Vec::<String>::new());
}

/// In the words that runc's own tests look for.
#[test]
fn processes_that_nothing_holds_together_are_warned_of() {
    let rootless = Rootless::new("rootless-loose");
    let warned = |change: fn(&mut Value)| {
        let ran = rootless.with(&["run", "ID"], |config| {
            config["process"]["args"] = json!(["/bin/true"]);
            change(config);
        });
        assert!(ran.status.success(), "{}", ran.stderr);
        ran.stderr
            .contains("Such configuration is strongly discouraged")
    };
    assert!(!warned(|_| {}));
    assert!(warned(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        // A procfs belongs to a pid namespace.
        config["mounts"][0] = json!({ "destination": "/proc", "type": "none", "source": "/proc",
            "options": ["rbind", "nosuid", "nodev", "noexec"] });
    }));
    assert_eq!(rootless.sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn what_needs_rights_is_refused_by_name() {
    let rootless = Rootless::new("rootless-refused");
    let refused = |change: fn(&mut Value), words: &str| {
        let called = rootless.with(&["create", "ID"], change);
        assert!(!called.status.success(), "{words}");
        assert!(called.stderr.contains(words), "{}", called.stderr);
    };
    refused(
        |config| config["linux"]["resources"] = json!({ "pids": { "limit": 20 } }),
        "/linux/resources/pids/limit",
    );
    refused(
        |config| config["linux"]["cgroupsPath"] = json!("/rootless-refused/x"),
        "/linux/cgroupsPath",
    );
    refused(
        |config| config["linux"]["uidMappings"][0]["hostID"] = json!(7),
        "/linux/uidMappings",
    );
    refused(
        |config| config["process"]["user"]["additionalGids"] = json!([5]),
        "cannot set any additional groups in a rootless container",
    );
    refused(
        |config| {
            config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "uts" }]);
            config["linux"]["uidMappings"] = json!(null);
            config["linux"]["gidMappings"] = json!(null);
        },
        "rootless container requires user namespaces",
    );
    assert_eq!(rootless.sandbox.leftovers(), Vec::<String>::new());
}
