//! `exec`: a further process in a container that runs.

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, NEW_CRUN, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Container, Context, observation, wait_for_text};
use crate::probe::Observation;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "exec/namespaces",
        "exec's process is in all of the container's namespaces",
        "compares every link in /proc/self/ns with that of process 1",
        namespaces,
    )
    .clause(
        "runc command line",
        "exec",
        "exec [options] <container-id> <command>",
    ),
    Case::contract(
        "exec/root",
        "exec's process has the container's root",
        "reads /etc/motd and looks for the host's files",
        root,
    )
    .clause(
        "runc command line",
        "exec",
        "exec [options] <container-id> <command>",
    ),
    Case::contract(
        "exec/exit-status",
        "exec exits with the process's status",
        "executes a program that exits with 42",
        exit_status,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "exec: the process' status (128+signal)",
    ),
    Case::contract(
        "exec/killed-by-a-signal",
        "exec exits with 128 + N after a death by signal N",
        "executes a program that kills itself with SIGKILL",
        signal_status,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "exec: the process' status (128+signal)",
    ),
    Case::contract(
        "exec/missing-program",
        "exec of a program that is not there fails with one of 1, 127 and 255",
        "executes /no/such/program",
        missing_program,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "exec exits 255 for its own failures",
    ),
    Case::contract(
        "exec/cwd-env-user",
        "--cwd, --env and --user are followed",
        "passes all three, with a numeric uid:gid",
        options,
    )
    .clause("runc command line", "exec", "--cwd, --env, --user"),
    Case::contract(
        "exec/user-alone",
        "--user with a uid alone is that uid, and never 0",
        "passes 1, 1000 and 65534",
        user_alone,
    )
    .clause("security", "CVE-2026-30892", "exec -u 1 parsed as uid 0")
    .known(&[Known {
        runtimes: NEW_CRUN,
        why: "is older than the fix of CVE-2026-30892: uid 1 becomes 0",
    }]),
    Case::contract(
        "exec/capabilities",
        "exec's process has the capabilities of process.capabilities",
        "compares the five sets with those of the container's program",
        capabilities,
    )
    .clause("runc", "exec", "process.capabilities hold for exec too"),
    Case::contract(
        "exec/cap-adds",
        "--cap adds a capability, and not to the inheritable set",
        "adds CAP_SYS_PTRACE",
        cap_adds,
    )
    .clause(
        "security",
        "CVE-2022-29162",
        "after exec --cap: CapInh == spec, CapAmb in spec",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "adds it to inheritable and ambient as well",
    }]),
    Case::contract(
        "exec/no-new-privs",
        "noNewPrivileges and the seccomp filter hold for exec's process",
        "sets both in config.json and reads them in the second process",
        hardening,
    )
    .clause(
        "runc",
        "exec",
        "what confines the container's program confines every process in it",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "sets it only with exec --no-new-privs",
    }]),
    Case::contract(
        "exec/descriptors",
        "exec's process has exactly the descriptors 0, 1 and 2",
        "calls exec with descriptor 7 open on a directory of the host",
        descriptors,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "ls /proc/self/fd == {0,1,2}, also in exec",
    ),
    Case::contract(
        "exec/cwd-through-descriptor",
        "--cwd /proc/self/fd/N never leads to the host",
        "tries N from 3 to 20",
        directory_through_descriptor,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "WORKDIR /proc/self/fd/N fails",
    ),
    Case::contract(
        "exec/process-file",
        "--process takes a process object of its own",
        "gives args, env, cwd and user in a file",
        process_file,
    )
    .clause("runc command line", "exec", "--process, -p"),
    Case::contract(
        "exec/detached-pid-file",
        "exec --detach returns at once and writes the process id",
        "executes a waiting program detached and finds the process",
        detached,
    )
    .clause("runc command line", "exec", "--detach, -d; --pid-file"),
    Case::contract(
        "exec/created",
        "exec works in a container that is created and not started",
        "executes the probe between create and start",
        created,
    )
    .clause("runc contract", "create", "exec works in state created"),
    Case::contract(
        "exec/stopped",
        "exec in a stopped container is an error",
        "stops the container first",
        stopped,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "container not running",
    ),
    Case::contract(
        "exec/unknown",
        "exec in an unknown container is an error",
        "executes in an id that nothing was created under",
        unknown,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "container does not exist",
    ),
];

