//! `process`: who the program runs as, what it is handed, where it starts.

use serde_json::json;

use crate::case::{CRUN, Case, Known, Need, RUNC, Verdict, check, equal};
use crate::harness::{Context, Output};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "process/args",
        "argv is process.args, unchanged",
        "passes empty words, blanks, newlines and non-ASCII letters in process.args and compares \
         them with the argv that the probe got",
        arguments,
    )
    .clause(
        "config.md",
        "Process",
        "with similar semantics to IEEE Std 1003.1-2008 execvp's argv",
    ),
    Case::must(
        "process/args-path-search",
        "a name without a slash is looked up in the PATH of process.env",
        "runs `probe`, which only the PATH entry `/` leads to",
        path_search,
    )
    .clause(
        "config.md",
        "Process",
        "that entry is used with the same semantics as execvp's file",
    ),
    Case::must(
        "process/args-missing-program",
        "a program that is not there is an error",
        "creates and starts a container whose program does not exist: one of the two must fail",
        missing_program,
    )
    .clause(
        "runtime.md",
        "Start",
        "This operation MUST run the user-specified program",
    ),
    Case::must(
        "process/env",
        "the environment holds what process.env says",
        "passes variables with blanks, equals signs and newlines in their values",
        environment,
    )
    .clause(
        "config.md",
        "Process",
        "with the same semantics as IEEE Std 1003.1-2008's environ",
    ),
    Case::contract(
        "process/env-not-the-callers",
        "nothing of the caller's environment reaches the program",
        "calls the runtime with a variable of its own and looks for it in the container",
        environment_of_caller,
    )
    .clause(
        "security",
        "CVE-2026-57231 and its class",
        "host variables leaked into a container",
    ),
    Case::contract(
        "process/env-home",
        "HOME comes from the container's /etc/passwd when process.env has none",
        "runs as uid 1000, whose home in the container's /etc/passwd is /tmp",
        environment_home,
    )
    .clause(
        "runc command line",
        "Environment variables",
        "HOME is set from /etc/passwd if missing",
    ),
    Case::must(
        "process/cwd",
        "the program starts in process.cwd",
        "sets process.cwd to /var and asks the probe for its directory",
        directory,
    )
    .clause(
        "config.md",
        "Process",
        "is the working directory that will be set for the executable",
    ),
    Case::contract(
        "process/cwd-created",
        "a process.cwd that the image lacks is made",
        "sets process.cwd to /srv/app, of which nothing is there",
        directory_created,
    )
    .clause(
        "runc",
        "process.cwd",
        "Docker's WORKDIR relies on the runtime making it",
    ),
    Case::must(
        "process/cwd-relative",
        "a relative process.cwd is refused",
        "creates a container with process.cwd `var`",
        directory_relative,
    )
    .clause(
        "config.md",
        "Process",
        "This value MUST be an absolute path",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "takes it as relative to the root",
    }]),
    Case::must(
        "process/user",
        "uid and gid are those of process.user",
        "runs as 1000:1001 and reads real and effective ids",
        user,
    )
    .clause(
        "config.md",
        "POSIX-platform User",
        "specifies the user ID in the container namespace",
    ),
    Case::must(
        "process/user-not-in-passwd",
        "a uid that no /etc/passwd knows works",
        "runs as 4711:4712",
        user_unknown,
    )
    .clause(
        "config.md",
        "POSIX-platform User",
        "symbolic name for uid and gid [...] are left to upper levels",
    ),
    Case::must(
        "process/additional-gids",
        "the supplementary groups are additionalGids, and none of the caller's",
        "asks for the groups 10, 100 and 65533",
        groups,
    )
    .clause(
        "config.md",
        "POSIX-platform User",
        "specifies additional group IDs",
    ),
    Case::must(
        "process/no-additional-gids",
        "without additionalGids there are no supplementary groups",
        "runs as 1000:1000 without additionalGids",
        no_groups,
    )
    .clause(
        "config.md",
        "POSIX-platform User",
        "specifies additional group IDs",
    ),
    Case::must(
        "process/umask",
        "the umask is user.umask",
        "sets user.umask to 0o027",
        umask,
    )
    .clause(
        "config.md",
        "POSIX-platform User",
        "specifies the umask of the user",
    ),
    Case::must(
        "process/rlimits",
        "soft and hard limits are those of process.rlimits",
        "sets RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_STACK and RLIMIT_FSIZE, below the caller's",
        rlimits,
    )
    .clause(
        "config.md",
        "POSIX process",
        "rlim.rlim_cur MUST match the configured value",
    ),
    Case::must(
        "process/rlimits-unknown-type",
        "a limit that no kernel has is refused",
        "asks for RLIMIT_BOGUS",
        rlimits_unknown,
    )
    .clause(
        "config.md",
        "POSIX process",
        "MUST generate an error for any values which cannot be mapped",
    ),
    Case::must(
        "process/rlimits-duplicate",
        "two entries of one type are refused",
        "asks twice for RLIMIT_NOFILE",
        rlimits_duplicate,
    )
    .clause(
        "config.md",
        "POSIX process",
        "If rlimits contains duplicated entries with same type, [...] error",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "does not look for duplicates: the last entry wins",
        },
        Known {
            runtimes: CRUN,
            why: "does not look for duplicates: the last entry wins",
        },
    ]),
    Case::must(
        "process/no-new-privileges",
        "noNewPrivileges sets no_new_privs",
        "sets it and reads NoNewPrivs in /proc/self/status",
        no_new_privileges,
    )
    .clause(
        "config.md",
        "Linux Process",
        "prevents the process from gaining additional privileges",
    ),
    Case::must(
        "process/no-new-privileges-unset",
        "without noNewPrivileges no_new_privs is not set",
        "leaves it out, also as uid 1000",
        no_new_privileges_unset,
    )
    .clause(
        "config.md",
        "Linux Process",
        "setting noNewPrivileges to true prevents [...]",
    ),
    Case::must(
        "process/oom-score-adj",
        "oom_score_adj is process.oomScoreAdj",
        "sets 500",
        oom_score_adj,
    )
    .clause(
        "config.md",
        "Linux Process",
        "If oomScoreAdj is set, the runtime MUST set oom_score_adj",
    ),
    Case::must(
        "process/oom-score-adj-unset",
        "without oomScoreAdj the caller's oom_score_adj stays",
        "compares the container's value with the caller's",
        oom_score_adj_unset,
    )
    .clause(
        "config.md",
        "Linux Process",
        "If oomScoreAdj is not set, the runtime MUST NOT change",
    ),
    Case::contract(
        "process/descriptors",
        "the program has exactly the descriptors 0, 1 and 2",
        "calls the runtime with descriptor 7 open on a directory of the host",
        descriptors,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "leaked fd of host dir + cwd=/proc/self/fd/N",
    ),
    Case::must(
        "process/stdio",
        "the standard streams are those of the runtime's caller",
        "compares the files that descriptors 1 and 2 lead to with those given to `run`",
        stdio,
    )
    .clause(
        "runtime-linux.md",
        "File descriptors",
        "only the stdin, stdout and stderr [...] are kept open",
    ),
    Case::contract(
        "process/first-in-its-session",
        "the program leads a session of its own, without the caller's terminal",
        "reads the session id in a new pid namespace: it is 1",
        session,
    )
    .clause(
        "setsid(2)",
        "DESCRIPTION",
        "the calling process is the leader of the new session",
    ),
    Case::must(
        "process/personality",
        "linux.personality sets the execution domain",
        "asks for LINUX32, which personality(2) shows as 8",
        personality,
    )
    .clause(
        "config-linux.md",
        "Personality",
        "sets the Linux execution personality",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "came with runc 1.2; ignored before",
    }]),
    Case::contract(
        "process/session-keyring",
        "the program and executed ones share a session keyring that is not the caller's",
        "compares the keyrings' numbers, which keyctl(2) tells",
        session_keyring,
    )
    .clause(
        "runc",
        "libcontainer/keys",
        "Do not inherit the parent's session keyring",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "gives an executed process a keyring of its own",
    }]),
    Case::contract(
        "process/scheduling-untouched",
        "without process.scheduler policy and priority stay the caller's",
        "reads sched_getscheduler(2) and getpriority(2)",
        scheduling,
    )
    .clause(
        "config.md",
        "Linux Process",
        "is an object describing the scheduler properties for the process",
    )
    .needs(&[Need::Namespace("pid")]),
];

