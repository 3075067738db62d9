//! What unpacking a well-formed image gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use image_builder::{
    Entry, INDEX, Packing, Workshop, architecture, directory, entry, file, hard_link, run,
    snapshot, symlink, tar, windlass_img, xattrs,
};
use serde_json::json;

/// VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective (capabilities(7)).
const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_kind_of_file_with_all_its_metadata() {
    let workshop = Workshop::new();
    let long = "long-".repeat(45);
    workshop.image(&[&[
        directory("./").mode(0o711).mtime(77),
        directory("d")
            .mode(0o2751)
            .owner(5, 6)
            .mtime(1)
            .xattr("user.d", b"v"),
        file("d/f", "content")
            .mode(0o4755)
            .owner(1000, 1001)
            .pax("mtime", b"1234567890.123456789"),
        file("d/caps", "")
            .mode(0o755)
            .owner(1, 1)
            .xattr("security.capability", NET_RAW),
        file("d/readonly", "")
            .mode(0o400)
            .xattr("user.empty", b"")
            .xattr("user.nul", b"a\0b"),
        hard_link("hard", "d/f"),
        symlink("soft", "/d/f").owner(3, 4).mtime(99),
        entry(b'6', "fifo").mode(0o640).owner(8, 9),
        entry(b'3', "null").device(1, 3).mode(0o666),
        entry(b'4', "loop").device(7, 200).mode(0o660).owner(0, 6),
        file("short", "long name").pax("path", long.as_bytes()),
        file("atime", "").pax("atime", b"5.5").pax("mtime", b"-1.5"),
        directory("locked").mode(0),
        file("locked/inside", "x"),
        file("implied/directory/file", ""),
        file("sticky", "").mode(0o1777),
    ]]);
    workshop.unpacked(&[]);
    let root = workshop.rootfs();
    let stat = |name: &str| root.join(name).symlink_metadata().unwrap();
    let look = |name: &str| {
        let stat = stat(name);
        (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime())
    };
    assert_eq!(look(""), (0o711, 0, 0, 77));
    assert_eq!(look("d"), (0o2751, 5, 6, 1));
    assert_eq!(look("d/f"), (0o4755, 1000, 1001, 1_234_567_890));
    assert_eq!(stat("d/f").mtime_nsec(), 123_456_789);
    assert_eq!(stat("d/f").ino(), stat("hard").ino());
    assert_eq!(xattrs(&root.join("d"))["user.d"], b"v");
    assert_eq!(xattrs(&root.join("d/caps"))["security.capability"], NET_RAW);
    assert_eq!(xattrs(&root.join("d/readonly"))["user.nul"], b"a\0b");
    assert_eq!(xattrs(&root.join("d/readonly"))["user.empty"], b"");
    assert_eq!(
        std::fs::read_link(root.join("soft")).unwrap(),
        Path::new("/d/f")
    );
    assert_eq!(
        (stat("soft").uid(), stat("soft").gid(), stat("soft").mtime()),
        (3, 4, 99)
    );
    assert!(stat("fifo").file_type().is_fifo());
    assert_eq!(look("fifo"), (0o640, 8, 9, 1_000_000));
    assert!(stat("null").file_type().is_char_device());
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(stat("loop").file_type().is_block_device());
    assert_eq!(look("loop"), (0o660, 0, 6, 1_000_000));
    assert_eq!(
        std::fs::read_to_string(root.join(&long)).unwrap(),
        "long name"
    );
    assert_eq!(
        (stat("atime").mtime(), stat("atime").mtime_nsec()),
        (-2, 500_000_000)
    );
    assert_eq!(look("locked").0, 0);
    assert_eq!(look("implied/directory"), (0o755, 0, 0, 0));
    assert_eq!(look("sticky").0, 0o1777);
    // Only its owner gets at the set-id programs of a bundle.
    assert_eq!(
        workshop.bundle().metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    let names = names(&workshop.bundle());
    assert_eq!(names.len(), 4);
    assert_eq!(
        [&names[0], &names[1], &names[3]],
        ["config.json", "rootfs", "umoci.json"]
    );
    assert!(names[2].starts_with("sha256_"), "{names:?}");
}

#[test]
fn gnu_long_names_and_old_directories() {
    let workshop = Workshop::new();
    let long = "n".repeat(120) + "/" + &"m".repeat(120);
    let gnu = |kind, text: &str| Entry {
        data: [text.as_bytes(), b"\0"].concat(),
        ..entry(kind, "././@LongLink")
    };
    workshop.image(&[&[
        gnu(b'L', &long),
        file("cut", "long"),
        gnu(b'K', &long),
        gnu(b'L', "link"),
        symlink("cut", "cut"),
        Entry {
            kind: 0,
            ..file("old/", "")
        },
        Entry {
            kind: 0,
            ..file("old/file", "v7")
        },
        Entry {
            kind: b'7',
            ..file("contiguous", "data")
        },
    ]]);
    workshop.unpacked(&[]);
    let root = workshop.rootfs();
    assert_eq!(std::fs::read_to_string(root.join(&long)).unwrap(), "long");
    assert_eq!(
        std::fs::read_link(root.join("link")).unwrap(),
        Path::new(&long)
    );
    assert_eq!(
        std::fs::read_to_string(root.join("old/file")).unwrap(),
        "v7"
    );
    assert_eq!(
        std::fs::read_to_string(root.join("contiguous")).unwrap(),
        "data"
    );
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    let workshop = Workshop::new();
    let base = [
        file("gone", ""),
        file("a/gone", ""),
        file("a/kept", ""),
        file("tree/deep/file", ""),
        file("opaque/old", ""),
        file("opaque/sub/old", ""),
        file("mixed/old", ""),
    ];
    let upper = [
        file(".wh.gone", ""),
        file("a/.wh.gone", ""),
        file("a/.wh.never-was", ""),
        file("missing/.wh.x", ""),
        file(".wh.tree", ""),
        // An opaque whiteout hides what is below, wherever in the layer it stands.
        file("opaque/sub/new", ""),
        file("opaque/.wh..wh..opq", ""),
        file("opaque/newer", ""),
        // What this layer adds, its own whiteouts don't hide.
        file("mixed/new", ""),
        file(".wh.mixed", ""),
    ];
    workshop.image(&[&base, &upper]);
    workshop.unpacked(&[]);
    let root = workshop.rootfs();
    assert_eq!(names(&root), ["a", "mixed", "opaque"]);
    assert_eq!(names(&root.join("a")), ["kept"]);
    assert_eq!(names(&root.join("opaque")), ["newer", "sub"]);
    assert_eq!(names(&root.join("opaque/sub")), ["new"]);
    assert_eq!(names(&root.join("mixed")), ["new"]);
}

#[test]
fn files_and_directories_replace_each_other() {
    let workshop = Workshop::new();
    let base = [
        directory("dir-to-file").mode(0o700),
        file("dir-to-file/x", ""),
        file("file-to-dir", "x"),
        directory("dir-to-link"),
        file("dir-to-link/x", ""),
        symlink("link-to-file", "elsewhere"),
        file("elsewhere", "safe"),
        file("file-to-parent", ""),
        directory("again").mode(0o700).xattr("user.old", b"1"),
        file("again/kept", ""),
    ];
    let upper = [
        file("dir-to-file", "now a file"),
        directory("file-to-dir"),
        file("file-to-dir/x", ""),
        symlink("dir-to-link", "again"),
        file("link-to-file", "own"),
        file("file-to-parent/child", ""),
        directory("again").mode(0o751).mtime(5),
        // Twice in one layer: the last counts.
        file("twice", "first"),
        directory("twice"),
        file("twice", "last"),
    ];
    workshop.image(&[&base, &upper]);
    workshop.unpacked(&[]);
    let root = workshop.rootfs();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("dir-to-file"), "now a file");
    assert_eq!(names(&root.join("file-to-dir")), ["x"]);
    assert!(root.join("dir-to-link").is_symlink());
    assert_eq!(read("link-to-file"), "own");
    assert_eq!(read("elsewhere"), "safe");
    assert_eq!(names(&root.join("file-to-parent")), ["child"]);
    assert_eq!(names(&root.join("again")), ["kept"]);
    let again = root.join("again").metadata().unwrap();
    assert_eq!((again.mode() & 0o7777, again.mtime()), (0o751, 5));
    assert!(xattrs(&root.join("again")).is_empty());
    assert_eq!(read("twice"), "last");
}

