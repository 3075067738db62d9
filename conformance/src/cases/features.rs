//! What `features` prints is true: each element of each list is tried.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::case::{Case, Known, NEW_CRUN, Need, RUNC, Stop, Verdict, check, fail};
use crate::harness::{Context, visits};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "features/versions-accepted",
        "the smallest and the largest version are taken, and in this order",
        "runs a container under each of ociVersionMin and ociVersionMax",
        versions_accepted,
    )
    .clause(
        "features.md",
        "Specification version",
        "The runtime MUST accept this value as the ociVersion property of config.json.",
    )
    .needs(&[Need::Verb("features")]),
    Case::must(
        "features/known-shape",
        "features has the properties that the specification knows, of their types",
        "looks at every property of the top and of linux, and at the annotations",
        known_shape,
    )
    .clause(
        "features.md",
        "Specification version",
        "MUST NOT contain properties that are not defined in this version",
    )
    .needs(&[Need::Verb("features")]),
    Case::must(
        "features/hooks-run",
        "every kind of hook that features lists is run",
        "gives a container one hook of each kind",
        hooks_run,
    )
    .clause(
        "features.md",
        "Hooks",
        "The runtime MUST support the elements in this array as the hooks property",
    )
    .needs(&[Need::Verb("features")]),
    Case::must(
        "features/mount-options-recognized",
        "every mount option that features lists is one",
        "mounts a tmpfs, or binds, with each of them",
        mount_options_recognized,
    )
    .clause(
        "features.md",
        "Mount Options",
        "The runtime MUST recognize the elements in this array as the options of mounts",
    )
    .needs(&[Need::Verb("features")])
    .known(&[
        Known { runtimes: RUNC, why: "hands `defaults` to the file system, which refuses it" },
        Known {
            runtimes: NEW_CRUN,
            why: "hands the flags of mount(2) to mount_setattr(2), which has another number for rdiratime; newer ones translate",
        },
    ]),
    Case::must(
        "features/namespaces-recognized",
        "every namespace that features lists and the kernel has can be asked for",
        "runs a container with each of them",
        namespaces_recognized,
    )
    .clause(
        "features-linux.md",
        "Namespaces",
        "The runtime MUST recognize the elements in this array as the type of",
    )
    .needs(&[Need::Verb("features")]),
    Case::must(
        "features/capabilities-recognized",
        "no capability that features lists is called unknown",
        "asks for all of them in the bounding set, and looks for a complaint about a name",
        capabilities_recognized,
    )
    .clause(
        "features-linux.md",
        "Capabilities",
        "The runtime MUST recognize the elements in this array in process.capabilities",
    )
    .needs(&[Need::Verb("features")]),
    Case::must(
        "features/seccomp-recognized",
        "every action, operator, architecture and supported flag of seccomp can be used",
        "runs a container with a rule, or a filter, of each kind",
        seccomp_recognized,
    )
    .clause(
        "features-linux.md",
        "Seccomp",
        "The runtime MUST recognize the elements in this array",
    )
    .needs(&[Need::Verb("features")])
    .known(&[
        Known { runtimes: RUNC, why: "lists architectures of the other byte order, which libseccomp can't join with ours in a filter" },
    ]),
    Case::must(
        "features/memory-policy-recognized",
        "every mode and flag of memory policies can be asked for",
        "creates containers with each; the kernel may refuse, the runtime must know the word",
        memory_policy_recognized,
    )
    .clause(
        "features-linux.md",
        "Memory Policy",
        "The runtime MUST recognize the elements in this array as the mode",
    )
    .needs(&[Need::Verb("features")]),
];

fn features(context: &Context) -> Result<Value, Stop> {
    let output = context.call(&["features"]).run()?.must_work()?;
    match serde_json::from_str(&output.stdout()) {
        Ok(features @ Value::Object(_)) => Ok(features),
        _ => fail(format_args!(
            "features printed no JSON object: {}",
            output.stdout()
        )),
    }
}

