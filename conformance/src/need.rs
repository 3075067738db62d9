//! What a case needs of the host.

/// What a host must have for a case to mean anything; missing: the case is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// This controller in a cgroup v1 hierarchy.
    CgroupV1(&'static str),
    /// This controller in the cgroup v2 hierarchy.
    CgroupV2(&'static str),
    /// The kernel knows this kind of namespace (its name below `/proc/self/ns`).
    Namespace(&'static str),
    /// Some capability that the kernel knows is not in our bounding set.
    CapabilityOutOfReach,
    /// The kernel has this action for seccomp filters.
    SeccompAction(&'static str),
    /// AppArmor is enabled.
    AppArmor,
    /// A file that a kernel without the feature lacks.
    File(&'static str),
    /// A verb of the runtime that the contracts leave optional.
    Verb(&'static str),
}