#[test]
fn directory_times_survive_later_layers() {
    let workshop = Workshop::new();
    let base = [directory("d").mode(0o555).mtime(42), file("d/a", "")];
    workshop.image(&[&base, &[file("d/b", "")], &[file("d/.wh.a", "")]]);
    workshop.unpacked(&[]);
    let directory = workshop.rootfs().join("d");
    assert_eq!(names(&directory), ["b"]);
    let stat = directory.metadata().unwrap();
    assert_eq!((stat.mtime(), stat.mode() & 0o7777), (42, 0o555));
}

#[test]
fn dirlinks_are_replaced_unless_kept() {
    let workshop = Workshop::new();
    let base = [
        directory("usr/lib"),
        file("usr/lib/old", ""),
        symlink("lib", "usr/lib"),
    ];
    let upper = [directory("lib"), file("lib/new", "")];
    workshop.image(&[&base, &upper]);
    workshop.unpacked(&[]);
    assert_eq!(names(&workshop.rootfs().join("lib")), ["new"]);
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.unpacked(&["--keep-dirlinks"]);
    assert!(workshop.rootfs().join("lib").is_symlink());
    assert_eq!(names(&workshop.rootfs().join("usr/lib")), ["new", "old"]);
}

#[test]
fn dirlinks_that_lead_in_a_circle_are_replaced() {
    let workshop = Workshop::new();
    let base = [
        directory("dir"),
        symlink("loop1", "loop2"),
        symlink("loop2", "dir/loop3"),
        symlink("dir/loop3", "../loop1"),
    ];
    let upper = [directory("loop1"), file("loop1/broken", "")];
    workshop.image(&[&base, &upper]);
    workshop.unpacked(&["--keep-dirlinks"]);
    assert_eq!(names(&workshop.rootfs().join("loop1")), ["broken"]);
    assert!(workshop.rootfs().join("loop2").is_symlink());
    assert!(workshop.rootfs().join("dir/loop3").is_symlink());
}

