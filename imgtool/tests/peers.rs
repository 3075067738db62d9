//! The same images through other tools: umoci's trees are ours, and skopeo's archives are read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use image_builder::{Workshop, run, snapshot, windlass_img, xattrs};
use rustix::fs::XattrFlags;

fn umoci(workshop: &Workshop, arguments: &[&str]) -> String {
    run(Command::new("umoci")
        .current_dir(workshop.directory.path())
        .args(arguments))
}

/// An image that umoci made, of three layers: files of every kind, then changes, then removals.
fn image_by_umoci() -> Workshop {
    let workshop = Workshop::new();
    umoci(&workshop, &["init", "--layout", "images"]);
    umoci(&workshop, &["new", "--image", "images:app"]);
    umoci(&workshop, &["unpack", "--image", "images:app", "work"]);
    let root = workshop.path("work/rootfs");
    fill(&root);
    umoci(
        &workshop,
        &[
            "repack",
            "--refresh-bundle",
            "--image",
            "images:app",
            "work",
        ],
    );
    std::fs::remove_dir_all(root.join("replaced")).unwrap();
    std::fs::write(root.join("replaced"), "a file now").unwrap();
    std::fs::write(root.join("usr/bin/tool0"), "changed").unwrap();
    std::fs::create_dir(root.join("new")).unwrap();
    umoci(
        &workshop,
        &[
            "repack",
            "--refresh-bundle",
            "--image",
            "images:app",
            "work",
        ],
    );
    std::fs::remove_file(root.join("usr/bin/tool1")).unwrap();
    std::fs::remove_dir_all(root.join("var")).unwrap();
    std::fs::remove_file(root.join("replaced")).unwrap();
    std::fs::create_dir(root.join("replaced")).unwrap();
    umoci(&workshop, &["repack", "--image", "images:app", "work"]);
    let config = [
        "config",
        "--image",
        "images:app",
        "--config.user",
        "app:video",
        "--config.cmd",
        "/usr/bin/tool0",
        "--config.env",
        "LANG=C",
        "--config.workingdir",
        "/srv",
        "--config.volume",
        "/data",
        "--config.label",
        "a=b",
        "--config.exposedports",
        "80/tcp",
        "--config.stopsignal",
        "SIGINT",
    ];
    umoci(&workshop, &config);
    workshop
}

