//! Input that can't be right: refused with a message, and nothing is left.

use std::fs;

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, NEW_CRUN, RUNC, Stop, Verdict, check, fail};
use crate::harness::{Bundle, Context};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "bad-input/no-config",
        "a bundle without config.json is refused",
        "creates from an empty bundle",
        no_config,
    )
    .clause(
        "bundle.md",
        "Container Format",
        "This REQUIRED file MUST reside in the root of the bundle",
    ),
    Case::must(
        "bad-input/truncated-config",
        "a config.json that ends in the middle is refused",
        "cuts the file in half",
        truncated,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    ),
    Case::must(
        "bad-input/wrong-types",
        "a field of the wrong JSON type is refused",
        "makes process.args a string, mounts an object, uid a string",
        wrong_types,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "skips process.args that is no array",
    }]),
    Case::must(
        "bad-input/no-bundle",
        "a bundle directory that is not there is refused",
        "names /no/such/bundle",
        no_bundle,
    )
    .clause(
        "runtime.md",
        "Create",
        "if it is not provided a path to the bundle",
    ),
    Case::must(
        "bad-input/oci-version",
        "an ociVersion that the runtime can't know is refused",
        "sets 99.0.0 and `latest`",
        version,
    )
    .clause(
        "config.md",
        "Specification version",
        "MUST be in SemVer v2.0.0 format",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "does not look at ociVersion",
        },
        Known {
            runtimes: NEW_CRUN,
            why: "takes any version",
        },
    ]),
    Case::must(
        "bad-input/empty-args",
        "an empty process.args is refused",
        "sets []",
        empty_args,
    )
    .clause("config.md", "Process", "at least one entry is REQUIRED"),
    Case::must(
        "bad-input/no-root",
        "a config.json without root is refused",
        "takes root out",
        no_root,
    )
    .clause(
        "config.md",
        "Root",
        "On all other platforms, this field is REQUIRED",
    ),
    Case::must(
        "bad-input/ids",
        "an id that is no plain name is refused",
        "tries the empty id, .., ../x, a/b, a\\nb",
        ids,
    )
    .clause(
        "runtime.md",
        "Create",
        "is not valid in any other way [...] MUST generate an error",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "takes an id with a newline",
    }]),
    Case::must(
        "bad-input/unknown-mount-type",
        "a file system type that no kernel has is refused",
        "mounts `conformancefs`",
        mount_type,
    )
    .clause(
        "runtime.md",
        "Create",
        "If the runtime cannot apply a property [...] MUST generate an error",
    ),
    Case::must(
        "bad-input/unknown-propagation",
        "a rootfsPropagation that is none is refused",
        "sets `sideways`",
        propagation,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "takes any word",
    }]),
    Case::must(
        "bad-input/unknown-fields",
        "a field that the runtime doesn't know is ignored",
        "adds one at three levels",
        unknown_fields,
    )
    .clause(
        "config.md",
        "Extensibility",
        "unknown properties but MUST otherwise ignore them",
    ),
    Case::must(
        "bad-input/nothing-left-early",
        "after a refusal of config.json nothing is left",
        "names an unknown namespace; looks for state, mounts and cgroups",
        nothing_left_early,
    )
    .clause(
        "runtime.md",
        "Errors",
        "MUST leave the state of the environment as if the operation were never",
    )
    .known(&[Known {
        runtimes: NEW_CRUN,
        why: "on cgroup v2 the cgroup is left",
    }]),
    Case::must(
        "bad-input/nothing-left-late",
        "after a failure in the middle of create nothing is left",
        "lets the last mount fail; looks for state, mounts and cgroups",
        nothing_left_late,
    )
    .clause(
        "runtime.md",
        "Errors",
        "MUST leave the state of the environment as if the operation were never",
    ),
    Case::contract(
        "bad-input/one-clear-line",
        "each of these refusals is a short message, and no backtrace",
        "counts lines of four different failures",
        clear_lines,
    )
    .clause(
        "runc command line",
        "General behaviour",
        "Errors: one logrus line on stderr",
    ),
    Case::must(
        "bad-input/long-values",
        "60 KiB of environment and 500 arguments reach the program",
        "passes them",
        long_values,
    )
    .clause(
        "config.md",
        "Process",
        "with the same semantics as IEEE Std 1003.1-2008's environ",
    ),
    Case::contract(
        "bad-input/many-mounts",
        "200 mounts are no problem",
        "mounts 200 tmpfs",
        many_mounts,
    )
    .clause(
        "config.md",
        "Mounts",
        "The runtime MUST mount entries in the listed order",
    ),
];

/// Calls create with a config.json of this text, which must fail with a message.
fn refuse_text(context: &Context, text: &str) -> Verdict {
    let bundle = context.bundle()?;
    fs::write(bundle.directory.join("config.json"), text)?;
    refuse_as_is(context, &bundle)
}

fn refuse_as_is(context: &Context, bundle: &Bundle) -> Verdict {
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let output = container
        .call("create", &["--bundle", &directory], &[])?
        .must_fail()?;
    check(
        !output.stderr().trim().is_empty(),
        "no message on standard error",
    )?;
    check(
        !container.call("state", &[], &[])?.worked(),
        "a container is left",
    )
}

fn no_config(context: &Context) -> Verdict {
    refuse_as_is(context, &context.bundle()?)
}

