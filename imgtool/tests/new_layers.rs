//! Layers that we write: insert and raw add-layer, and what is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use image_builder::{Workshop, directory, file, run, snapshot, tar, windlass_img, xattrs};
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use serde_json::Value;

/// VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective (capabilities(7)).
const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn image(workshop: &Workshop) -> String {
    format!("{}:latest", workshop.layout().display())
}

fn blank(workshop: &Workshop) {
    run(windlass_img().args(["new", "--image", &image(workshop)]));
}

fn insert(workshop: &Workshop, arguments: &[&str]) -> Output {
    let mut command = windlass_img();
    command.args(["insert", "--image", &image(workshop)]);
    command.args(arguments).output().unwrap()
}

fn inserted(workshop: &Workshop, arguments: &[&str]) -> String {
    let output = insert(workshop, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    stderr
}

fn stat(workshop: &Workshop) -> Value {
    let mut command = windlass_img();
    command.args(["stat", "--json", "--image", &image(workshop)]);
    serde_json::from_str(&run(&mut command)).unwrap()
}

/// The topmost layer's blob.
fn top_layer(workshop: &Workshop) -> (Value, Vec<u8>) {
    let stat = stat(workshop);
    let layers = stat["manifest"]["blob"]["layers"].as_array().unwrap();
    let layer = layers.last().unwrap().clone();
    let blob = std::fs::read(workshop.blob_path(layer["digest"].as_str().unwrap())).unwrap();
    (layer, blob)
}

/// What GNU tar lists in an archive.
fn listed(archive: &Path) -> Vec<String> {
    let listing = run(Command::new("tar").arg("-tf").arg(archive));
    listing.lines().map(str::to_owned).collect()
}

/// What GNU tar lists in the topmost layer.
fn listed_layer(workshop: &Workshop) -> Vec<String> {
    let (_, blob) = top_layer(workshop);
    let path = workshop.path("layer");
    std::fs::write(&path, blob).unwrap();
    listed(&path)
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with every kind of file.
fn fill(root: &Path) {
    std::fs::create_dir_all(root.join("d/locked")).unwrap();
    std::fs::write(root.join("d/file"), "content").unwrap();
    std::os::unix::fs::chown(root.join("d/file"), Some(1000), Some(3_000_000)).unwrap();
    std::fs::set_permissions(root.join("d/file"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::hard_link(root.join("d/file"), root.join("hard")).unwrap();
    symlink("/d/file", root.join("soft")).unwrap();
    std::fs::hard_link(root.join("soft"), root.join("soft-2")).unwrap();
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(
            CWD,
            root.join(name),
            kind,
            Mode::from_raw_mode(0o640),
            device,
        )
        .unwrap();
    };
    node("fifo", FileType::Fifo, 0);
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("loop", FileType::BlockDevice, rustix::fs::makedev(7, 300));
    std::fs::write(root.join("caps"), "").unwrap();
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(root.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("caps", "security.capability", NET_RAW);
    set("d", "user.on-directory", b"a\0=\n");
    std::fs::write(root.join("n".repeat(250)), "long").unwrap();
    std::fs::write(root.join("wörld \u{1f600}"), "").unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.write_at(b"begin", 0).unwrap();
    sparse.write_at(b"middle", 5 << 20).unwrap();
    sparse.set_len(12 << 20).unwrap();
    std::fs::set_permissions(root.join("d/locked"), PermissionsExt::from_mode(0o0)).unwrap();
    for name in ["d/file", "soft", "fifo", "null", "d/locked", "d", "sparse"] {
        set_time(&root.join(name), 1_234_567_890, 123_456_789);
    }
    set_time(&root.join("caps"), -5, 0);
    set_time(root, 77, 0);
}

#[test]
fn what_goes_in_comes_out() {
    let workshop = Workshop::new();
    blank(&workshop);
    let tree = workshop.path("tree");
    std::fs::create_dir(&tree).unwrap();
    fill(&tree);
    let expected = snapshot(&tree);
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    set_time(&tree, 77, 0);
    let stderr = inserted(&workshop, &[tree.to_str().unwrap(), "/"]);
    assert!(stderr.contains("/socket: a socket, left out"), "{stderr}");
    workshop.unpacked(&[]);
    assert_eq!(snapshot(&workshop.rootfs()), expected);
}

#[test]
fn other_readers_read_the_same() {
    let workshop = Workshop::new();
    blank(&workshop);
    let tree = workshop.path("tree");
    std::fs::create_dir(&tree).unwrap();
    fill(&tree);
    inserted(&workshop, &["--compress=none", tree.to_str().unwrap(), "/"]);
    let (_, blob) = top_layer(&workshop);
    let archive = workshop.path("layer.tar");
    std::fs::write(&archive, blob).unwrap();
    // GNU tar, with all that it can restore.
    let by_tar = workshop.path("by-tar");
    std::fs::create_dir(&by_tar).unwrap();
    let options = [
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "-p",
        "-xf",
    ];
    run(Command::new("tar")
        .arg("-C")
        .arg(&by_tar)
        .args(options)
        .arg(&archive));
    assert_eq!(snapshot(&by_tar), snapshot(&tree));
    // umoci.
    let umoci = |arguments: &[&str]| {
        run(Command::new("umoci")
            .current_dir(workshop.directory.path())
            .args(arguments))
    };
    umoci(&["unpack", "--image", "layout", "by-umoci"]);
    assert_eq!(snapshot(&workshop.path("by-umoci/rootfs")), snapshot(&tree));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let workshop = Workshop::new();
    let mut layers = Vec::new();
    for (number, names) in [["a", "b", "c"], ["c", "a", "b"]].iter().enumerate() {
        let tree = workshop.path(&format!("tree{number}"));
        std::fs::create_dir(&tree).unwrap();
        for name in names {
            std::fs::write(tree.join(name), name.repeat(100_000)).unwrap();
            set_time(&tree.join(name), 5, i64::try_from(number).unwrap() + 1);
        }
        std::fs::create_dir(tree.join("a-directory")).unwrap();
        for compress in ["gzip", "zstd", "none"] {
            let mut command = windlass_img();
            run(command.args(["new", "--image", &image(&workshop)]));
            let mut command = windlass_img();
            command.args([
                "insert",
                "--image",
                &image(&workshop),
                "--compress",
                compress,
            ]);
            run(command.arg(&tree).arg("/opt").env("SOURCE_DATE_EPOCH", "5"));
            layers.push(top_layer(&workshop).1);
        }
    }
    assert!(layers[..3] == layers[3..], "they differ");
    let (layer, _) = top_layer(&workshop);
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn compression_is_as_the_image_has_it() {
    let workshop = Workshop::new();
    blank(&workshop);
    std::fs::write(workshop.path("f"), "data").unwrap();
    let source = workshop.path("f");
    let kind = |arguments: &[&str]| {
        let arguments = [arguments, &[source.to_str().unwrap(), "/f"]].concat();
        inserted(&workshop, &arguments);
        let (layer, _) = top_layer(&workshop);
        let kind = layer["mediaType"].as_str().unwrap().to_owned();
        kind.rsplit_once("v1.").unwrap().1.to_owned()
    };
    assert_eq!(kind(&[]), "tar+gzip");
    assert_eq!(kind(&["--compress=zstd"]), "tar+zstd");
    assert_eq!(kind(&["--compress=none"]), "tar");
    assert_eq!(kind(&["--compress=auto"]), "tar+zstd");
    assert!(
        !insert(&workshop, &["--compress=lzw", "a", "b"])
            .status
            .success()
    );
    workshop.unpacked(&[]);
}

#[test]
fn a_tree_is_merged_replaced_or_removed() {
    let workshop = Workshop::new();
    workshop.image(&[&[
        directory("etc"),
        file("etc/old", "old"),
        file("etc/both", "old"),
        directory("opt"),
        file("opt/old", "old"),
        file("gone", "x"),
    ]]);
    let tree = workshop.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("both"), "new").unwrap();
    let tree = tree.to_str().unwrap().to_owned() + "/";
    inserted(&workshop, &[&tree, "/etc"]);
    inserted(&workshop, &["--opaque", &tree, "/opt"]);
    assert_eq!(
        listed_layer(&workshop),
        ["opt/.wh..wh..opq", "opt/", "opt/both"]
    );
    inserted(&workshop, &["--whiteout", "/gone"]);
    assert_eq!(listed_layer(&workshop), [".wh.gone"]);
    workshop.unpacked(&[]);
    let names: Vec<_> = snapshot(&workshop.rootfs()).into_keys().collect();
    let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(names, ["", "etc", "etc/both", "etc/old", "opt", "opt/both"]);
    assert_eq!(
        std::fs::read_to_string(workshop.rootfs().join("etc/both")).unwrap(),
        "new"
    );
    for arguments in [
        &["--whiteout", "a", "b"][..],
        &["--whiteout", "--opaque", "/a"],
        &["/only-one"],
        &["/does/not/exist", "/x"],
        &[&tree, "/x/../../y"],
        &["--whiteout", "/"],
        &[&tree, "/.wh.x"],
    ] {
        assert!(
            !insert(&workshop, arguments).status.success(),
            "{arguments:?}"
        );
    }
}

#[test]
fn owners_are_mapped_back() {
    let workshop = Workshop::new();
    blank(&workshop);
    let tree = workshop.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::os::unix::fs::chown(&tree, Some(100_000), Some(200_005)).unwrap();
    let maps = ["--uid-map=0:100000:10", "--gid-map=0:200000:10"];
    inserted(
        &workshop,
        &[maps[0], maps[1], tree.to_str().unwrap(), "/opt"],
    );
    workshop.unpacked(&[]);
    let opt = workshop.rootfs().join("opt").metadata().unwrap();
    assert_eq!((opt.uid(), opt.gid()), (0, 5));
    std::os::unix::fs::chown(&tree, Some(7), Some(200_005)).unwrap();
    let output = insert(
        &workshop,
        &[maps[0], maps[1], tree.to_str().unwrap(), "/opt"],
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("user 7 of the host is in no --uid-map")
    );
}

#[test]
fn attributes_of_the_host_stay_there() {
    let workshop = Workshop::new();
    blank(&workshop);
    let source = workshop.path("f");
    std::fs::write(&source, "").unwrap();
    for (name, value) in [
        ("user.kept", &b"v"[..]),
        ("user.empty", b""),
        ("trusted.overlay.opaque", b"y"),
        ("user.rootlesscontainers", b"\x08\x01"),
    ] {
        rustix::fs::setxattr(&source, name, value, XattrFlags::empty()).unwrap();
    }
    let stderr = inserted(&workshop, &[source.to_str().unwrap(), "/f"]);
    assert!(stderr.contains("attribute user.empty is empty"), "{stderr}");
    workshop.unpacked(&[]);
    let kept: Vec<_> = xattrs(&workshop.rootfs().join("f")).into_keys().collect();
    assert_eq!(kept, ["user.kept"]);
}

#[test]
fn an_archive_is_added_byte_for_byte() {
    let workshop = Workshop::new();
    blank(&workshop);
    let archive = tar(&[file("f", "content"), directory("d")]);
    let path = workshop.path("layer.tar");
    std::fs::write(&path, &archive).unwrap();
    let add = |path: &Path| {
        let mut command = windlass_img();
        command.args(["raw", "add-layer", "--image", &image(&workshop)]);
        command.arg(path).output().unwrap()
    };
    assert!(add(&path).status.success());
    let (layer, blob) = top_layer(&workshop);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&blob[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, archive);
    let length = archive.len().to_string();
    assert_eq!(
        layer["annotations"]["ci.umo.uncompressed_blob_size"],
        length
    );
    let stat = stat(&workshop);
    assert_eq!(
        stat["history"][0]["diff_id"],
        image_builder::digest(&archive)
    );
    let index = std::fs::read(workshop.layout().join("index.json")).unwrap();
    // What we would not unpack we do not add.
    std::fs::write(&path, &blob).unwrap();
    for path in [&path, &workshop.layout(), &workshop.path("missing")] {
        assert!(!add(path).status.success(), "{}", path.display());
    }
    assert_eq!(
        std::fs::read(workshop.layout().join("index.json")).unwrap(),
        index
    );
}