fn fill(root: &Path) {
    for directory in [
        "usr/bin",
        "usr/lib",
        "etc",
        "var/log",
        "replaced/deep",
        "dev",
        "srv",
    ] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::write(
        root.join("etc/passwd"),
        "app:x:1000:1000::/home/app:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(root.join("etc/group"), "video:x:44:app\n").unwrap();
    for number in 0..40u32 {
        let tool = root.join(format!("usr/bin/tool{number}"));
        std::fs::write(&tool, format!("{number}").repeat(number as usize * 100)).unwrap();
        std::os::unix::fs::chown(&tool, Some(number * 1000), Some(number)).unwrap();
        let modes = [0o755, 0o4755, 0o2711, 0o600, 0o1666, 0o000];
        std::fs::set_permissions(
            &tool,
            std::os::unix::fs::PermissionsExt::from_mode(modes[number as usize % 6]),
        )
        .unwrap();
    }
    std::fs::write(root.join("replaced/deep/file"), "x").unwrap();
    std::fs::write(root.join("var/log/messages"), "x").unwrap();
    std::fs::write(root.join("usr/lib").join("long-name-".repeat(20)), "long").unwrap();
    std::fs::hard_link(root.join("usr/bin/tool3"), root.join("usr/lib/hard")).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    symlink("/dangling/target", root.join("dangling")).unwrap();
    std::os::unix::fs::lchown(root.join("dangling"), Some(5), Some(6)).unwrap();
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    set("usr/bin/tool2", "user.note", b"a\0b\n");
    set("usr/lib", "user.directory", b"yes");
    set(
        "usr/bin/tool4",
        "security.capability",
        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    let node = |path: &str, kind, mode: u32, device| {
        rustix::fs::mknodat(rustix::fs::CWD, root.join(path), kind, mode.into(), device).unwrap();
    };
    node(
        "dev/null",
        rustix::fs::FileType::CharacterDevice,
        0o666,
        rustix::fs::makedev(1, 3),
    );
    node(
        "dev/loop",
        rustix::fs::FileType::BlockDevice,
        0o660,
        rustix::fs::makedev(7, 9),
    );
    node("fifo", rustix::fs::FileType::Fifo, 0o644, 0);
}

fn compare(workshop: &Workshop, options: &[&str]) {
    let image = format!("{}:app", workshop.path("images").display());
    run(windlass_img()
        .args(["unpack", "--image", &image])
        .args(options)
        .arg(workshop.path("ours")));
    umoci(
        workshop,
        &[&["unpack", "--image", "images:app"], options, &["theirs"]].concat(),
    );
    let ours = snapshot(&workshop.path("ours/rootfs"));
    let theirs = snapshot(&workshop.path("theirs/rootfs"));
    for (path, seen) in &theirs {
        assert_eq!(ours.get(path), Some(seen), "{}", path.display());
    }
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.len() > 50 && !ours.contains_key(Path::new("usr/bin/tool1")));
}

#[test]
fn trees_are_as_umoci_unpacks_them() {
    let workshop = image_by_umoci();
    compare(&workshop, &[]);
    assert!(!xattrs(&workshop.path("ours/rootfs/usr/bin/tool4")).is_empty());
    let config = |bundle: &str| -> serde_json::Value {
        let path = workshop.path(bundle).join("config.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let (ours, theirs) = (config("ours"), config("theirs"));
    for pointer in [
        "/process/user",
        "/process/args",
        "/process/env",
        "/process/cwd",
        "/root",
        "/mounts",
    ] {
        assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{pointer}");
    }
    for (key, value) in ours["annotations"].as_object().unwrap() {
        assert_eq!(Some(value), theirs["annotations"].get(key), "{key}");
    }
}

#[test]
fn rootless_trees_are_as_umoci_unpacks_them() {
    compare(&image_by_umoci(), &["--rootless"]);
}

#[test]
fn mapped_trees_are_as_umoci_unpacks_them() {
    let maps = ["--uid-map", "0:100000:65536", "--gid-map", "0:300000:65536"];
    compare(&image_by_umoci(), &maps);
}

#[test]
fn lists_and_histories_are_umocis() {
    let workshop = image_by_umoci();
    let layout = workshop.path("images");
    let image = format!("{}:app", layout.display());
    let list = run(windlass_img().args(["ls", "--layout"]).arg(&layout));
    assert_eq!(list, umoci(&workshop, &["ls", "--layout", "images"]));
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let ours = json(run(
        windlass_img().args(["stat", "--json", "--image", &image])
    ));
    let theirs = json(umoci(
        &workshop,
        &["stat", "--json", "--image", "images:app"],
    ));
    assert_eq!(ours["history"], theirs["history"]);
    assert!(!ours["history"].as_array().unwrap().is_empty());
}

/// skopeo writes both kinds of archive; what comes out of each is the same tree.
#[test]
fn skopeos_archives_are_loaded() {
    let workshop = image_by_umoci();
    let expected = {
        umoci(&workshop, &["unpack", "--image", "images:app", "expected"]);
        snapshot(&workshop.path("expected/rootfs"))
    };
    for (archive, tag) in [("docker-archive", "v1"), ("oci-archive", "v1")] {
        let file = workshop.path(archive);
        let destination = match archive {
            "docker-archive" => format!("{archive}:{}:example.com/app:{tag}", file.display()),
            _ => format!("{archive}:{}:{tag}", file.display()),
        };
        let source = format!("oci:{}:app", workshop.path("images").display());
        let policy = "--insecure-policy";
        run(Command::new("skopeo").args([policy, "copy", "--quiet", &source, &destination]));
        let layout = workshop.path(&format!("{archive}-layout"));
        let tagged = run(windlass_img()
            .args(["load", "--input"])
            .arg(&file)
            .arg("--layout")
            .arg(&layout));
        assert_eq!(tagged, format!("{}:{tag}\n", layout.display()));
        let bundle = workshop.path(&format!("{archive}-bundle"));
        let image = format!("{}:{tag}", layout.display());
        run(windlass_img()
            .args(["unpack", "--image", &image])
            .arg(&bundle));
        assert_eq!(snapshot(&bundle.join("rootfs")), expected, "{archive}");
        // And skopeo takes the layout for what it is.
        let ours = format!("oci:{image}");
        let inspected = run(Command::new("skopeo").args([policy, "inspect", &ours]));
        assert!(inspected.contains("\"Layers\""), "{inspected}");
    }
}