fn arguments(context: &Context) -> Verdict {
    let strange = ["", "two words", "line\nbreak", "ümläut", "--flag", "$HOME"];
    let mut bundle = context.bundle()?;
    bundle.config["process"]["args"] = json!(["/probe", "probe", "see"]);
    for word in strange {
        crate::harness::bundle::push(&mut bundle.config["process"]["args"], json!(word));
    }
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    let seen = crate::harness::observation(&output.must_work()?)?;
    container.gone();
    let wanted: Vec<String> = ["/probe", "probe", "see"]
        .iter()
        .chain(&strange)
        .map(|&word| word.to_owned())
        .collect();
    equal("argv", seen.arguments, wanted)
}

fn path_search(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["process"]["args"] = json!(["probe", "probe", "see"]);
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    let seen = crate::harness::observation(&output.must_work()?)?;
    container.gone();
    equal(
        "argv[0]",
        seen.arguments.first().map(String::as_str),
        Some("probe"),
    )
}

fn missing_program(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["process"]["args"] = json!(["/no/such/program"]);
    let (container, output) = context.attempt("create", &bundle, &[])?;
    let complaint = if output.worked() {
        container.call("start", &[], &[])?
    } else {
        output
    };
    let complaint: Output = complaint.must_fail()?;
    check(
        complaint.stderr().contains("/no/such/program")
            || complaint.stderr().contains("no such file"),
        format_args!(
            "the message does not say what is missing: {}",
            complaint.description()
        ),
    )
}

