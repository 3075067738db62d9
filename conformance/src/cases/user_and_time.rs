//! User and time namespaces: what is in them, who owns what, joining and entering them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use serde_json::json;

use crate::case::{CRUN, Case, Known, Need, RUNC, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Context, observation};

const USER: &[Need] = &[Need::Namespace("user")];
const TIME: &[Need] = &[Need::Namespace("time")];
const BEFORE_TIME: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.2; `time` is unknown before",
    },
    Known {
        runtimes: CRUN,
        why: "does not know the rule, or fails with a broken pipe between its processes",
    },
];
const NOT_CHECKED: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.2",
    },
    Known {
        runtimes: CRUN,
        why: "does not look at the mappings",
    },
];

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "user-and-time/user-of-the-process",
        "process.user is a user of the container's user namespace",
        "runs as uid 7 and gid 8, and looks at a file from outside",
        user_of_the_process,
    )
    .clause(
        "config-linux.md",
        "User namespace mappings",
        "the starting uid/gid on the host to be mapped",
    )
    .needs(USER),
    Case::contract(
        "user-and-time/unmapped-user",
        "a process.user without a mapping is refused",
        "asks for uid 70000 where 65536 are mapped",
        unmapped_user,
    )
    .clause("runc", "userns", "cannot setuid to unmapped uid")
    .needs(USER),
    Case::must(
        "user-and-time/capabilities",
        "the process has the capabilities asked for in its user namespace",
        "asks for all of Docker's and reads /proc/self/status",
        capabilities,
    )
    .clause(
        "config.md",
        "Linux Process",
        "capabilities is an object containing arrays",
    )
    .needs(USER),
    Case::contract(
        "user-and-time/owned-namespaces",
        "the container's other namespaces belong to its user namespace",
        "sets sysctls of new network and ipc namespaces, looks at the owner of lo and /dev/mqueue",
        owned_namespaces,
    )
    .clause(
        "runc",
        "nsexec",
        "namespaces are made inside of the user namespace",
    )
    .needs(USER)
    .known(&[Known {
        runtimes: RUNC,
        why: "the group of a new /dev/mqueue is nobody's",
    }]),
    Case::must(
        "user-and-time/devices",
        "a container with a user namespace has the default devices",
        "opens /dev/null and /dev/zero, which mknod(2) can't make there",
        devices,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "the runtime MUST also supply",
    )
    .needs(USER),
    Case::contract(
        "user-and-time/hidden-source",
        "what the mapped root may not look at can be bound all the same",
        "binds a directory below one of mode 0700",
        hidden_source,
    )
    .clause(
        "runc",
        "userns",
        "sources are opened with the caller's rights",
    )
    .needs(USER),
    Case::must(
        "user-and-time/oom-score",
        "oomScoreAdj holds in a user namespace",
        "sets 500",
        oom_score,
    )
    .clause("config.md", "Linux Process", "adjusts the oom-killer score")
    .needs(USER),
    Case::must(
        "user-and-time/user-joined",
        "a user namespace with a path is joined, and new ones are in it",
        "joins another container's user namespace with a network namespace of its own",
        user_joined,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST place the container process in the namespace associated",
    )
    .needs(USER)
    .known(&[Known {
        runtimes: RUNC,
        why: "wants mappings for a user namespace that it joins",
    }]),
    Case::contract(
        "user-and-time/user-joined-other-mapping",
        "a user namespace to join together with other mappings than its own is refused",
        "joins one and names another range",
        user_joined_other_mapping,
    )
    .clause(
        "runc",
        "specconv",
        "both namespace path and non-matching mapping specified",
    )
    .needs(USER)
    .known(NOT_CHECKED),
    Case::contract(
        "user-and-time/mappings-without-namespace",
        "mappings without a user namespace are refused",
        "gives mappings only",
        mappings_without_namespace,
    )
    .clause(
        "runc",
        "validate",
        "user namespace isn't enabled in the config",
    )
    .known(NOT_CHECKED),
    Case::contract(
        "user-and-time/user-exec",
        "exec enters the user namespace",
        "asks an exec'd process for its ids and namespace",
        user_exec,
    )
    .clause(
        "runc command line",
        "exec",
        "runs a process inside the container",
    )
    .needs(USER),
    Case::must(
        "user-and-time/time-with-user",
        "clocks can be moved in a container with a user namespace",
        "moves boottime and reads /proc/uptime",
        time_with_user,
    )
    .clause(
        "config-linux.md",
        "Offset for Time Namespace",
        "sets the offset for Time Namespace",
    )
    .needs(TIME)
    .known(BEFORE_TIME),
    Case::must(
        "user-and-time/time-joined",
        "a time namespace with a path is joined",
        "joins another container's and reads its offsets",
        time_joined,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST place the container process in the namespace associated",
    )
    .needs(TIME)
    .known(BEFORE_TIME),
    Case::contract(
        "user-and-time/time-exec",
        "exec enters the time namespace",
        "reads the offsets in an exec'd process",
        time_exec,
    )
    .clause(
        "runc command line",
        "exec",
        "runs a process inside the container",
    )
    .needs(TIME)
    .known(BEFORE_TIME),
    Case::contract(
        "user-and-time/offsets-without-namespace",
        "offsets without a time namespace are refused",
        "gives timeOffsets only",
        offsets_without_namespace,
    )
    .clause(
        "runc",
        "validate",
        "time namespace isn't enabled in the config",
    )
    .known(BEFORE_TIME),
];