#[test]
fn the_same_tree_from_every_compression() {
    let workshop = Workshop::new();
    let entries: Vec<Entry> = (0..300)
        .map(|n| file(&format!("d{}/f{n}", n % 7), &"text ".repeat(n * 20)))
        .collect();
    let mut trees = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        workshop.add_image(
            &[
                (tar(&entries), packing),
                (tar(&[file("top", "x")]), packing),
            ],
            json!({}),
        );
        workshop.unpacked(&[]);
        trees.push(snapshot(&workshop.rootfs()));
        std::fs::remove_dir_all(workshop.bundle()).unwrap();
    }
    assert_eq!(trees[0].len(), 309);
    assert!(trees.iter().all(|tree| *tree == trees[0]));
}

/// pigz, eStargz and zstd:chunked write many members or frames, some of them empty.
#[test]
fn blobs_of_several_members() {
    let workshop = Workshop::new();
    let archive = tar(&[file("a", &"x".repeat(5000)), file("b", "y")]);
    let (first, second) = archive.split_at(3000);
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
    for (packing, extra) in [(Packing::Gzip, &b""[..]), (Packing::Zstd, skippable)] {
        let blob = [
            &packing.pack(first),
            extra,
            &packing.pack(&[]),
            &packing.pack(second),
            extra,
        ]
        .concat();
        workshop.add_packed_image(&archive, &blob, packing);
        workshop.unpacked(&[]);
        assert_eq!(names(&workshop.rootfs()), ["a", "b"]);
        std::fs::remove_dir_all(workshop.bundle()).unwrap();
    }
}