/// The words in a list of features; none if it isn't there.
fn words(features: &Value, pointer: &str) -> Vec<String> {
    let list = features.pointer(pointer).and_then(Value::as_array);
    let words = list.into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn versions_accepted(context: &Context) -> Verdict {
    let features = features(context)?;
    let mut versions = Vec::new();
    for bound in ["ociVersionMin", "ociVersionMax"] {
        let Some(version) = features[bound].as_str() else {
            return fail(format_args!("features has no {bound}"));
        };
        context.see_with(&[], |config| config["ociVersion"] = json!(version))?;
        let numbers = version.split(['-', '+']).next().unwrap_or(version);
        let numbers: Vec<u64> = numbers.split('.').filter_map(|n| n.parse().ok()).collect();
        versions.push(numbers);
    }
    check(
        versions[0] <= versions[1],
        format_args!("{:?} is less than {:?}", versions[1], versions[0]),
    )
}

/// The properties of the features structure, and of its `linux`.
const TOP: &[(&str, Kind)] = &[
    ("ociVersionMin", Kind::Text),
    ("ociVersionMax", Kind::Text),
    ("hooks", Kind::Texts),
    ("mountOptions", Kind::Texts),
    ("annotations", Kind::Map),
    ("potentiallyUnsafeConfigAnnotations", Kind::Texts),
    ("linux", Kind::Map),
];
const LINUX: &[(&str, Kind)] = &[
    ("namespaces", Kind::Texts),
    ("capabilities", Kind::Texts),
    ("cgroup", Kind::Map),
    ("seccomp", Kind::Map),
    ("apparmor", Kind::Map),
    ("selinux", Kind::Map),
    ("intelRdt", Kind::Map),
    ("memoryPolicy", Kind::Map),
    ("mountExtensions", Kind::Map),
    ("netDevices", Kind::Map),
];

fn known_shape(context: &Context) -> Verdict {
    let features = features(context)?;
    let none = Map::new();
    fits("", features.as_object().unwrap_or(&none), TOP)?;
    fits(
        "/linux",
        features["linux"].as_object().unwrap_or(&none),
        LINUX,
    )?;
    for (key, value) in features["annotations"].as_object().unwrap_or(&none) {
        check(
            !key.is_empty() && value.is_string(),
            format_args!("/annotations: {key:?}: {value}"),
        )?;
    }
    Ok(())
}

fn fits(place: &str, properties: &Map<String, Value>, known: &[(&str, Kind)]) -> Verdict {
    for (name, value) in properties {
        let Some((_, kind)) = known.iter().find(|(property, _)| property == name) else {
            return fail(format_args!(
                "{place}/{name} is no property of the specification"
            ));
        };
        check(
            kind.fits(value),
            format_args!("{place}/{name} is no {kind:?}: {value}"),
        )?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Map,
}

impl Kind {
    /// `null` stands for what the runtime says nothing about.
    fn fits(self, value: &Value) -> bool {
        let texts = |values: &Vec<Value>| values.iter().all(Value::is_string);
        match self {
            Kind::Text => value.is_string(),
            Kind::Texts => value.is_null() || value.as_array().is_some_and(texts),
            Kind::Map => value.is_null() || value.is_object(),
        }
    }
}

fn hooks_run(context: &Context) -> Verdict {
    let listed = words(&features(context)?, "/hooks");
    let mut bundle = context.bundle()?;
    let file = context.directory.join("visits");
    for kind in &listed {
        let (program, file) = match kind.as_str() {
            "startContainer" => (PathBuf::from("/probe"), "/tmp/visits".to_owned()),
            _ => (context.probe.clone(), file.to_string_lossy().into_owned()),
        };
        bundle.add_hook(kind, &program, &file, kind, &[]);
    }
    let inside = bundle.rootfs().join("tmp/visits");
    std::fs::write(&inside, "")?;
    context.see(bundle, &[])?;
    let mut ran: Vec<String> = Vec::new();
    for file in [&file, &inside] {
        ran.extend(visits(file)?.into_iter().map(|visit| visit.label));
    }
    for kind in listed {
        check(
            ran.contains(&kind),
            format_args!("{kind} hooks did not run"),
        )?;
    }
    Ok(())
}

fn mount_options_recognized(context: &Context) -> Verdict {
    let source = context.directory.join("source");
    std::fs::create_dir(&source)?;
    for option in words(&features(context)?, "/mountOptions") {
        // A mount can be idmapped only with mappings, and what is remounted must be there.
        if ["idmap", "ridmap", "remount"].contains(&option.as_str()) {
            continue;
        }
        let mount = match option.as_str() {
            "bind" | "rbind" => json!({
                "destination": "/mnt", "source": source, "options": [option],
            }),
            // Options that are the file system's own reach it as they are: one that it doesn't
            // know either would be refused by tmpfs.
            _ => json!({
                "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": [option],
            }),
        };
        let mut bundle = context.bundle()?;
        bundle.add_mount(mount);
        let (mut container, output) = context.attempt("run", &bundle, &[])?;
        if !output.worked() {
            return fail(format_args!("{option}: {}", output.stderr()));
        }
        container.gone();
    }
    Ok(())
}

fn namespaces_recognized(context: &Context) -> Verdict {
    for kind in words(&features(context)?, "/linux/namespaces") {
        let (name, mappings) = match kind.as_str() {
            "network" => ("net", false),
            "mount" => ("mnt", false),
            "user" => ("user", true),
            other => (other, false),
        };
        if !std::path::Path::new("/proc/self/ns").join(name).exists() {
            continue;
        }
        context
            .see_with(&[], |config| {
                if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
                    namespaces.retain(|namespace| namespace["type"] != kind.as_str());
                    namespaces.push(json!({ "type": kind }));
                }
                if mappings {
                    let all = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
                    config["linux"]["uidMappings"] = all.clone();
                    config["linux"]["gidMappings"] = all;
                }
            })
            .map_err(|stop| named(&kind, stop))?;
    }
    Ok(())
}

fn named(what: &str, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(why) => Stop::Failed(format!("{what}: {why}")),
        other => other,
    }
}

