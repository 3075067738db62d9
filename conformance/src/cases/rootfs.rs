//! `root`, masked and read-only paths, and what is left of the host's tree: nothing.

use std::fs;

use serde_json::json;

use crate::case::{Case, Verdict, check, equal};
use crate::harness::Context;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "rootfs/is-the-root",
        "/ is the directory that root.path names",
        "compares the names in / with those of the bundle's rootfs",
        is_the_root,
    )
    .clause(
        "config.md",
        "Root",
        "path (string, REQUIRED) Specifies the path to the root filesystem",
    ),
    Case::must(
        "rootfs/absolute-path",
        "root.path may be absolute",
        "gives the rootfs by its absolute path",
        absolute_path,
    )
    .clause(
        "config.md",
        "Root",
        "path is either an absolute path or a relative path to the bundle",
    ),
    Case::must(
        "rootfs/missing",
        "a root.path that is not there is an error",
        "names a directory that does not exist",
        missing,
    )
    .clause(
        "config.md",
        "Root",
        "A directory MUST exist at the path declared by the field",
    ),
    Case::must(
        "rootfs/writable",
        "without root.readonly the root can be written to",
        "creates a file in / and finds it in the bundle's rootfs",
        writable,
    )
    .clause(
        "config.md",
        "Root",
        "readonly (bool, OPTIONAL) [...] defaults to false",
    ),
    Case::must(
        "rootfs/read-only",
        "with root.readonly the root can't be written to, other mounts can",
        "creates files in /, /etc and /dev/shm",
        read_only,
    )
    .clause(
        "config.md",
        "Root",
        "If true then the root filesystem MUST be read-only inside the container",
    ),
    Case::contract(
        "rootfs/old-root-unreachable",
        "no mount of the host is left in the container's table",
        "checks that each line of mountinfo is below the container's own mounts",
        old_root,
    )
    .clause(
        "pivot_root(2)",
        "DESCRIPTION",
        "the old root is moved and unmounted",
    ),
    Case::contract(
        "rootfs/no-way-out",
        "`..` at the root and /proc/1/root stay inside",
        "looks for the host's files by both ways",
        no_way_out,
    )
    .clause(
        "security",
        "rootfs",
        "the container's root is the end of every path",
    ),
    Case::must(
        "rootfs/masked-files",
        "a masked file reads as empty and can't be written to",
        "masks a file of the image and /proc/kcore",
        masked_file,
    )
    .clause(
        "config-linux.md",
        "Masked Paths",
        "will mask over the provided paths inside the container",
    ),
    Case::must(
        "rootfs/masked-directories",
        "a masked directory is empty and read-only",
        "masks a directory of the image with a file in it, and /sys/firmware",
        masked_directory,
    )
    .clause(
        "config-linux.md",
        "Masked Paths",
        "so that they cannot be read",
    ),
    Case::contract(
        "rootfs/masked-missing",
        "a masked or read-only path that is not there is no error",
        "masks /proc/latency_stats, which not every kernel has, and /no/such/path",
        masked_missing,
    )
    .clause(
        "runc",
        "maskedPaths",
        "Docker's list names files that not every kernel has",
    ),
    Case::must(
        "rootfs/read-only-paths",
        "a read-only path can be read and not written to",
        "sets /etc and /proc/sys read-only, writes to both and to /var",
        read_only_paths,
    )
    .clause(
        "config-linux.md",
        "Readonly Paths",
        "will set the provided paths as readonly inside the container",
    ),
    Case::contract(
        "rootfs/dockers-masks",
        "Docker's masked and read-only paths hold together",
        "uses both of Docker's lists and goes through each path",
        docker,
    )
    .clause(
        "Docker",
        "default masked and read-only paths",
        "oci/defaults.go",
    ),
    Case::must(
        "rootfs/propagation-private",
        "rootfsPropagation private keeps the host's later mounts out",
        "asks for private and reads the root's optional fields",
        propagation_private,
    )
    .clause(
        "config-linux.md",
        "Rootfs Mount Propagation",
        "doesn't receive mount propagation events from",
    ),
    Case::must(
        "rootfs/propagation-slave",
        "rootfsPropagation slave makes the root no peer of the host's",
        "asks for slave and looks for `shared` in the root's optional fields",
        propagation_slave,
    )
    .clause(
        "config-linux.md",
        "Rootfs Mount Propagation",
        "receives propagation events from the host",
    ),
];

