//! Bundles that were changed become images again, whoever unpacked them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image_builder::{
    Workshop, directory, entry, file, hard_link, run, snapshot, symlink as link_entry, windlass_img,
};
use serde_json::{Value, json};

/// An image with a little of everything.
fn image_of_all_kinds() -> Workshop {
    let workshop = Workshop::new();
    workshop.image(&[
        &[
            directory("./").mtime(5),
            directory("etc"),
            file("etc/passwd", "root:x:0:0::/root:/bin/sh"),
            file("etc/a b*?[#\\", "strange name"),
            directory("lib"),
            file("lib/one", "1").xattr("user.a", b"v\0"),
            hard_link("lib/two", "lib/one"),
            link_entry("bin", "usr/b in"),
            directory("var/data/deep"),
            file("var/data/deep/file", "data")
                .owner(1000, 1000)
                .mode(0o4711),
            entry(b'6', "fifo"),
            entry(b'3', "null").device(1, 3),
            directory("locked").mode(0),
            file("locked/inside", "x").mode(0),
        ],
        &[file("etc/second", "layer").pax("mtime", b"77.5")],
    ]);
    workshop
}

fn unpack(workshop: &Workshop, tag: &str, bundle: &str, options: &[&str]) -> PathBuf {
    let bundle = workshop.path(bundle);
    let image = format!("{}:{tag}", workshop.layout().display());
    let mut command = windlass_img();
    command.args(["unpack", "--image", &image]).args(options);
    run(command.arg(&bundle));
    bundle
}

fn repack(workshop: &Workshop, tag: &str, bundle: &Path, options: &[&str]) -> Output {
    let image = format!("{}:{tag}", workshop.layout().display());
    let mut command = windlass_img();
    command.args(["repack", "--image", &image]).args(options);
    command.arg(bundle).output().unwrap()
}

fn repacked(workshop: &Workshop, tag: &str, bundle: &Path, options: &[&str]) -> String {
    let output = repack(workshop, tag, bundle, options);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr
}

fn umoci(workshop: &Workshop, arguments: &[&str]) {
    run(Command::new("umoci")
        .current_dir(workshop.directory.path())
        .args(arguments));
}

fn stat(workshop: &Workshop, tag: &str) -> Value {
    let image = format!("{}:{tag}", workshop.layout().display());
    let mut command = windlass_img();
    serde_json::from_str(&run(command.args(["stat", "--json", "--image", &image]))).unwrap()
}

fn layers(workshop: &Workshop, tag: &str) -> usize {
    let stat = stat(workshop, tag);
    stat["manifest"]["blob"]["layers"].as_array().unwrap().len()
}

/// The names in the topmost layer, as GNU tar lists them.
fn top_layer(workshop: &Workshop, tag: &str) -> Vec<String> {
    let stat = stat(workshop, tag);
    let layers = stat["manifest"]["blob"]["layers"].as_array().unwrap();
    let blob = workshop.blob_path(layers.last().unwrap()["digest"].as_str().unwrap());
    let listing = run(Command::new("tar").arg("-tzf").arg(blob));
    listing.lines().map(str::to_owned).collect()
}

/// Gives all that was written just now one time, to the second: umoci keeps no more of it, and sees
/// no change within one second.
fn settle(root: &Path) {
    let newer = ["-newermt", "2020-01-01", "-print0"];
    let find = run(Command::new("find").arg(root).args(newer));
    for path in find.split('\0').filter(|path| !path.is_empty()) {
        run(Command::new("touch").args(["-h", "-d", "2019-01-01", path]));
    }
}

/// Every kind of change.
fn change(root: &Path) {
    std::fs::write(root.join("new"), "new").unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/no").unwrap();
    std::fs::remove_file(root.join("etc/second")).unwrap();
    std::fs::remove_dir_all(root.join("var/data")).unwrap();
    std::fs::remove_file(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("bin/sub")).unwrap();
    std::fs::write(root.join("bin/sub/file"), "below what was a link").unwrap();
    std::fs::remove_dir_all(root.join("lib")).unwrap();
    symlink("etc", root.join("lib")).unwrap();
    std::fs::hard_link(root.join("new"), root.join("etc/new-too")).unwrap();
    let mode = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(root.join("fifo"), mode).unwrap();
    std::os::unix::fs::chown(root.join("null"), Some(3), Some(4)).unwrap();
}

#[test]
fn without_a_change_there_is_no_layer() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    repacked(&workshop, "same", &bundle, &[]);
    assert_eq!(layers(&workshop, "same"), 2);
    let history = &stat(&workshop, "same")["history"];
    assert_eq!(history[0]["created_by"], "windlass-img repack");
    assert_eq!(history[0]["empty_layer"], true);
    repacked(&workshop, "same", &bundle, &["--no-history"]);
    assert_eq!(
        stat(&workshop, "same")["history"].as_array().unwrap().len(),
        0
    );
}

