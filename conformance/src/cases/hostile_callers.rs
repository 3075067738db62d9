//! What a container must not get from its caller, from hooks, or from those that enter it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::case::{CRUN, Case, Known, NEW_CRUN, Need, OLD_CRUN, RUNC, Stop, Verdict, check, equal};
use crate::harness::canary::{Canary, Fingerprint, program_unchanged};
use crate::harness::console::ConsoleSocket;
use crate::harness::{Context, observation, visits};

/// This part of the chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "hostile/inheritable",
        "run, exec and exec --cap give no inheritable or ambient capability unasked",
        "reads Inh and Amb of each",
        inheritable,
    )
    .clause(
        "security",
        "CVE-2022-29162, CVE-2022-27650, CVE-2025-27612",
        "after create/exec/exec --cap: CapInh == spec",
    ),
    Case::contract(
        "hostile/descriptors",
        "no descriptor of the caller's or the runtime's reaches a program or a hook",
        "runs with descriptor 7 open on the host's root; looks at program, hooks and exec",
        descriptors,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "`ls /proc/self/fd` in payload == {0,1,2}, also in hooks and exec",
    ),
    Case::contract(
        "hostile/cwd-is-a-descriptor-for-exec",
        "exec's working directory /proc/self/fd/N never leads to the host",
        "executes with N from 3 to 20 and descriptor 7 open on the host's root",
        directory_of_exec,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "cwd=/proc/self/fd/N, for exec too",
    )
    .known(&[Known {
        runtimes: OLD_CRUN,
        why: "a descriptor that the caller leaks leads chdir(2) to the host",
    }]),
    Case::contract(
        "hostile/exec-under-a-false-proc",
        "exec in a container that has covered its /proc writes nothing there, and loses no limit",
        "mounts a tmpfs over /proc from inside, with false files of self in it, and executes with \
         noNewPrivileges, a score and no capability",
        exec_under_false_proc,
    )
    .clause(
        "security",
        "CVE-2019-16884, CVE-2025-52881",
        "label write goes to a private fsopen'ed procfs; for exec too",
    )
    .known(&[Known {
        runtimes: NEW_CRUN,
        why: "exec sets the container's own oomScoreAdj, not that of its process (libcrun_set_oom)",
    }]),
    Case::contract(
        "hostile/exec-user",
        "exec -u runs as the uid that was written, or not at all",
        "1, 0001, 1:2, 4294967294; and -1, +1, 1x, 4294967296, 0x0 and others",
        exec_user,
    )
    .clause(
        "security",
        "CVE-2026-30892, CVE-2024-40635",
        "table test of `-u` forms: uid printed == input",
    )
    .known(&[
        Known {
            runtimes: OLD_CRUN,
            why: "takes -1 for 0",
        },
        Known {
            runtimes: NEW_CRUN,
            why: "CVE-2026-30892, which crun 1.27 mends: takes 1 for 0",
        },
        Known {
            runtimes: RUNC,
            why: "takes +1 for 1",
        },
    ]),
    Case::contract(
        "hostile/sysctl-of-the-host",
        "a kernel parameter of the whole host is refused, however it is written",
        "core_pattern with dots, slashes, `..`, and behind a `+`",
        sysctl,
    )
    .clause(
        "security",
        "CVE-2022-0811, CVE-2025-52881",
        "sysctl keys validated against namespaced allow-list",
    ),
    Case::contract(
        "hostile/id-leaves-the-root",
        "a container id that is a path is refused, and makes nothing",
        "a/b, .., ., the empty word, a line break",
        id,
    )
    .clause("security", "crun 1.28", "container ID with `/` or `..`")
    .known(&[Known {
        runtimes: CRUN,
        why: "`delete ..` removes what lies beside its state directory: its issue 2074, mended in crun 1.28",
    }]),
    Case::contract(
        "hostile/sub-cgroup",
        "exec --cgroup with `..` is refused",
        "asks for ../.. and for x/../../..",
        sub_cgroup,
    )
    .clause(
        "security",
        "crun 1.28",
        "exec --cgroup ../..: refuse any `..`",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "enters the cgroup above the container's, which crun 1.29 refuses",
    }]),
    Case::contract(
        "hostile/hook-environment",
        "a hook that runs on the host gets nothing of the image: neither environment nor directory",
        "the image sets LD_PRELOAD; looks at a createRuntime and a poststop hook",
        hook_environment,
    )
    .clause(
        "security",
        "CVE-2025-23266",
        "hooks get only `hook.env`, cwd = bundle; LD_PRELOAD in image env",
    ),
    Case::contract(
        "hostile/hook-is-the-runtime",
        "a startContainer hook that is a link to /proc/self/exe leaves the runtime's program as it was",
        "runs it",
        hook_is_the_runtime,
    )
    .clause(
        "security",
        "CVE-2019-5736",
        "host binary hash unchanged; for run, exec, and each hook",
    ),
    Case::contract(
        "hostile/absolute-links",
        "no directory of the image that is a link to the host's is followed",
        "the image has /etc, /run, /tmp and /var as links to the canary, with mounts below",
        absolute_links,
    )
    .clause(
        "security",
        "CVE-2019-18837",
        "absolute symlinks in rootfs: nothing touched outside",
    ),
    Case::contract(
        "hostile/console-is-a-link",
        "links in /dev/pts and at /dev/console are no terminals, and nothing of the host",
        "binds a volume at /dev/pts whose entries are links to the canary's file, and asks for a \
         terminal",
        console,
    )
    .clause(
        "security",
        "CVE-2025-52565",
        "/dev/pts/N swapped: `/dev/console` bind hits target",
    ),
    Case::contract(
        "hostile/mount-below-proc",
        "mounts below /proc are refused, or lead no write of the runtime outside",
        "binds directories of links over /proc/sys/net/ipv4 and /proc/self/attr, also by a link",
        below_proc,
    )
    .clause(
        "security",
        "CVE-2025-52881",
        "LSM/sysctl writes redirected to dangerous procfs files",
    )
    .needs(&[Need::Namespace("net")]),
];

