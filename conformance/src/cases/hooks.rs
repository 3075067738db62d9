//! `hooks`: the six kinds, when and where they run, what they are handed, and what a failure does.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, RUNC, Stop, Verdict, check, equal, fail};
use crate::harness::{Bundle, Container, Context, visits as hook_visits, wait_for_text};
use crate::probe::HookVisit;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "hooks/order",
        "hooks run in their order, each kind at its operation",
        "gives each kind but poststart two hooks and looks after create, start and delete at who \
         was there",
        order,
    )
    .clause(
        "config.md",
        "POSIX-platform Hooks",
        "Hooks MUST be called in the listed order",
    ),
    Case::must(
        "hooks/poststart-at-start",
        "poststart hooks run at start, after the program was started",
        "looks after create and after start at who was there",
        poststart,
    )
    .clause(
        "config.md",
        "Poststart",
        "MUST be called after the user-specified process is executed",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "runs them at the end of create",
    }]),
    Case::must(
        "hooks/state-on-stdin",
        "each hook gets the container's state on standard input",
        "reads id, pid, bundle, status and ociVersion in what each kind was handed",
        state_on_stdin,
    )
    .clause(
        "config.md",
        "POSIX-platform Hooks",
        "The state of the container MUST be passed to hooks over stdin",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "startContainer hooks get `/` as the bundle",
    }]),
    Case::must(
        "hooks/annotations-on-stdin",
        "the state that hooks get has the annotations",
        "sets one and reads it in a createRuntime hook",
        annotations,
    )
    .clause(
        "runtime.md",
        "State",
        "annotations (map, OPTIONAL) contains the list of annotations",
    ),
    Case::must(
        "hooks/arguments-and-environment",
        "a hook gets its args and env as given",
        "gives a createRuntime hook an argv[0] of its own and one variable",
        arguments,
    )
    .clause(
        "config.md",
        "POSIX-platform Hooks",
        "with the same semantics as [...] execv's argv",
    ),
    Case::contract(
        "hooks/environment-not-the-containers",
        "a hook outside the container gets nothing of process.env",
        "sets LD_PRELOAD in process.env and looks for it in hooks outside",
        environment,
    )
    .clause(
        "security",
        "CVE-2025-23266",
        "hook inherits image env (LD_PRELOAD) with cwd = rootfs",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "a createContainer hook without env gets the container's: the hole of CVE-2025-23266",
    }]),
    Case::must(
        "hooks/runtime-namespace",
        "prestart, createRuntime, poststart and poststop run in the runtime's namespaces",
        "compares the hooks' namespaces with ours",
        runtime_namespace,
    )
    .clause(
        "config.md",
        "CreateRuntime Hooks",
        "MUST be executed in the runtime namespace",
    ),
    Case::must(
        "hooks/container-namespace",
        "createContainer and startContainer run in the container's namespaces",
        "compares the hooks' namespaces with those of the container's process",
        container_namespace,
    )
    .clause(
        "config.md",
        "CreateContainer Hooks",
        "MUST be executed in the container namespace",
    ),
    Case::must(
        "hooks/start-container-inside",
        "a startContainer hook's path is one of the container",
        "names /probe, which only the container has",
        start_container_inside,
    )
    .clause(
        "config.md",
        "StartContainer Hooks",
        "path MUST resolve in the container namespace",
    ),
    Case::must(
        "hooks/failing-prestart",
        "a prestart hook that fails makes create fail, and the container is gone",
        "lets one exit with 7",
        |context| failing(context, "prestart"),
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any prestart hook fails, the runtime MUST generate an error",
    ),
    Case::must(
        "hooks/failing-create-runtime",
        "a createRuntime hook that fails makes create fail, and the container is gone",
        "lets one exit with 7",
        |context| failing(context, "createRuntime"),
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any createRuntime hook fails, the runtime MUST generate an error",
    ),
    Case::must(
        "hooks/failing-create-container",
        "a createContainer hook that fails makes create fail, and the container is gone",
        "lets one exit with 7",
        |context| failing(context, "createContainer"),
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any createContainer hook fails, the runtime MUST generate an error",
    ),
    Case::must(
        "hooks/failing-start-container",
        "after a startContainer hook that fails the program does not run",
        "lets one exit with 7; start fails, or the container ends without its program",
        failing_start_container,
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any startContainer hook fails, the runtime MUST generate an error",
    ),
    Case::must(
        "hooks/failing-poststart",
        "a poststart hook that fails makes start fail",
        "lets one exit with 7",
        failing_poststart,
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any poststart hook fails, the runtime MUST generate an error",
    )
    .known(&[
        Known {
            runtimes: CRUN,
            why: "only logs it, as the spec said before 1.2",
        },
        Known {
            runtimes: RUNC,
            why: "runs poststart hooks at create, which fails",
        },
    ]),
    Case::must(
        "hooks/failing-poststop",
        "a poststop hook that fails is a warning, and the others run",
        "lets the first of two exit with 7; delete works and the second was there",
        failing_poststop,
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any poststop hook fails, the runtime MUST log a warning",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "warns, and skips the hooks behind it",
    }]),
    Case::must(
        "hooks/timeout",
        "a hook that takes longer than its timeout is ended, and has failed",
        "lets a createRuntime hook with a timeout of 1 s sleep for 20 s",
        timeout,
    )
    .clause(
        "config.md",
        "POSIX-platform Hooks",
        "timeout (int, OPTIONAL) is the number of seconds before aborting",
    ),
    Case::must(
        "hooks/missing-program",
        "a hook whose program is not there has failed",
        "names /no/such/hook for createRuntime",
        missing_program,
    )
    .clause(
        "runtime.md",
        "Lifecycle",
        "If any createRuntime hook fails, the runtime MUST generate an error",
    ),
    Case::contract(
        "hooks/descriptors",
        "a hook outside gets no descriptor beyond its standard streams",
        "lists the descriptors of each hook that runs outside",
        descriptors,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "ls /proc/self/fd == {0,1,2}, also in hooks",
    ),
    Case::contract(
        "hooks/poststop-after-force",
        "poststop hooks run after delete --force of a running container too",
        "forces, and looks for the visit",
        poststop_after_force,
    )
    .clause(
        "config.md",
        "Poststop",
        "MUST be called after the container is deleted but before the delete operation",
    ),
];

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