#[test]
fn users_and_groups_are_mapped() {
    let workshop = Workshop::new();
    workshop.image(&[&[
        file("root", ""),
        file("user", "").owner(1000, 50),
        file("d/implied", ""),
    ]]);
    let maps = ["--uid-map", "0:100000:65536", "--gid-map", "0:200000:65536"];
    workshop.unpacked(&maps);
    let owner = |name: &str| {
        let stat = workshop.rootfs().join(name).metadata().unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!(owner("root"), (100_000, 200_000));
    assert_eq!(owner("user"), (101_000, 200_050));
    assert_eq!(owner("d"), (100_000, 200_000));
    assert_eq!(owner(""), (100_000, 200_000));
    let config = workshop.config();
    assert_eq!(
        config["linux"]["uidMappings"][0],
        json!({ "containerID": 0, "hostID": 100_000, "size": 65536 })
    );
    assert!(
        config["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .contains(&json!({ "type": "user" }))
    );
    // The container's root has to get through to its root file system, nobody else.
    let bundle = workshop.bundle().metadata().unwrap();
    assert_eq!((bundle.mode() & 0o777, bundle.gid()), (0o710, 200_000));
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.refused_with(
        &["--uid-map", "0:100000:10", "--gid-map", "0:100000:65536"],
        "in no --uid-map range",
    );
    workshop.refused_with(&["--uid-map", "0:100000:10"], "go together");
}

#[test]
fn rootless_keeps_owners_in_an_attribute() {
    let workshop = Workshop::new();
    let layer = tar(&[
        directory("d").owner(0, 42).mode(0o500),
        file("d/f", "").owner(1000, 5).mode(0o444),
        entry(b'3', "null").device(1, 3).mode(0o666),
        symlink("s", "d").owner(7, 7),
    ]);
    workshop.add_image(&[(layer, Packing::Gzip)], json!({ "User": "0" }));
    let output = workshop.unpack(&["--rootless"]);
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("an empty file in place of device 1:3"),
        "{stderr}"
    );
    let root = workshop.rootfs();
    assert_eq!(
        xattrs(&root.join("d"))["user.rootlesscontainers"],
        b"\x08\xff\xff\xff\xff\x0f\x10\x2a"
    );
    assert_eq!(
        xattrs(&root.join("d/f"))["user.rootlesscontainers"],
        b"\x08\xe8\x07\x10\x05"
    );
    let stat = root.join("d/f").metadata().unwrap();
    assert_eq!(
        (stat.uid(), stat.gid(), stat.mode() & 0o7777),
        (0, 0, 0o444)
    );
    assert!(root.join("null").metadata().unwrap().is_file());
    let config = workshop.config();
    assert!(config["linux"].get("resources").is_none());
    assert!(
        !config["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .contains(&json!({ "type": "network" }))
    );
    assert_eq!(config["linux"]["uidMappings"][0]["hostID"], 0);
}

/// As a user who can't chown, mknod or enter what root owns.
#[test]
fn rootless_works_without_privileges() {
    let workshop = Workshop::new();
    let layer = tar(&[
        directory("d").owner(0, 42).mode(0o500),
        file("d/f", "x").owner(1000, 5).mode(0o400),
        directory("closed").mode(0),
        file("closed/f", ""),
        entry(b'4', "disk").device(8, 0),
        symlink("s", "d").owner(7, 7),
    ]);
    workshop.add_image(
        &[
            (layer, Packing::Gzip),
            (tar(&[file("closed/.wh.f", "")]), Packing::Gzip),
        ],
        json!({}),
    );
    let home = workshop.path("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(workshop.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // The binary may be in a directory that this user can't get at.
    let binary = workshop.path("windlass-img");
    std::fs::copy(env!("CARGO_BIN_EXE_windlass-img"), &binary).unwrap();
    let as_nobody = |options: &[&str], bundle: &str| {
        let mut command = std::process::Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary);
        command
            .args(["unpack", "--image"])
            .arg(workshop.layout())
            .args(options)
            .arg(home.join(bundle));
        command.output().unwrap()
    };
    let output = as_nobody(&["--rootless"], "bundle");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = snapshot(&home.join("bundle/rootfs"));
    assert!(
        tree[Path::new("d/f")].starts_with("100400 65534:65534"),
        "{tree:?}"
    );
    assert!(tree[Path::new("d/f")].contains("user.rootlesscontainers=\\x08\\xe8\\x07\\x10\\x05"));
    assert!(tree[Path::new("closed")].starts_with("40000 "));
    assert!(!tree.contains_key(Path::new("closed/f")));
    // Without --rootless it can't be done, and the error says what would mend it.
    let output = as_nobody(&[], "other");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.contains("--rootless"),
        "{stderr}"
    );
    assert!(!home.join("other").exists());
}

#[test]
fn an_index_gives_this_machines_image() {
    let workshop = Workshop::new();
    let image =
        |name: &str| workshop.add_manifest(&[(tar(&[file(name, "")]), Packing::Plain)], json!({}));
    let with_platform = |mut descriptor: serde_json::Value, os: &str, architecture: &str| {
        descriptor["platform"] = json!({ "os": os, "architecture": architecture });
        descriptor
    };
    let index = |manifests: &[serde_json::Value]| {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        workshop.add_blob(index.to_string().as_bytes(), INDEX)
    };
    let tagged = |mut descriptor: serde_json::Value| {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        workshop.write_index(&[descriptor]);
    };
    let ours = with_platform(image("ours"), "linux", architecture());
    let others = [
        with_platform(image("foreign"), "linux", "z80"),
        with_platform(image("attestation"), "unknown", "unknown"),
    ];
    // One nested in the other; the foreign part isn't even there.
    let nested = index(&[others[1].clone(), ours.clone()]);
    let absent = json!({ "mediaType": INDEX, "size": 9, "digest": image_builder::digest(b"absent"),
        "platform": { "os": "windows", "architecture": "amd64" } });
    tagged(index(&[others[0].clone(), absent, nested]));
    workshop.unpacked(&[]);
    assert_eq!(names(&workshop.rootfs()), ["ours"]);
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    tagged(index(&others));
    workshop.refused("no image for linux/");
    // An index within an index, without end.
    let mut deep = index(&[ours]);
    for _ in 0..9 {
        deep = index(&[deep]);
    }
    tagged(deep);
    workshop.refused("nest deeper");
}

#[test]
fn docker_media_types_are_known() {
    let workshop = Workshop::new();
    let descriptor = workshop.add_manifest(&[(tar(&[file("f", "")]), Packing::Gzip)], json!({}));
    let blob = std::fs::read(workshop.blob_path(descriptor["digest"].as_str().unwrap())).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&blob).unwrap();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    manifest["mediaType"] = docker.into();
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
    let mut descriptor = workshop.add_blob(manifest.to_string().as_bytes(), docker);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[descriptor]);
    workshop.unpacked(&[]);
    assert_eq!(names(&workshop.rootfs()), ["f"]);
}