fn inheritable(context: &Context) -> Verdict {
    let none = |what: &str, seen: &crate::probe::Observation| -> Verdict {
        for set in ["Inh", "Amb"] {
            equal(
                &format!("{what}: {set}"),
                seen.capabilities.get(set),
                Some(&0),
            )?;
        }
        Ok(())
    };
    none("run", &context.see_with(&[], |_| {})?)?;
    let container = context.started(context.bundle()?)?;
    for options in [&[][..], &["--cap", "CAP_NET_RAW"][..]] {
        let output = container
            .call("exec", options, &["/probe", "probe", "see"])?
            .must_work()?;
        none("exec", &observation(&output)?)?;
    }
    container.stop()
}

fn descriptors(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let outside = context.directory.join("outside");
    let inside = bundle.rootfs().join("tmp/inside");
    let host = outside.to_string_lossy().into_owned();
    bundle.add_hook("createRuntime", &context.probe, &host, "createRuntime", &[]);
    bundle.config["hooks"]["startContainer"] = json!([{
        "path": "/probe",
        "args": ["probe", "probe", "hook", "/tmp/inside", "startContainer"],
    }]);
    bundle.set_probe(&["wait", "/tmp/ready"]);
    bundle.write()?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    context
        .call(&["create", "--bundle", &directory, &container.id])
        .descriptor(File::open("/")?, 7)
        .run()?
        .must_work()?;
    let pid = container.pid()?;
    container.start()?;
    crate::harness::wait_for_text(&bundle.rootfs().join("tmp/ready"), |_| true)?;

    // The program may still have the file open that says it is ready.
    let deadline = Instant::now() + Duration::from_secs(1);
    let program = loop {
        let mut program: Vec<i32> = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            program.extend(entry?.file_name().to_string_lossy().parse::<i32>());
        }
        program.sort_unstable();
        if program.len() <= 3 || Instant::now() > deadline {
            break program;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    equal("the program's descriptors", program, vec![0, 1, 2])?;
    for visit in visits(&outside)?.into_iter().chain(visits(&inside)?) {
        let more: Vec<_> = visit.seen.descriptors.range(3..).collect();
        check(
            more.is_empty(),
            format_args!("the {} hook has {more:?}", visit.label),
        )?;
    }
    let output = context
        .call(&["exec", &container.id, "/probe", "probe", "see"])
        .descriptor(File::open("/")?, 7)
        .run()?
        .must_work()?;
    let more: Vec<(i32, String)> = observation(&output)?
        .descriptors
        .into_iter()
        .skip(3)
        .collect();
    check(more.is_empty(), format_args!("exec's program has {more:?}"))?;
    container.stop()
}

fn directory_of_exec(context: &Context) -> Verdict {
    let secret = format!(
        "stat:../../../../../../..{}/ids",
        context.directory.display()
    );
    let container = context.started(context.bundle()?)?;
    for number in 3..=20 {
        let directory = format!("/proc/self/fd/{number}");
        let output = context
            .call(&["exec", "--cwd", &directory, &container.id])
            .words(&["/probe", "probe", "see", &secret])
            .descriptor(File::open("/")?, 7)
            .run()?;
        if output.worked() {
            let seen = observation(&output)?;
            check(
                !seen.answer(&secret).worked(),
                format_args!(
                    "descriptor {number} leads to the host ({:?})",
                    seen.directory
                ),
            )?;
        }
    }
    container.stop()
}

fn exec_under_false_proc(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let every = json!(context.host.capabilities);
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": every, "permitted": every, "effective": every });
    let container = context.started(bundle)?;
    let made = [
        "cover:/proc",
        "mkdir:/proc/self",
        "mkdir:/proc/self/attr",
        "mkdir:/proc/self/fd",
        "create:/proc/self/attr/exec",
        "create:/proc/self/attr/keycreate",
        "create:/proc/self/oom_score_adj",
        "create:/proc/self/status",
    ];
    let words: Vec<&str> = ["/probe", "probe", "see"].into_iter().chain(made).collect();
    let seen = observation(&container.call("exec", &[], &words)?.must_work()?)?;
    for question in made {
        check(
            seen.answer(question).worked(),
            format_args!("{question}: {:?}", seen.answer(question)),
        )?;
    }
    // The container's /proc, as the host sees it.
    let lies = PathBuf::from(format!("/proc/{}/root/proc", container.pid()?));
    let names = || -> Result<Vec<(String, u64)>, Stop> {
        let mut names = Vec::new();
        for directory in ["", "self", "self/attr", "self/fd"] {
            for entry in fs::read_dir(lies.join(directory))? {
                let entry = entry?;
                names.push((
                    format!("{directory}/{}", entry.file_name().to_string_lossy()),
                    entry.metadata()?.len(),
                ));
            }
        }
        names.sort();
        Ok(names)
    };
    let before = names()?;
    let file = context.directory.join("process.json");
    let none = json!([]);
    let process = json!({
        "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/"],
        "args": ["/probe", "probe", "wait"],
        "noNewPrivileges": true, "oomScoreAdj": 500,
        "capabilities": { "bounding": none, "permitted": none, "effective": none },
    });
    fs::write(&file, process.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let pid_file = context.directory.join("pid").to_string_lossy().into_owned();
    let options = ["--detach", "--pid-file", &pid_file, "--process", &file];
    let output = container.call("exec", &options, &[])?;
    equal("what is in the false /proc", names()?, before)?;
    // A refusal is as good.
    if output.worked() {
        let own = PathBuf::from("/proc").join(fs::read_to_string(&pid_file)?.trim());
        let status = fs::read_to_string(own.join("status"))?;
        for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
            check(
                status.lines().any(|other| other == line),
                format_args!("its status is without {line:?}"),
            )?;
        }
        let score = fs::read_to_string(own.join("oom_score_adj"))?;
        equal("oom_score_adj", score.trim(), "500")?;
    }
    container.stop()
}

