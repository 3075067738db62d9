//! Fields that the specification requires, and forms that it demands of values.

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, RUNC, Stop, Verdict};
use crate::harness::Context;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "bad-input/missing-fields",
        "an object without a field that is REQUIRED in it is refused",
        "adds objects that lack one such field each, to a config.json that works",
        missing_fields,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    )
    .known(&[
        Known { runtimes: RUNC, why: "a console size without width, a scheduler without policy, an I/O priority without class, a seccomp filter without default action or with a rule of no names" },
        Known { runtimes: CRUN, why: "a console size without width, a scheduler without policy, an I/O priority without class, a seccomp rule of no names" },
    ]),
    Case::must(
        "bad-input/annotations",
        "annotations that are no map, or have an empty key or a value that is no string, are refused",
        "tries each",
        annotations,
    )
    .clause("config.md", "Annotations", "Annotations MUST be a key-value map.")
    .known(&[
        Known { runtimes: RUNC, why: "takes an empty key" },
        Known { runtimes: CRUN, why: "takes annotations that are an array" },
    ]),
    Case::must(
        "hooks/relative-path",
        "a hook whose path is relative is refused",
        "names a program that is in the bundle",
        hook_relative_path,
    )
    .clause("config.md", "POSIX-platform Hooks", "`path` MUST be absolute.")
    .known(&[
        Known { runtimes: RUNC, why: "runs it, relative to the bundle" },
        Known { runtimes: CRUN, why: "runs it" },
    ]),
    Case::must(
        "hooks/timeout-zero",
        "a hook's timeout of zero, or less, is refused",
        "tries 0 and -1",
        hook_timeout_zero,
    )
    .clause(
        "config.md",
        "POSIX-platform Hooks",
        "If set, `timeout` MUST be greater than zero.",
    )
    .known(&[
        Known { runtimes: RUNC, why: "a timeout of zero is none" },
        Known { runtimes: CRUN, why: "a timeout of zero is none" },
    ]),
    Case::must(
        "namespaces/relative-path",
        "a namespace's path that is relative is refused",
        "names the runtime's own network namespace by a path up from wherever it stands",
        namespace_relative_path,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "This value MUST be an absolute path in the runtime mount namespace.",
    )
    .known(&[
        Known { runtimes: RUNC, why: "takes a relative path" },
        Known { runtimes: CRUN, why: "takes a relative path" },
    ]),
    Case::must(
        "rootfs/relative-masks",
        "masked and read-only paths that are relative are refused",
        "lists proc/kcore and proc/sys",
        relative_masks,
    )
    .clause(
        "config-linux.md",
        "Masked Paths",
        "The values MUST be absolute paths in the container namespace.",
    )
    .known(&[
        Known { runtimes: RUNC, why: "masks it, relative to the root or to the caller" },
        Known { runtimes: CRUN, why: "masks it, relative to the root" },
    ]),
];

/// Where something is put, and what: each lacks a field that it has to have.
fn incomplete() -> [(&'static str, Value); 12] {
    [
        ("/root", json!({})),
        ("/mounts/-", json!({ "type": "tmpfs", "source": "tmpfs" })),
        ("/process/cwd", Value::Null),
        ("/process/consoleSize", json!({ "height": 10 })),
        ("/process/rlimits", json!([{ "soft": 10, "hard": 10 }])),
        ("/process/scheduler", json!({ "nice": 1 })),
        ("/process/ioPriority", json!({ "priority": 1 })),
        ("/hooks", json!({ "createRuntime": [{ "args": ["x"] }] })),
        (
            "/linux/namespaces/-",
            json!({ "path": "/proc/self/ns/net" }),
        ),
        (
            "/linux/devices",
            json!([{ "path": "/dev/new", "major": 1, "minor": 3 }]),
        ),
        ("/linux/seccomp", json!({ "syscalls": [] })),
        (
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": [], "action": "SCMP_ACT_ERRNO" }],
            }),
        ),
    ]
}

fn missing_fields(context: &Context) -> Verdict {
    let mut taken = Vec::new();
    for (pointer, value) in incomplete() {
        let words = value.to_string();
        let refused = context.must_refuse_with(|config| put(config, pointer, value));
        match refused {
            Ok(_) => {}
            Err(Stop::Failed(_)) => taken.push(format!("{pointer}: {words}")),
            Err(other) => return Err(other),
        }
    }
    match taken.as_slice() {
        [] => Ok(()),
        taken => Err(Stop::Failed(format!("taken: {}", taken.join("; ")))),
    }
}

/// Puts `value` at `pointer`, or behind the elements of an array (`/-`); null takes away.
fn put(config: &mut Value, pointer: &str, value: Value) {
    if let Some(array) = pointer.strip_suffix("/-") {
        if let Some(array) = config.pointer_mut(array).and_then(Value::as_array_mut) {
            array.push(value);
        }
        return;
    }
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(parent) = config.pointer_mut(parent).and_then(Value::as_object_mut) {
        match value {
            Value::Null => {
                parent.remove(name);
            }
            value => {
                parent.insert(name.to_owned(), value);
            }
        }
    }
}

fn annotations(context: &Context) -> Verdict {
    for annotations in [json!(["a", "b"]), json!({ "a": 1 }), json!({ "": "x" })] {
        let words = annotations.to_string();
        context
            .must_refuse_with(|config| config["annotations"] = annotations)
            .map_err(|stop| match stop {
                Stop::Failed(why) => Stop::Failed(format!("{words}: {why}")),
                other => other,
            })?;
    }
    Ok(())
}

fn hook_relative_path(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["hooks"] = json!({ "createRuntime": [{ "path": "rootfs/probe", "args": ["x", "probe", "see"] }] });
    })?;
    Ok(())
}

fn hook_timeout_zero(context: &Context) -> Verdict {
    let probe = context.probe.clone();
    for timeout in [0, -1] {
        context
            .must_refuse_with(|config| {
                config["hooks"] = json!({
                    "poststop": [{ "path": probe, "args": ["x", "probe", "see"], "timeout": timeout }],
                });
            })
            .map_err(|stop| match stop {
                Stop::Failed(why) => Stop::Failed(format!("timeout {timeout}: {why}")),
                other => other,
            })?;
    }
    Ok(())
}

fn namespace_relative_path(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network");
            let up = "../".repeat(32);
            namespaces.push(json!({ "type": "network", "path": format!("{up}proc/self/ns/net") }));
        }
    })?;
    Ok(())
}

fn relative_masks(context: &Context) -> Verdict {
    for list in ["maskedPaths", "readonlyPaths"] {
        context
            .must_refuse_with(|config| config["linux"][list] = json!(["etc"]))
            .map_err(|stop| match stop {
                Stop::Failed(why) => Stop::Failed(format!("{list}: {why}")),
                other => other,
            })?;
    }
    Ok(())
}
