//! What a config.json that was written to harm, or not to protect, must not lead to.

use std::fs;

use serde_json::{Value, json};

use super::namespaces::with_user_namespace;
use super::seccomp;
use crate::case::{Case, Known, NEW_CRUN, Need, RUNC, Stop, Verdict, check, equal};
use crate::harness::bundle::push;
use crate::harness::cgroup::left_behind;
use crate::harness::{Context, observation};
use crate::probe::Observation;

/// This part of the chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "hostile/long-words",
        "words longer than 64 KiB reach the container whole, or are refused, and choose no namespace",
        "an environment variable of 100,000 bytes, for exec too; paths of 75,000, and 5,000 id mappings",
        long_words,
    )
    .clause(
        "security",
        "CVE-2021-43784",
        "the parent's message to init: length fields, 64 KiB+ maps",
    ),
    Case::contract(
        "hostile/cgroups-of-the-host",
        "a mapped root without a cgroup namespace can make no cgroup beside or below its own",
        "mounts the cgroups writable, and makes directories in them",
        cgroups_of_the_host,
    )
    .clause(
        "security",
        "CVE-2023-25809",
        "rootless without cgroupns: `touch`/`mkdir` fail",
    ),
    Case::contract(
        "hostile/unit-properties",
        "features warns of the annotations that change a container's systemd unit",
        "looks for org.systemd.property. among potentiallyUnsafeConfigAnnotations",
        unit_properties,
    )
    .clause(
        "security",
        "CVE-2024-3154",
        "`org.systemd.property.*`: listed in `features`",
    )
    .needs(&[Need::Verb("features")])
    .known(&[
        Known {
            runtimes: RUNC,
            why: "its features say nothing of annotations",
        },
        Known {
            runtimes: NEW_CRUN,
            why: "its features name other annotations only",
        },
    ]),
    Case::contract(
        "hostile/kernel-crypto",
        "a profile can keep AF_ALG sockets from a container, and leave it the others",
        "refuses socket's first argument 38",
        kernel_crypto,
    )
    .clause("security", "CVE-2026-31431", "the profile blocks AF_ALG")
    .needs(&[Need::SeccompAction("errno")]),
];

fn long_words(context: &Context) -> Verdict {
    let kinds = ["ipc", "mnt", "net", "pid", "uts"];
    let questions = kinds.map(|kind| format!("link:/proc/self/ns/{kind}"));
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    // What a reader takes for the rest of the message that loses count.
    let long = "/proc/1/ns/net,".repeat(5_000);
    let variable = format!("LONG={}", "x".repeat(100_000));
    let whole = |what: &str, seen: &Observation| -> Verdict {
        let bytes = seen.variable("LONG").first().map_or(0, |value| value.len());
        equal(&format!("{what}: bytes of LONG"), bytes, 100_000)?;
        for (kind, question) in kinds.iter().zip(&questions) {
            let ours = fs::read_link(format!("/proc/self/ns/{kind}"))?;
            check(
                seen.answer(question).text != ours.to_string_lossy(),
                format_args!("{what}: the {kind} namespace is the host's"),
            )?;
        }
        Ok(())
    };
    let mut bundle = context.bundle()?;
    push(&mut bundle.config["process"]["env"], json!(variable));
    whole("run", &context.see(bundle, &questions)?)?;
    let container = context.started(context.bundle()?)?;
    let words: Vec<&str> = ["/probe", "probe", "see"]
        .into_iter()
        .chain(questions.iter().copied())
        .collect();
    let output = container
        .call("exec", &["--env", &variable], &words)?
        .must_work()?;
    whole("exec", &observation(&output)?)?;
    container.stop()?;
    for pointer in ["/linux/cgroupsPath", "/hostname", "/root/path"] {
        context.must_refuse_with(|config| {
            if let Some(word) = config.pointer_mut(pointer) {
                *word = json!(long);
            } else {
                config["hostname"] = json!(long);
            }
        })?;
    }
    context.must_refuse_with(|config| {
        config["linux"]["namespaces"] =
            json!([{ "type": "mount" }, { "type": "network", "path": long }]);
    })?;
    context.must_refuse_with(|config| {
        push(
            &mut config["linux"]["namespaces"],
            json!({ "type": "user" }),
        );
        let lines: Vec<Value> = (0..5_000)
            .map(|id| json!({ "containerID": id, "hostID": 100_000 + 2 * id, "size": 1 }))
            .collect();
        config["linux"]["uidMappings"] = json!(lines);
        config["linux"]["gidMappings"] = json!(lines);
    })?;
    Ok(())
}

fn cgroups_of_the_host(context: &Context) -> Verdict {
    let mut bundle = with_user_namespace(context)?;
    bundle.drop_namespace("cgroup");
    bundle.drop_mount("/sys/fs/cgroup");
    bundle.add_mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev"],
    }));
    let name = format!("conformance-evil-{}", std::process::id());
    let places = [
        "", "/cpu", "/freezer", "/memory", "/pids", "/systemd", "/unified",
    ];
    let questions = places.map(|place| format!("mkdir:/sys/fs/cgroup{place}/{name}"));
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let seen = context.see(bundle, &questions)?;
    let made = left_behind(&name);
    for directory in &made {
        crate::harness::cgroup::remove(directory);
    }
    check(made.is_empty(), format_args!("it has made {made:?}"))?;
    let refused = questions.iter().any(|question| {
        let errno = seen.answer(question).errno;
        matches!(errno, Some(libc::EACCES | libc::EPERM | libc::EROFS))
    });
    check(refused, "there is no cgroup to be seen")?;
    for question in &questions[1..] {
        check(
            !seen.answer(question).worked(),
            format_args!("{question} worked"),
        )?;
    }
    Ok(())
}

fn unit_properties(context: &Context) -> Verdict {
    let output = context.call(&["features"]).run()?.must_work()?;
    let features: Value = serde_json::from_str(&output.stdout())
        .map_err(|error| Stop::Failed(format!("features: {error}")))?;
    let named = features["potentiallyUnsafeConfigAnnotations"]
        .as_array()
        .is_some_and(|names| names.contains(&json!("org.systemd.property.")));
    check(named, "features does not name org.systemd.property.")
}

fn kernel_crypto(context: &Context) -> Verdict {
    // AF_ALG with SOCK_SEQPACKET, AF_UNIX with SOCK_STREAM.
    let [crypto, unix] = ["call:socket:38:5:0", "call:socket:1:1:0"];
    let profile = seccomp::deny(json!([{
        "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42,
        "args": [{ "index": 0, "value": 38, "op": "SCMP_CMP_EQ" }],
    }]));
    let seen = seccomp::see(context, &[crypto, unix], profile)?;
    equal("AF_ALG", seen.answer(crypto).errno, Some(42))?;
    equal("AF_UNIX", seen.answer(unix).errno, None)
}