fn exec_user(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    for (text, uid) in [
        ("1", 1),
        ("0001", 1),
        ("1:2", 1),
        ("65534", 65534),
        ("4294967294", u32::MAX - 1),
    ] {
        let output = container.call("exec", &["--user", text], &["/probe", "probe", "see"])?;
        // runc takes none above 2147483647.
        if output.worked() || uid < 1 << 31 {
            equal(text, observation(&output.must_work()?)?.uid, [uid, uid])?;
        }
    }
    for text in [
        "-1",
        "+1",
        "1x",
        "x",
        "0x0",
        "4294967296",
        "4294967296:0",
        "1:",
        ":1",
        "1:x",
        "1 ",
    ] {
        let output = container.call("exec", &["--user", text], &["/probe", "probe", "see"])?;
        if output.worked() {
            equal(
                text,
                observation(&output)?.uid[0].to_string(),
                text.to_owned(),
            )?;
        }
    }
    container.stop()
}

fn sysctl(context: &Context) -> Verdict {
    let before = fs::read("/proc/sys/kernel/core_pattern")?;
    for key in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4.ip_forward+kernel.core_pattern",
        "kernel.shm_rmid_forced/../core_pattern",
        "fs.mqueue.../kernel.core_pattern",
    ] {
        context.must_refuse_with(|config| {
            config["linux"]["sysctl"] = json!({ key: "|/bin/false" });
        })?;
    }
    equal(
        "the host's core_pattern",
        fs::read("/proc/sys/kernel/core_pattern")?,
        before,
    )
}

fn id(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.write()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let names = || -> Result<Vec<_>, std::io::Error> {
        let mut names: Vec<_> = fs::read_dir(&context.directory)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        names.retain(|name| {
            let name = name.to_string_lossy();
            !name.ends_with(".stdout") && !name.ends_with(".stderr")
        });
        names.sort();
        Ok(names)
    };
    let before = names()?;
    let long = "x".repeat(5000);
    for id in [
        "..",
        ".",
        "",
        "a/b",
        "../escaped",
        "/escaped",
        "a\nb",
        "a\u{e9}",
        &long,
    ] {
        context
            .call(&["create", "--bundle", &directory, id])
            .run()?
            .must_fail()?;
        for verb in ["state", "delete"] {
            context.call(&[verb, id]).run()?.must_fail()?;
        }
    }
    equal("names beside the state directory", names()?, before)
}

