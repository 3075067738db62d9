//! `linux.namespaces`: new ones, shared ones, and those joined by a path.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::case::{CRUN, Case, Known, Need, OLD_CRUN, RUNC, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Context};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "namespaces/new",
        "each namespace that is listed without a path is a new one",
        "compares the five of the base config with the caller's",
        new,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "If path is not specified, the runtime MUST create a new",
    ),
    Case::must(
        "namespaces/inherited",
        "a namespace that is not listed is the caller's",
        "leaves out pid, network, ipc and uts",
        inherited,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "the container MUST inherit the runtime namespace of that type",
    ),
    Case::must(
        "namespaces/cgroup",
        "a new cgroup namespace hides where the container's cgroup is",
        "asks for a cgroup namespace and reads /proc/self/cgroup",
        cgroup,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "the container will have an isolated view of the cgroup hierarchy",
    )
    .needs(&[Need::Namespace("cgroup")]),
    Case::must(
        "namespaces/joined-by-path",
        "a namespace with a path is joined",
        "joins network, ipc and uts of another container by /proc/PID/ns paths",
        joined,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST place the container process in the namespace associated",
    ),
    Case::must(
        "namespaces/joined-pid",
        "a pid namespace with a path is joined",
        "joins another container's: the program is not its process 1",
        joined_pid,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST place the container process in the namespace associated",
    ),
    Case::must(
        "namespaces/wrong-type",
        "a path that leads to another type's namespace is refused",
        "gives the path of a uts namespace for the network",
        wrong_type,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST generate an error if path is not associated with a namespace",
    ),
    Case::must(
        "namespaces/missing-path",
        "a path that is not there is refused",
        "gives /no/such/namespace for the network",
        missing_path,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "MUST generate an error if path is not associated with a namespace",
    ),
    Case::must(
        "namespaces/duplicate",
        "a type that is listed twice is refused",
        "lists uts twice",
        duplicate,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "contains duplicated namespaces with same type [...] error",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "does not look for duplicates",
    }]),
    Case::must(
        "namespaces/unknown-type",
        "a type that no kernel has is refused",
        "lists `flavour`",
        unknown_type,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    ),
    Case::must(
        "namespaces/pid-isolation",
        "the program sees only its own processes",
        "lists /proc in a new pid namespace",
        pid_isolation,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "processes inside the container will only be able to see other processes",
    ),
    Case::must(
        "namespaces/network-isolation",
        "a new network namespace has a loopback device only",
        "lists /sys/class/net and /proc/net/dev",
        network_isolation,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "the container will have its own network stack",
    ),
    Case::contract(
        "namespaces/loopback-up",
        "the loopback device of a new network namespace is up",
        "reads the flags in /sys/class/net/lo",
        loopback_up,
    )
    .clause(
        "runc",
        "network",
        "a new network namespace gets a working loopback",
    ),
    Case::must(
        "namespaces/hostname",
        "hostname is set in the container's uts namespace, and only there",
        "sets it and compares with the host's, which stays",
        hostname,
    )
    .clause(
        "config.md",
        "Hostname",
        "the container's hostname as seen by processes running inside",
    ),
    Case::must(
        "namespaces/domainname",
        "domainname is set in the container's uts namespace",
        "sets it and asks uname(2)",
        domainname,
    )
    .clause(
        "config.md",
        "Domainname",
        "the container's domainname as seen by processes running inside",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "came with runc 1.2; ignored before",
    }]),
    Case::contract(
        "namespaces/hostname-without-uts",
        "a hostname without a uts namespace of its own is refused, and the host's stays",
        "drops the uts namespace and sets a hostname",
        hostname_without_uts,
    )
    .clause(
        "runc",
        "hostname",
        "unable to set hostname without a private UTS namespace",
    ),
    Case::must(
        "namespaces/sysctl",
        "linux.sysctl sets a kernel parameter in the container only",
        "sets net.ipv4.ip_forward and kernel.msgmax in new network and ipc namespaces",
        sysctl,
    )
    .clause(
        "config-linux.md",
        "Sysctl",
        "allows kernel parameters to be modified at runtime for the container",
    ),
    Case::contract(
        "namespaces/sysctl-of-the-host",
        "a sysctl that is no namespace's is refused",
        "sets vm.swappiness to the value that it has",
        sysctl_of_host,
    )
    .clause(
        "security",
        "CVE-2022-0811",
        "sysctl keys validated against namespaced allow-list",
    ),
    Case::must(
        "namespaces/user",
        "a new user namespace maps ids as uidMappings and gidMappings say",
        "maps container id 0 to host id 100000 and compares both sides",
        user,
    )
    .clause(
        "config-linux.md",
        "User namespace mappings",
        "the starting uid/gid on the host to be mapped",
    )
    .needs(&[Need::Namespace("user")]),
    Case::must(
        "namespaces/time",
        "a time namespace has the offsets of linux.timeOffsets",
        "moves the monotonic clock by 7881 s and reads /proc/self/timens_offsets",
        time,
    )
    .clause(
        "config-linux.md",
        "Offset for Time Namespace",
        "sets the offset for Time Namespace",
    )
    .needs(&[Need::Namespace("time")])
    .known(&[
        Known {
            runtimes: RUNC,
            why: "came with runc 1.2; `time` is unknown before",
        },
        Known {
            runtimes: OLD_CRUN,
            why: "create fails with a broken pipe between its processes",
        },
    ]),
];

