//! Containers' bundles: made, run, mounted again, removed; and what becomes of them when something is
//! killed or full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod image_builder;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use container::{Container, Site, names};
use image_builder::{directory, file, run, snapshot, symlink};
use serde_json::{Value, json};

#[test]
fn a_bundle_runs_and_goes() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "made/on/the/way"]);
    let bundle = site.path("made/on/the/way");
    let mode = std::fs::metadata(&bundle).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    std::fs::rename(site.path("made"), site.path("moved")).unwrap();
    std::fs::rename(site.path("moved"), site.path("made")).unwrap();
    site.ours(&["unbundle", "made/on/the/way"]);
    assert!(!bundle.exists());

    site.ours(&["bundle", "demo", "b"]);
    {
        let _container = Container::start(&site, "b", "echo new > /new; sleep 600");
        for _ in 0..200 {
            if site.path("b/upper/new").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(site.path("b/upper/new").exists());
        site.refused(&["unbundle", "b"], "a container of b runs (process ");
        assert!(site.path("b/rootfs/bin/sh").exists());
        // Not for long, but the container has it all the same.
        run(Command::new("umount").arg("-l").arg(site.path("b/rootfs")));
        site.refused(&["unbundle", "b"], "a container of b runs (process ");
        site.ours(&["gc"]);
    }
    // The image hasn't changed.
    site.ours(&["bundle", "demo", "c"]);
    assert!(!site.path("c/rootfs/new").exists());
    site.ours(&["unbundle", "b", "c"]);
    // Once more, of what is gone.
    site.ours(&["unbundle", "b", "c"]);
    assert_eq!(site.mounts(), Vec::<String>::new());
    assert_eq!(site.references(), Vec::<String>::new());
}

/// What a container mounts gets its place in the init layer, without a trace on the image's own
/// directories, links of the image followed inside.
#[test]
fn mount_points_are_the_init_layers() {
    let site = Site::new();
    let image = [
        directory("private").mode(0o750).mtime(7),
        symlink("etc", "private"),
        file("private/hosts", "the image's"),
        directory("proc").mode(0o555).mtime(9),
    ];
    let config = json!({"Volumes": {"/private/data/deep": {}}});
    let plain = image_builder::Packing::Plain;
    let layer = image_builder::tar(&image);
    site.workshop.add_image(&[(layer, plain)], config);
    site.workshop.unpacked(&[]);
    site.ours(&["bundle", "latest", "b"]);
    let flat = snapshot(&site.workshop.rootfs());
    let shown = snapshot(&site.path("b/rootfs"));
    for (path, seen) in &flat {
        assert_eq!(shown.get(path), Some(seen), "{}", path.display());
    }
    let new: Vec<_> = shown
        .keys()
        .filter(|path| !flat.contains_key(*path))
        .collect();
    // A volume's place is the runtime's to make, in the writable layer: what is committed has it.
    let expected = ["dev", "private/hostname", "private/resolv.conf", "sys"];
    assert_eq!(new, expected.map(std::path::Path::new).each_ref());
    assert_eq!(names(&site.path("b/upper")), Vec::<String>::new());
    assert_eq!(site.ours(&["diff", "b"]), "");
    for name in ["hosts", "hostname", "resolv.conf"] {
        assert!(
            site.path("b").join(name).metadata().unwrap().len() > 0,
            "{name}"
        );
    }
}

#[test]
fn an_image_without_layers() {
    let site = Site::new();
    site.workshop.add_image(&[], json!({"Cmd": ["/x"]}));
    site.ours(&["bundle", "latest", "b"]);
    assert_eq!(names(&site.path("b/rootfs")), ["dev", "etc", "proc", "sys"]);
    site.ours(&["unbundle", "b"]);
}

#[test]
fn a_flat_bundle_is_a_copy() {
    let site = Site::with_shell();
    site.ours(&["bundle", "--flat", "demo", "b"]);
    assert_eq!(site.mounts(), Vec::<String>::new());
    assert_eq!(site.layers(), Vec::<String>::new());
    {
        let _container = Container::start(&site, "b", "sleep 600");
        site.refused(&["unbundle", "b"], "a container of b runs");
    }
    site.script("b", "echo x > dir/new; rm dir/gone");
    let changes = site.ours(&["diff", "b"]);
    for line in ["A /dir/new", "D /dir/gone"] {
        assert!(changes.lines().any(|known| known == line), "{changes}");
    }
    site.ours(&["commit", "b", "changed"]);
    site.ours(&["bundle", "changed", "c"]);
    assert!(site.path("c/rootfs/dir/new").exists());
    assert!(!site.path("c/rootfs/dir/gone").exists());
    site.ours(&["unbundle", "b", "c"]);
    assert!(!site.path("b").exists());
}