/// Executes the probe in the container and returns what it saw.
fn see(
    container: &Container<'_>,
    options: &[&str],
    questions: &[&str],
) -> Result<Observation, Stop> {
    let mut words = vec!["/probe", "probe", "see"];
    words.extend_from_slice(questions);
    observation(&container.call("exec", options, &words)?.must_work()?)
}

fn with(context: &Context, change: impl FnOnce(&mut Bundle)) -> Result<Container<'_>, Stop> {
    let mut bundle = context.bundle()?;
    change(&mut bundle);
    context.started(bundle)
}

fn namespaces(context: &Context) -> Verdict {
    let container = with(context, |bundle| {
        bundle.add_namespace(json!({ "type": "cgroup" }));
    })?;
    let pid = container.pid()?;
    let seen = see(&container, &[], &[])?;
    for (kind, link) in &seen.namespaces {
        let of_init = std::fs::read_link(format!("/proc/{pid}/ns/{kind}"))?;
        equal(kind, Some(link.as_str()), of_init.to_str())?;
    }
    Ok(())
}

fn root(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let host = format!("stat:{}", context.directory.display());
    let seen = see(&container, &[], &["read:/etc/motd", &host])?;
    equal(
        "/etc/motd",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )?;
    check(
        !seen.answer(&host).worked(),
        "the process sees the host's files",
    )
}

fn exit_status(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let output = container.call("exec", &[], &["/probe", "probe", "exit", "42"])?;
    equal("exit status", output.status, 42)
}

fn signal_status(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let output = container.call("exec", &[], &["/probe", "probe", "die", "9"])?;
    equal("exit status", output.status, 137)
}

fn missing_program(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let output = container
        .call("exec", &[], &["/no/such/program"])?
        .must_fail()?;
    check(
        [1, 127, 255].contains(&output.status),
        format_args!("exit status {} is none of 1, 127, 255", output.status),
    )?;
    check(
        output.stderr().to_lowercase().contains("no such file"),
        format_args!(
            "the message does not say what is missing: {}",
            output.description()
        ),
    )
}

fn options(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let seen = see(
        &container,
        &[
            "--cwd",
            "/var",
            "--env",
            "EXTRA=two words",
            "--user",
            "1000:1001",
        ],
        &[],
    )?;
    equal("directory", seen.directory.as_deref(), Some("/var"))?;
    equal("EXTRA", seen.variable("EXTRA"), vec!["two words"])?;
    equal("uid", seen.uid, [1000, 1000])?;
    equal("gid", seen.gid, [1001, 1001])
}

fn user_alone(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    for uid in [1_u32, 1000, 65534] {
        let seen = see(&container, &["--user", &uid.to_string()], &[])?;
        equal("uid", seen.uid, [uid, uid])?;
    }
    Ok(())
}

fn capabilities(context: &Context) -> Verdict {
    let names = ["CAP_CHOWN", "CAP_KILL"];
    let limit = |config: &mut Value| {
        config["process"]["capabilities"] =
            json!({ "bounding": names, "permitted": names, "effective": names });
    };
    let program = context.see_with(&[], limit)?;
    let container = with(context, |bundle| limit(&mut bundle.config))?;
    equal(
        "capabilities",
        see(&container, &[], &[])?.capabilities,
        program.capabilities,
    )
}

fn cap_adds(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let before = see(&container, &[], &[])?.capabilities;
    let after = see(&container, &["--cap", "CAP_SYS_PTRACE"], &[])?.capabilities;
    let bit = 1 << 19;
    for set in ["Bnd", "Prm", "Eff"] {
        let wanted = before.get(set).map(|bits| bits | bit);
        equal(set, after.get(set).copied(), wanted)?;
    }
    for set in ["Inh", "Amb"] {
        equal(set, after.get(set), before.get(set))?;
    }
    Ok(())
}