fn environment(context: &Context) -> Verdict {
    let values = ["plain", "two words", "a=b=c", "line\nbreak", ""];
    let seen = context.see_with(&[], |config| {
        let mut entries = vec!["PATH=/".to_owned(), "HOME=/var".to_owned()];
        entries.extend(
            values
                .iter()
                .enumerate()
                .map(|(n, value)| format!("V{n}={value}")),
        );
        config["process"]["env"] = json!(entries);
    })?;
    for (number, value) in values.iter().enumerate() {
        equal(
            "variable",
            seen.variable(&format!("V{number}")),
            vec![*value],
        )?;
    }
    equal("PATH", seen.variable("PATH"), vec!["/"])?;
    equal("HOME", seen.variable("HOME"), vec!["/var"])
}

fn environment_of_caller(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let output = context
        .call(&["run", "--bundle", &directory, &container.id])
        .environment("CONFORMANCE_SECRET", "leaked")
        .run()?
        .must_work()?;
    container.gone();
    let seen = crate::harness::observation(&output)?;
    equal(
        "CONFORMANCE_SECRET",
        seen.variable("CONFORMANCE_SECRET"),
        vec![],
    )
}

fn environment_home(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    })?;
    equal("HOME", seen.variable("HOME"), vec!["/tmp"])
}

fn directory(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| config["process"]["cwd"] = json!("/var"))?;
    equal("getcwd", seen.directory.as_deref(), Some("/var"))
}

fn directory_created(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| config["process"]["cwd"] = json!("/srv/app"))?;
    equal("getcwd", seen.directory.as_deref(), Some("/srv/app"))
}

fn directory_relative(context: &Context) -> Verdict {
    context.must_refuse_with(|config| config["process"]["cwd"] = json!("var"))?;
    Ok(())
}

fn user(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1001 });
    })?;
    equal("real and effective uid", seen.uid, [1000, 1000])?;
    equal("real and effective gid", seen.gid, [1001, 1001])
}

fn user_unknown(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 4711, "gid": 4712 });
    })?;
    equal("uid", seen.uid, [4711, 4711])?;
    equal("gid", seen.gid, [4712, 4712])
}

fn groups(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"]["additionalGids"] = json!([100, 10, 65533]);
    })?;
    // A runtime may count the primary group among the supplementary ones.
    let seen: Vec<u32> = seen
        .groups
        .into_iter()
        .filter(|&group| group != 0)
        .collect();
    equal("groups", seen, vec![10, 100, 65533])
}

fn no_groups(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    })?;
    let seen: Vec<u32> = seen
        .groups
        .into_iter()
        .filter(|&group| group != 1000)
        .collect();
    equal("groups", seen, vec![])
}

fn umask(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"]["umask"] = json!(0o027);
    })?;
    equal("umask", seen.umask, 0o027)
}

fn rlimits(context: &Context) -> Verdict {
    let wanted = [
        ("RLIMIT_NOFILE", 500, 600),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_STACK", 4 << 20, 8 << 20),
        ("RLIMIT_FSIZE", 1 << 30, 1 << 31),
    ];
    let seen = context.see_with(&[], |config| {
        config["process"]["rlimits"] = wanted
            .iter()
            .map(|(kind, soft, hard)| json!({ "type": kind, "soft": soft, "hard": hard }))
            .collect();
    })?;
    for (kind, soft, hard) in wanted {
        equal(
            kind,
            seen.rlimits.get(kind),
            Some(&[Some(soft), Some(hard)]),
        )?;
    }
    Ok(())
}