const OUTSIDE: [&str; 4] = ["prestart", "createRuntime", "poststart", "poststop"];

/// Where the hooks of a bundle write: outside the container, and as seen inside it.
struct Diary {
    outside: PathBuf,
    inside: PathBuf,
}

impl Diary {
    fn of(context: &Context, bundle: &Bundle) -> Diary {
        Diary {
            outside: context.directory.join("visits"),
            inside: bundle.rootfs().join("tmp/visits"),
        }
    }

    /// The visits so far: those of startContainer between the ones before and after it.
    fn visits(&self) -> Result<Vec<HookVisit>, Stop> {
        let mut visits = hook_visits(&self.outside)?;
        let inside = hook_visits(&self.inside)?;
        let late = |visit: &HookVisit| visit.label.starts_with("post");
        let at = visits.iter().position(late).unwrap_or(visits.len());
        visits.splice(at..at, inside);
        Ok(visits)
    }

    fn labels(&self) -> Result<Vec<String>, Stop> {
        Ok(self
            .visits()?
            .into_iter()
            .map(|visit| visit.label)
            .collect())
    }
}

fn add(context: &Context, bundle: &mut Bundle, kind: &str, label: &str, rest: &[&str]) {
    if kind == "startContainer" {
        bundle.add_hook(kind, Path::new("/probe"), "/tmp/visits", label, rest);
    } else {
        let file = context
            .directory
            .join("visits")
            .to_string_lossy()
            .into_owned();
        bundle.add_hook(kind, &context.probe.clone(), &file, label, rest);
    }
}

/// Lives a whole life with one hook of each kind, and returns what they saw, with the process id
/// of the container.
fn whole_life(context: &Context) -> Result<(Vec<HookVisit>, Value), Stop> {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.config["process"]["env"] = json!(["PATH=/", "LD_PRELOAD=/evil.so"]);
    for kind in KINDS {
        add(context, &mut bundle, kind, kind, &[]);
    }
    let diary = Diary::of(context, &bundle);
    let mut container = context.create(&bundle)?;
    container.start()?;
    let state = container.state()?;
    container.stop()?;
    container.delete(&[])?;
    Ok((diary.visits()?, state))
}