/// The paths that Docker masks.
pub const DOCKER_MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// The paths that Docker makes read-only.
pub const DOCKER_READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn is_the_root(context: &Context) -> Verdict {
    let seen = context.see_with(&["list:/", "read:/etc/motd"], |_| {})?;
    equal(
        "names in /",
        seen.answer("list:/").text.as_str(),
        "dev etc linked-probe mnt probe proc root sys tmp var",
    )?;
    equal(
        "/etc/motd",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )
}

fn absolute_path(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["root"]["path"] = json!(bundle.rootfs());
    let seen = context.see(bundle, &["read:/etc/motd"])?;
    equal(
        "/etc/motd",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )
}

fn missing(context: &Context) -> Verdict {
    context.must_refuse_with(|config| config["root"]["path"] = json!("no-such-rootfs"))?;
    Ok(())
}

fn writable(context: &Context) -> Verdict {
    let bundle = context.bundle()?;
    let rootfs = bundle.rootfs();
    let seen = context.see(bundle, &["create:/new"])?;
    check(
        seen.answer("create:/new").worked(),
        "a file could not be made in /",
    )?;
    check(
        rootfs.join("new").exists(),
        "the file is not in the bundle's rootfs",
    )
}

fn read_only(context: &Context) -> Verdict {
    let (root, inner, shm) = ("create:/new", "create:/etc/new", "create:/dev/shm/new");
    let seen = context.see_with(&[root, inner, shm, "openw:/dev/null"], |config| {
        config["root"]["readonly"] = json!(true);
    })?;
    equal("errno in /", seen.answer(root).errno, Some(libc::EROFS))?;
    equal("errno in /etc", seen.answer(inner).errno, Some(libc::EROFS))?;
    check(seen.answer(shm).worked(), "/dev/shm can't be written to")?;
    check(
        seen.answer("openw:/dev/null").worked(),
        "/dev/null can't be written to",
    )
}

