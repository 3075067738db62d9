//! What Docker, containerd and podman rely on beyond the runtime-spec.

use std::fs;
use std::os::fd::AsFd;

use serde_json::Value;

use crate::case::{CRUN, Case, Known, Stop, Verdict, check, equal, fail};
use crate::harness::{Context, Output, observation};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "engine-contract/version",
        "--version names the program, its version and the spec's",
        "reads the lines that dockerd looks for",
        version,
    )
    .clause(
        "moby",
        "daemon/runtime_unix.go",
        "dockerd parses `NAME version X` and `spec: X`",
    ),
    Case::contract(
        "engine-contract/spec",
        "spec writes a config.json, and the runtime itself can run it",
        "calls spec in an empty bundle, puts the probe into process.args and runs it",
        spec,
    )
    .clause("runc command line", "spec", "--bundle, -b"),
    Case::contract(
        "engine-contract/spec-refuses-to-overwrite",
        "spec does not overwrite a config.json",
        "calls it where one is",
        spec_existing,
    )
    .clause("runc", "spec", "File config.json exists. Remove it first"),
    Case::must(
        "engine-contract/features",
        "features prints the versions that the runtime takes, and namespaces and hooks",
        "creates a container with each of the two versions",
        features,
    )
    .clause(
        "features.md",
        "Specification version",
        "The runtime MUST accept this value as the ociVersion",
    )
    .needs(&[crate::case::Need::Verb("features")]),
    Case::contract(
        "engine-contract/pid-file",
        "--pid-file holds the process id of state, without more",
        "creates with one and compares",
        pid_file,
    )
    .clause("runc command line", "create", "--pid-file"),
    Case::contract(
        "engine-contract/pid-file-relative",
        "a relative --pid-file counts from the caller's directory, not from the bundle",
        "calls create in a directory of its own",
        pid_file_relative,
    )
    .clause(
        "runc contract",
        "create",
        "--pid-file is relative to the caller's cwd, not to -b",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "takes it as relative to the bundle",
    }]),
    Case::contract(
        "engine-contract/bundle-is-the-directory",
        "without --bundle the caller's directory is the bundle",
        "calls run inside the bundle",
        bundle_default,
    )
    .clause("runc command line", "create", "--bundle, -b"),
    Case::contract(
        "engine-contract/exit-status",
        "run exits with the program's status",
        "runs a program that exits with 42",
        exit_status,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "run returns the container's exit status",
    ),
    Case::contract(
        "engine-contract/exit-status-of-a-signal",
        "run exits with 128 + N after a death by signal N",
        "kills the container's process with SIGKILL while run waits",
        exit_signal,
    )
    .clause("runc command line", "General behaviour", "128+signal"),
    Case::contract(
        "engine-contract/reaped-by-the-caller",
        "a detached container's process is a child of the caller's reaper, with its exit status",
        "creates, starts, and waits as containerd's shim does",
        reaped,
    )
    .clause(
        "containerd",
        "runtime v2 shim",
        "the shim is a subreaper and waits for init",
    ),
    Case::contract(
        "engine-contract/log-json",
        "--log with --log-format json holds level and msg of a failure",
        "lets create fail and reads each line of the file",
        log_json,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "{\"level\":\"error\",\"msg\":\"...\",\"time\":\"...\"}",
    ),
    Case::contract(
        "engine-contract/log-text",
        "an error is on standard error, in one line or few",
        "starts an unknown id",
        log_text,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "Errors: one logrus line on stderr",
    ),
    Case::contract(
        "engine-contract/preserve-fds",
        "--preserve-fds N hands over descriptors 3 to 2+N, and no more",
        "opens 3, 4 and 5, and preserves two",
        preserve_fds,
    )
    .clause("runc command line", "run", "--preserve-fds"),
    Case::contract(
        "engine-contract/listen-fds",
        "LISTEN_FDS of the caller's is handed over as systemd defines it",
        "opens 3 with LISTEN_FDS=1 and reads LISTEN_FDS and LISTEN_PID inside",
        listen_fds,
    )
    .clause(
        "runc command line",
        "Environment variables",
        "LISTEN_PID, LISTEN_FDS: socket activation",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "hands them over whoever LISTEN_PID names",
    }]),
    Case::contract(
        "engine-contract/stdin",
        "the program reads what the caller has on standard input",
        "starts with a file as standard input and looks where descriptor 0 leads",
        stdin,
    )
    .clause(
        "runc",
        "terminals.md",
        "pass-through: the container's stdio is the runtime's",
    ),
    Case::contract(
        "engine-contract/create-returns-stdio",
        "create does not hold the caller's standard streams open itself",
        "after create and start only the container's process has the output file open",
        stdio_released,
    )
    .clause(
        "containerd",
        "runtime v2 shim",
        "the shim reads to the end of the pipes",
    ),
    Case::contract(
        "engine-contract/unknown-verb",
        "an unknown verb is an error",
        "calls `conjure`",
        unknown_verb,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "Unknown command: runc foo exits 3",
    ),
    Case::contract(
        "engine-contract/unknown-option",
        "an unknown option is an error",
        "calls create --conjure",
        unknown_option,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "flag provided but not defined: -x",
    ),
    Case::contract(
        "engine-contract/option-with-equals",
        "--option=value works as --option value",
        "calls run --bundle=DIR",
        option_equals,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "--flag=value and --flag value both work",
    ),
];

