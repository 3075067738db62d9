//! Rules between the values of `linux.resources`, and controllers that few hosts use: block I/O, huge
//! pages, network priorities, RDMA.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};
use serde_json::{Value, json};

use super::namespaces::with_user_namespace;
use crate::case::{CRUN, Case, Known, Need, RUNC, Stop, Verdict, check, equal, fail};
use crate::harness::{Context, cgroup};
use crate::sys;

const FILE: &str = "config-linux.md";
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "cgroups/check-before-update-v1",
        "with checkBeforeUpdate, a memory limit below the usage is refused, and the old one stays",
        "updates a running container to a limit of 4 KiB",
        |context| check_before_update(context, "memory"),
    )
    .clause(FILE, "Memory", "MUST reject the new limit")
    .needs(&[Need::CgroupV1("memory")]),
    Case::must(
        "cgroups/check-before-update-v2",
        "with checkBeforeUpdate, a memory limit below the usage is refused, and the old one stays",
        "updates a running container to a limit of 4 KiB",
        |context| check_before_update(context, ""),
    )
    .clause(FILE, "Memory", "MUST reject the new limit")
    .needs(&[Need::CgroupV2("memory")])
    .known(&[
        Known { runtimes: RUNC, why: "update doesn't know checkBeforeUpdate on cgroup v2" },
        Known { runtimes: CRUN, why: "came with a later crun; the limit is set" },
    ]),
    Case::must(
        "cgroups/burst-v1",
        "a burst up to the quota is set, one beyond it is refused",
        "reads cpu.cfs_burst_us",
        |context| burst(context, "cpu", "cpu.cfs_burst_us"),
    )
    .clause(FILE, "CPU", "quota: it MUST be no smaller than `burst`")
    .needs(&[Need::CgroupV1("cpu")])
    .known(NO_BURST),
    Case::must(
        "cgroups/burst-v2",
        "a burst up to the quota is set, one beyond it is refused",
        "reads cpu.max.burst",
        |context| burst(context, "", "cpu.max.burst"),
    )
    .clause(FILE, "CPU", "quota: it MUST be no smaller than `burst`")
    .needs(&[Need::CgroupV2("cpu")])
    .known(NO_BURST),
    Case::must(
        "cgroups/block-io-rates-v1",
        "rates of a block device are set, and an entry without its device or its rate is refused",
        "reads blkio.throttle.* of a block device of the host",
        |context| rates(context, "blkio"),
    )
    .clause(FILE, "Block IO", "`rate` (uint64, REQUIRED) - bandwidth rate limit in bytes per second")
    .needs(&[Need::CgroupV1("blkio")])
    .known(NO_REQUIRED_NUMBERS),
    Case::must(
        "cgroups/block-io-rates-v2",
        "rates of a block device are set, and an entry without its device or its rate is refused",
        "reads io.max of a block device of the host",
        |context| rates(context, ""),
    )
    .clause(FILE, "Block IO", "`rate` (uint64, REQUIRED) - bandwidth rate limit in bytes per second")
    .needs(&[Need::CgroupV2("io")])
    .known(NO_REQUIRED_NUMBERS),
    Case::must(
        "cgroups/block-io-weight-device",
        "a weight for a device has a device and a weight",
        "leaves each out",
        weight_device,
    )
    .clause(FILE, "Block IO", "You MUST specify at least one of `weight` or `leafWeight`")
    .known(NO_REQUIRED_NUMBERS),
    Case::must(
        "cgroups/huge-pages",
        "a limit of huge pages is set, and an entry without size or limit is refused",
        "reads hugetlb.SIZE.limit_in_bytes, or hugetlb.SIZE.max on cgroup v2",
        huge_pages,
    )
    .clause(FILE, "Huge page limits", "`pageSize` (string, REQUIRED) - hugepage size")
    .known(NO_REQUIRED_NUMBERS),
    Case::must(
        "cgroups/network-priorities",
        "a priority of a device is set, and an entry without name or priority is refused",
        "reads net_prio.ifpriomap",
        network_priorities,
    )
    .clause(FILE, "Network", "`name` (string, REQUIRED), `priority` (uint32, REQUIRED)")
    .needs(&[Need::CgroupV1("net_prio")])
    .known(NO_REQUIRED_NUMBERS),
    Case::must(
        "cgroups/rdma-of-nothing",
        "an RDMA limit that limits nothing is refused",
        "gives a device neither hcaHandles nor hcaObjects",
        rdma_of_nothing,
    )
    .clause(FILE, "RDMA", "You MUST specify at least one of the `hcaHandles` or `hcaObjects`")
    .known(&[Known { runtimes: CRUN, why: "ignores the entry" }]),
    Case::must(
        "cgroups/path-out-of-the-hierarchy",
        "a cgroupsPath that leads up is refused, or taken as one that doesn't lead out",
        "tries ../../ of it, absolute and relative",
        path_out,
    )
    .clause(FILE, "Cgroups Path", "MAY consider certain `cgroupsPath` values to be invalid"),
    Case::must(
        "cgroups/ownership",
        "a cgroup that a user namespace may write is its root's, as far as the kernel lists its files",
        "mounts cgroup2 for writing in a user and a cgroup namespace",
        |context| ownership(context, true),
    )
    .clause(FILE, "Cgroup ownership", "Runtimes MUST NOT fail in this scenario")
    .needs(&[Need::CgroupV2("pids"), Need::Namespace("cgroup")]),
    Case::must(
        "cgroups/ownership-without-the-kernels-list",
        "without the kernel's list it is the three files that the specification names",
        "hides /sys/kernel/cgroup/delegate",
        |context| ownership(context, false),
    )
    .clause(FILE, "Cgroup ownership", "MUST fall back to using the following list of files")
    .needs(&[Need::CgroupV2("pids"), Need::Namespace("cgroup")]),
];