fn visit<'a>(visits: &'a [HookVisit], kind: &str) -> Result<&'a HookVisit, Stop> {
    match visits.iter().find(|visit| visit.label == kind) {
        Some(visit) => Ok(visit),
        None => fail(format_args!("the {kind} hook did not run")),
    }
}

fn order(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let mut wanted = Vec::new();
    for kind in KINDS.into_iter().filter(|&kind| kind != "poststart") {
        for number in [1, 2] {
            let label = format!("{kind}-{number}");
            add(context, &mut bundle, kind, &label, &[]);
            wanted.push(label);
        }
    }
    let diary = Diary::of(context, &bundle);
    let mut container = context.create(&bundle)?;
    equal("after create", diary.labels()?, wanted[..6].to_vec())?;
    let file = &diary.inside;
    container.start()?;
    // start may return before the last hook inside the container does.
    wait_for_text(file, |text| text.lines().count() == 2)?;
    equal("after start", diary.labels()?, wanted[..8].to_vec())?;
    container.stop()?;
    equal("after the end", diary.labels()?, wanted[..8].to_vec())?;
    container.delete(&[])?;
    equal("after delete", diary.labels()?, wanted)
}

fn poststart(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, "poststart", "it", &[]);
    let diary = Diary::of(context, &bundle);
    let container = context.create(&bundle)?;
    equal("after create", diary.labels()?, vec![])?;
    container.start()?;
    equal("after start", diary.labels()?, vec!["it".to_owned()])
}

fn state_on_stdin(context: &Context) -> Verdict {
    let (visits, state) = whole_life(context)?;
    for kind in KINDS {
        let input = &visit(&visits, kind)?.input;
        let Ok(given) = serde_json::from_str::<Value>(input) else {
            return fail(format_args!("{kind} got no JSON: {input}"));
        };
        check(
            given["ociVersion"].is_string(),
            format_args!("{kind} got no ociVersion: {given}"),
        )?;
        for field in ["id", "bundle"] {
            equal(&format!("{field} for {kind}"), &given[field], &state[field])?;
        }
        check(
            given["status"].is_string(),
            format_args!("{kind} got no status: {given}"),
        )?;
        if ["prestart", "createRuntime", "poststart"].contains(&kind) {
            equal(&format!("pid for {kind}"), &given["pid"], &state["pid"])?;
        }
        if kind == "poststop" {
            equal(
                "status for poststop",
                given["status"].as_str(),
                Some("stopped"),
            )?;
        }
    }
    Ok(())
}

fn annotations(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["annotations"] = json!({ "org.example.key": "a value" });
    add(context, &mut bundle, "createRuntime", "createRuntime", &[]);
    let diary = Diary::of(context, &bundle);
    context.see(bundle, &[])?;
    let visits = diary.visits()?;
    let given: Value = serde_json::from_str(&visit(&visits, "createRuntime")?.input)?;
    equal(
        "annotation",
        given["annotations"]["org.example.key"].as_str(),
        Some("a value"),
    )
}

fn arguments(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    add(context, &mut bundle, "createRuntime", "it", &[]);
    bundle.config["hooks"]["createRuntime"][0]["env"] = json!(["ONLY=this one"]);
    let diary = Diary::of(context, &bundle);
    context.see(bundle, &[])?;
    let visits = diary.visits()?;
    let seen = &visit(&visits, "it")?.seen;
    equal(
        "argv[0]",
        seen.arguments.first().map(String::as_str),
        Some("probe-hook"),
    )?;
    equal(
        "environment",
        seen.environment.clone(),
        vec!["ONLY=this one".to_owned()],
    )
}

fn environment(context: &Context) -> Verdict {
    let (visits, _) = whole_life(context)?;
    for kind in OUTSIDE.into_iter().chain(["createContainer"]) {
        let preload = visit(&visits, kind)?.seen.variable("LD_PRELOAD").join(" ");
        check(
            preload.is_empty(),
            format_args!("{kind} got LD_PRELOAD={preload}"),
        )?;
    }
    Ok(())
}