#[test]
fn the_configuration_becomes_config_json() {
    let workshop = Workshop::new();
    let layer = tar(&[
        directory("etc"),
        file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        ),
        file("etc/group", "app:x:1001:\nvideo:x:44:root,app\n"),
    ]);
    workshop.add_image(
        &[(layer, Packing::Gzip)],
        json!({
            "User": "app",
            "Env": ["PATH=/bin", "LANG=C", "LANG=C.UTF-8"],
            "Entrypoint": ["/entry"],
            "Cmd": ["one", "two words"],
            "WorkingDir": "/srv/app",
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Volumes": { "/data": {} },
            "StopSignal": "SIGQUIT",
            "Labels": { "a": "b", "org.opencontainers.image.os": "label" },
        }),
    );
    workshop.unpacked(&[]);
    let config = workshop.config();
    let process = &config["process"];
    assert_eq!(
        process["user"],
        json!({ "uid": 1000, "gid": 1001, "additionalGids": [44] })
    );
    assert_eq!(process["args"], json!(["/entry", "one", "two words"]));
    assert_eq!(
        process["env"],
        json!(["PATH=/bin", "TERM=xterm", "LANG=C.UTF-8", "HOME=/home/app"])
    );
    assert_eq!(process["cwd"], "/srv/app");
    assert_eq!(process["terminal"], true);
    let annotations = &config["annotations"];
    assert_eq!(annotations["a"], "b");
    assert_eq!(annotations["org.opencontainers.image.os"], "label");
    assert_eq!(
        annotations["org.opencontainers.image.exposedPorts"],
        "53/udp,80/tcp"
    );
    assert_eq!(
        annotations["org.opencontainers.image.stopSignal"],
        "SIGQUIT"
    );
    let mounts = config["mounts"].as_array().unwrap();
    assert_eq!(mounts.last().unwrap()["destination"], "/data");
    // The same image gives the same bytes.
    let first = std::fs::read(workshop.bundle().join("config.json")).unwrap();
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.unpacked(&[]);
    assert_eq!(
        std::fs::read(workshop.bundle().join("config.json")).unwrap(),
        first
    );
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.unpacked(&["--no-terminal"]);
    assert_eq!(workshop.config()["process"]["terminal"], false);
}

#[test]
fn tags_are_listed_and_images_described() {
    let workshop = Workshop::new();
    let descriptor = workshop.image(&[&[file("f", "")]]);
    let listed = run(windlass_img()
        .args(["ls", "--layout"])
        .arg(workshop.layout()));
    assert_eq!(listed, "latest\n");
    let stat = run(windlass_img()
        .args(["stat", "--image"])
        .arg(workshop.layout()));
    assert!(
        stat.contains(descriptor["digest"].as_str().unwrap()),
        "{stat}"
    );
    let json = run(windlass_img()
        .args(["stat", "--json", "--image"])
        .arg(workshop.layout()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["descriptor"], descriptor);
    assert_eq!(
        json["manifest"]["blob"]["layers"].as_array().unwrap().len(),
        1
    );
    let missing = windlass_img()
        .args(["stat", "--image"])
        .arg(format!("{}:other", workshop.layout().display()))
        .output()
        .unwrap();
    let stderr = String::from_utf8(missing.stderr).unwrap();
    assert!(
        stderr.contains("no image tagged 'other'") && stderr.contains("latest"),
        "{stderr}"
    );
}

#[test]
fn help_is_there_for_every_verb() {
    for verb in ["unpack", "ls", "stat", "load"] {
        let help = run(windlass_img().args([verb, "--help"]));
        assert!(help.contains("Usage: windlass-img"), "{help}");
        assert_eq!(run(windlass_img().args(["help", verb])), help);
    }
}