const NO_BURST: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.2; ignored before",
    },
    Known {
        runtimes: CRUN,
        why: "takes a burst beyond the quota, or ignores it",
    },
];

const NO_REQUIRED_NUMBERS: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "a number that is missing is 0",
    },
    Known {
        runtimes: CRUN,
        why: "a number that is missing is 0",
    },
];

fn check_before_update(context: &Context, controller: &str) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
    let container = context.started(bundle)?;
    let pid = container.pid()?;
    let file = if controller.is_empty() {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    };
    let update = context.directory.join("update.json");
    let resources = json!({ "memory": { "limit": 4096, "checkBeforeUpdate": true } });
    fs::write(&update, resources.to_string())?;
    let update = update.to_string_lossy();
    container
        .call("update", &["--resources", &update], &[])?
        .must_fail()?;
    equal(
        file,
        cgroup::value(pid, controller, file)?,
        (64_u64 << 20).to_string(),
    )?;
    equal("status", container.status()?, "running".to_owned())
}

fn burst(context: &Context, controller: &str, file: &str) -> Verdict {
    let with = |burst: u32| json!({ "quota": 20_000, "period": 50_000, "burst": burst });
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.config["linux"]["resources"]["cpu"] = with(10_000);
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    let path = cgroup::directory(pid, controller)?.join(file);
    if !path.exists() {
        return Err(Stop::Skipped(format!("needs a kernel with {file}")));
    }
    equal(
        file,
        cgroup::value(pid, controller, file)?,
        "10000".to_owned(),
    )?;
    context.must_refuse_with(|config| {
        config["linux"]["resources"]["cpu"] = with(30_000);
    })?;
    Ok(())
}

/// A block device of the host, as `MAJOR:MINOR`.
fn block_device() -> Result<(u64, u64), Stop> {
    let none = || Stop::Skipped("needs a block device".to_owned());
    let entry = fs::read_dir("/sys/block")
        .ok()
        .and_then(|mut entries| entries.next())
        .ok_or_else(none)??;
    let text = fs::read_to_string(entry.path().join("dev"))?;
    let (major, minor) = text.trim().split_once(':').ok_or_else(none)?;
    Ok((major.parse()?, minor.parse()?))
}

fn rates(context: &Context, controller: &str) -> Verdict {
    const KINDS: [(&str, &str, &str); 4] = [
        ("throttleReadBpsDevice", "read_bps", "rbps"),
        ("throttleWriteBpsDevice", "write_bps", "wbps"),
        ("throttleReadIOPSDevice", "read_iops", "riops"),
        ("throttleWriteIOPSDevice", "write_iops", "wiops"),
    ];
    let (major, minor) = block_device()?;
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    for (number, (field, ..)) in KINDS.iter().enumerate() {
        bundle.config["linux"]["resources"]["blockIO"][*field] =
            json!([{ "major": major, "minor": minor, "rate": 4096 * (number + 1) }]);
    }
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    for (number, (_, v1, v2)) in KINDS.iter().enumerate() {
        let rate = 4096 * (number + 1);
        let (file, wanted) = if controller.is_empty() {
            ("io.max".to_owned(), format!("{v2}={rate}"))
        } else {
            (
                format!("blkio.throttle.{v1}_device"),
                format!("{major}:{minor} {rate}"),
            )
        };
        let value = cgroup::value(pid, controller, &file)?;
        check(
            value.contains(&wanted),
            format_args!("{file}: wanted {wanted:?}, saw {value:?}"),
        )?;
    }
    let complete = json!({ "major": major, "minor": minor, "rate": 4096 });
    for (field, ..) in KINDS {
        refuse_without(context, &format!("/blockIO/{field}/0"), &complete)?;
    }
    Ok(())
}

/// Demands that an object of `linux.resources` is refused when any one of its fields is missing.
fn refuse_without(context: &Context, pointer: &str, complete: &Value) -> Verdict {
    let fields: Vec<String> = complete
        .as_object()
        .map(|object| object.keys().cloned().collect())
        .unwrap_or_default();
    for field in fields {
        let mut lacking = complete.clone();
        if let Some(object) = lacking.as_object_mut() {
            object.remove(&field);
        }
        let refused = context.must_refuse_with(|config| {
            let mut place = &mut config["linux"]["resources"];
            for key in pointer.trim_start_matches('/').split('/') {
                place = if key == "0" {
                    *place = json!([null]);
                    &mut place[0]
                } else {
                    &mut place[key]
                };
            }
            *place = lacking.clone();
        });
        if let Err(Stop::Failed(_)) = refused {
            return fail(format_args!("{pointer}: {lacking} is taken"));
        }
        refused?;
    }
    Ok(())
}