fn hardening(context: &Context) -> Verdict {
    let container = with(context, |bundle| {
        bundle.config["process"]["noNewPrivileges"] = json!(true);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" }],
        });
    })?;
    let seen = see(&container, &[], &["call:getcpu"])?;
    equal("NoNewPrivs", seen.no_new_privileges, Some(1))?;
    equal("Seccomp", seen.seccomp, Some(2))?;
    equal(
        "getcpu",
        seen.answer("call:getcpu").errno,
        Some(libc::EPERM),
    )
}

fn descriptors(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let output = context
        .call(&["exec", &container.id, "/probe", "probe", "see"])
        .descriptor(std::fs::File::open("/")?, 7)
        .run()?
        .must_work()?;
    let seen = observation(&output)?.descriptors;
    let numbers: Vec<i32> = seen.keys().copied().collect();
    check(
        numbers == [0, 1, 2],
        format_args!("descriptors: wanted 0, 1, 2, saw {seen:?}"),
    )
}

fn directory_through_descriptor(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let secret = format!(
        "stat:../../../../../../..{}/ids",
        context.directory.display()
    );
    for number in 3..=20 {
        let directory = format!("/proc/self/fd/{number}");
        let words = ["/probe", "probe", "see", &secret];
        let output = container.call("exec", &["--cwd", &directory], &words)?;
        if output.worked() {
            let seen = observation(&output)?;
            let escaped = seen.answer(&secret).worked();
            check(
                !escaped,
                format_args!("{directory} leads to the host ({:?})", seen.directory),
            )?;
        }
    }
    Ok(())
}

fn process_file(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let file = context.directory.join("process.json");
    let process = json!({
        "terminal": false,
        "user": { "uid": 1000, "gid": 1000 },
        "args": ["/probe", "probe", "see"],
        "env": ["OWN=1"],
        "cwd": "/var",
    });
    std::fs::write(&file, process.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let output = container
        .call("exec", &["--process", &file], &[])?
        .must_work()?;
    let seen = observation(&output)?;
    equal("uid", seen.uid, [1000, 1000])?;
    equal("OWN", seen.variable("OWN"), vec!["1"])?;
    equal(
        "PATH, which only config.json has",
        seen.variable("PATH"),
        vec![],
    )?;
    equal("directory", seen.directory.as_deref(), Some("/var"))
}

fn detached(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    let file = context.directory.join("exec.pid");
    let name = file.to_string_lossy().into_owned();
    container
        .call(
            "exec",
            &["--detach", "--pid-file", &name],
            &["/probe", "probe", "wait"],
        )?
        .must_work()?;
    let text = std::fs::read_to_string(&file)?;
    let Ok(pid) = text.trim().parse::<i32>() else {
        return crate::case::fail(format_args!("the pid file holds {text:?}"));
    };
    // The file may be there before the process has become the program.
    let command = std::path::PathBuf::from(format!("/proc/{pid}/cmdline"));
    wait_for_text(&command, |text| text == "/probe\0probe\0wait\0")?;
    // We are its reaper, and the pid namespace does not end before it is reaped.
    container.kill("KILL")?;
    container.wait(pid)?;
    Ok(())
}

fn created(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    let seen = see(&container, &[], &["read:/etc/motd"])?;
    equal(
        "/etc/motd",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )?;
    equal("status", container.status()?, "created".to_owned())
}

fn stopped(context: &Context) -> Verdict {
    let container = with(context, |_| {})?;
    container.stop()?;
    container
        .call("exec", &[], &["/probe", "probe", "see"])?
        .must_fail()?;
    Ok(())
}

fn unknown(context: &Context) -> Verdict {
    context
        .call(&["exec", "conformance-nobody", "/probe"])
        .run()?
        .must_fail()?;
    Ok(())
}
