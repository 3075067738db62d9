//! What copying does to what is at the destination already, and to what that leads to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

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