fn runtime_namespace(context: &Context) -> Verdict {
    let (visits, _) = whole_life(context)?;
    for kind in OUTSIDE {
        let seen = &visit(&visits, kind)?.seen;
        for name in ["pid", "net", "ipc", "uts", "mnt"] {
            let ours = std::fs::read_link(format!("/proc/self/ns/{name}"))?;
            equal(
                &format!("{name} namespace of {kind}"),
                seen.namespaces.get(name).map(String::as_str),
                ours.to_str(),
            )?;
        }
    }
    Ok(())
}

fn container_namespace(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for kind in ["createContainer", "startContainer"] {
        add(context, &mut bundle, kind, kind, &[]);
    }
    let diary = Diary::of(context, &bundle);
    let program = context.see(bundle, &[])?;
    let visits = diary.visits()?;
    for kind in ["createContainer", "startContainer"] {
        let seen = &visit(&visits, kind)?.seen;
        for name in ["net", "ipc", "uts", "mnt"] {
            // Before pivot_root /proc is the host's, so a link may be unreadable.
            let Some(link) = seen.namespaces.get(name) else {
                continue;
            };
            equal(
                &format!("{name} namespace of {kind}"),
                Some(link),
                program.namespaces.get(name),
            )?;
        }
    }
    Ok(())
}

fn start_container_inside(context: &Context) -> Verdict {
    let (visits, _) = whole_life(context)?;
    let seen = &visit(&visits, "startContainer")?.seen;
    let root = seen.mount("/proc").map(|mount| mount.kind.clone());
    equal("/proc as the hook sees it", root.as_deref(), Some("proc"))?;
    equal("hostname", seen.hostname.as_str(), "conformance")
}

fn failing(context: &Context, kind: &str) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, kind, "first", &["7"]);
    add(context, &mut bundle, kind, "second", &[]);
    let diary = Diary::of(context, &bundle);
    context.must_refuse(&bundle)?;
    equal("hooks that ran", diary.labels()?, vec!["first".to_owned()])
}

fn failing_start_container(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see-into", "/tmp/ran"]);
    add(context, &mut bundle, "startContainer", "it", &["7"]);
    let ran = bundle.rootfs().join("tmp/ran");
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    let output = container.call("start", &[], &[])?;
    let status = container.wait(pid)?;
    check(!ran.exists(), "the program ran")?;
    check(
        !output.worked() || status != Some(0),
        "start exited with 0, and so did the container",
    )
}

fn failing_poststart(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, "poststart", "it", &["7"]);
    let container: Container<'_> = context.create(&bundle)?;
    container.call("start", &[], &[])?.must_fail()?;
    Ok(())
}

fn failing_poststop(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, "poststop", "first", &["7"]);
    add(context, &mut bundle, "poststop", "second", &[]);
    let diary = Diary::of(context, &bundle);
    let mut container = context.create(&bundle)?;
    container.start()?;
    container.stop()?;
    container.delete(&[])?;
    equal(
        "hooks",
        diary.labels()?,
        vec!["first".to_owned(), "second".to_owned()],
    )?;
    container.call("state", &[], &[])?.must_fail()?;
    Ok(())
}

fn timeout(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, "createRuntime", "slow", &["0", "20"]);
    bundle.config["hooks"]["createRuntime"][0]["timeout"] = json!(1);
    let began = Instant::now();
    context.must_refuse(&bundle)?;
    let seconds = began.elapsed().as_secs_f32();
    check(
        seconds < 10.0,
        format_args!("create took {seconds:.1} s, for a timeout of 1 s"),
    )
}

fn missing_program(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.config["hooks"]["createRuntime"] = json!([{ "path": "/no/such/hook" }]);
    context.must_refuse(&bundle)?;
    Ok(())
}

fn descriptors(context: &Context) -> Verdict {
    let (visits, _) = whole_life(context)?;
    for kind in OUTSIDE {
        let seen = &visit(&visits, kind)?.seen.descriptors;
        let numbers: Vec<i32> = seen.keys().copied().collect();
        check(numbers == [0, 1, 2], format_args!("{kind} has {seen:?}"))?;
    }
    Ok(())
}

fn poststop_after_force(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    add(context, &mut bundle, "poststop", "it", &[]);
    let diary = Diary::of(context, &bundle);
    let mut container = context.create(&bundle)?;
    container.start()?;
    container.delete(&["--force"])?;
    equal("hooks", diary.labels()?, vec!["it".to_owned()])
}
