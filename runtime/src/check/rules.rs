//! What the specification says in words, and what has no effect or needs what isn't there: beyond
//! what `create` refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Severity::{self, Warning};
use super::walk::Hear;
use crate::error::Error;
use crate::plan::capabilities;
use crate::seccomp::unknown_names;
use crate::spec::{Hook, Process, Spec};

/// Checks what could be read of a config.json in this bundle.
pub(super) fn check(spec: &Spec<'_>, bundle: &Path, hear: &mut Hear<'_>) {
    root(spec, bundle, hear);
    if let Some(process) = &spec.process {
        of_process(process, hear);
    }
    mounts(spec, bundle, hear);
    hooks(spec, hear);
    namespaces(spec, hear);
    devices(spec, hear);
    syscalls(spec, hear);
}

/// "A directory MUST exist at the path declared by the field."
fn root(spec: &Spec<'_>, bundle: &Path, hear: &mut Hear<'_>) {
    let Some(root) = spec.root.as_ref().filter(|root| !root.path.is_empty()) else {
        return;
    };
    let path = bundle.join(&*root.path);
    if !path.is_dir() {
        let problem = if path.exists() {
            format!("{} is no directory", path.display())
        } else {
            format!("there is no {}", path.display())
        };
        hear(Severity::Error, Error::config("/root/path", problem));
    }
}

fn of_process(process: &Process<'_>, hear: &mut Hear<'_>) {
    if process.console_size.is_some() && !process.terminal {
        let problem = "has no effect without a terminal";
        hear(Warning, Error::config("/process/consoleSize", problem));
    }
    if let Some(sets) = &process.capabilities {
        for (set, names) in [
            ("bounding", &sets.bounding),
            ("effective", &sets.effective),
            ("inheritable", &sets.inheritable),
            ("permitted", &sets.permitted),
            ("ambient", &sets.ambient),
        ] {
            for (index, name) in names.iter().enumerate() {
                if !capabilities::NAMES.contains(&&**name) {
                    let pointer = format!("/process/capabilities/{set}/{index}");
                    hear(Warning, Error::config(pointer, capabilities::refusal(name)));
                }
            }
        }
    }
}

fn mounts(spec: &Spec<'_>, bundle: &Path, hear: &mut Hear<'_>) {
    for (index, mount) in spec.mounts.iter().enumerate() {
        if !mount.destination.is_empty() && !mount.destination.starts_with('/') {
            hear(
                Warning,
                Error::config(
                    format!("/mounts/{index}/destination"),
                    "is not absolute, as it SHOULD be: it is taken from the container's root",
                ),
            );
        }
        let is_bind = mount.kind.as_deref() == Some("bind")
            || mount
                .options
                .iter()
                .any(|option| matches!(&**option, "bind" | "rbind"));
        if let Some(source) = mount.source.as_deref()
            && is_bind
            && !source.is_empty()
            && fs::symlink_metadata(bundle.join(source)).is_err()
        {
            missing(format!("/mounts/{index}/source"), source, hear);
        }
    }
}

/// Of hooks, those that are run outside of the container.
fn hooks(spec: &Spec<'_>, hear: &mut Hear<'_>) {
    let kinds: [(&str, &[Hook<'_>]); 5] = [
        ("prestart", &spec.hooks.prestart),
        ("createRuntime", &spec.hooks.create_runtime),
        ("createContainer", &spec.hooks.create_container),
        ("poststart", &spec.hooks.poststart),
        ("poststop", &spec.hooks.poststop),
    ];
    for (kind, list) in kinds {
        for (index, hook) in list.iter().enumerate() {
            let pointer = format!("/hooks/{kind}/{index}/path");
            if !hook.path.starts_with('/') {
                continue; // `create` says so
            }
            match fs::metadata(&*hook.path) {
                Err(_) => missing(pointer, &hook.path, hear),
                Ok(file) if !file.is_file() || file.permissions().mode() & 0o111 == 0 => hear(
                    Severity::Error,
                    Error::config(pointer, format!("{:?} can't be executed", &*hook.path)),
                ),
                Ok(_) => {}
            }
        }
    }
}

fn namespaces(spec: &Spec<'_>, hear: &mut Hear<'_>) {
    for (index, namespace) in spec.linux.namespaces.iter().enumerate() {
        if let Some(path) = namespace.path.as_deref()
            && path.starts_with('/')
            && fs::symlink_metadata(path).is_err()
        {
            missing(format!("/linux/namespaces/{index}/path"), path, hear);
        }
    }
}

/// Only a warning: it may be made before the container is.
fn missing(pointer: String, path: &str, hear: &mut Hear<'_>) {
    let problem = format!("there is no {path:?} on this host now");
    hear(Warning, Error::config(pointer, problem));
}

fn devices(spec: &Spec<'_>, hear: &mut Hear<'_>) {
    let devices = &spec.linux.devices;
    for (index, device) in devices.iter().enumerate() {
        let mut earlier = devices[..index].iter();
        if earlier.any(|other| other.path == device.path) {
            hear(
                Warning,
                Error::config(
                    format!("/linux/devices/{index}/path"),
                    format!("{:?} is there twice", &*device.path),
                ),
            );
        }
    }
}

fn syscalls(spec: &Spec<'_>, hear: &mut Hear<'_>) {
    let Some(profile) = &spec.linux.seccomp else {
        return;
    };
    let unknown: Vec<&str> = unknown_names(profile).collect();
    for (index, rule) in profile.syscalls.iter().enumerate() {
        for (place, name) in rule.names.iter().enumerate() {
            if unknown.contains(&&**name) {
                hear(
                    Warning,
                    Error::config(
                        format!("/linux/seccomp/syscalls/{index}/names/{place}"),
                        format!("{:?} is no system call of this machine", &**name),
                    ),
                );
            }
        }
    }
}
