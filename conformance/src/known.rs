//! Failures of other runtimes that were looked into and that belong to no single case. (What does
//! is written at the case.)

/// Which failures of which runtime, and why they are its own.
struct Failure {
    /// How the first line of `RUNTIME --version` begins.
    runtime: &'static str,
    /// The cases.
    cases: &'static [&'static str],
    /// What the reason says in such a failure; empty: anything.
    says: &'static str,
    /// Why it fails there.
    why: &'static str,
}

/// Why this version of a runtime fails a case in this way, if that is known.
pub fn why(case: &str, version: &str, reason: &str) -> Option<&'static str> {
    FAILURES
        .iter()
        .find(|failure| {
            version.starts_with(failure.runtime)
                && reason.contains(failure.says)
                && failure.cases.iter().any(|glob| crate::matches(glob, case))
        })
        .map(|failure| failure.why)
}

const YOUKI: &str = "youki version: 0.7.0";
const RUNC_1_1_15: &str = "runc version 1.1.15";

const fn of(runtime: &'static str, cases: &'static [&'static str], why: &'static str) -> Failure {
    Failure {
        runtime,
        cases,
        says: "",
        why,
    }
}

const FAILURES: &[Failure] = &[
    Failure {
        runtime: YOUKI,
        cases: &["*"],
        says: "did not end within",
        why: "run blocks SIGCHLD only behind the start, and waits for ever for a program that has ended before (handle_foreground in run.rs)",
    },
    of(
        YOUKI,
        &[
            "bad-input/annotations",
            "bad-input/missing-fields",
            "process/rlimits-duplicate",
            "process/cwd-relative",
            "namespaces/duplicate",
            "namespaces/relative-path",
            "hooks/timeout-zero",
            "rootfs/relative-masks",
            "seccomp/errno-on-allow",
            "seccomp/metadata-without-agent",
            "cgroups/block-io-*",
            "cgroups/huge-pages",
            "cgroups/rdma-of-nothing",
            "cgroups/network-priorities",
            "user-and-time/user-joined-other-mapping",
            "security-modules/selinux-not-enabled",
        ],
        "checks less of config.json: takes what is invalid, or can't be honoured",
    ),
    of(
        YOUKI,
        &[
            "bad-input/one-clear-line",
            "engine-contract/log-text",
            "exec/missing-program",
            "limits/too-long-environment",
        ],
        "an error is a chain of causes with a stack of some 30 lines",
    ),
    of(
        YOUKI,
        &["engine-contract/log-json"],
        "its log has `message` where runc has `msg`",
    ),
    of(
        YOUKI,
        &["engine-contract/version"],
        "prints `youki version: X`",
    ),
    of(
        YOUKI,
        &["engine-contract/spec"],
        "its spec writes no terminal",
    ),
    of(
        YOUKI,
        &[
            "engine-contract/exit-status*",
            "exec/killed-by-a-signal",
            "seccomp/kill-process",
        ],
        "a death by signal N is exit status N: its pull request 3639 mends it",
    ),
    of(
        YOUKI,
        &["engine-contract/listen-fds"],
        "hands LISTEN_FDS over whomever they are for",
    ),
    of(
        YOUKI,
        &["capabilities/*"],
        "an unknown or unreachable capability is an error, where the specification has a warning",
    ),
    of(
        YOUKI,
        &["console/*"],
        "consoleSize is ignored; exec --tty gives the process no terminal unless its file says so",
    ),
    of(
        YOUKI,
        &["control/events-*"],
        "events prints one multi-line document at a time, and takes whole seconds only",
    ),
    of(
        YOUKI,
        &["control/exec-*", "exec/created", "process/session-keyring"],
        "exec --cgroup and exec in a container that is only created are refused: the path has to be a relative one",
    ),
    of(
        YOUKI,
        &["control/pause"],
        "the state says running while the container is frozen",
    ),
    of(
        YOUKI,
        &["control/update-*", "cgroups/check-before-update-*"],
        "update takes plain numbers of few limits, one after the other, of any container",
    ),
    of(
        YOUKI,
        &["control/used-cgroup"],
        "takes a cgroup that others are in, or that is frozen",
    ),
    of(
        YOUKI,
        &["crash/*"],
        "a state file that is half written can't be deleted, not even with --force",
    ),
    of(
        YOUKI,
        &["devices/*"],
        "makes no device outside /dev; without the feature cgroupsv2_devices it has no device filter on cgroup v2",
    ),
    of(
        YOUKI,
        &["exec/no-new-privs", "scheduling/*"],
        "exec takes less of config.json and of --process than create does",
    ),
    of(
        YOUKI,
        &["features/*"],
        "features lists less than it has, or nothing",
    ),
    of(
        YOUKI,
        &["hooks/failing-poststop"],
        "a failing poststop hook fails delete",
    ),
    of(
        YOUKI,
        &["hostile/descriptors"],
        "a hook inherits descriptors of the runtime",
    ),
    of(
        YOUKI,
        &["hostile/dev-is-a-link", "hostile/swapped-dev"],
        "links of /dev land on the host where /dev of the image is a link, as in runc's CVE-2026-41579",
    ),
    of(YOUKI, &["hostile/exec-user"], "takes +1 for 1"),
    of(
        YOUKI,
        &["hostile/unit-properties"],
        "its features say nothing of annotations",
    ),
    of(
        YOUKI,
        &["lifecycle/kill-defaults-to-term"],
        "kill wants a signal",
    ),
    of(
        YOUKI,
        &[
            "limits/environment",
            "bad-input/long-values",
            "exec/process-file",
        ],
        "refuses an environment without PATH, even for a program that is named by its path",
    ),
    of(
        YOUKI,
        &["mounts/*"],
        "knows fewer mount options and no idmap; a source that is relative is not found; propagation is not applied",
    ),
    of(
        YOUKI,
        &["namespaces/loopback-up"],
        "leaves the loopback device down",
    ),
    of(
        YOUKI,
        &["net-devices/*"],
        "loses addresses, knows no % in names, and doesn't give the device back",
    ),
    of(
        YOUKI,
        &["process/cwd-created"],
        "a working directory that is missing is an error",
    ),
    of(
        YOUKI,
        &["rootless/*"],
        "wants the user's systemd for a cgroup, even where none is asked for",
    ),
    of(
        YOUKI,
        &["seccomp/filter-mode", "seccomp/notify*"],
        "libseccomp can't load the filter (ECANCELED); features lists nothing of seccomp",
    ),
    of(
        YOUKI,
        &["seccomp/arguments-operators"],
        "hands libseccomp value as what MASKED_EQ compares with and valueTwo as the mask: the other way round (translate_op)",
    ),
    of(
        YOUKI,
        &["cgroups/systemd-path-form"],
        "takes a path that begins with a slash for one of cgroupfs, even with --systemd-cgroup (create_cgroup_manager)",
    ),
    of(
        YOUKI,
        &["cgroups/systemd-properties"],
        "ignores the annotations org.systemd.property.*",
    ),
    of(
        YOUKI,
        &["security-modules/apparmor"],
        "exec runs without the profile",
    ),
    of(
        YOUKI,
        &["state/*"],
        "list knows no --format and --quiet; a stopped container has its pid still",
    ),
    of(
        YOUKI,
        &["user-and-time/*"],
        "exec doesn't join the user namespace; sources that the mapped root can't reach are not found",
    ),
    of(
        YOUKI,
        &["cgroups/ownership*"],
        "fails where the cgroup is mounted for writing in a user namespace",
    ),
    of(
        RUNC_1_1_15,
        &["limits/little-memory"],
        "its init needs more than 8 MiB: engines refuse less than 6 MB for that",
    ),
];
