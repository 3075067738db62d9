//! What copying does to what is at the destination already, and to what that leads to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use image_builder::{Workshop, file, run, snapshot, windlass_img};

/// Copies, with names of files from the workshop's directory.
fn copy(workshop: &Workshop, arguments: &[&str]) -> Output {
    let mut command = windlass_img();
    command.current_dir(workshop.directory.path());
    command.args(["copy", "-q"]).args(arguments);
    command.output().unwrap()
}

fn copied(workshop: &Workshop, arguments: &[&str]) {
    let output = copy(workshop, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
}

fn copy_directory(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[test]
fn blobs_that_others_share_stay() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    copy_directory(&workshop.layout(), &workshop.path("source"));
    let shared = workshop.path("shared");
    std::fs::rename(workshop.layout().join("blobs"), &shared).unwrap();
    symlink(&shared, workshop.layout().join("blobs")).unwrap();
    let before = snapshot(&shared);
    let output = copy(&workshop, &["oci:source:latest", "oci:layout:latest"]);
    assert!(!output.status.success(), "it wrote out of the layout");
    assert_eq!(snapshot(&shared), before);
}

#[test]
fn a_damaged_manifest_is_replaced() {
    let workshop = Workshop::new();
    let descriptor = workshop.image(&[&[file("f", "1")]]);
    copy_directory(&workshop.layout(), &workshop.path("source"));
    let manifest = workshop.blob_path(descriptor["digest"].as_str().unwrap());
    let good = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, " ".repeat(good.len())).unwrap();
    copied(&workshop, &["oci:source:latest", "oci:layout:latest"]);
    assert_eq!(std::fs::read(&manifest).unwrap(), good);
}

#[test]
fn a_new_layout_makes_nothing_outside_of_it() {
    let workshop = Workshop::new();
    let outside = workshop.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let layout = workshop.path("new");
    std::fs::create_dir(&layout).unwrap();
    symlink(&outside, layout.join("blobs")).unwrap();
    let mut init = windlass_img();
    let output = init.arg("init").arg("--layout").arg(&layout).output();
    assert!(!output.unwrap().status.success());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(layout.join("blobs").is_symlink());
}

#[test]
fn archives_go_where_links_lead_and_into_what_is_no_file() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    copied(
        &workshop,
        &["oci:layout:latest", "oci-archive:plain.tar:v1"],
    );
    let plain = std::fs::read(workshop.path("plain.tar")).unwrap();

    std::fs::create_dir(workshop.path("deep")).unwrap();
    std::fs::write(workshop.path("deep/target"), "old").unwrap();
    symlink("deep/target", workshop.path("link")).unwrap();
    copied(&workshop, &["oci:layout:latest", "oci-archive:link:v1"]);
    assert!(workshop.path("link").is_symlink(), "the link was replaced");
    assert_eq!(std::fs::read(workshop.path("deep/target")).unwrap(), plain);

    run(Command::new("mkfifo").arg(workshop.path("fifo")));
    let mut cat = Command::new("cat");
    cat.arg(workshop.path("fifo")).stdout(Stdio::piped());
    let mut cat = cat.spawn().unwrap();
    let output = copy(&workshop, &["oci:layout:latest", "oci-archive:fifo:v1"]);
    let fifo = workshop.path("fifo").symlink_metadata().unwrap();
    if !fifo.file_type().is_fifo() {
        cat.kill().unwrap();
        cat.wait().unwrap();
        panic!("the FIFO was replaced");
    }
    assert!(output.status.success());
    assert_eq!(cat.wait_with_output().unwrap().stdout, plain);

    symlink("nothing", workshop.path("dangling")).unwrap();
    let output = copy(&workshop, &["oci:layout:latest", "oci-archive:dangling:v1"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("symbolic link to nothing"), "{stderr}");
    assert!(workshop.path("dangling").is_symlink());
}

#[test]
fn an_archive_is_as_private_as_the_umask_says() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    for (umask, expected) in [("022", 0o644), ("077", 0o600)] {
        for archive in ["oci-archive", "docker-archive"] {
            let name = format!("{archive}-{umask}.tar");
            let mut shell = Command::new("sh");
            shell.current_dir(workshop.directory.path());
            shell.args(["-c", "umask $0; exec \"$@\"", umask]);
            shell.arg(env!("CARGO_BIN_EXE_windlass-img"));
            let destination = format!("{archive}:{name}");
            run(shell.args(["copy", "-q", "oci:layout:latest", &destination]));
            let mode = workshop.path(&name).metadata().unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, expected, "{name}");
        }
    }
}