fn version(context: &Context) -> Verdict {
    let output = context.call(&["--version"]).run()?.must_work()?;
    let text = output.stdout();
    let first: Vec<&str> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    check(
        first.len() >= 3 && first[1] == "version",
        format_args!("the first line is not `NAME version X`: {text}"),
    )?;
    check(
        text.lines().any(|line| line.starts_with("spec: ")),
        format_args!("no line `spec: X`: {text}"),
    )
}

fn spec(context: &Context) -> Verdict {
    let bundle = context.bundle()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    context
        .call(&["spec", "--bundle", &directory])
        .run()?
        .must_work()?;
    let file = bundle.directory.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    equal(
        "process.args",
        config["process"]["args"].to_string().as_str(),
        "[\"sh\"]",
    )?;
    equal(
        "process.terminal",
        config["process"]["terminal"].as_bool(),
        Some(true),
    )?;
    equal(
        "root.readonly",
        config["root"]["readonly"].as_bool(),
        Some(true),
    )?;
    config["process"]["args"] = serde_json::json!(["/probe", "probe", "see"]);
    config["process"]["terminal"] = serde_json::json!(false);
    config["linux"]["cgroupsPath"] = serde_json::json!(format!("/{}/spec", context.word));
    fs::write(&file, config.to_string())?;
    let mut container = context.container()?;
    let output = container
        .call("run", &["--bundle", &directory], &[])?
        .must_work()?;
    container.gone();
    observation(&output)?;
    Ok(())
}

fn spec_existing(context: &Context) -> Verdict {
    let bundle = context.bundle()?;
    bundle.write()?;
    let file = bundle.directory.join("config.json");
    let before = fs::read_to_string(&file)?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    context
        .call(&["spec", "--bundle", &directory])
        .run()?
        .must_fail()?;
    equal("config.json", fs::read_to_string(&file)?, before)
}

fn features(context: &Context) -> Verdict {
    let output = context.call(&["features"]).run()?.must_work()?;
    let Ok(features) = serde_json::from_str::<Value>(&output.stdout()) else {
        return fail(format_args!(
            "features printed no JSON: {}",
            output.stdout()
        ));
    };
    for bound in ["ociVersionMin", "ociVersionMax"] {
        let Some(version) = features[bound].as_str() else {
            return fail(format_args!("features has no {bound}"));
        };
        context.see_with(&[], |config| config["ociVersion"] = version.into())?;
    }
    for list in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
    ] {
        let there = features
            .pointer(list)
            .and_then(Value::as_array)
            .is_some_and(|v| !v.is_empty());
        check(there, format_args!("features has no {list}"))?;
    }
    Ok(())
}

fn pid_file(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let file = context.directory.join("init.pid");
    let name = file.to_string_lossy().into_owned();
    let (container, output) = context.attempt("create", &bundle, &["--pid-file", &name])?;
    output.must_work()?;
    let wanted = container.pid()?.to_string();
    equal("pid file", fs::read_to_string(&file)?, wanted)
}

fn pid_file_relative(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.write()?;
    let place = context.directory.join("place");
    fs::create_dir(&place)?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    context
        .call(&[
            "create",
            "--bundle",
            &directory,
            "--pid-file",
            "init.pid",
            &container.id,
        ])
        .directory(&place)
        .run()?
        .must_work()?;
    check(
        place.join("init.pid").exists(),
        "the pid file is not in the caller's directory",
    )
}

fn bundle_default(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let output = context
        .call(&["run", &container.id])
        .directory(&bundle.directory)
        .run()?
        .must_work()?;
    container.gone();
    observation(&output)?;
    Ok(())
}

fn exit_status(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["exit", "42"]);
    let (_container, output) = context.attempt("run", &bundle, &[])?;
    equal("exit status", output.status, 42)
}

fn exit_signal(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait", "/tmp/ready"]);
    bundle.write()?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let running = context
        .call(&["run", "--bundle", &directory, &container.id])
        .spawn()?;
    crate::harness::wait_for_text(&bundle.rootfs().join("tmp/ready"), |_| true)?;
    container.kill("KILL")?;
    equal("exit status", running.wait()?.status, 137)
}

fn reaped(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["exit", "42"]);
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    container.start()?;
    equal("exit status", container.wait(pid)?, Some(42))
}

