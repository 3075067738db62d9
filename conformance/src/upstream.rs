//! Where the makers of a runtime speak of what it fails: so a failure is theirs, and known to them.

/// A thread, advisory or change, and the cases that fail for what it is about.
struct Thread {
    /// How the first line of `RUNTIME --version` begins, of any version.
    runtime: &'static str,
    /// What it is called.
    name: &'static str,
    /// How our reason begins, where the case can fail for another as well.
    why: &'static str,
    /// The cases.
    cases: &'static [&'static str],
}

/// The thread about a runtime's failure in a case, for which `why` is our reason.
pub fn thread(case: &str, version: &str, why: &str) -> Option<&'static str> {
    THREADS
        .iter()
        .find(|thread| {
            version.starts_with(thread.runtime)
                && why.starts_with(thread.why)
                && thread.cases.contains(&case)
        })
        .map(|thread| thread.name)
}

const RUNC: &str = "runc version ";
const CRUN: &str = "crun version ";
const YOUKI: &str = "youki version";

const fn of(
    runtime: &'static str,
    name: &'static str,
    why: &'static str,
    cases: &'static [&'static str],
) -> Thread {
    Thread {
        runtime,
        name,
        why,
        cases,
    }
}

const THREADS: &[Thread] = &[
    of(
        RUNC,
        "runc issue 1710",
        "",
        &["hooks/poststart-at-start", "hooks/failing-poststart"],
    ),
    of(RUNC, "runc issue 1765", "", &["hooks/failing-poststop"]),
    of(RUNC, "runc issue 1846", "", &["bad-input/oci-version"]),
    of(
        RUNC,
        "runc issue 1980, moby pull request 41168",
        "",
        &["limits/little-memory"],
    ),
    of(RUNC, "runc issue 3132", "", &["control/used-cgroup"]),
    of(RUNC, "runc issue 3911", "", &["mounts/tmpfs-mode"]),
    of(RUNC, "runc issue 4122", "", &["user-and-time/user-joined"]),
    of(RUNC, "runc issue 4426", "", &["capabilities/out-of-reach"]),
    of(RUNC, "runc issue 4566", "", &["control/update-pids"]),
    of(
        RUNC,
        "runc issue 4835, libseccomp issue 86",
        "",
        &["features/seccomp-recognized"],
    ),
    of(
        RUNC,
        "runc pull request 3361",
        "",
        &["control/update-all-or-nothing"],
    ),
    of(
        RUNC,
        "runc pull request 3579",
        "",
        &["cgroups/check-before-update-v2"],
    ),
    of(
        RUNC,
        "runc pull request 3600",
        "",
        &["namespaces/domainname"],
    ),
    of(RUNC, "runc pull request 3717", "", &["mounts/one-mapping"]),
    of(
        RUNC,
        "runc pull request 3749",
        "",
        &["cgroups/burst-v1", "cgroups/burst-v2"],
    ),
    of(
        RUNC,
        "runc pull request 3783",
        "",
        &["scheduling/io-priority", "scheduling/io-priority-refused"],
    ),
    of(
        RUNC,
        "runc pull request 3833",
        "",
        &["intel-rdt/group-compared"],
    ),
    of(
        RUNC,
        "runc pull request 3876",
        "",
        &[
            "namespaces/time",
            "user-and-time/time-with-user",
            "user-and-time/time-joined",
            "user-and-time/time-exec",
            "user-and-time/offsets-without-namespace",
        ],
    ),
    of(
        RUNC,
        "runc pull request 3985",
        "",
        &["mounts/idmapped", "mounts/ridmap"],
    ),
    of(
        RUNC,
        "runc pull request 4025",
        "",
        &[
            "scheduling/policy",
            "scheduling/policy-refused",
            "scheduling/deadline-on-some-cpus",
        ],
    ),
    of(RUNC, "runc pull request 4082", "", &["process/personality"]),
    of(
        RUNC,
        "runc pull request 4124",
        "",
        &[
            "user-and-time/user-joined-other-mapping",
            "user-and-time/mappings-without-namespace",
        ],
    ),
    of(
        RUNC,
        "runc pull request 4217",
        "",
        &["hostile/unit-properties"],
    ),
    of(
        RUNC,
        "runc pull request 4323",
        "",
        &["hooks/environment-not-the-containers"],
    ),
    of(
        RUNC,
        "runc pull request 4327",
        "",
        &["scheduling/affinity-of-exec"],
    ),
    of(
        RUNC,
        "runc pull request 4538",
        "",
        &[
            "net-devices/moved",
            "net-devices/attributes",
            "net-devices/renamed",
            "net-devices/name-taken",
            "net-devices/refused",
            "net-devices/not-moved-back",
        ],
    ),
    of(
        RUNC,
        "runc pull request 4726",
        "",
        &[
            "scheduling/memory-policy",
            "scheduling/memory-policy-refused",
        ],
    ),
    of(
        RUNC,
        "runc pull request 4775",
        "",
        &["control/update-device"],
    ),
    of(
        RUNC,
        "runc pull request 4829",
        "",
        &["intel-rdt/no-resctrl"],
    ),
    of(RUNC, "runc pull request 4830", "", &["intel-rdt/schemata"]),
    of(
        RUNC,
        "runc pull request 4832",
        "",
        &["intel-rdt/monitoring", "intel-rdt/monitoring-fails"],
    ),
    of(
        RUNC,
        "runc pull request 4854",
        "",
        &["intel-rdt/default-group"],
    ),
    of(
        RUNC,
        "runc pull request 4858",
        "",
        &["scheduling/callers-affinity"],
    ),
    of(
        RUNC,
        "runc pull request 5209",
        "",
        &[
            "hooks/relative-path",
            "namespaces/relative-path",
            "rootfs/relative-masks",
        ],
    ),
    of(
        RUNC,
        "runc pull requests 3783 and 4585",
        "",
        &["scheduling/io-priority-of-exec"],
    ),
    of(
        RUNC,
        "runc pull requests 4025 and 4585",
        "",
        &["scheduling/policy-of-exec"],
    ),
    of(
        CRUN,
        "CVE-2024-21626, crun pull request 1407",
        "",
        &[
            "hostile/cwd-is-a-descriptor",
            "hostile/cwd-is-a-descriptor-for-exec",
        ],
    ),
    of(
        CRUN,
        "CVE-2026-88265, crun pull request 2249",
        "",
        &["hostile/swapped-dev-null"],
    ),
    of(
        CRUN,
        "crun issue 1273",
        "",
        &[
            "control/events-stats",
            "control/events-interval",
            "control/events-oom",
        ],
    ),
    of(CRUN, "crun issue 2114", "", &["hostile/sub-cgroup"]),
    of(CRUN, "crun issue 716", "", &["control/used-cgroup"]),
    of(
        CRUN,
        "crun pull request 1184",
        "",
        &[
            "namespaces/time",
            "user-and-time/time-exec",
            "user-and-time/offsets-without-namespace",
        ],
    ),
    of(
        CRUN,
        "crun pull request 1213",
        "",
        &["scheduling/policy", "scheduling/deadline-on-some-cpus"],
    ),
    of(
        CRUN,
        "crun pull request 1213",
        "came with crun 1.8.5,",
        &["scheduling/policy-refused"],
    ),
    of(
        CRUN,
        "crun pull request 1223",
        "",
        &["scheduling/io-priority", "scheduling/io-priority-refused"],
    ),
    of(CRUN, "crun pull request 1286", "", &["mounts/ridmap"]),
    of(
        CRUN,
        "crun pull request 1294",
        "",
        &["lifecycle/kill-bad-signal"],
    ),
    of(
        CRUN,
        "crun pull request 1294",
        "takes it for signal",
        &["lifecycle/kill-lower-case"],
    ),
    of(
        CRUN,
        "crun pull request 1315",
        "",
        &["scheduling/callers-affinity"],
    ),
    of(
        CRUN,
        "crun pull request 1323",
        "",
        &[
            "intel-rdt/no-resctrl",
            "intel-rdt/default-group",
            "intel-rdt/tasks",
            "intel-rdt/no-schema",
            "intel-rdt/group-made",
            "intel-rdt/group-pre-configured",
            "intel-rdt/group-removed",
        ],
    ),
    of(CRUN, "crun pull request 1332", "", &["cgroups/burst-v1"]),
    of(
        CRUN,
        "crun pull request 1384",
        "",
        &["cgroups/pids-unlimited-v1"],
    ),
    of(
        CRUN,
        "crun pull request 1417",
        "",
        &["bad-input/oci-version"],
    ),
    of(
        CRUN,
        "crun pull request 1444",
        "",
        &["hostile/unit-properties"],
    ),
    of(
        CRUN,
        "crun pull request 1575",
        "",
        &["namespaces/duplicate"],
    ),
    of(
        CRUN,
        "crun pull request 1607",
        "",
        &["scheduling/affinity-of-exec"],
    ),
    of(
        CRUN,
        "crun pull request 1697",
        "",
        &["console/socket-unwanted"],
    ),
    of(CRUN, "crun pull request 1748", "", &["intel-rdt/schemata"]),
    of(
        CRUN,
        "crun pull request 1750",
        "",
        &[
            "net-devices/moved",
            "net-devices/attributes",
            "net-devices/renamed",
            "net-devices/name-taken",
            "net-devices/refused",
            "net-devices/not-moved-back",
        ],
    ),
    of(
        CRUN,
        "crun pull request 1852",
        "",
        &[
            "scheduling/memory-policy",
            "scheduling/memory-policy-refused",
        ],
    ),
    of(
        CRUN,
        "crun pull request 1866",
        "",
        &["intel-rdt/monitoring", "intel-rdt/monitoring-fails"],
    ),
    of(CRUN, "crun pull request 2077", "", &["bad-input/ids"]),
    of(
        CRUN,
        "crun pull request 2094",
        "",
        &["features/mount-options-recognized"],
    ),
    of(CRUN, "crun pull request 640", "", &["mounts/bind-flags"]),
    of(CRUN, "crun pull request 666", "", &["exec/no-new-privs"]),
    of(
        CRUN,
        "crun pull request 727",
        "",
        &["control/exec-in-paused"],
    ),
    of(
        CRUN,
        "crun pull request 750",
        "",
        &["control/exec-cgroup-of-a-controller"],
    ),
    of(
        CRUN,
        "runtime-spec issue 961",
        "",
        &["user-and-time/user-joined-other-mapping"],
    ),
    of(
        CRUN,
        "runtime-spec pull request 1094",
        "",
        &["capabilities/out-of-reach"],
    ),
    of(
        CRUN,
        "runtime-spec pull request 1262, crun pull request 1944",
        "",
        &["hooks/failing-poststart"],
    ),
    of(
        YOUKI,
        "youki issue 147",
        "update takes plain numbers",
        &["control/update-period-keeps-quota"],
    ),
    of(
        YOUKI,
        "youki issue 2307",
        "knows fewer mount options",
        &["mounts/idmapped", "mounts/ridmap"],
    ),
    of(
        YOUKI,
        "youki issue 3144",
        "wants the user's systemd",
        &[
            "rootless/run",
            "rootless/devices",
            "rootless/lifecycle",
            "rootless/masks",
        ],
    ),
    of(
        YOUKI,
        "youki issue 3206",
        "events prints one multi-line",
        &["control/events-interval"],
    ),
    of(
        YOUKI,
        "youki issue 3209",
        "exec --cgroup and exec",
        &["exec/created", "process/session-keyring"],
    ),
    of(
        YOUKI,
        "youki issue 3314",
        "checks less of config.json:",
        &["namespaces/relative-path", "rootfs/relative-masks"],
    ),
    of(
        YOUKI,
        "youki issue 3317",
        "prints `youki version: X`",
        &["engine-contract/version"],
    ),
    of(
        YOUKI,
        "youki issue 3437",
        "exec --cgroup and exec",
        &["control/exec-follows-init"],
    ),
    of(
        YOUKI,
        "youki issue 3559",
        "its spec writes no",
        &["engine-contract/spec"],
    ),
    of(
        YOUKI,
        "youki issue 3594",
        "update takes plain numbers",
        &["control/update-pids"],
    ),
    of(
        YOUKI,
        "youki issue 3604",
        "knows fewer mount options",
        &["mounts/propagation"],
    ),
    of(
        YOUKI,
        "youki issue 3670",
        "its log has `message`",
        &["engine-contract/log-json"],
    ),
    of(
        YOUKI,
        "youki issue 3678",
        "update takes plain numbers",
        &["control/update-memory", "control/update-memory-and-swap"],
    ),
    of(
        YOUKI,
        "youki issue 3723",
        "an unknown or unreachable",
        &["capabilities/unknown-name"],
    ),
    of(
        YOUKI,
        "youki issue 469",
        "checks less of config.json:",
        &["security-modules/selinux-not-enabled"],
    ),
    of(
        YOUKI,
        "youki issues 3178 and 3233",
        "takes a cgroup that",
        &["control/used-cgroup"],
    ),
    of(
        YOUKI,
        "youki pull request 1288",
        "takes a path that",
        &["cgroups/systemd-path-form"],
    ),
    of(
        YOUKI,
        "youki pull request 2837",
        "features lists less than",
        &["features/seccomp-recognized"],
    ),
    of(
        YOUKI,
        "youki pull request 2968",
        "a working directory that",
        &["process/cwd-created"],
    ),
    of(
        YOUKI,
        "youki pull request 3407",
        "a failing poststop hook",
        &["hooks/failing-poststop"],
    ),
    of(
        YOUKI,
        "youki pull request 3639",
        "consoleSize is ignored; exec",
        &["console/exec-terminal"],
    ),
    of(
        YOUKI,
        "youki pull request 3721",
        "makes no device outside",
        &["devices/denied", "devices/allowed-in-order"],
    ),
];