fn ours(kind: &str) -> Result<String, Stop> {
    Ok(fs::read_link(format!("/proc/self/ns/{kind}"))?
        .to_string_lossy()
        .into_owned())
}

fn new(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |_| {})?;
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        let inside = seen.namespaces.get(kind).cloned().unwrap_or_default();
        check(
            !inside.is_empty() && inside != ours(kind)?,
            format_args!("the container is in the caller's {kind} namespace ({inside})"),
        )?;
    }
    Ok(())
}

fn inherited(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for kind in ["pid", "network", "ipc", "uts"] {
        bundle.drop_namespace(kind);
    }
    if let Some(config) = bundle.config.as_object_mut() {
        config.remove("hostname");
    }
    let seen = context.see(bundle, &[])?;
    for kind in ["pid", "net", "ipc", "uts", "user", "cgroup"] {
        if context.host.namespaces.contains(kind) {
            equal(kind, seen.namespaces.get(kind), Some(&ours(kind)?))?;
        }
    }
    Ok(())
}

fn cgroup(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "cgroup" }));
    let seen = context.see(bundle, &[])?;
    check(
        seen.namespaces.get("cgroup") != Some(&ours("cgroup")?),
        "the namespace is the caller's",
    )?;
    let outside = seen
        .cgroup
        .lines()
        .find(|line| line.contains(&context.word));
    check(
        outside.is_none(),
        format_args!("/proc/self/cgroup shows the host's path: {outside:?}"),
    )
}

fn joined(context: &Context) -> Verdict {
    let first = context.started(context.bundle()?)?;
    let pid = first.pid()?;
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
    let mut bundle = context.bundle()?;
    for (kind, name) in kinds {
        bundle.drop_namespace(kind);
        bundle.add_namespace(json!({ "type": kind, "path": format!("/proc/{pid}/ns/{name}") }));
    }
    if let Some(config) = bundle.config.as_object_mut() {
        config.remove("hostname");
    }
    let seen = context.see(bundle, &[])?;
    for (_, name) in kinds {
        let wanted = fs::read_link(format!("/proc/{pid}/ns/{name}"))?;
        equal(
            name,
            seen.namespaces.get(name).map(String::as_str),
            wanted.to_str(),
        )?;
    }
    equal("hostname", seen.hostname.as_str(), "conformance")
}

fn joined_pid(context: &Context) -> Verdict {
    let first = context.started(context.bundle()?)?;
    let pid = first.pid()?;
    let mut bundle = context.bundle()?;
    bundle.drop_namespace("pid");
    bundle.add_namespace(json!({ "type": "pid", "path": format!("/proc/{pid}/ns/pid") }));
    let seen = context.see(bundle, &["read:/proc/1/cmdline"])?;
    let wanted = fs::read_link(format!("/proc/{pid}/ns/pid"))?;
    equal(
        "pid",
        seen.namespaces.get("pid").map(String::as_str),
        wanted.to_str(),
    )?;
    check(
        seen.pid > 1,
        "the program is process 1 of a namespace that it joined",
    )?;
    equal("status of the first", first.status()?, "running".to_owned())
}

fn wrong_type(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["namespaces"] = json!([
            { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
            { "type": "network", "path": "/proc/self/ns/uts" },
        ]);
    })?;
    Ok(())
}

fn missing_path(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["namespaces"] = json!([
            { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
            { "type": "network", "path": "/no/such/namespace" },
        ]);
    })?;
    Ok(())
}

fn duplicate(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "uts" }));
    context.must_refuse(&bundle)?;
    Ok(())
}

fn unknown_type(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "flavour" }));
    context.must_refuse(&bundle)?;
    Ok(())
}

fn pid_isolation(context: &Context) -> Verdict {
    let seen = context.see_with(&["list:/proc"], |_| {})?;
    let text = seen.answer("list:/proc").text;
    let processes: Vec<&str> = text
        .split(' ')
        .filter(|name| name.chars().all(|c| c.is_ascii_digit()))
        .collect();
    equal("process id", seen.pid, 1)?;
    equal("processes in /proc", processes, vec!["1"])
}