#[test]
fn a_mount_that_is_gone_comes_back() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    site.script("b", "echo x > new; rm dir/gone");
    let before = snapshot(&site.path("b/rootfs"));
    // As after a reboot.
    run(Command::new("umount").arg(site.path("b/rootfs")));
    assert_eq!(names(&site.path("b/rootfs")), Vec::<String>::new());
    // Layers that nobody keeps any more come back as well.
    std::fs::remove_dir_all(site.store().join("layers")).unwrap();
    site.ours(&["mount", "b"]);
    site.ours(&["mount", "b"]);
    assert_eq!(site.mounts().len(), 1);
    assert_eq!(snapshot(&site.path("b/rootfs")), before);
    run(Command::new("umount").arg(site.path("b/rootfs")));
    site.ours(&["unbundle", "b"]);
    assert!(!site.path("b").exists());
}

/// The image's name may go, what the bundle needs stays; and goes with the bundle.
#[test]
fn bundles_hold_their_images() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    site.ours(&["rm", "demo"]);
    site.ours(&["gc"]);
    assert_eq!(site.layers().len(), 1);
    assert!(site.path("b/rootfs/bin/sh").exists());
    site.script("b", "echo x > new");
    site.ours(&["commit", "b", "again"]);
    site.ours(&["rm", "again"]);
    site.ours(&["unbundle", "b"]);
    site.ours(&["gc"]);
    assert_eq!(site.layers(), Vec::<String>::new());
    assert_eq!(
        names(&site.store().join("blobs/sha256")),
        Vec::<String>::new()
    );
}

