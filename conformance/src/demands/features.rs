//! features.md and features-linux.md.

use super::{Demand, tested, untestable};

pub(super) const DEMANDS: &[Demand] = &[
    tested(
        "features/null",
        "Features Structure",
        "The `null` value MUST NOT be confused with an empty value",
        &["features/known-shape"],
    ),
    tested(
        "features/version-min",
        "Specification version",
        "`ociVersionMin` (string, REQUIRED)",
        &["engine-contract/features"],
    ),
    tested(
        "features/version-min-accepted",
        "Specification version",
        "The runtime MUST accept this value as the `ociVersion` property of config.json. (Min)",
        &["features/versions-accepted"],
    ),
    tested(
        "features/version-max",
        "Specification version",
        "`ociVersionMax` (string, REQUIRED)",
        &["engine-contract/features"],
    ),
    tested(
        "features/version-max-accepted",
        "Specification version",
        "The runtime MUST accept this value as the `ociVersion` property of config.json. (Max)",
        &["features/versions-accepted"],
    ),
    tested(
        "features/version-order",
        "Specification version",
        "The value MUST NOT be less than the value of the `ociVersionMin` property.",
        &["features/versions-accepted"],
    ),
    tested(
        "features/no-others",
        "Specification version",
        "MUST NOT contain properties that are not defined in this version",
        &["features/known-shape"],
    ),
    tested(
        "features/hooks",
        "Hooks",
        "The runtime MUST support the elements in this array as the `hooks` property",
        &["features/hooks-run"],
    ),
    tested(
        "features/mount-options",
        "Mount Options",
        "The runtime MUST recognize the elements in this array as the `options` of `mounts`",
        &["features/mount-options-recognized"],
    ),
    tested(
        "features/annotations",
        "Annotations",
        "Annotations MUST be a key-value map",
        &["features/known-shape"],
    ),
];

pub(super) const LINUX_DEMANDS: &[Demand] = &[
    tested(
        "features-linux/namespaces",
        "Namespaces",
        "The runtime MUST recognize the elements in this array as the `type` of `linux.namespaces`",
        &["features/namespaces-recognized"],
    ),
    tested(
        "features-linux/capabilities",
        "Capabilities",
        "The runtime MUST recognize the elements in this array in `process.capabilities`",
        &["features/capabilities-recognized"],
    ),
    tested(
        "features-linux/seccomp-actions",
        "Seccomp",
        "The runtime MUST recognize the elements in this array in `syscalls[].action`",
        &["features/seccomp-recognized"],
    ),
    tested(
        "features-linux/seccomp-operators",
        "Seccomp",
        "The runtime MUST recognize the elements in this array in `syscalls[].args[].op`",
        &["features/seccomp-recognized"],
    ),
    tested(
        "features-linux/seccomp-archs",
        "Seccomp",
        "The runtime MUST recognize the elements in this array in `architectures`",
        &["features/seccomp-recognized"],
    ),
    tested(
        "features-linux/seccomp-known-flags",
        "Seccomp",
        "The runtime MUST recognize the elements in this array in `flags` (knownFlags)",
        &["features/seccomp-recognized"],
    ),
    tested(
        "features-linux/seccomp-supported-flags",
        "Seccomp",
        "The runtime MUST recognize and support the elements in this array in `flags`",
        &["features/seccomp-recognized"],
    ),
    tested(
        "features-linux/memory-policy-modes",
        "Memory Policy",
        "The runtime MUST recognize the elements in this array as the `mode`",
        &["features/memory-policy-recognized"],
    ),
    tested(
        "features-linux/memory-policy-flags",
        "Memory Policy",
        "The runtime MUST recognize the elements in this in the `flags` property",
        &["features/memory-policy-recognized"],
    ),
    untestable(
        "features-linux/idmap",
        "Mount Extensions",
        "runtimes MUST still set this value to `true`, to indicate that the runtime recognises",
        "whether a runtime recognizes mappings that the kernel refuses can't be told from outside on a kernel that takes them",
    ),
];
