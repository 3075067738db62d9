//! Much of everything: what works with a little has to work with a lot, or fail and leave nothing.

use serde_json::json;

use crate::case::{Case, Known, RUNC, Stop, Verdict, check, equal, fail};
use crate::harness::{Bundle, Context};

const CLAUSE: (&str, &str, &str) = (
    "config.md",
    "Valid values",
    "MUST generate an error when invalid or unsupported values",
);

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "limits/environment",
        "a thousand variables of 400 bytes, and one of 100,000, reach the program",
        "counts what the program has",
        environment,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "limits/arguments",
        "5,000 arguments reach the program, in their order",
        "reads /proc/self/cmdline",
        arguments,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "limits/too-long-environment",
        "a variable that the kernel takes from nobody is an error that names the call",
        "gives it 200,000 bytes, where execve(2) takes 131,072",
        too_long_environment,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "limits/mounts",
        "200 mounts are there, and nothing of them is left",
        "mounts 200 tmpfs and looks for the last",
        mounts,
    )
    .clause("config.md", "Mounts", "The runtime MUST mount entries in the listed order.")
    .patience(2),
    Case::contract(
        "limits/masks",
        "200 masked and 200 read-only paths are so",
        "tries the last of each",
        masks,
    )
    .clause("config-linux.md", "Masked Paths", "will mask over the provided paths")
    .patience(2),
    Case::contract(
        "limits/long-paths",
        "a bundle in a directory whose name has 1,500 bytes, and a working directory of 2,000, work",
        "runs the probe there",
        long_paths,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "limits/little-memory",
        "a container of 8 MiB runs",
        "runs the probe, which needs one",
        little_memory,
    )
    .clause("config-linux.md", "Memory", "limit (int64, OPTIONAL) - sets limit of memory usage"),
    Case::contract(
        "limits/too-little-memory",
        "a container that its memory limit lets nothing run in is an error, and leaves nothing",
        "gives it 4 KiB",
        too_little_memory,
    )
    .clause("runtime.md", "Errors", "the state of the environment MUST remain unchanged")
    .known(&[Known {
        runtimes: RUNC,
        why: "its own init, which needs some megabytes, is killed in the container's cgroup",
    }]),
    Case::contract(
        "limits/containers",
        "many containers live at a time, are listed, and go",
        "creates and starts 12 (with --big 1,000), lists them, and deletes them",
        containers,
    )
    .clause("runtime.md", "Scope of a Container", "MUST be unique across all containers on this host")
    .patience(4),
];

fn environment(context: &Context) -> Verdict {
    let text = "x".repeat(400);
    let mut variables: Vec<String> = (0..1_000)
        .map(|number| format!("CONFORMANCE_{number}={text}"))
        .collect();
    variables.push(format!("CONFORMANCE_LONG={}", "y".repeat(100_000)));
    let seen = context.see_with(&[], |config| {
        config["process"]["env"] = json!(variables);
    })?;
    let there = variables
        .iter()
        .filter(|variable| seen.environment.contains(variable))
        .count();
    equal("variables", there, variables.len())
}

fn arguments(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let words: Vec<String> = (0..5_000).map(|number| format!("read:/{number}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bundle.set_probe(&[]);
    let seen = context.see(bundle, &words)?;
    equal("words", seen.arguments.len(), 5_000 + 3)?;
    equal(
        "the last word",
        seen.arguments.last().map(String::as_str),
        Some("read:/4999"),
    )
}

fn too_long_environment(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let long = "y".repeat(200_000);
    bundle.config["process"]["env"] = json!([format!("CONFORMANCE_LONG={long}")]);
    let (container, output) = context.attempt("run", &bundle, &[])?;
    let output = output.must_fail()?;
    check(
        output.stderr().to_lowercase().contains("too long"),
        format_args!("the message doesn't say why: {}", output.description()),
    )?;
    container.call("delete", &["--force"], &[])?;
    context.nothing_left(&container.id)
}

fn mounts(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for number in 0..200 {
        bundle.add_mount(json!({
            "destination": format!("/mnt/{number}"), "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "size=4k"],
        }));
    }
    let seen = context.see(bundle, &[])?;
    let there = seen
        .mounts
        .iter()
        .filter(|mount| mount.point.starts_with("/mnt/"))
        .count();
    equal("mounts", there, 200)
}

fn masks(context: &Context) -> Verdict {
    let mut bundle: Bundle = context.bundle()?;
    let mut paths = [Vec::new(), Vec::new()];
    for (list, word) in paths.iter_mut().zip(["masked", "read-only"]) {
        for number in 0..200 {
            let name = format!("mnt/{word}-{number}");
            std::fs::write(bundle.rootfs().join(&name), "text")?;
            list.push(format!("/{name}"));
        }
    }
    bundle.config["linux"]["maskedPaths"] = json!(paths[0]);
    bundle.config["linux"]["readonlyPaths"] = json!(paths[1]);
    let (read, write) = ("read:/mnt/masked-199", "write:/mnt/read-only-199=x");
    let seen = context.see(bundle, &[read, write])?;
    equal("what is masked", seen.answer(read).text, String::new())?;
    check(
        !seen.answer(write).worked(),
        "what is read-only is writable",
    )
}

fn long_paths(context: &Context) -> Verdict {
    let name = "d".repeat(200);
    let mut directory = context.directory.clone();
    while directory.as_os_str().len() < 1_500 {
        directory = directory.join(&name);
    }
    std::fs::create_dir_all(&directory)?;
    let cgroup = format!("/{}/long", context.word);
    let mut bundle = Bundle::new(directory.join("bundle"), &context.probe, &cgroup)?;
    let mut inside = String::from("/tmp");
    while inside.len() < 2_000 {
        inside = format!("{inside}/{name}");
    }
    // The path on the host would be longer than PATH_MAX at 4,096, were it any longer.
    std::fs::create_dir_all(bundle.rootfs().join(inside.trim_start_matches('/')))?;
    bundle.config["process"]["cwd"] = json!(inside);
    let seen = context.see(bundle, &[])?;
    equal("working directory", seen.directory, Some(inside))
}

fn little_memory(context: &Context) -> Verdict {
    context.see_with(&[], |config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 8 << 20 });
    })?;
    Ok(())
}

fn too_little_memory(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["linux"]["resources"]["memory"] = json!({ "limit": 4096 });
    let (container, output) = context.attempt("run", &bundle, &[])?;
    let output = output.must_fail()?;
    // Killed in its program it says nothing; killed before, the runtime has to.
    check(
        output.status == 137 || !output.stderr().trim().is_empty(),
        format_args!("no message on standard error: {}", output.description()),
    )?;
    container.call("delete", &["--force"], &[])?;
    context.nothing_left(&container.id)
}

fn containers(context: &Context) -> Verdict {
    let number = if context.big { 1_000 } else { 12 };
    let mut all = Vec::new();
    for _ in 0..number {
        let mut bundle = context.bundle()?;
        bundle.set_probe(&["wait"]);
        let container = context.create(&bundle)?;
        container.start()?;
        all.push(container);
    }
    let list = context.call(&["list", "--quiet"]).run()?.must_work()?;
    let list = list.stdout();
    let listed = list
        .split_whitespace()
        .filter(|word| all.iter().any(|container| container.id == *word))
        .count();
    equal("containers that are listed", listed, number)?;
    for container in &mut all {
        if container.status()? != "running" {
            return fail(format_args!("{} does not run", container.id));
        }
        container.delete(&["--force"])?;
    }
    for container in &all {
        context.nothing_left(&container.id)?;
    }
    Ok::<(), Stop>(())
}
