//! What config.json must satisfy that its types can't say, and what this runtime can't do.

use super::{Hook, Process, Spec, namespaces, sysctl};
use crate::error::{Error, Result};
use crate::plan::NamespaceKind;

/// Checks a whole config.json.
///
/// # Errors
/// At the first value that is wrong or can't be honoured, with its place: nothing is passed over
/// in silence.
pub fn check(spec: &Spec<'_>) -> Result<()> {
    check_all(spec, &mut Err)
}

/// Whoever hears of what is wrong: one that gives the error back ends the check there, one that
/// keeps it hears of all the others too.
pub type Report<'r> = dyn FnMut(Error) -> Result<()> + 'r;

/// The same rules, for whoever wants to know all that is wrong.
///
/// # Errors
/// With what `report` gives back.
pub fn check_all(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    check_version(&spec.oci_version, report)?;
    match &spec.root {
        None => report(Error::config("/root", "root must be specified"))?,
        Some(root) if root.path.is_empty() => {
            report(Error::config("/root/path", "root path must not be empty"))?;
        }
        Some(_) => {}
    }
    if let Some(process) = &spec.process {
        check_all_of_process(process, report)?;
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        if mount.destination.is_empty() {
            report(Error::config(
                format!("/mounts/{index}/destination"),
                "mount destination must not be empty",
            ))?;
        }
    }
    check_restricted_paths(spec, report)?;
    if spec.annotations.keys().any(|key| key.is_empty()) {
        report(Error::config("/annotations", "a key must not be empty"))?;
    }
    namespaces::check(spec, report)?;
    check_needs_of_namespaces(spec, report)?;
    check_hooks(spec, report)?;
    check_supported(spec, report)
}

/// ociVersion is SemVer (config.md); any 1.x is understood, with the fields that we know.
fn check_version(version: &str, report: &mut Report<'_>) -> Result<()> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = core.split('.').map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => report(
            Error::config("/ociVersion", format!("version {version} is not supported"))
                .hint("this runtime follows runtime-spec 1.0 to 1.3"),
        ),
        _ => report(Error::config(
            "/ociVersion",
            format!("{version:?} is no SemVer version"),
        )),
    }
}

/// Checks a `process`, config.json's own or one of `exec --process`.
///
/// # Errors
/// As [`check`].
pub fn check_process(process: &Process<'_>) -> Result<()> {
    check_all_of_process(process, &mut Err)
}

fn check_all_of_process(process: &Process<'_>, report: &mut Report<'_>) -> Result<()> {
    if process.args.is_empty() {
        report(Error::config("/process/args", "args must not be empty"))?;
    }
    for (index, argument) in process.args.iter().enumerate() {
        if argument.contains('\0') {
            report(Error::config(
                format!("/process/args/{index}"),
                "an argument contains a NUL byte",
            ))?;
        }
    }
    if !process.cwd.starts_with('/') {
        let problem = match &*process.cwd {
            "" => "Cwd property must not be empty",
            _ => "Cwd must be an absolute path",
        };
        report(Error::config("/process/cwd", problem))?;
    }
    // setresuid(2) and setresgid(2) take it for "leave it as it is", which is root.
    for (at, id) in [("uid", process.user.uid), ("gid", process.user.gid)] {
        if id == u32::MAX {
            report(Error::config(
                format!("/process/user/{at}"),
                format!("{id} is no {at}: they end at {}", u32::MAX - 1),
            ))?;
        }
    }
    for (index, rlimit) in process.rlimits.iter().enumerate() {
        if process.rlimits[..index]
            .iter()
            .any(|other| other.kind == rlimit.kind)
        {
            report(Error::config(
                format!("/process/rlimits/{index}"),
                format!("rlimit {} is there twice", rlimit.kind),
            ))?;
        }
    }
    if let Some(score) = process.oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        report(Error::config(
            "/process/oomScoreAdj",
            format!("{score} is not between -1000 and 1000"),
        ))?;
    }
    Ok(())
}