fn truncated(context: &Context) -> Verdict {
    let text = context.bundle()?.config.to_string();
    refuse_text(context, &text[..text.len() / 2])
}

fn wrong_types(context: &Context) -> Verdict {
    for (pointer, value) in [
        ("/process/args", json!("/probe")),
        ("/mounts", json!({ "destination": "/proc" })),
        ("/process/user/uid", json!("0")),
        ("/linux/namespaces", json!("pid")),
    ] {
        let mut config = context.bundle()?.config;
        if let Some(place) = config.pointer_mut(pointer) {
            *place = value;
        }
        refuse_text(context, &config.to_string()).map_err(|stop| match stop {
            Stop::Failed(reason) => Stop::Failed(format!("{pointer}: {reason}")),
            other => other,
        })?;
    }
    Ok(())
}

fn no_bundle(context: &Context) -> Verdict {
    let container = context.container()?;
    container
        .call("create", &["--bundle", "/no/such/bundle"], &[])?
        .must_fail()?;
    Ok(())
}

fn version(context: &Context) -> Verdict {
    for version in ["99.0.0", "latest"] {
        context.must_refuse_with(|config| config["ociVersion"] = json!(version))?;
    }
    Ok(())
}

fn empty_args(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["process"]["args"] = json!([]);
    let (container, output) = context.attempt("create", &bundle, &[])?;
    if output.worked() {
        container.call("start", &[], &[])?.must_fail()?;
    }
    Ok(())
}

fn no_root(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        if let Some(config) = config.as_object_mut() {
            config.remove("root");
        }
    })?;
    Ok(())
}

fn ids(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.write()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let canary = context.state.join("../conformance-outside");
    for id in ["", "..", ".", "../conformance-outside", "a/b", "a\nb"] {
        let output = context
            .call(&["create", "--bundle", &directory, id])
            .run()?;
        if output.worked() {
            context.call(&["delete", "--force", id]).run()?;
            return fail(format_args!("the id {id:?} was taken"));
        }
        check(
            !canary.exists(),
            format_args!("the id {id:?} left the state directory"),
        )?;
    }
    Ok(())
}

fn mount_type(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({ "destination": "/mnt", "type": "conformancefs", "source": "none" }));
    context.must_refuse(&bundle)?;
    Ok(())
}

fn propagation(context: &Context) -> Verdict {
    context.must_refuse_with(|config| config["linux"]["rootfsPropagation"] = json!("sideways"))?;
    Ok(())
}

fn unknown_fields(context: &Context) -> Verdict {
    context.see_with(&[], |config| {
        config["org.example.unknown"] = json!({ "a": [1, 2] });
        config["process"]["unknownField"] = json!(true);
        config["linux"]["resources"]["unknownField"] = json!(7);
    })?;
    Ok(())
}

fn nothing_left_early(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "flavour" }));
    left_after_refusal(context, &bundle)
}

fn nothing_left_late(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({ "destination": "/mnt", "type": "conformancefs", "source": "none" }));
    left_after_refusal(context, &bundle)
}

fn left_after_refusal(context: &Context, bundle: &Bundle) -> Verdict {
    let (mut container, output) = context.attempt("create", bundle, &[])?;
    output.must_fail()?;
    // No delete: create itself has to undo what it did.
    container.gone();
    context.nothing_left(&container.id)
}

fn clear_lines(context: &Context) -> Verdict {
    let changes: [(&str, Value); 4] = [
        ("/root/path", json!("no-such-rootfs")),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_BOGUS", "soft": 1, "hard": 1 }]),
        ),
        ("/linux/namespaces/0/type", json!("flavour")),
        ("/mounts/0/type", json!("conformancefs")),
    ];
    for (pointer, value) in changes {
        let mut bundle = context.bundle()?;
        bundle.config["process"]["rlimits"] = json!([]);
        if let Some(place) = bundle.config.pointer_mut(pointer) {
            *place = value;
        }
        let (_container, output) = context.attempt("create", &bundle, &[])?;
        let text = output.must_fail()?.stderr();
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        check(
            (1..=3).contains(&lines) && !text.contains("goroutine") && !text.contains("panicked"),
            format_args!("{pointer}: {lines} lines: {text}"),
        )?;
    }
    Ok(())
}

fn long_values(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let value = "x".repeat(60 * 1024);
    bundle.config["process"]["env"] = json!([format!("LONG={value}"), "HOME=/"]);
    let mut words = vec!["/probe".to_owned(), "probe".to_owned(), "see".to_owned()];
    words.extend((0..500).map(|number| format!("word-{number}")));
    bundle.config["process"]["args"] = json!(words);
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    let seen = crate::harness::observation(&output.must_work()?)?;
    container.gone();
    check(
        seen.variable("LONG") == [value],
        "LONG did not come through",
    )?;
    check(
        seen.arguments == words,
        "the arguments did not come through",
    )
}

fn many_mounts(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for number in 0..200 {
        bundle.add_mount(json!({
            "destination": format!("/many/{number}"), "type": "tmpfs", "source": "tmpfs",
            "options": ["size=4k"],
        }));
    }
    let seen = context.see(bundle, &[])?;
    let count = seen
        .mounts
        .iter()
        .filter(|mount| mount.point.starts_with("/many/"))
        .count();
    crate::case::equal("mounts", count, 200)
}