fn weight_device(context: &Context) -> Verdict {
    let (major, minor) = block_device()?;
    let complete = json!({ "major": major, "minor": minor, "weight": 300 });
    refuse_without(context, "/blockIO/weightDevice/0", &complete)
}

fn huge_pages(context: &Context) -> Verdict {
    let (controller, file) = if context.host.cgroup_v1.contains("hugetlb") {
        ("hugetlb", "limit_in_bytes")
    } else if context.host.cgroup_v2.contains("hugetlb") && context.host.cgroup_v1.is_empty() {
        ("", "max")
    } else {
        return Err(Stop::Skipped(
            "needs a cgroup controller hugetlb".to_owned(),
        ));
    };
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let complete = json!({ "pageSize": "2MB", "limit": 4 << 20 });
    bundle.config["linux"]["resources"]["hugepageLimits"] = json!([complete]);
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    for reservation in ["", "rsvd."] {
        let name = format!("hugetlb.2MB.{reservation}{file}");
        if cgroup::directory(pid, controller)?.join(&name).exists() {
            equal(
                &name,
                cgroup::value(pid, controller, &name)?,
                (4 << 20).to_string(),
            )?;
        }
    }
    refuse_without(context, "/hugepageLimits/0", &complete)
}

fn network_priorities(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let complete = json!({ "name": "lo", "priority": 7 });
    bundle.config["linux"]["resources"]["network"]["priorities"] = json!([complete]);
    let mut container = context.create(&bundle)?;
    let map = cgroup::value(container.pid()?, "net_prio", "net_prio.ifpriomap")?;
    check(
        map.lines().any(|line| line.trim() == "lo 7"),
        format_args!("net_prio.ifpriomap: {map:?}"),
    )?;
    container.delete(&["--force"])?;
    refuse_without(context, "/network/priorities/0", &complete)
}

fn rdma_of_nothing(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["resources"]["rdma"] = json!({ "mlx5_1": {} });
    })?;
    Ok(())
}

fn path_out(context: &Context) -> Verdict {
    for start in ["/", ""] {
        let mut bundle = context.bundle()?;
        bundle.set_probe(&["wait"]);
        let path = format!("{start}../../../{}/out", context.word);
        bundle.config["linux"]["cgroupsPath"] = json!(path);
        let (mut container, output) = context.attempt("create", &bundle, &[])?;
        if !output.worked() {
            check(
                !output.stderr().trim().is_empty(),
                format_args!("{path}: no message on standard error"),
            )?;
            context.nothing_left(&container.id)?;
            continue;
        }
        let pid = container.pid()?;
        let controller = if context.host.cgroup_v1.contains("memory") {
            "memory"
        } else {
            ""
        };
        let directory = cgroup::directory(pid, controller)?;
        check(
            directory.components().all(|part| part.as_os_str() != "..") && directory.is_dir(),
            format_args!("{path}: the process is in {}", directory.display()),
        )?;
        container.delete(&["--force"])?;
        check(
            !directory.exists(),
            format_args!("{path}: {} is left", directory.display()),
        )?;
    }
    Ok(())
}

fn ownership(context: &Context, listed: bool) -> Verdict {
    let files: Vec<String> = if listed {
        fs::read_to_string(DELEGATE)
            .map_err(|_| Stop::Skipped(format!("needs a kernel with {DELEGATE}")))?
            .lines()
            .map(str::to_owned)
            .collect()
    } else {
        sys::unshare(libc::CLONE_NEWNS)?;
        rustix::mount::mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        let directory = Path::new(DELEGATE).parent().unwrap_or(Path::new("/"));
        rustix::mount::mount("none", directory, "tmpfs", MountFlags::empty(), None)?;
        ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
            .map(str::to_owned)
            .into()
    };
    let mut bundle = with_user_namespace(context)?;
    if !listed {
        // The kernel lets no user namespace mount a sysfs of which a part is hidden.
        bundle.drop_mount("/sys");
    }
    bundle.add_namespace(json!({ "type": "cgroup" }));
    bundle.add_mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"],
    }));
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    let directory = cgroup::directory(container.pid()?, "")?;
    let owner = |name: &str| {
        fs::metadata(directory.join(name)).map(|data| std::os::unix::fs::MetadataExt::uid(&data))
    };
    if owner("")? == 0 {
        // "Runtimes MAY [...] change the owner".
        return Err(Stop::Skipped(
            "needs a runtime that makes use of the MAY to give cgroups away".to_owned(),
        ));
    }
    equal("owner of the cgroup", owner("")?, 100_000)?;
    for entry in fs::read_dir(&directory)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = if files.contains(&name) { 100_000 } else { 0 };
        equal(&name, owner(&name)?, wanted)?;
    }
    Ok(())
}