const FIRST: u32 = 100_000;

/// A bundle with a user namespace, whose root can reach the rootfs and owns the top of it.
fn mapped(context: &Context) -> Result<Bundle, Stop> {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces")?;
    if limit.trim() == "0" {
        return Err(Stop::Skipped("user.max_user_namespaces is 0".to_owned()));
    }
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": FIRST, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = mapping.clone();
    bundle.config["linux"]["gidMappings"] = mapping;
    let mut directory = Some(bundle.rootfs());
    while let Some(path) = directory.filter(|path| path.starts_with(&context.directory)) {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        directory = path.parent().map(Path::to_owned);
    }
    for name in ["", "tmp", "proc", "sys", "dev", "etc", "mnt", "var"] {
        chown(bundle.rootfs().join(name), Some(FIRST), Some(FIRST))?;
    }
    Ok(bundle)
}

fn user_of_the_process(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    bundle.config["process"]["user"] = json!({ "uid": 7, "gid": 8, "additionalGids": [9] });
    let rootfs = bundle.rootfs();
    let seen = context.see(bundle, &["create:/tmp/mine"])?;
    equal("uid", seen.uid, [7, 7])?;
    equal("gid", seen.gid, [8, 8])?;
    equal("groups", seen.groups, vec![9])?;
    let file = fs::metadata(rootfs.join("tmp/mine"))?;
    equal(
        "owner outside",
        (file.uid(), file.gid()),
        (FIRST + 7, FIRST + 8),
    )
}

fn unmapped_user(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    bundle.set_probe(&["see"]);
    bundle.config["process"]["user"]["uid"] = json!(70_000);
    let (_container, output) = context.attempt("run", &bundle, &[])?;
    output.must_fail()?;
    Ok(())
}

fn capabilities(context: &Context) -> Verdict {
    let seen = context.see(mapped(context)?, &[])?;
    let outside = context.see_with(&[], |_| {})?;
    equal(
        "effective",
        seen.capabilities.get("Eff"),
        outside.capabilities.get("Eff"),
    )?;
    equal(
        "bounding",
        seen.capabilities.get("Bnd"),
        outside.capabilities.get("Bnd"),
    )
}

fn owned_namespaces(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "mqueue", "source": "mqueue", "options": ["nosuid"],
    }));
    let questions = [
        "read:/proc/sys/net/ipv4/ip_forward",
        "stat:/sys/class/net/lo/mtu",
        "stat:/mnt",
    ];
    let seen = context.see(bundle, &questions)?;
    equal("ip_forward", seen.answer(questions[0]).text.trim(), "1")?;
    for question in &questions[1..] {
        let status = seen.answer(question).status;
        let owner = status.map(|status| (status.uid, status.gid));
        equal(question, owner, Some((0, 0)))?;
    }
    Ok(())
}

fn devices(context: &Context) -> Verdict {
    let questions = ["openw:/dev/null", "open:/dev/zero", "stat:/dev/null"];
    let seen = context.see(mapped(context)?, &questions)?;
    for question in questions {
        equal(question, seen.answer(question).errno, None)?;
    }
    Ok(())
}

fn hidden_source(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    let hidden = context.directory.join("hidden");
    fs::create_dir_all(hidden.join("shown"))?;
    fs::write(hidden.join("shown/word"), "seen")?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700))?;
    chown(&hidden, Some(12_345), Some(12_345))?;
    bundle.add_mount(json!({
        "destination": "/mnt", "source": hidden.join("shown"), "options": ["bind"],
    }));
    let seen = context.see(bundle, &["read:/mnt/word"])?;
    equal(
        "/mnt/word",
        seen.answer("read:/mnt/word").text.trim(),
        "seen",
    )
}