fn network_isolation(context: &Context) -> Verdict {
    let seen = context.see_with(&["list:/sys/class/net", "read:/proc/net/dev"], |_| {})?;
    let devices: Vec<String> = seen
        .answer("read:/proc/net/dev")
        .text
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name.trim().to_owned()))
        // Tunnel devices that some kernels put into every namespace.
        .filter(|name| {
            ![
                "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0",
                "ip6gre0",
            ]
            .contains(&name.as_str())
        })
        .collect();
    equal("devices", devices, vec!["lo".to_owned()])?;
    let classes = seen.answer("list:/sys/class/net").text;
    check(
        classes.split(' ').any(|name| name == "lo"),
        format_args!("/sys/class/net has {classes}"),
    )
}

fn loopback_up(context: &Context) -> Verdict {
    let question = "read:/sys/class/net/lo/flags";
    let seen = context.see_with(&[question], |_| {})?;
    let text = seen.answer(question).text;
    let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    check(flags & 1 == 1, format_args!("IFF_UP is not set: {text}"))
}

fn hostname(context: &Context) -> Verdict {
    let before = rustix::system::uname().nodename().to_owned();
    let seen = context.see_with(&[], |config| config["hostname"] = json!("wconf.example"))?;
    equal("hostname", seen.hostname.as_str(), "wconf.example")?;
    equal(
        "the host's",
        rustix::system::uname().nodename().to_owned(),
        before,
    )
}

fn domainname(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| config["domainname"] = json!("wconf.domain"))?;
    equal("domainname", seen.domainname.as_str(), "wconf.domain")
}

fn hostname_without_uts(context: &Context) -> Verdict {
    let before = rustix::system::uname().nodename().to_owned();
    let mut bundle = context.bundle()?;
    bundle.drop_namespace("uts");
    // The name that the host has anyway: a runtime that sets it does no harm.
    bundle.config["hostname"] = json!(before.to_string_lossy());
    context.must_refuse(&bundle)?;
    equal(
        "the host's",
        rustix::system::uname().nodename().to_owned(),
        before,
    )
}

fn sysctl(context: &Context) -> Verdict {
    let (forward, message) = (
        "read:/proc/sys/net/ipv4/ip_forward",
        "read:/proc/sys/kernel/msgmax",
    );
    let before = fs::read_to_string("/proc/sys/kernel/msgmax")?;
    let seen = context.see_with(&[forward, message], |config| {
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.msgmax": "12345" });
    })?;
    equal("net.ipv4.ip_forward", seen.answer(forward).text.trim(), "1")?;
    equal("kernel.msgmax", seen.answer(message).text.trim(), "12345")?;
    equal(
        "the host's",
        fs::read_to_string("/proc/sys/kernel/msgmax")?,
        before,
    )
}

fn sysctl_of_host(context: &Context) -> Verdict {
    let value = fs::read_to_string("/proc/sys/vm/swappiness")?;
    context.must_refuse_with(|config| {
        config["linux"]["sysctl"] = json!({ "vm.swappiness": value.trim() });
    })?;
    Ok(())
}

/// A bundle whose root is user 100000 outside.
pub(super) fn with_user_namespace(context: &Context) -> Result<Bundle, Stop> {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces")?;
    if limit.trim() == "0" {
        return Err(Stop::Skipped("user.max_user_namespaces is 0".to_owned()));
    }
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = mapping.clone();
    bundle.config["linux"]["gidMappings"] = mapping;
    // The mapped root must be able to walk to the root file system, and to own its top.
    let mut directory = Some(bundle.rootfs());
    while let Some(path) = directory.filter(|path| path.starts_with(&context.directory)) {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        directory = path.parent().map(std::path::Path::to_owned);
    }
    for name in ["", "tmp", "proc", "sys", "dev", "etc", "mnt", "var"] {
        std::os::unix::fs::chown(bundle.rootfs().join(name), Some(100_000), Some(100_000))?;
    }
    Ok(bundle)
}

fn user(context: &Context) -> Verdict {
    let bundle = with_user_namespace(context)?;
    let rootfs = bundle.rootfs();
    let seen = context.see(bundle, &["read:/proc/self/uid_map", "create:/tmp/mine"])?;
    equal("uid inside", seen.uid, [0, 0])?;
    let map = seen.answer("read:/proc/self/uid_map").text;
    let map: Vec<&str> = map.split_whitespace().collect();
    equal("uid_map", map, vec!["0", "100000", "65536"])?;
    equal(
        "owner outside",
        fs::metadata(rootfs.join("tmp/mine"))?.uid(),
        100_000,
    )
}

fn time(context: &Context) -> Verdict {
    let question = "read:/proc/self/timens_offsets";
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 7881, "nanosecs": 0 } });
    let seen = context.see(bundle, &[question])?;
    let text = seen.answer(question).text;
    let monotonic: Vec<&str> = text
        .lines()
        .find(|line| line.starts_with("monotonic"))
        .map(|line| line.split_whitespace().collect())
        .unwrap_or_default();
    equal("offsets", monotonic, vec!["monotonic", "7881", "0"])
}
