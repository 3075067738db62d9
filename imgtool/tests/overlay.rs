//! An overlay's upper directory becomes a layer: on top of the lower layer it gives what the overlay
//! showed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::path::Path;
use std::process::Command;

use image_builder::{Workshop, run, snapshot, windlass_img};
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use windlass_img::layer::diff::overlay::write_upper;
use windlass_img::layer::diff::{LayerWriter, PackOptions};
use windlass_img::layer::path::ImagePath;
use windlass_img::layer::rootfs::RootFs;

fn upper_layer(upper: &Path, without_contents: &[&str]) -> anyhow::Result<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let upper = RootFs::new(rustix::fs::openat(CWD, upper, flags, Mode::empty()).unwrap());
    let path = |path: &&str| ImagePath::parse(path.as_bytes()).unwrap();
    let paths: Vec<_> = without_contents.iter().map(path).collect();
    let mut layer = LayerWriter::new(Vec::new(), PackOptions::default());
    write_upper(&upper, &paths, &mut layer)?;
    layer.finish()
}

fn listed(workshop: &Workshop, layer: &[u8]) -> Vec<String> {
    let path = workshop.path("listed.tar");
    std::fs::write(&path, layer).unwrap();
    let listing = run(Command::new("tar").arg("-tf").arg(path));
    listing.lines().map(str::to_owned).collect()
}

/// Mounts an overlay over `lower` in a mount namespace of its own and runs `script` in it, then
/// copies what it shows to `merged`.
fn write_through_overlay(workshop: &Workshop, script: &str) {
    let script = format!(
        "mkdir upper work mnt
        mount -t overlay overlay mnt -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off
        (cd mnt; {script})
        cp -a mnt merged"
    );
    run(Command::new("unshare")
        .args(["-m", "sh", "-euc", &script])
        .current_dir(workshop.directory.path()));
}

const LOWER: &str = "
    mkdir -p lower/etc lower/opt/old lower/var/data
    echo 1 > lower/etc/kept; echo 2 > lower/etc/changed; echo 3 > lower/etc/gone
    echo 4 > lower/opt/old/file; ln -s etc lower/link; echo 5 > lower/var/data/before
    chown 7:8 lower/etc/kept";

#[test]
fn what_the_overlay_showed_comes_back() {
    let workshop = Workshop::new();
    let directory = workshop.directory.path();
    run(Command::new("sh")
        .args(["-euc", LOWER])
        .current_dir(directory));
    write_through_overlay(
        &workshop,
        "echo changed >> etc/changed; rm etc/gone; rm -r opt; mkdir opt; echo new > opt/new
        rm link; mkdir link; echo below > link/file; chmod 700 etc/kept; chown 1:1 etc/kept
        echo a > hard; ln hard var/hard-too; mkfifo fifo; mknod device c 1 3
        setfattr -n user.x -v y etc; touch -h -d @5.25 hard etc",
    );
    let image = format!("{}:latest", workshop.layout().display());
    run(windlass_img().args(["new", "--image", &image]));
    let mut insert = windlass_img();
    run(insert
        .args(["insert", "--image", &image])
        .arg(directory.join("lower"))
        .arg("/"));
    let layer = upper_layer(&directory.join("upper"), &[]).unwrap();
    let names = listed(&workshop, &layer);
    for name in [
        "etc/.wh.gone",
        "opt/",
        "opt/.wh..wh..opq",
        "link/",
        "device",
    ] {
        assert!(
            names.iter().any(|known| known == name),
            "{name} is not in {names:?}"
        );
    }
    let archive = directory.join("upper.tar");
    std::fs::write(&archive, layer).unwrap();
    let mut add = windlass_img();
    run(add
        .args(["raw", "add-layer", "--image", &image])
        .arg(archive));
    workshop.unpacked(&[]);
    assert_eq!(
        snapshot(&workshop.rootfs()),
        snapshot(&directory.join("merged"))
    );
}

#[test]
fn of_a_mount_point_only_itself_goes_in() {
    let workshop = Workshop::new();
    let directory = workshop.directory.path();
    run(Command::new("sh")
        .args(["-euc", LOWER])
        .current_dir(directory));
    write_through_overlay(
        &workshop,
        "echo x > var/data/written; rm var/data/before; echo x > var/beside",
    );
    let layer = upper_layer(&directory.join("upper"), &["var/data"]).unwrap();
    let names = listed(&workshop, &layer);
    assert_eq!(names, ["./", "var/", "var/beside", "var/data/"]);
}

#[test]
fn whiteouts_by_attribute_and_in_a_users_overlay() {
    let workshop = Workshop::new();
    let upper = workshop.path("upper");
    std::fs::create_dir_all(upper.join("opaque")).unwrap();
    std::fs::write(upper.join("gone"), "").unwrap();
    std::fs::write(upper.join("empty"), "").unwrap();
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(upper.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("", "trusted.overlay.opaque", b"x");
    set("gone", "trusted.overlay.whiteout", b"");
    set("opaque", "user.overlay.opaque", b"y");
    set("empty", "trusted.overlay.origin", b"anything");
    let layer = upper_layer(&upper, &[]).unwrap();
    let names = listed(&workshop, &layer);
    assert_eq!(
        names,
        ["./", "empty", ".wh.gone", "opaque/", "opaque/.wh..wh..opq"]
    );
    assert!(!String::from_utf8_lossy(&layer).contains("overlay"));
}

#[test]
fn what_no_layer_can_say_is_refused() {
    let workshop = Workshop::new();
    for (number, key) in ["trusted.overlay.redirect", "trusted.overlay.metacopy"]
        .iter()
        .enumerate()
    {
        let upper = workshop.path(&format!("upper{number}"));
        std::fs::create_dir_all(upper.join("directory")).unwrap();
        std::fs::write(upper.join("file"), "").unwrap();
        let name = ["directory", "file"][number];
        rustix::fs::setxattr(upper.join(name), *key, b"x", XattrFlags::empty()).unwrap();
        let error = upper_layer(&upper, &[]).unwrap_err();
        assert!(format!("{error:#}").contains("mount it with"), "{error:#}");
    }
}