#[test]
fn every_change_comes_back() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    change(&bundle.join("rootfs"));
    repacked(
        &workshop,
        "changed",
        &bundle,
        &["--history.comment=changes"],
    );
    assert_eq!(layers(&workshop, "changed"), 3);
    assert_eq!(
        stat(&workshop, "changed")["history"][0]["comment"],
        "changes"
    );
    let expected = [
        "./",
        "bin/",
        "bin/sub/",
        "bin/sub/file",
        "etc/",
        "etc/new-too",
        "etc/passwd",
        "etc/.wh.second",
        "fifo",
        "lib",
        "new",
        "null",
        "var/",
        "var/.wh.data",
    ];
    assert_eq!(top_layer(&workshop, "changed"), expected);
    let again = unpack(&workshop, "changed", "b2", &[]);
    assert_eq!(
        snapshot(&again.join("rootfs")),
        snapshot(&bundle.join("rootfs"))
    );
    repacked(&workshop, "unchanged", &again, &[]);
    assert_eq!(layers(&workshop, "unchanged"), 3);
}

#[test]
fn a_file_that_only_looks_the_same_is_found() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    let path = bundle.join("rootfs/etc/passwd");
    let times = std::fs::metadata(&path).unwrap();
    std::fs::write(&path, "root:x:0:0::/root:/bin/SH").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let times = std::fs::FileTimes::new().set_modified(times.modified().unwrap());
    file.set_times(times).unwrap();
    repacked(&workshop, "changed", &bundle, &[]);
    assert_eq!(top_layer(&workshop, "changed"), ["etc/passwd"]);
}

#[test]
fn umocis_bundles_are_repacked() {
    let workshop = image_of_all_kinds();
    umoci(&workshop, &["unpack", "--image", "layout", "b"]);
    let bundle = workshop.path("b");
    repacked(&workshop, "same", &bundle, &[]);
    assert_eq!(layers(&workshop, "same"), 2);
    change(&bundle.join("rootfs"));
    settle(&bundle.join("rootfs"));
    repacked(&workshop, "changed", &bundle, &["--refresh-bundle"]);
    let again = unpack(&workshop, "changed", "b2", &[]);
    assert_eq!(
        snapshot(&again.join("rootfs")),
        snapshot(&bundle.join("rootfs"))
    );
    // The refreshed bundle is one that umoci goes on with.
    umoci(&workshop, &["repack", "--image", "layout:unchanged", "b"]);
    assert_eq!(layers(&workshop, "unchanged"), 3);
}

#[test]
fn our_bundles_are_repacked_by_umoci() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    umoci(&workshop, &["repack", "--image", "layout:same", "b"]);
    assert_eq!(layers(&workshop, "same"), 2);
    change(&bundle.join("rootfs"));
    settle(&bundle.join("rootfs"));
    umoci(
        &workshop,
        &[
            "repack",
            "--refresh-bundle",
            "--image",
            "layout:changed",
            "b",
        ],
    );
    let again = unpack(&workshop, "changed", "b2", &[]);
    assert_eq!(
        snapshot(&again.join("rootfs")),
        snapshot(&bundle.join("rootfs"))
    );
    repacked(&workshop, "unchanged", &bundle, &[]);
    assert_eq!(layers(&workshop, "unchanged"), 3);
}

#[test]
fn a_refreshed_bundle_starts_from_the_new_image() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    std::fs::write(bundle.join("rootfs/first"), "1").unwrap();
    repacked(&workshop, "one", &bundle, &["--refresh-bundle"]);
    std::fs::write(bundle.join("rootfs/second"), "2").unwrap();
    repacked(&workshop, "two", &bundle, &["--refresh-bundle"]);
    assert_eq!(layers(&workshop, "two"), 4);
    // The root directory too, if a second has gone by.
    let names = top_layer(&workshop, "two");
    assert_eq!(names.last().unwrap(), "second");
    assert!(names.len() <= 2, "{names:?}");
    let mut names: Vec<String> = std::fs::read_dir(&bundle)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let digest = &stat(&workshop, "two")["manifest"]["descriptor"]["digest"];
    let manifest = digest.as_str().unwrap().replace(':', "_") + ".mtree";
    assert_eq!(names, ["config.json", "rootfs", &manifest, "umoci.json"]);
}