fn rlimits_unknown(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_BOGUS", "soft": 1, "hard": 1 }]);
    })?;
    Ok(())
}

fn rlimits_duplicate(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 500, "hard": 600 },
            { "type": "RLIMIT_NOFILE", "soft": 500, "hard": 600 },
        ]);
    })?;
    Ok(())
}

fn no_new_privileges(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["noNewPrivileges"] = json!(true);
    })?;
    equal("NoNewPrivs", seen.no_new_privileges, Some(1))
}

fn no_new_privileges_unset(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    })?;
    equal("NoNewPrivs", seen.no_new_privileges, Some(0))
}

fn oom_score_adj(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| config["process"]["oomScoreAdj"] = json!(500))?;
    equal("oom_score_adj", seen.oom_score_adj, Some(500))
}

fn oom_score_adj_unset(context: &Context) -> Verdict {
    let ours = std::fs::read_to_string("/proc/self/oom_score_adj")?;
    let seen = context.see_with(&[], |_| {})?;
    equal(
        "oom_score_adj",
        seen.oom_score_adj,
        ours.trim().parse().ok(),
    )
}

fn descriptors(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.write()?;
    let mut container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let output = context
        .call(&["run", "--bundle", &directory, &container.id])
        .descriptor(std::fs::File::open("/")?, 7)
        .run()?
        .must_work()?;
    container.gone();
    let seen = crate::harness::observation(&output)?;
    let numbers: Vec<i32> = seen.descriptors.keys().copied().collect();
    check(
        numbers == [0, 1, 2],
        format_args!("descriptors: wanted 0, 1, 2, saw {:?}", seen.descriptors),
    )
}

fn stdio(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    let output = output.must_work()?;
    container.gone();
    let seen = crate::harness::observation(&output)?;
    let ends_with = |number: i32, file: &std::path::Path| {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let target = seen.descriptors.get(&number).cloned().unwrap_or_default();
        // `run` may put pipes in between and copy; then the output has come through all the same.
        check(
            target.ends_with(&name) || target.starts_with("pipe:"),
            format_args!("descriptor {number} leads to {target}, not to {name}"),
        )
    };
    ends_with(1, &output.stdout_file)?;
    ends_with(2, &output.stderr_file)
}

fn session(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |_| {})?;
    equal("process id", seen.pid, 1)?;
    equal("session id", seen.session, 1)
}

fn personality(context: &Context) -> Verdict {
    let question = "call:personality:4294967295";
    let seen = context.see_with(&[question], |config| {
        config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    })?;
    equal("personality", seen.answer(question).text.as_str(), "8")
}

fn scheduling(context: &Context) -> Verdict {
    let seen = context.see_with(
        &["call:sched_getscheduler:0", "call:getpriority:0:0"],
        |_| {},
    )?;
    equal(
        "policy",
        seen.answer("call:sched_getscheduler:0").text.as_str(),
        "0",
    )?;
    // The system call returns 20 minus the nice value.
    let nice = rustix::process::getpriority_process(None)?;
    let wanted = (20 - nice).to_string();
    equal("priority", seen.answer("call:getpriority:0:0").text, wanted)
}

fn session_keyring(context: &Context) -> Verdict {
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING, which is not to be made.
    const KEYRING: &str = "call:keyctl:0:18446744073709551613:0";
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see-into", "/tmp/seen", KEYRING]);
    let own = crate::sys::call(libc::SYS_keyctl, [0, libc::c_ulong::MAX - 2, 1, 0, 0, 0]);
    let Ok(own) = own else {
        return Err(crate::case::Stop::Skipped(
            "needs a kernel with keyrings".to_owned(),
        ));
    };
    let file = bundle.rootfs().join("tmp/seen");
    let container = context.create(&bundle)?;
    let exec = ["/probe", "probe", "see", KEYRING];
    let executed = crate::harness::observation(&container.call("exec", &[], &exec)?.must_work()?)?;
    let pid = container.pid()?;
    container.start()?;
    container.wait(pid)?;
    let first: crate::probe::Observation = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let (first, executed) = (first.answer(KEYRING), executed.answer(KEYRING));
    check(
        first.worked(),
        format_args!("no session keyring: {first:?}"),
    )?;
    check(
        first.text != own.to_string(),
        "the program has its caller's session keyring",
    )?;
    equal("keyring of exec", executed.text, first.text)
}