fn capabilities_recognized(context: &Context) -> Verdict {
    let listed = words(&features(context)?, "/linux/capabilities");
    let mut bundle = context.bundle()?;
    for set in [
        "bounding",
        "permitted",
        "effective",
        "inheritable",
        "ambient",
    ] {
        bundle.config["process"]["capabilities"][set] = json!([]);
    }
    bundle.config["process"]["capabilities"]["bounding"] = json!(listed);
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    container.gone();
    let said = output.stderr().to_lowercase();
    // What is out of the host's reach may be said; that a name is none may not.
    check(
        !said.contains("unknown") && !said.contains("invalid"),
        format_args!("a capability of the list is called unknown: {said}"),
    )
}

fn seccomp_recognized(context: &Context) -> Verdict {
    let features = features(context)?;
    let base = || json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] });
    let mut filters: Vec<(String, Value)> = Vec::new();
    for action in words(&features, "/linux/seccomp/actions") {
        // An agent is another case's.
        if action == "SCMP_ACT_NOTIFY" {
            continue;
        }
        let mut filter = base();
        filter["syscalls"] = json!([{ "names": ["vhangup"], "action": action }]);
        filters.push((action, filter));
    }
    for operator in words(&features, "/linux/seccomp/operators") {
        let mut filter = base();
        filter["syscalls"] = json!([{
            "names": ["vhangup"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 7, "valueTwo": 7, "op": operator }],
        }]);
        filters.push((operator, filter));
    }
    for architecture in words(&features, "/linux/seccomp/archs") {
        let mut filter = base();
        filter["architectures"] = json!([architecture]);
        filters.push((architecture, filter));
    }
    for flag in words(&features, "/linux/seccomp/supportedFlags") {
        // It is about calls that an agent is asked about.
        if flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
            continue;
        }
        let mut filter = base();
        filter["flags"] = json!([flag]);
        filters.push((flag, filter));
    }
    check(!filters.is_empty(), "features lists nothing of seccomp")?;
    for (word, filter) in filters {
        let (mut container, output) = {
            let mut bundle = context.bundle()?;
            bundle.set_probe(&["see"]);
            bundle.config["linux"]["seccomp"] = filter;
            context.attempt("run", &bundle, &[])?
        };
        container.gone();
        check(
            output.worked(),
            format_args!("{word}: {}", output.stderr().trim()),
        )?;
    }
    Ok(())
}

fn memory_policy_recognized(context: &Context) -> Verdict {
    let features = features(context)?;
    let mut policies: Vec<(String, Value)> = Vec::new();
    for mode in words(&features, "/linux/memoryPolicy/modes") {
        let nodes = match mode.as_str() {
            "MPOL_DEFAULT" | "MPOL_LOCAL" => "",
            _ => "0",
        };
        policies.push((mode.clone(), json!({ "mode": mode, "nodes": nodes })));
    }
    for flag in words(&features, "/linux/memoryPolicy/flags") {
        let policy = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] });
        policies.push((flag, policy));
    }
    if policies.is_empty() {
        return Err(Stop::Skipped(
            "features lists no memory policies".to_owned(),
        ));
    }
    for (word, policy) in policies {
        let mut bundle = context.bundle()?;
        bundle.config["linux"]["memoryPolicy"] = policy;
        let (mut container, output) = context.attempt("run", &bundle, &[])?;
        if output.worked() {
            container.gone();
        }
        let said = output.stderr().to_lowercase();
        // A kernel without NUMA, or an older one, refuses the call.
        check(
            output.worked() || said.contains("mempolicy"),
            format_args!("{word}: {}", said.trim()),
        )?;
    }
    Ok(())
}