#[test]
fn volumes_and_masked_paths_stay_out() {
    let workshop = image_of_all_kinds();
    let image = format!("{}:latest", workshop.layout().display());
    let config = ["config", "--image", &image, "--config.volume=/var/data"];
    run(windlass_img().args(config));
    let bundle = unpack(&workshop, "latest", "b", &[]);
    let root = bundle.join("rootfs");
    std::fs::write(root.join("var/data/written"), "by the volume").unwrap();
    std::fs::write(root.join("var/data2"), "beside it").unwrap();
    std::fs::create_dir(root.join("cache")).unwrap();
    std::fs::write(root.join("cache/file"), "masked").unwrap();
    let mask = "--mask-path=/./cache/../cache/";
    repacked(&workshop, "masked", &bundle, &[mask]);
    assert_eq!(top_layer(&workshop, "masked"), ["./", "var/", "var/data2"]);
    repacked(&workshop, "all", &bundle, &["--no-mask-volumes"]);
    let names = [
        "./",
        "cache/",
        "cache/file",
        "var/",
        "var/data/",
        "var/data/written",
        "var/data2",
    ];
    assert_eq!(top_layer(&workshop, "all"), names);
}

#[test]
fn owners_are_mapped_back() {
    let workshop = image_of_all_kinds();
    let maps = ["--uid-map=0:100000:65536", "--gid-map=0:200000:65536"];
    let bundle = unpack(&workshop, "latest", "b", &maps);
    repacked(&workshop, "same", &bundle, &[]);
    assert_eq!(layers(&workshop, "same"), 2);
    let new = bundle.join("rootfs/new");
    std::fs::write(&new, "").unwrap();
    std::os::unix::fs::chown(&new, Some(100_007), Some(200_008)).unwrap();
    repacked(&workshop, "changed", &bundle, &[]);
    let plain = unpack(&workshop, "changed", "b2", &[]);
    let new = plain.join("rootfs/new").metadata().unwrap();
    assert_eq!((new.uid(), new.gid()), (7, 8));
    // Nobody in the image owns what root of the host made.
    std::fs::write(bundle.join("rootfs/hosts"), "").unwrap();
    let output = repack(&workshop, "hosts", &bundle, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        stderr.contains("/hosts") && stderr.contains("in no --uid-map range"),
        "{stderr}"
    );
}