/// A user's layout that root works in and is killed in.
#[test]
fn what_a_killed_root_leaves_is_the_users() {
    let workshop = Workshop::new();
    let descriptor = workshop.image(&[&[file("f", &"content ".repeat(1000))]]);
    copied(&workshop, &["oci:layout:latest", "dir:short"]);
    let manifest = workshop.blob_path(descriptor["digest"].as_str().unwrap());
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let layer = layer.split_once(':').unwrap().1;
    // Half of a layer comes, and is kept for the next try.
    let path = workshop.path("short").join(layer);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let users = workshop.path("users");
    run(windlass_img().arg("init").arg("--layout").arg(&users));
    run(Command::new("chown").args(["-R", "1234:1234"]).arg(&users));
    let output = copy(&workshop, &["dir:short", "oci:users:latest"]);
    assert!(!output.status.success());
    let owner = |path: &Path| path.metadata().unwrap().uid();
    let partial = users.join(".windlass-partial");
    assert_eq!(owner(&partial), 1234);
    assert_eq!(owner(&partial.join(format!("sha256-{layer}"))), 1234);

    let mut load = windlass_img();
    load.arg("load").arg("--layout").arg(&users);
    let mut load = load.stdin(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let incoming = loop {
        let mut entries = std::fs::read_dir(&users).unwrap().map(Result::unwrap);
        let found = entries.find(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with(".windlass-incoming-")
        });
        if let Some(entry) = found {
            break entry.path();
        }
        assert!(Instant::now() < deadline, "nothing comes in");
        std::thread::sleep(Duration::from_millis(10));
    };
    std::thread::sleep(Duration::from_millis(100));
    load.kill().unwrap();
    load.wait().unwrap();
    assert_eq!(owner(&incoming), 1234);
}

#[test]
fn what_can_not_be_removed_is_in_nobodys_way() {
    let workshop = Workshop::new();
    run(Command::new("chown")
        .args(["-R", "1234:1234"])
        .arg(workshop.directory.path()));
    let left = workshop.layout().join(".windlass-incoming-1-0");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("1"), "half a blob").unwrap();
    std::fs::set_permissions(&left, PermissionsExt::from_mode(0o700)).unwrap();
    let program = workshop.path("windlass-img");
    std::fs::copy(env!("CARGO_BIN_EXE_windlass-img"), &program).unwrap();
    let mut new = Command::new(program);
    new.uid(1234).gid(1234);
    new.args(["new", "--image", "layout:latest"]);
    let output = new.current_dir(workshop.directory.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("which a killed change left"), "{stderr}");
}

#[test]
fn a_directorys_older_image_goes_when_the_new_one_is_whole() {
    let workshop = Workshop::new();
    let names = |directory: &str| {
        let entries = std::fs::read_dir(workshop.path(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    workshop.image(&[&[file("old", "1")]]);
    copied(&workshop, &["oci:layout:latest", "dir:image"]);
    std::fs::write(workshop.path("image/signature-1"), "of the old one").unwrap();
    let old = snapshot(&workshop.path("image"));

    // No image for that platform.
    let mut foreign = workshop.add_manifest(&[], serde_json::json!({}));
    foreign["platform"] = serde_json::json!({ "os": "linux", "architecture": "z80" });
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": image_builder::INDEX,
        "manifests": [foreign] });
    let mut index = workshop.add_blob(index.to_string().as_bytes(), image_builder::INDEX);
    index["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[index]);
    let output = copy(&workshop, &["oci:layout:latest", "dir:image"]);
    assert!(!output.status.success());
    assert_eq!(snapshot(&workshop.path("image")), old);

    workshop.image(&[&[file("new", "2")]]);
    std::fs::write(workshop.path("image/letter"), "dear").unwrap();
    copied(&workshop, &["oci:layout:latest", "dir:image"]);
    copied(&workshop, &["oci:layout:latest", "dir:fresh"]);
    std::fs::write(workshop.path("fresh/letter"), "dear").unwrap();
    assert_eq!(names("image"), names("fresh"));
}

#[test]
fn an_archive_in_our_output_is_all_that_is_there() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let output = copy(
        &workshop,
        &["oci:layout:latest", "docker-archive:file.tar:name:tag"],
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("sha256:")
    );
    let archive = std::fs::read(workshop.path("file.tar")).unwrap();
    let output = copy(
        &workshop,
        &["oci:layout:latest", "docker-archive:/dev/stdout:name:tag"],
    );
    assert!(output.status.success());
    assert!(output.stdout == archive, "more than the archive");
}