fn sub_cgroup(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    for path in ["../..", "x/../../..", "/../x", ".."] {
        container
            .call(
                "exec",
                &["--cgroup", path],
                &["/probe", "probe", "exit", "0"],
            )?
            .must_fail()?;
    }
    container.stop()
}

fn hook_environment(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let file = context.directory.join("visits");
    let name = file.to_string_lossy().into_owned();
    for kind in ["createRuntime", "poststop"] {
        bundle.add_hook(kind, &context.probe, &name, kind, &[]);
    }
    bundle.config["process"]["env"] = json!(["LD_PRELOAD=/evil.so", "PATH=/evil"]);
    let rootfs = bundle.rootfs();
    context.see(bundle, &[])?;
    let seen = visits(&file)?;
    equal("visits", seen.len(), 2)?;
    for visit in seen {
        for name in ["LD_PRELOAD", "PATH"] {
            let values = visit.seen.variable(name).join(" ");
            check(
                !values.contains("evil"),
                format_args!("{}: {name}={values}", visit.label),
            )?;
        }
        let directory = visit.seen.directory.unwrap_or_default();
        check(
            !std::path::Path::new(&directory).starts_with(&rootfs),
            format_args!("{}: runs in {directory}", visit.label),
        )?;
    }
    Ok(())
}

fn hook_is_the_runtime(context: &Context) -> Verdict {
    let before = Fingerprint::of(&context.runtime)?;
    let mut bundle = context.bundle()?;
    symlink("/proc/self/exe", bundle.rootfs().join("run-me"))?;
    bundle.set_probe(&["see"]);
    for kind in ["createContainer", "startContainer"] {
        bundle.config["hooks"][kind] = json!([{
            "path": if kind == "startContainer" { "/run-me" } else { "/proc/self/exe" },
            "args": ["run-me", "--version"],
        }]);
    }
    context.attempt("run", &bundle, &[])?;
    program_unchanged(context, before)
}

fn absolute_links(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let volume = context.directory.join("volume-file");
    fs::write(&volume, "volume")?;
    let mut bundle = context.bundle()?;
    for name in ["etc", "run", "tmp", "var"] {
        let place = bundle.rootfs().join(name);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        symlink(&canary.directory, place)?;
    }
    for destination in ["/etc/hosts", "/etc/inner/file", "/run/file"] {
        bundle.add_mount(json!({
            "destination": destination, "type": "bind", "source": volume, "options": ["bind"],
        }));
    }
    for destination in ["/tmp", "/var/new/tmp", "/run/inner"] {
        bundle.add_mount(json!({ "destination": destination, "type": "tmpfs", "source": "t" }));
    }
    bundle.config["process"]["cwd"] = json!("/var/work");
    bundle.set_probe(&["see"]);
    let (_container, _output) = context.attempt("run", &bundle, &[])?;
    canary.unharmed()
}

fn console(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let socket = ConsoleSocket::listen(&context.directory)?;
    let terminals = context.directory.join("pts");
    fs::create_dir(&terminals)?;
    for name in (0..200)
        .map(|number| number.to_string())
        .chain(["ptmx".to_owned()])
    {
        symlink(canary.directory.join("file"), terminals.join(name))?;
    }
    let mut bundle = context.bundle()?;
    bundle.drop_mount("/dev/pts");
    bundle.add_mount(json!({
        "destination": "/dev/pts", "type": "bind", "source": terminals, "options": ["rbind"],
    }));
    bundle.config["process"]["terminal"] = json!(true);
    bundle.set_probe(&["see", "write:/dev/console=x"]);
    context.attempt_on_terminal(&bundle, &socket)?;
    canary.unharmed()
}

fn below_proc(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let lie = context.directory.join("lie");
    fs::create_dir(&lie)?;
    for name in ["ip_forward", "exec", "keycreate", "fscreate", "current"] {
        symlink(canary.directory.join("file"), lie.join(name))?;
    }
    let host = || fs::read("/proc/sys/net/ipv4/ip_forward");
    let before = host()?;
    for destination in [
        "/proc/sys/net/ipv4",
        "/proc/self/attr",
        "/innocent/net/ipv4",
    ] {
        let mut bundle = context.bundle()?;
        symlink("/proc/sys", bundle.rootfs().join("innocent"))?;
        bundle.add_mount(json!({
            "destination": destination, "type": "bind", "source": lie, "options": ["rbind"],
        }));
        let other = if before.starts_with(b"1") { "0" } else { "1" };
        bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": other });
        bundle.set_probe(&["see"]);
        let (_container, _output) = context.attempt("run", &bundle, &[])?;
        canary.unharmed()?;
    }
    equal("the host's ip_forward", host()?, before)
}