#[test]
fn rootless_bundles_are_repacked_without_privileges() {
    let workshop = image_of_all_kinds();
    let directory = workshop.directory.path();
    run(Command::new("chown")
        .arg("-R")
        .arg("1234:1234")
        .arg(directory));
    let program = workshop.path("windlass-img");
    std::fs::copy(env!("CARGO_BIN_EXE_windlass-img"), &program).unwrap();
    let as_user = |script: &str| {
        run(Command::new("setpriv")
            .args([
                "--reuid=1234",
                "--regid=1234",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args(["sh", "-euc", script])
            .current_dir(directory))
    };
    as_user("./windlass-img unpack --rootless --image layout b");
    as_user("./windlass-img repack --image layout:same b");
    assert_eq!(layers(&workshop, "same"), 2);
    as_user(
        "chmod 700 b/rootfs/locked && echo new > b/rootfs/locked/new && \
         chmod 0 b/rootfs/locked/new b/rootfs/locked && \
         echo more >> b/rootfs/var/data/deep/file && \
         ./windlass-img repack --image layout:changed b",
    );
    let modes = ["b/rootfs/locked", "b/rootfs/locked/new"];
    let mode = |name: &str| workshop.path(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(modes.map(mode), [0, 0], "the modes were not given back");
    let names = ["locked/", "locked/new", "var/data/deep/file"];
    assert_eq!(top_layer(&workshop, "changed"), names);
    let plain = unpack(&workshop, "changed", "b2", &[]);
    let file = plain.join("rootfs/var/data/deep/file").metadata().unwrap();
    assert_eq!((file.uid(), file.gid()), (1000, 1000));
    let new = plain.join("rootfs/locked/new").metadata().unwrap();
    assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (0, 0, 0));
}

/// File systems give a removed file's inode to the next: what stands for a device must not pass for
/// the file that was there before.
#[test]
fn empty_files_for_devices_are_no_change() {
    let workshop = Workshop::new();
    let names: Vec<String> = (0..20).map(|number| format!("{number}")).collect();
    let files: Vec<_> = names.iter().map(|name| file(name, name)).collect();
    let whiteouts = names.iter().map(|name| file(&format!(".wh.{name}"), ""));
    let devices = names
        .iter()
        .map(|name| entry(b'3', &format!("device{name}")).device(1, 3));
    let above: Vec<_> = whiteouts.chain(devices).collect();
    workshop.image(&[&files, &above]);
    let bundle = unpack(&workshop, "latest", "b", &["--rootless"]);
    repacked(&workshop, "same", &bundle, &[]);
    assert_eq!(layers(&workshop, "same"), 2);
}

#[test]
fn what_can_not_be_repacked_changes_nothing() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    let before = std::fs::read(workshop.layout().join("index.json")).unwrap();
    let refused = |bundle: &Path, why: &str| {
        let output = repack(&workshop, "new", bundle, &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(stderr.contains(why), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let index = std::fs::read(workshop.layout().join("index.json")).unwrap();
        assert_eq!(index, before);
        let leftovers = std::fs::read_dir(workshop.layout()).unwrap().count();
        assert_eq!(leftovers, 3);
    };
    std::fs::write(bundle.join("rootfs/.wh.x"), "").unwrap();
    refused(&bundle, "begins with '.wh.'");
    std::fs::remove_file(bundle.join("rootfs/.wh.x")).unwrap();
    refused(&workshop.path("absent"), "open bundle");
    refused(&workshop.canary_path(), "was the bundle made by unpack?");
    let record = std::fs::read_to_string(bundle.join("umoci.json")).unwrap();
    let other = record.replace("\"umoci_version\":\"2\"", "\"umoci_version\":\"9\"");
    std::fs::write(bundle.join("umoci.json"), other).unwrap();
    refused(&bundle, "it has version '9'");
    workshop.assert_canary_is_well();
}

#[test]
fn a_tree_is_compared_with_its_manifest() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    let record = std::fs::read(bundle.join("umoci.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let digest = &record["from_descriptor_path"]["descriptor_walk"][0]["digest"];
    let manifest = bundle.join(digest.as_str().unwrap().replace(':', "_") + ".mtree");
    let validate = |options: &[&str]| {
        let mut command = windlass_img();
        command.args(["raw", "mtree-validate"]).args(options);
        command
            .arg("-f")
            .arg(&manifest)
            .arg("-p")
            .arg(bundle.join("rootfs"));
        let output = command.output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), found.is_empty(), "{found}");
        found
    };
    assert_eq!(validate(&[]), "");
    std::fs::write(bundle.join("rootfs/etc/passwd"), "").unwrap();
    std::fs::remove_file(bundle.join("rootfs/fifo")).unwrap();
    assert_eq!(
        validate(&["-k", "size,type"]),
        "\"/etc/passwd\": keyword \"size\": expected 25; got 0\n\"/fifo\": missing path\n"
    );
    assert_eq!(validate(&["-k", "uid"]), "\"/fifo\": missing path\n");
    // A keyword that only one side has makes a difference; no file on Linux has any flags.
    let flags = "\"/lib/one\": keyword \"flags\": expected ; got none\n";
    assert!(validate(&["-k", "flags"]).contains(flags));
    assert!(validate(&["--umoci-keywords"]).contains("\"/\": keyword \"tar_time\""));
}

#[test]
fn steps_of_unpack_by_themselves() {
    let workshop = image_of_all_kinds();
    let bundle = unpack(&workshop, "latest", "b", &[]);
    let image = format!("{}:latest", workshop.layout().display());
    let raw = |arguments: &[&str]| {
        let mut command = windlass_img();
        command
            .arg("raw")
            .args(&arguments[..1])
            .args(["--image", &image]);
        command.args(&arguments[1..]).output().unwrap()
    };
    let text = |name: &str| workshop.path(name).to_str().unwrap().to_owned();
    assert!(raw(&["unpack", &text("rootfs")]).status.success());
    assert_eq!(
        snapshot(&workshop.path("rootfs")),
        snapshot(&bundle.join("rootfs"))
    );
    assert!(
        !raw(&["unpack", &text("rootfs")]).status.success(),
        "not empty"
    );
    let config = |name: &str| std::fs::read(workshop.path(name)).unwrap();
    assert!(raw(&["runtime-config", &text("c1")]).status.success());
    assert!(
        raw(&["config", "--rootfs", &text("rootfs"), &text("c2")])
            .status
            .success()
    );
    assert_eq!(config("c2"), config("b/config.json"));
    run(windlass_img().args(["config", "--image", &image, "--config.user=root"]));
    assert!(
        raw(&["config", "--rootfs", &text("rootfs"), &text("c3")])
            .status
            .success()
    );
    run(windlass_img().args(["config", "--image", &image, "--config.user=app:video"]));
    let output = raw(&["config", &text("c4")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("not the image's user 'app:video'"),
        "{stderr}"
    );
    let written: Value = serde_json::from_slice(&config("c4")).unwrap();
    assert_eq!(written["process"]["user"], json!({ "uid": 0, "gid": 0 }));
    run(windlass_img().args(["config", "--image", &image, "--config.user=1:-1"]));
    assert!(!raw(&["config", &text("c5")]).status.success());
    assert!(!workshop.path("c5").exists());
}