/// What works only in a namespace of its own: without one, it would change the host.
fn check_needs_of_namespaces(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    let has = |kind: NamespaceKind| namespaces::has(spec, kind);
    let set = |text: &Option<super::Text<'_>>| text.as_deref().is_some_and(|text| !text.is_empty());
    if set(&spec.hostname) && !has(NamespaceKind::Uts) {
        report(Error::config(
            "/hostname",
            "unable to set hostname without a private UTS namespace",
        ))?;
    }
    if set(&spec.domainname) && !has(NamespaceKind::Uts) {
        report(Error::config(
            "/domainname",
            "unable to set domainname without a private UTS namespace",
        ))?;
    }
    if !has(NamespaceKind::Mount) {
        let restricted = if spec.linux.masked_paths.is_empty() {
            (
                "/linux/readonlyPaths",
                !spec.linux.readonly_paths.is_empty(),
            )
        } else {
            ("/linux/maskedPaths", true)
        };
        if restricted.1 {
            report(Error::config(
                restricted.0,
                "unable to restrict sys entries without a private MNT namespace",
            ))?;
        }
        if set(&spec.linux.rootfs_propagation) {
            report(Error::config(
                "/linux/rootfsPropagation",
                "without a mount namespace of the container's own this would change the host",
            ))?;
        }
    }
    for key in spec.linux.sysctl.keys() {
        if let Err(error) = sysctl::check(key, &has) {
            report(error)?;
        }
    }
    Ok(())
}

/// Whether a path is that of the root.
pub fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "."))
}

/// Masked and read-only paths are absolute (config-linux.md).
fn check_restricted_paths(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    for (pointer, paths) in [
        ("/linux/maskedPaths", &spec.linux.masked_paths),
        ("/linux/readonlyPaths", &spec.linux.readonly_paths),
    ] {
        for (index, path) in paths.iter().enumerate() {
            if !path.starts_with('/') {
                report(Error::config(
                    format!("{pointer}/{index}"),
                    format!("{:?} is not an absolute path", &**path),
                ))?;
            } else if pointer == "/linux/maskedPaths" && is_root(path) {
                report(Error::config(
                    format!("{pointer}/{index}"),
                    "the root can't be masked: the container would have nothing",
                ))?;
            }
        }
    }
    Ok(())
}

fn check_hooks(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    let hooks = &spec.hooks;
    let kinds: [(&str, &[Hook<'_>]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, list) in kinds {
        for (index, hook) in list.iter().enumerate() {
            if !hook.path.starts_with('/') {
                report(Error::config(
                    format!("/hooks/{kind}/{index}/path"),
                    format!("hook path {:?} is not absolute", &*hook.path),
                ))?;
            }
            if let Some(entry) = hook.env.iter().find(|entry| !entry.contains('=')) {
                report(Error::config(
                    format!("/hooks/{kind}/{index}/env"),
                    format!("{:?} is no NAME=VALUE", &**entry),
                ))?;
            }
            if hook.timeout.is_some_and(|timeout| timeout <= 0) {
                report(Error::config(
                    format!("/hooks/{kind}/{index}/timeout"),
                    "hook timeout must be greater than zero",
                ))?;
            }
        }
    }
    Ok(())
}

/// Values that are read and understood, and that can't be carried out.
fn check_supported(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    let linux = &spec.linux;
    if let Some(propagation) = linux.rootfs_propagation.as_deref()
        && !propagation.is_empty()
        && !matches!(
            propagation.strip_prefix('r').unwrap_or(propagation),
            "shared" | "slave" | "private" | "unbindable"
        )
    {
        report(
            Error::config(
                "/linux/rootfsPropagation",
                format!("rootfsPropagation={propagation} is not supported"),
            )
            .hint("shared, slave, private or unbindable"),
        )?;
    }
    check_weights(spec, report)?;
    if let Some(seccomp) = &linux.seccomp
        && seccomp
            .listener_metadata
            .as_deref()
            .is_some_and(|text| !text.is_empty())
        && seccomp
            .listener_path
            .as_deref()
            .unwrap_or_default()
            .is_empty()
    {
        report(
            Error::config(
                "/linux/seccomp/listenerMetadata",
                "listenerMetadata is set, and listenerPath is not",
            )
            .hint("it is what the seccomp agent at listenerPath is told"),
        )?;
    }
    Ok(())
}

/// config-linux.md, Block IO: "You MUST specify at least one of `weight` or `leafWeight` in a given
/// entry, and MAY specify both."
fn check_weights(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    let block_io = spec
        .linux
        .resources
        .as_ref()
        .and_then(|all| all.block_io.as_ref());
    for (index, device) in block_io
        .iter()
        .flat_map(|io| io.weight_device.iter().enumerate())
    {
        if device.weight.is_none() && device.leaf_weight.is_none() {
            report(Error::config(
                format!("/linux/resources/blockIO/weightDevice/{index}"),
                "neither weight nor leafWeight is given",
            ))?;
        }
    }
    Ok(())
}