fn failed_with_log(context: &Context, format: &str) -> Result<(Output, String), Stop> {
    let bundle = context.bundle()?;
    let file = context.directory.join("log");
    let name = file.to_string_lossy().into_owned();
    // No config.json is there.
    let directory = bundle.directory.to_string_lossy().into_owned();
    let container = context.container()?;
    let output = context
        .call(&["create", "--bundle", &directory, &container.id])
        .global(&["--log", &name, "--log-format", format])
        .run()?
        .must_fail()?;
    Ok((output, fs::read_to_string(&file).unwrap_or_default()))
}

fn log_json(context: &Context) -> Verdict {
    let (_, log) = failed_with_log(context, "json")?;
    let mut errors = 0;
    for line in log.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            return fail(format_args!("a line of the log is no JSON: {line}"));
        };
        check(entry["msg"].is_string(), format_args!("no msg in {line}"))?;
        errors += usize::from(entry["level"] == "error");
    }
    check(
        errors > 0,
        format_args!("no entry of level error in the log: {log:?}"),
    )
}

fn log_text(context: &Context) -> Verdict {
    let output = context
        .call(&["start", "conformance-nobody"])
        .run()?
        .must_fail()?;
    let text = output.stderr();
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    check(
        (1..=2).contains(&lines),
        format_args!("{lines} lines on standard error: {text}"),
    )?;
    check(
        !text.contains("panic") && !text.contains("goroutine"),
        "a backtrace, not an error",
    )
}

fn preserve_fds(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let mut call = context.call(&[
        "run",
        "--preserve-fds",
        "2",
        "--bundle",
        &directory,
        &container.id,
    ]);
    let file = bundle.rootfs().join("etc/motd");
    for number in [3, 4, 5] {
        call = call.descriptor(fs::File::open(&file)?, number);
    }
    let output = call.run()?.must_work()?;
    container.gone();
    let seen = observation(&output)?.descriptors;
    let numbers: Vec<i32> = seen.keys().copied().collect();
    check(
        numbers == [0, 1, 2, 3, 4],
        format_args!("descriptors: wanted 0 to 4, saw {seen:?}"),
    )?;
    for number in [3, 4] {
        let target = seen.get(&number).cloned().unwrap_or_default();
        check(
            target.ends_with("motd"),
            format_args!("descriptor {number} leads to {target}"),
        )?;
    }
    Ok(())
}

fn listen_fds(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    // LISTEN_PID names someone else: sd_listen_fds(3) says that then nothing is handed over.
    let output = context
        .call(&["run", "--bundle", &directory, &container.id])
        .environment("LISTEN_FDS", "1")
        .environment("LISTEN_PID", "1")
        .descriptor(fs::File::open(bundle.rootfs().join("etc/motd"))?, 3)
        .run()?
        .must_work()?;
    container.gone();
    let seen = observation(&output)?;
    check(
        !seen.descriptors.contains_key(&3) && seen.variable("LISTEN_FDS").is_empty(),
        format_args!(
            "handed over, though LISTEN_PID names another process: {:?}",
            seen.descriptors
        ),
    )
}

fn stdin(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let file = bundle.rootfs().join("etc/motd");
    let directory = bundle.directory.to_string_lossy().into_owned();
    let output = context
        .call(&["run", "--bundle", &directory, &container.id])
        .descriptor(fs::File::open(&file)?, 0)
        .run()?
        .must_work()?;
    container.gone();
    let seen = observation(&output)?.descriptors;
    let target = seen.get(&0).cloned().unwrap_or_default();
    check(
        target.ends_with("etc/motd") || target.starts_with("pipe:"),
        format_args!("descriptor 0 leads to {target}"),
    )
}

fn stdio_released(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    let file = fs::File::open(container.stdout_file())?;
    let wanted = rustix::fs::fstat(file.as_fd())?.st_ino;
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let ours = i32::try_from(std::process::id())?;
        if process == pid || process == ours {
            continue;
        }
        for descriptor in fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let held = fs::metadata(descriptor.path());
            if held.is_ok_and(|held| std::os::unix::fs::MetadataExt::ino(&held) == wanted) {
                holders.push(process);
            }
        }
    }
    equal("processes that hold the output file", holders, vec![])
}

fn unknown_verb(context: &Context) -> Verdict {
    context.call(&["conjure"]).run()?.must_fail()?;
    Ok(())
}

fn unknown_option(context: &Context) -> Verdict {
    context
        .call(&["create", "--conjure", "conformance-nobody"])
        .run()?
        .must_fail()?;
    Ok(())
}

fn option_equals(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let option = format!("--bundle={}", bundle.directory.display());
    let output = container.call("run", &[&option], &[])?.must_work()?;
    container.gone();
    observation(&output)?;
    Ok(())
}