fn old_root(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |_| {})?;
    let allowed = |point: &str| {
        point == "/"
            || ["/proc", "/dev", "/sys"].iter().any(|place| {
                point
                    .strip_prefix(place)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    let foreign: Vec<&str> = seen
        .mounts
        .iter()
        .map(|mount| mount.point.as_str())
        .filter(|point| !allowed(point))
        .collect();
    equal("foreign mounts", foreign, vec![])
}

fn no_way_out(context: &Context) -> Verdict {
    let secret = context.directory.to_string_lossy().into_owned();
    let (dots, process) = (
        format!("stat:/../../../../../..{secret}/ids"),
        format!("stat:/proc/1/root{secret}/ids"),
    );
    let seen = context.see_with(&[&dots, &process], |_| {})?;
    for question in [&dots, &process] {
        check(
            !seen.answer(question).worked(),
            format_args!("{question} reaches the host"),
        )?;
    }
    Ok(())
}

fn masked_file(context: &Context) -> Verdict {
    let questions = ["read:/etc/motd", "write:/etc/motd=x", "read:/proc/kcore"];
    let bundle = {
        let mut bundle = context.bundle()?;
        bundle.config["linux"]["maskedPaths"] = json!(["/etc/motd", "/proc/kcore"]);
        bundle
    };
    let rootfs = bundle.rootfs();
    let seen = context.see(bundle, &questions)?;
    let motd = seen.answer("read:/etc/motd");
    check(
        !motd.worked() || motd.text.is_empty(),
        "/etc/motd can be read",
    )?;
    let kcore = seen.answer("read:/proc/kcore");
    // Not every kernel has it.
    check(
        !kcore.worked() || kcore.text.is_empty(),
        "/proc/kcore can be read",
    )?;
    let image = fs::read_to_string(rootfs.join("etc/motd"))?;
    equal("the image's file", image.as_str(), "conformance\n")
}

fn masked_directory(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    fs::write(bundle.rootfs().join("var/secret"), "secret")?;
    bundle.config["linux"]["maskedPaths"] = json!(["/var", "/sys/firmware"]);
    let seen = context.see(
        bundle,
        &[
            "list:/var",
            "create:/var/new",
            "stat:/var/secret",
            "list:/sys/firmware",
        ],
    )?;
    equal("names in /var", seen.answer("list:/var").text.as_str(), "")?;
    equal(
        "/var/secret",
        seen.answer("stat:/var/secret").errno,
        Some(libc::ENOENT),
    )?;
    equal(
        "creating a file",
        seen.answer("create:/var/new").errno,
        Some(libc::EROFS),
    )?;
    equal(
        "names in /sys/firmware",
        seen.answer("list:/sys/firmware").text.len() > 20,
        false,
    )
}

fn masked_missing(context: &Context) -> Verdict {
    context.see_with(&[], |config| {
        config["linux"]["maskedPaths"] = json!(["/proc/latency_stats", "/no/such/path"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/scsi", "/no/such/path"]);
    })?;
    Ok(())
}

fn read_only_paths(context: &Context) -> Verdict {
    let (etc, var, sys) = (
        "write:/etc/motd=x",
        "create:/var/new",
        "write:/proc/sys/kernel/msgmax=8192",
    );
    let seen = context.see_with(&[etc, var, sys, "read:/etc/motd"], |config| {
        config["linux"]["readonlyPaths"] = json!(["/etc", "/proc/sys"]);
    })?;
    equal(
        "/etc/motd",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )?;
    equal("writing to /etc", seen.answer(etc).errno, Some(libc::EROFS))?;
    equal(
        "writing to /proc/sys",
        seen.answer(sys).errno,
        Some(libc::EROFS),
    )?;
    check(seen.answer(var).worked(), "/var became read-only too")
}

fn docker(context: &Context) -> Verdict {
    let reads: Vec<String> = DOCKER_MASKED
        .iter()
        .flat_map(|path| [format!("read:{path}"), format!("list:{path}")])
        .collect();
    let writes: Vec<String> = DOCKER_READ_ONLY
        .iter()
        .map(|path| format!("create:{path}/new"))
        .collect();
    let trigger = "openw:/proc/sysrq-trigger";
    let mut questions: Vec<&str> = reads.iter().chain(&writes).map(String::as_str).collect();
    questions.push(trigger);
    let seen = context.see_with(&questions, |config| {
        config["linux"]["maskedPaths"] = json!(DOCKER_MASKED);
        config["linux"]["readonlyPaths"] = json!(DOCKER_READ_ONLY);
    })?;
    for question in &reads {
        let text = seen.answer(question).text;
        let open = seen.answer(question).worked() && !text.is_empty();
        check(!open, format_args!("{question} shows {} bytes", text.len()))?;
    }
    for question in &writes {
        check(
            !seen.answer(question).worked(),
            format_args!("{question} worked"),
        )?;
    }
    let errno = seen.answer(trigger).errno;
    check(
        errno == Some(libc::EROFS) || errno == Some(libc::ENOENT),
        format_args!("opening sysrq-trigger for writing: errno {errno:?}"),
    )
}

fn propagation_private(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["linux"]["rootfsPropagation"] = json!("private");
    })?;
    let fields = seen.mount("/").map(|mount| mount.propagation.clone());
    equal("optional fields of /", fields, Some(vec![]))
}

fn propagation_slave(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["linux"]["rootfsPropagation"] = json!("slave");
    })?;
    let fields = seen
        .mount("/")
        .map(|mount| mount.propagation.join(" "))
        .unwrap_or_default();
    check(
        !fields.contains("shared:"),
        format_args!("the root's fields are {fields:?}"),
    )
}