#[test]
fn df_and_verify_know_of_layers_and_bundles() {
    let site = Site::with_shell();
    let usage = || -> Value { serde_json::from_str(&site.ours(&["df", "--json"])).unwrap() };
    site.ours(&["bundle", "demo", "b"]);
    site.script("b", "head -c 1000000 /dev/zero > new");
    std::fs::create_dir(site.store().join("layers/sha256/.abc")).unwrap();
    let here = usage();
    assert_eq!(here["Layers"]["Count"], 1);
    assert!(here["Layers"]["Bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!(here["UnusedLayers"]["Count"], 1);
    assert_eq!(here["Bundles"]["Count"], 1);
    let written = here["Bundles"]["Bytes"].as_u64().unwrap();
    assert!((1_000_000..1_100_000).contains(&written), "{written}");
    // Removed by name, the image's blobs are still needed.
    site.ours(&["rm", "demo"]);
    assert_eq!(usage()["Used"]["Count"], 3);
    assert_eq!(usage()["UnusedLayers"]["Count"], 0);
    assert_eq!(site.ours(&["verify"]), "3 of 3 blobs are well");
    run(Command::new("umount").arg(site.path("b/rootfs")));
    std::fs::remove_dir_all(site.store().join("layers")).unwrap();
    site.refused(&["verify"], "missing: mount the bundles again");
    site.ours(&["mount", "b"]);
    assert_eq!(site.ours(&["verify"]), "3 of 3 blobs are well");
}

#[test]
fn verify_finds_what_changed_in_unpacked_layers() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let layers = site.store().join("layers/sha256");
    let id = std::fs::read_dir(&layers).unwrap().next().unwrap().unwrap();
    let id = id.file_name().into_string().unwrap();
    let layer = layers.join(&id);
    let well = "3 of 3 blobs are well\n1 unpacked layers are well";
    assert_eq!(site.ours(&["verify", "--layers"]), well);
    let script = "
        printf OLD > dir/changed
        touch -d @1000 dir/changed
        echo more >> dir/kept
        rm dir/gone; echo new > dir/new
        chmod 4755 bin/ls
        chown 7:8 dir/sub
        rm -r tmp; ln -s data tmp";
    run(Command::new("sh")
        .args(["-euc", script])
        .current_dir(&layer));
    let passwd = layer.join("etc/passwd");
    rustix::fs::setxattr(&passwd, "user.note", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    let output = site.command(&["verify", "--layers"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "dir/changed: time 1000.000000000 (should be ",
        "dir/kept: time ",
        "dir/gone: missing",
        "dir/new: unexpected",
        "bin/ls: mode 4755 (should be 0755)",
        "dir/sub: owner 7:8 (should be 0:0)",
        "etc/passwd: attribute user.note",
        "tmp: it should be a directory, and is a symbolic link",
    ] {
        let expected = format!("unpacked layer sha256:{id}: /{expected}");
        let is_told = |line: &str| line.starts_with(&expected);
        assert!(told.lines().any(is_told), "'{expected}' is not in: {told}");
    }
    let content = |line: &str| line.contains("dir/changed: ") && line.ends_with(", content");
    assert!(told.lines().any(content), "{told}");
    assert!(!told.contains("bin/cat"), "{told}");
    // A layer in use stays; another is unpacked anew.
    let remove = ["verify", "--layers", "--remove"];
    let output = site.command(&remove).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unbundle"));
    site.ours(&["unbundle", "b"]);
    assert!(site.ours(&remove).contains(": removed\n"));
    assert_eq!(std::fs::read_dir(&layers).unwrap().count(), 0);
    site.ours(&["bundle", "demo", "b"]);
    assert_eq!(site.ours(&["verify", "--layers"]), well);
}

/// A bundle whose directory somebody removed is nobody's any more.
#[test]
fn bundles_that_are_gone_hold_nothing() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    run(Command::new("umount").arg(site.path("b/rootfs")));
    std::fs::remove_dir_all(site.path("b")).unwrap();
    site.ours(&["rm", "demo"]);
    assert_eq!(site.layers(), Vec::<String>::new());
    assert_eq!(site.references(), Vec::<String>::new());
}

/// One that was moved, or whose file system isn't mounted, still is.
#[test]
fn bundles_that_are_elsewhere_keep_what_they_need() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let layers = site.layers();
    std::fs::create_dir(site.path("to")).unwrap();
    std::fs::rename(site.path("b"), site.path("to/c")).unwrap();
    site.ours(&["rm", "demo"]);
    assert_eq!(site.layers(), layers);
    site.ours(&["gc"]);
    assert_eq!(site.layers(), layers);
    assert!(site.path("to/c/rootfs/bin/sh").exists());
    site.ours(&["unbundle", "to/c"]);
    assert_eq!(site.references(), Vec::<String>::new());

    let archive = site.path("tree.tar");
    site.ours(&["import", archive.to_str().unwrap(), "demo"]);
    for name in ["disk", "other"] {
        std::fs::create_dir(site.path(name)).unwrap();
    }
    let mount = |arguments: &[&str]| {
        run(Command::new(arguments[0])
            .args(&arguments[1..])
            .current_dir(site.path("")));
    };
    mount(&["mount", "-t", "tmpfs", "none", "disk"]);
    site.ours(&["bundle", "--volume=kept:/data", "demo", "disk/b"]);
    mount(&["umount", "disk/b/rootfs"]);
    mount(&["mount", "--bind", "disk", "other"]);
    mount(&["umount", "disk"]);
    site.ours(&["rm", "demo"]);
    let stays = site.command(&["gc"]).output().unwrap();
    let stays = String::from_utf8_lossy(&stays.stderr).into_owned();
    assert!(stays.contains("its file system isn't mounted"), "{stays}");
    assert_eq!(site.layers(), layers);
    site.ours(&["volume", "prune", "--all"]);
    mount(&["mount", "--bind", "other", "disk"]);
    site.refused(
        &[
            "gc",
            "--forget-bundle",
            site.path("disk/b").to_str().unwrap(),
        ],
        "is there",
    );
    site.ours(&["mount", "disk/b"]);
    assert!(site.path("disk/b/rootfs/bin/sh").exists());
    assert!(site.store().join("volumes/kept").exists());
    mount(&["umount", "disk/b/rootfs"]);
    mount(&["umount", "disk"]);
    site.ours(&[
        "gc",
        "--forget-bundle",
        site.path("disk/b").to_str().unwrap(),
    ]);
    assert_eq!(site.layers(), Vec::<String>::new());
    assert_eq!(site.references(), Vec::<String>::new());
}

/// Images hold set-user-ID programs, which no other user may get at (CVE-2021-41103).
#[test]
fn a_directory_of_the_callers_is_closed() {
    let site = Site::with_shell();
    let bundle = site.path("b");
    let mode = || std::fs::metadata(&bundle).unwrap().permissions().mode() & 0o7777;
    std::fs::create_dir(&bundle).unwrap();
    std::fs::set_permissions(&bundle, PermissionsExt::from_mode(0o755)).unwrap();
    site.refused(&["bundle", "--memory=1", "demo", "b"], "memory");
    assert_eq!(mode(), 0o755);
    {
        let held = std::fs::File::open(&bundle).unwrap();
        held.lock_shared().unwrap();
        site.refused(
            &["bundle", "demo", "b"],
            "somebody else is making or removing a bundle",
        );
    }
    site.ours(&["bundle", "demo", "b"]);
    assert_eq!(mode(), 0o700);
    site.ours(&["unbundle", "b"]);
}

#[test]
fn what_is_no_bundle_is_left_alone() {
    let site = Site::with_shell();
    std::fs::create_dir(site.path("mine")).unwrap();
    std::fs::write(site.path("mine/file"), "").unwrap();
    site.refused(&["unbundle", "mine"], "is no bundle of ours");
    site.refused(&["bundle", "demo", "mine"], "is not empty");
    site.refused(&["mount", "mine"], "was not made by bundle");
    site.refused(&["bundle", "nothing", "b"], "no image 'nothing'");
    site.refused(
        &[
            "bundle",
            "--uid-map=0:1000:1",
            "--gid-map=0:1000:1",
            "demo",
            "b",
        ],
        "need --flat",
    );
    assert!(!site.path("b").exists());
    site.ours(&["bundle", "demo", "b"]);
    std::fs::write(site.path("b/notes"), "mine").unwrap();
    site.ours(&["unbundle", "b"]);
    assert_eq!(names(&site.path("b")), ["notes"]);
    // A process that stands in it.
    site.ours(&["bundle", "demo", "c"]);
    let mut inside = Command::new("sleep")
        .arg("600")
        .current_dir(site.path("c/rootfs/dir"))
        .spawn()
        .unwrap();
    site.refused(&["unbundle", "c"], "something is at work in");
    inside.kill().unwrap();
    inside.wait().unwrap();
    site.ours(&["unbundle", "c"]);
}

/// What somebody mounted below a bundle's files is not removed with them.
#[test]
fn what_is_mounted_in_a_bundle_is_left_alone() {
    let site = Site::with_shell();
    site.ours(&["bundle", "--flat", "demo", "b"]);
    std::fs::create_dir(site.path("host")).unwrap();
    std::fs::write(site.path("host/file"), "").unwrap();
    run(Command::new("mount")
        .arg("--bind")
        .arg(site.path("host"))
        .arg(site.path("b/rootfs/data")));
    site.refused(&["unbundle", "b"], "something is mounted on /rootfs/data");
    assert!(site.path("host/file").exists());
    run(Command::new("umount").arg(site.path("b/rootfs/data")));
    site.ours(&["unbundle", "b"]);
}

/// A bundle that is being committed is there until that is done.
#[test]
fn nobody_removes_what_another_reads() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    // As commit has it.
    let reader = std::fs::File::open(site.path("b")).unwrap();
    reader.lock_shared().unwrap();
    let mut unbundle = site.command(&["unbundle", "b"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(unbundle.try_wait().unwrap().is_none());
    assert!(site.path("b/rootfs/bin/sh").exists());
    drop(reader);
    assert!(unbundle.wait().unwrap().success());
    assert!(!site.path("b").exists());
}

/// A record that a later version wrote, or a stranger.
#[test]
fn a_record_that_is_not_understood_holds_on() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let path = site.path("b/windlass.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    let mut record: Value = serde_json::from_str(&whole).unwrap();
    record["rootfs"] = "yet unknown".into();
    std::fs::write(&path, record.to_string()).unwrap();
    site.refused(&["unbundle", "b"], "windlass.json");
    site.refused(&["volume", "prune"], "windlass.json");
    site.ours(&["rm", "demo"]);
    assert_eq!(site.references().len(), 1);
    assert_ne!(site.layers(), Vec::<String>::new());

    let victim = site.path("victim");
    std::fs::write(victim.with_extension("json"), "").unwrap();
    let mut record: Value = serde_json::from_str(&whole).unwrap();
    record["id"] = victim.to_str().unwrap().into();
    std::fs::write(&path, record.to_string()).unwrap();
    site.refused(&["unbundle", "b"], "its id is none of ours");
    assert!(victim.with_extension("json").exists());

    std::fs::write(&path, whole).unwrap();
    site.ours(&["unbundle", "b"]);
}

/// Killed at any moment, bundle leaves what unbundle or gc removes; unbundle what another one does.
#[test]
fn killed_at_any_moment() {
    let site = Site::with_shell();
    let kill_after = |arguments: &[&str], microseconds| {
        let mut child = site
            .command(arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let mut seen: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    for round in 0..30 {
        if round % 10 == 0 {
            // With layers to unpack, too.
            let layers = site.store().join("layers");
            if layers.exists() {
                std::fs::remove_dir_all(layers).unwrap();
            }
        }
        kill_after(
            &["bundle", "demo", "b"],
            500 + 400 * (round % 10) + 100 * round,
        );
        *seen.entry(names(&site.path("b"))).or_default() += 1;
        if round % 2 == 0 && site.path("b/windlass.json").exists() {
            if site.path("b/config.json").exists() {
                kill_after(&["unbundle", "b"], 500 + 300 * (round % 10));
            }
            if site.path("b/windlass.json").exists() {
                site.ours(&["unbundle", "b"]);
            }
        }
        let whole = site.path("b/config.json").exists();
        site.ours(&["gc"]);
        if whole && site.path("b/config.json").exists() {
            assert!(site.path("b/rootfs/bin/sh").exists());
            site.ours(&["unbundle", "b"]);
        }
        assert_eq!(site.mounts(), Vec::<String>::new());
        assert_eq!(site.references(), Vec::<String>::new());
        let left = names(&site.path("b"));
        assert!(left.is_empty() || left == ["rootfs"], "{left:?}");
        if site.path("b").exists() {
            std::fs::remove_dir_all(site.path("b")).unwrap();
        }
        for name in site.layers() {
            assert!(!name.starts_with('.'), "{name}");
        }
    }
    eprintln!("killed with {seen:?} in the bundle");
    site.ours(&["bundle", "demo", "b"]);
    assert!(site.path("b/rootfs/bin/sh").exists());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let site = Site::with_shell();
    let small = site.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount = |options: &str| {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&small));
    };
    mount("size=4m");
    let copied = small.join("store");
    run(Command::new("cp").arg("-a").arg(site.store()).arg(&copied));
    let bundle = |name: &str| {
        let mut command = image_builder::windlass_img();
        command.arg("bundle").arg("--store").arg(&copied);
        command.arg("localhost/demo:latest").arg(small.join(name));
        command.args(["--", "sh"]);
        command.output().unwrap()
    };
    let output = bundle("b");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(!small.join("b").exists());
    assert_eq!(names(&copied.join("layers/sha256")), Vec::<String>::new());
    mount("remount,size=100m");
    assert!(bundle("b").status.success());
    let mut unbundle = image_builder::windlass_img();
    run(unbundle.arg("unbundle").arg(small.join("b")));
}

#[test]
fn a_directory_that_can_hold_no_writable_layer() {
    let site = Site::with_shell();
    for name in ["l", "u", "w", "over"] {
        std::fs::create_dir(site.path(name)).unwrap();
    }
    let options = "lowerdir=l,upperdir=u,workdir=w";
    run(Command::new("mount")
        .args(["-t", "overlay", "-o", options, "none", "over"])
        .current_dir(site.path("")));
    site.refused(&["bundle", "demo", "over/b"], "--flat does without");
    assert!(!site.path("over/b").exists());
    site.ours(&["bundle", "--flat", "demo", "over/b"]);
    site.ours(&["unbundle", "over/b"]);
}

#[test]
fn the_configuration_is_the_images() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let config: Value =
        serde_json::from_slice(&std::fs::read(site.path("b/config.json")).unwrap()).unwrap();
    assert_eq!(config["root"]["path"], "rootfs");
    let mounts = config["mounts"].as_array().unwrap();
    let hosts = mounts
        .iter()
        .find(|mount| mount["destination"] == "/etc/hosts");
    assert!(
        hosts.unwrap()["source"]
            .as_str()
            .unwrap()
            .ends_with("/b/hosts")
    );
}