fn oom_score(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    bundle.config["process"]["oomScoreAdj"] = json!(500);
    let seen = context.see(bundle, &[])?;
    equal("oom_score_adj", seen.oom_score_adj, Some(500))
}

fn user_joined(context: &Context) -> Verdict {
    let first = context.started(mapped(context)?)?;
    let path = format!("/proc/{}/ns/user", first.pid()?);
    let mut bundle = mapped(context)?;
    bundle.drop_namespace("user");
    bundle.add_namespace(json!({ "type": "user", "path": path }));
    bundle.config["linux"]["uidMappings"] = json!(null);
    bundle.config["linux"]["gidMappings"] = json!(null);
    let questions = ["read:/proc/self/uid_map", "stat:/sys/class/net/lo/mtu"];
    let seen = context.see(bundle, &questions)?;
    let wanted = fs::read_link(&path)?;
    equal(
        "namespace",
        seen.namespaces.get("user").map(String::as_str),
        wanted.to_str(),
    )?;
    let map = seen.answer(questions[0]).text;
    let map: Vec<&str> = map.split_whitespace().collect();
    equal("uid_map", map, vec!["0", "100000", "65536"])?;
    equal("uid", seen.uid, [0, 0])?;
    let owner = seen.answer(questions[1]).status.map(|status| status.uid);
    equal("owner of lo", owner, Some(0))
}

fn user_joined_other_mapping(context: &Context) -> Verdict {
    let first = context.started(mapped(context)?)?;
    let mut bundle = mapped(context)?;
    bundle.drop_namespace("user");
    let path = format!("/proc/{}/ns/user", first.pid()?);
    bundle.add_namespace(json!({ "type": "user", "path": path }));
    bundle.config["linux"]["uidMappings"][0]["size"] = json!(7);
    bundle.set_probe(&["wait"]);
    context.must_refuse(&bundle)?;
    Ok(())
}

fn mappings_without_namespace(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        let mapping = json!([{ "containerID": 0, "hostID": FIRST, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })?;
    Ok(())
}

fn user_exec(context: &Context) -> Verdict {
    let container = context.started(mapped(context)?)?;
    let output = container.call("exec", &[], &["/probe", "probe", "see"])?;
    let seen = observation(&output.must_work()?)?;
    let wanted = fs::read_link(format!("/proc/{}/ns/user", container.pid()?))?;
    equal(
        "namespace",
        seen.namespaces.get("user").map(String::as_str),
        wanted.to_str(),
    )?;
    equal("uid", seen.uid, [0, 0])
}

fn monotonic(offsets: &str) -> Option<&str> {
    let line = offsets.lines().find(|line| line.starts_with("monotonic"))?;
    line.split_whitespace().nth(1)
}

const OFFSETS: &str = "read:/proc/self/timens_offsets";

fn time_with_user(context: &Context) -> Verdict {
    let mut bundle = mapped(context)?;
    bundle.add_namespace(json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1_000_000 } });
    let seen = context.see(bundle, &["read:/proc/uptime"])?;
    let seconds = |text: &str| text.split('.').next()?.parse::<u64>().ok();
    let inside = seconds(&seen.answer("read:/proc/uptime").text);
    let outside = seconds(&fs::read_to_string("/proc/uptime")?);
    let difference = inside
        .zip(outside)
        .map(|(inside, outside)| inside.abs_diff(outside));
    check(
        difference.is_some_and(|difference| difference.abs_diff(1_000_000) < 60),
        format_args!("uptime is {inside:?} inside and {outside:?} outside"),
    )
}

/// A container with a time namespace.
fn moved(context: &Context) -> Result<Bundle, Stop> {
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 7881 } });
    Ok(bundle)
}

fn time_joined(context: &Context) -> Verdict {
    let first = context.started(moved(context)?)?;
    let mut bundle = context.bundle()?;
    let path = format!("/proc/{}/ns/time", first.pid()?);
    bundle.add_namespace(json!({ "type": "time", "path": path }));
    let seen = context.see(bundle, &[OFFSETS])?;
    equal(
        "offset",
        monotonic(&seen.answer(OFFSETS).text),
        Some("7881"),
    )
}

fn time_exec(context: &Context) -> Verdict {
    let container = context.started(moved(context)?)?;
    let output = container.call("exec", &[], &["/probe", "probe", "see", OFFSETS])?;
    let seen = observation(&output.must_work()?)?;
    equal(
        "offset",
        monotonic(&seen.answer(OFFSETS).text),
        Some("7881"),
    )
}

fn offsets_without_namespace(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } });
    })?;
    Ok(())
}
