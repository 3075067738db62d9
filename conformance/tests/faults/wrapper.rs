//! The faulty runtime: a sound one, with one thing wrong.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use serde_json::{Value, json};

/// The sound runtime.
fn base() -> String {
    std::env::var("WINDLASS_FAULT_OF").unwrap_or_else(|_| "runc".to_owned())
}

/// A call of the runtime, taken apart as far as faults need it.
struct Call {
    words: Vec<String>,
    /// Where in `words` the verb is.
    verb_at: usize,
}

impl Call {
    fn of_this_process() -> Call {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let mut verb_at = 0;
        while words.get(verb_at).is_some_and(|word| word.starts_with('-')) {
            let takes_value =
                ["--root", "--log", "--log-format"].contains(&words[verb_at].as_str());
            verb_at += if takes_value { 2 } else { 1 };
        }
        Call { words, verb_at }
    }

    fn verb(&self) -> &str {
        self.words.get(self.verb_at).map_or("", String::as_str)
    }

    fn option(&self, name: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// Takes an option and its value away.
    fn drop_option(&mut self, name: &str) {
        if let Some(at) = self.words.iter().position(|word| word == name) {
            self.words.drain(at..at + 2);
            if at < self.verb_at {
                self.verb_at -= 2;
            }
        }
    }

    fn add_options(&mut self, options: &[&str]) {
        for (offset, option) in options.iter().enumerate() {
            self.words
                .insert(self.verb_at + 1 + offset, (*option).to_owned());
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(base());
        command
            .args(&self.words)
            .env_remove("WINDLASS_FAULT")
            .env_remove("WINDLASS_FAULT_OF");
        command
    }

    /// Becomes runc.
    fn become_runc(&self) -> ExitCode {
        let error = self.command().exec();
        eprintln!("runc: {error}");
        ExitCode::from(125)
    }

    /// Runs runc and goes on.
    fn status(&self) -> u8 {
        code(self.command().status().unwrap())
    }

    /// Runs runc and returns what it printed.
    fn printed(&self) -> (u8, String) {
        let output = self
            .command()
            .stderr(std::process::Stdio::inherit())
            .output()
            .unwrap();
        (
            code(output.status),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn id(&self) -> &str {
        let last = if ["kill", "exec"].contains(&self.verb()) {
            2
        } else {
            1
        };
        self.words
            .get(self.words.len() - last)
            .map_or("", String::as_str)
    }
}

/// Is the runtime with this fault.
#[allow(clippy::too_many_lines)] // one arm a fault
pub fn run(fault: &str) -> ExitCode {
    let mut call = Call::of_this_process();
    let verb = call.verb().to_owned();
    if ["create", "run"].contains(&verb.as_str()) {
        edit_config(fault, &call);
    }
    match (fault, verb.as_str()) {
        ("leak-a-descriptor", "run" | "create") | ("leak-a-descriptor-into-exec", "exec") => {
            call.add_options(&["--preserve-fds", "1"]);
            let error = Command::new("sh")
                .args(["-c", "exec 3</etc/passwd; exec \"$0\" \"$@\"", &base()])
                .args(&call.words)
                .env_remove("WINDLASS_FAULT")
                .exec();
            eprintln!("sh: {error}");
            ExitCode::from(125)
        }
        ("wrong-status", "state") => print_state(&call, |state| {
            if state["status"] == "created" {
                state["status"] = json!("running");
            }
        }),
        ("wrong-pid", "state") => {
            print_state(&call, |state| state["pid"] = json!(std::process::id()))
        }
        ("believe-a-false-proc", "exec") => {
            let id = call.words.last().map_or("", String::as_str);
            let mut state = Command::new(base());
            state
                .args(&call.words[..call.verb_at])
                .args(["state", id])
                .stderr(Stdio::null());
            let state: Value =
                serde_json::from_slice(&state.output().unwrap().stdout).unwrap_or_default();
            // Of the first exec there, which makes the false files, the last word is no id.
            if let Some(pid) = state["pid"].as_i64() {
                let score = format!("/proc/{pid}/root/proc/self/oom_score_adj");
                fs::write(score, "500").unwrap();
            }
            call.become_runc()
        }
        ("empty-list", "list") => {
            println!("[]");
            ExitCode::SUCCESS
        }
        ("exit-with-0", "run")
        | ("start-never-fails", "start")
        | ("create-never-fails", "create")
        | ("update-never-fails", "update") => {
            call.status();
            ExitCode::SUCCESS
        }
        ("newline-in-pid-file", "create") => {
            let status = call.status();
            if let Some(file) = call.option("--pid-file") {
                let text = fs::read_to_string(file).unwrap_or_default();
                fs::write(file, text + "\n").unwrap();
            }
            ExitCode::from(status)
        }
        ("no-log", _) => {
            call.drop_option("--log");
            call.become_runc()
        }
        ("kill-with-term", "kill") => {
            if let Some(signal) = call.words.last_mut() {
                *signal = if signal == "KILL" {
                    "KILL".to_owned()
                } else {
                    "WINCH".to_owned()
                };
            }
            call.become_runc()
        }
        ("create-starts", "create") => {
            let status = call.status();
            let start = Call {
                words: call.words[..call.verb_at]
                    .iter()
                    .cloned()
                    .chain(["start".to_owned(), call.id().to_owned()])
                    .collect(),
                verb_at: call.verb_at,
            };
            start.status();
            ExitCode::from(status)
        }
        ("delete-does-nothing", "delete") if !call.words.iter().any(|word| word == "--force") => {
            ExitCode::SUCCESS
        }
        ("delete-always-forces", "delete") => {
            call.add_options(&["--force"]);
            call.become_runc()
        }
        ("delete-leaves-a-file", "delete") => {
            let status = call.status();
            let root = PathBuf::from(call.option("--root").unwrap_or("/run/runc"));
            fs::write(root.join(call.id()), "").unwrap();
            ExitCode::from(status)
        }
        ("wrong-status-for-users", "state") => print_state(&call, |state| {
            state["status"] = json!("running");
        }),
        ("list-ten", "list") => {
            let (status, text) = call.printed();
            for line in text.lines().take(10) {
                println!("{line}");
            }
            ExitCode::from(status)
        }
        ("silent-errors", "create" | "run") => {
            let mut command = call.command();
            command.stdout(Stdio::null()).stderr(Stdio::null());
            ExitCode::from(code(command.status().unwrap()))
        }
        (fault, verb) if fault == format!("leak-when-{verb}-is-killed") => leak_when_killed(&call),
        ("exec-ignores-user", "exec") => {
            call.drop_option("--user");
            call.become_runc()
        }
        ("exec-ignores-cwd", "exec") => {
            call.drop_option("--cwd");
            call.become_runc()
        }
        _ => call.become_runc(),
    }
}

/// The exit status; 125 where there is none.
fn code(status: ExitStatus) -> u8 {
    status
        .code()
        .map_or(125, |code| u8::try_from(code).unwrap_or(125))
}

/// Makes a cgroup that only a call that comes to its end takes away.
fn leak_when_killed(call: &Call) -> ExitCode {
    let word = call
        .words
        .iter()
        .find(|word| word.starts_with("wconf-"))
        .and_then(|id| id.rsplit_once('-'))
        .map_or("", |(word, _)| word);
    let top = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
        .map(PathBuf::from)
        .into_iter()
        .find(|directory| directory.join("cgroup.procs").exists())
        .unwrap();
    let leak = top.join(word).join(format!("leak-{}", std::process::id()));
    fs::create_dir_all(&leak).unwrap();
    let status = call.command().status().unwrap();
    if status.code().is_some() {
        fs::remove_dir(&leak).unwrap();
    }
    ExitCode::from(code(status))
}

fn print_state(call: &Call, change: impl FnOnce(&mut Value)) -> ExitCode {
    let (status, text) = call.printed();
    match serde_json::from_str::<Value>(&text) {
        Ok(mut state) => {
            change(&mut state);
            println!("{state}");
        }
        Err(_) => print!("{text}"),
    }
    ExitCode::from(status)
}

fn edit_config(fault: &str, call: &Call) {
    let bundle = call
        .option("--bundle")
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let file = bundle.join("config.json");
    // A broken config.json is left to runc to complain about.
    let Ok(text) = fs::read_to_string(&file) else {
        return;
    };
    let Ok(mut config) = serde_json::from_str::<Value>(&text) else {
        return;
    };
    let before = config.clone();
    break_config(fault, &mut config);
    if config != before {
        fs::write(&file, config.to_string()).unwrap();
    }
}

/// Takes a field out, if it is there.
fn forget(config: &mut Value, object: &str, field: &str) {
    if let Some(Value::Object(object)) = config.pointer_mut(object) {
        object.remove(field);
    }
}

/// Calls `change` for each element of an array, if it is there.
fn each(config: &mut Value, array: &str, change: impl FnMut(&mut Value)) {
    if let Some(Value::Array(values)) = config.pointer_mut(array) {
        values.iter_mut().for_each(change);
    }
}

fn retain(config: &mut Value, array: &str, keep: impl FnMut(&Value) -> bool) {
    if let Some(Value::Array(values)) = config.pointer_mut(array) {
        values.retain(keep);
    }
}

fn push(config: &mut Value, array: &str, value: Value) {
    if let Some(Value::Array(values)) = config.pointer_mut(array) {
        values.push(value);
    }
}

fn increase(config: &mut Value, pointer: &str) {
    if let Some(value) = config.pointer_mut(pointer)
        && let Some(number) = value.as_i64()
    {
        *value = json!(number + 4096);
    }
}

fn break_config(fault: &str, config: &mut Value) {
    let sets =
        ["bounding", "permitted", "effective"].map(|set| format!("/process/capabilities/{set}"));
    match fault {
        "drop-a-capability" => {
            for set in &sets {
                retain(config, set, |name| name != "CAP_CHOWN");
            }
        }
        "add-a-capability" => {
            for set in &sets {
                push(config, set, json!("CAP_SYS_CHROOT"));
            }
        }
        "fill-the-inheritable-set" => {
            let bounding = config["process"]["capabilities"]["bounding"].clone();
            config["process"]["capabilities"]["inheritable"] = bounding;
        }
        "drop-ambient" => forget(config, "/process/capabilities", "ambient"),
        "skip-masked-paths" | "skip-masked-directories" => forget(config, "/linux", "maskedPaths"),
        "skip-read-only-paths" => forget(config, "/linux", "readonlyPaths"),
        "writable-root" => forget(config, "/root", "readonly"),
        "forget-a-hook" => forget(config, "/hooks", "createRuntime"),
        "reverse-hooks" => {
            if let Some(Value::Array(hooks)) = config.pointer_mut("/hooks/poststop") {
                hooks.reverse();
            }
        }
        "forget-hook-environment" => each(config, "/hooks/createRuntime", |hook| {
            hook["env"] = json!([]);
        }),
        "wrong-uid" => increase(config, "/process/user/uid"),
        "wrong-gid" => increase(config, "/process/user/gid"),
        "drop-groups" => forget(config, "/process/user", "additionalGids"),
        "ignore-umask" => forget(config, "/process/user", "umask"),
        "ignore-no-new-privileges" => forget(config, "/process", "noNewPrivileges"),
        "wrong-rlimit" => each(config, "/process/rlimits", |limit| {
            limit["soft"] = limit["hard"].clone();
        }),
        "leak-environment" => {
            if let Ok(secret) = std::env::var("CONFORMANCE_SECRET") {
                push(
                    config,
                    "/process/env",
                    json!(format!("CONFORMANCE_SECRET={secret}")),
                );
            }
        }
        "drop-empty-arguments" => retain(config, "/process/args", |word| word != ""),
        "ignore-cwd" => config["process"]["cwd"] = json!("/"),
        "ignore-oom-score" => forget(config, "/process", "oomScoreAdj"),
        "cut-environment" => truncate(config, "/process/env", 100),
        "cut-arguments" => truncate(config, "/process/args", 1_000),
        "cut-long-values" => each(config, "/process/env", |variable| {
            let text: String = variable
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(4_096)
                .collect();
            *variable = json!(text);
        }),
        "ignore-long-cwd"
            if config["process"]["cwd"]
                .as_str()
                .is_some_and(|cwd| cwd.len() > 1_000) =>
        {
            config["process"]["cwd"] = json!("/");
        }
        _ => break_surroundings(fault, config),
    }
}

/// Faults in what is around the process: seccomp, mounts, namespaces, cgroups, devices.
fn break_surroundings(fault: &str, config: &mut Value) {
    match fault {
        "no-seccomp" => forget(config, "/linux", "seccomp"),
        "wrong-errno" => each(config, "/linux/seccomp/syscalls", |rule| {
            rule["errnoRet"] = json!(1);
        }),
        "forget-seccomp-arguments" => {
            each(config, "/linux/seccomp/syscalls", |rule| {
                rule["args"] = json!([]);
            });
        }
        "allow-one-call-more" => push(
            config,
            "/linux/seccomp/syscalls",
            json!({ "names": ["keyctl"], "action": "SCMP_ACT_ALLOW" }),
        ),
        "reverse-mounts" => {
            // Only what the case added: /dev before /dev/pts has to stay.
            if let Some(Value::Array(mounts)) = config.pointer_mut("/mounts")
                && mounts.len() > 5
            {
                mounts[5..].reverse();
            }
        }
        "ignore-read-only-binds" => each(config, "/mounts", |mount| {
            retain(mount, "/options", |option| option != "ro");
        }),
        "bind-instead-of-rbind" => each(config, "/mounts", |mount| {
            each(mount, "/options", |option| {
                if option == "rbind" {
                    *option = json!("bind");
                }
            });
        }),
        "ignore-propagation" => each(config, "/mounts", |mount| {
            retain(mount, "/options", |option| {
                option != "shared" && option != "unbindable"
            });
        }),
        "ignore-mount-flags" => each(config, "/mounts", |mount| {
            retain(mount, "/options", |option| option != "noexec");
        }),
        "share-the-network" => retain(config, "/linux/namespaces", |one| one["type"] != "network"),
        "share-the-pid-namespace" => {
            retain(config, "/linux/namespaces", |one| one["type"] != "pid");
        }
        "new-instead-of-joined" => {
            each(config, "/linux/namespaces", |one| forget(one, "", "path"));
        }
        "wrong-hostname" => config["hostname"] = json!("windlass"),
        "ignore-sysctl" => forget(config, "/linux", "sysctl"),
        "wrong-memory-limit" => increase(config, "/linux/resources/memory/limit"),
        "ignore-pids-limit" => forget(config, "/linux/resources", "pids"),
        "ignore-cpu-limit" => forget(config, "/linux/resources", "cpu"),
        "wrong-cgroup" => {
            let path = config["linux"]["cgroupsPath"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            config["linux"]["cgroupsPath"] = json!(path + "-other");
        }
        "allow-all-devices" => {
            config["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
        }
        "wrong-device-mode" => {
            each(config, "/linux/devices", |device| {
                device["fileMode"] = json!(0o666);
            });
        }
        "forget-devices" => forget(config, "/linux", "devices"),
        "forget-annotations" => forget(config, "", "annotations"),
        "ignore-console-size" => forget(config, "/process", "consoleSize"),
        "cut-mounts" => truncate(config, "/mounts", 100),
        "cut-masks" => {
            truncate(config, "/linux/maskedPaths", 100);
            truncate(config, "/linux/readonlyPaths", 100);
        }
        "wrong-id-mapping" => each(config, "/linux/uidMappings", |mapping| {
            mapping["containerID"] = json!(5);
        }),
        "map-own-id" => {
            let own = config["linux"]["gidMappings"][0]["hostID"].clone();
            each(config, "/linux/uidMappings", |mapping| {
                mapping["hostID"] = own.clone();
            });
        }
        "follow-console" => each(config, "/mounts", |mount| {
            if mount["destination"] == "/dev"
                && let Some(volume) = mount["source"].as_str()
            {
                let _ = fs::write(format!("{volume}/console"), "x");
            }
        }),
        "mask-dev" => config["linux"]["maskedPaths"] = json!(["/dev"]),
        "skip-masked-paths-for-users" => forget(config, "/linux", "maskedPaths"),
        "forget-net-devices" => forget(config, "/linux", "netDevices"),
        "ignore-metadata" => forget(config, "/linux/seccomp", "listenerMetadata"),
        _ => {
            break_resources(fault, config);
            break_resctrl(fault, config);
        }
    }
}

/// Faults in limits.
fn break_resources(fault: &str, config: &mut Value) {
    match fault {
        "lower-the-memory-limit" => config["linux"]["resources"]["memory"]["limit"] = json!(65_536),
        "ignore-memory-limit" => forget(config, "/linux/resources", "memory"),
        "ignore-cgroup" => {
            forget(config, "/linux", "resources");
            forget(config, "/linux", "cgroupsPath");
        }
        "forget-hidden-throttles" => {
            forget(
                config,
                "/linux/resources/blockIO",
                "throttleWriteIOPSDevice",
            );
        }
        "ignore-weights" => forget(config, "/linux/resources/blockIO", "weightDevice"),
        "ignore-rdma" => forget(config, "/linux/resources", "rdma"),
        "ignore-huge-pages" => forget(config, "/linux/resources", "hugepageLimits"),
        "ignore-burst" => forget(config, "/linux/resources/cpu", "burst"),
        "forget-network-priorities" => forget(config, "/linux/resources", "network"),
        _ => {}
    }
}

/// Faults in `linux.intelRdt`.
fn break_resctrl(fault: &str, config: &mut Value) {
    const RDT: &str = "/linux/intelRdt";
    if fault == "always-a-group" && config["linux"]["intelRdt"].is_null() {
        config["linux"]["intelRdt"] = json!({});
    }
    let Some(rdt) = config.pointer_mut(RDT) else {
        return;
    };
    let has_line = ["l3CacheSchema", "memBwSchema", "schemata"]
        .iter()
        .any(|field| !rdt[field].is_null());
    match fault {
        "ignore-intel-rdt" => forget(config, "/linux", "intelRdt"),
        "wrong-group" => rdt["closID"] = json!("/"),
        "own-group-for-the-default" => forget(config, RDT, "closID"),
        "cut-lines" => {
            for field in ["/memBwSchema", "/schemata/0"] {
                if let Some(line) = rdt.pointer_mut(field) {
                    let first = line.as_str().unwrap_or_default().lines().next();
                    *line = json!(first.unwrap_or_default().replace("L3:", "MB:"));
                }
            }
        }
        "forget-bandwidth" => forget(config, RDT, "memBwSchema"),
        "forget-schemata" => forget(config, RDT, "schemata"),
        "always-a-line" if !has_line => rdt["schemata"] = json!(["L3:0=1"]),
        "no-new-group" if rdt["closID"] == "new" => rdt["closID"] = json!("/"),
        "compare-nothing" => {
            rdt["schemata"] = json!([rdt["l3CacheSchema"]]);
            forget(config, RDT, "l3CacheSchema");
        }
        "make-any-group" if !has_line => rdt["l3CacheSchema"] = json!("L3:0=fff"),
        "keep-own-group" => rdt["closID"] = json!("kept"),
        "forget-monitoring" | "ignore-monitoring-failures" => {
            forget(config, RDT, "enableMonitoring");
        }
        _ => {}
    }
}

fn truncate(config: &mut Value, array: &str, length: usize) {
    if let Some(Value::Array(values)) = config.pointer_mut(array) {
        values.truncate(length);
    }
}
