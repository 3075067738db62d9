//! Unpacking takes little memory, whatever is in the image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;
mod peak_memory;

use std::fs;
use std::process::Stdio;

use image_builder::{
    Entry, Packing, Workshop, directory, file, snapshot, symlink, tar, windlass_img,
};
use peak_memory::{place_in_memory, watch};
use tempfile::TempDir;
use windlass_img::layer::apply::{Applier, ApplyOptions};
use windlass_img::layer::tar::{TarLimits, TarReader};

/// The tree that layers give if directories' metadata may take so many bytes.
fn applied(layers: &[Vec<u8>], directories: usize) -> TempDir {
    let place = TempDir::new().unwrap();
    let mut options = ApplyOptions::default();
    options.limits.directories = directories;
    let mut applier = Applier::new(fs::File::open(place.path()).unwrap().into(), options).unwrap();
    for layer in layers {
        let mut tar = TarReader::new(&layer[..], TarLimits::default());
        applier.apply_layer(&mut tar).unwrap();
    }
    applier.finish().unwrap();
    place
}

#[test]
fn directories_that_are_finished_early_are_as_the_others() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: owners need root");
        return;
    }
    let closed = |name: &str| directory(name).mode(0o2500).owner(7, 8).mtime(1000);
    let layers = [
        tar(&[
            directory("/").mode(0o711).mtime(5),
            closed("a"),
            closed("a/b").xattr("user.x", b"1"),
            file("a/b/f", "f"),
            file("implied/dir/f", "f"),
            closed("gone"),
            file("gone/f", ""),
            closed("opaque"),
            file("opaque/old/f", ""),
            symlink("link", "a/b"),
            file("a/late", ""),
            closed("c").mtime(3),
        ]),
        tar(&[
            file("a/b/g", "g"),
            file("link/through", ""),
            closed("a/b/new"),
            file("a/b/new/f", ""),
            file("a/b/new/.wh.f", ""),
            file(".wh.gone", ""),
            file("opaque/new/f", ""),
            file("opaque/old/kept", ""),
            file("opaque/.wh..wh..opq", ""),
            directory("a/b").mode(0o750).mtime(9),
            file("a/b/last", ""),
            file("c", "no directory any more"),
        ]),
        tar(&[file("c/again/f", ""), file("a/.wh.b", "")]),
    ];
    let (all_at_the_end, at_once) = (applied(&layers, usize::MAX), applied(&layers, 0));
    let expected = snapshot(all_at_the_end.path());
    assert!(expected.len() > 10);
    assert_eq!(snapshot(at_once.path()), expected);
    let two = |limit| applied(&layers[..2], limit);
    let (all_at_the_end, at_once) = (two(usize::MAX), two(0));
    assert_eq!(snapshot(at_once.path()), snapshot(all_at_the_end.path()));
    assert!(at_once.path().join("a/b/new/f").exists());
    assert!(at_once.path().join("opaque/old/kept").exists());
    assert!(!at_once.path().join("opaque/old/f").exists());
}

/// Unpacks a workshop's image, and checks that it took less than 64 MiB.
fn unpack_in_little_memory(workshop: &Workshop) {
    let place = place_in_memory();
    let mut command = windlass_img();
    command.args([
        "unpack",
        "--image",
        &format!("{}:latest", workshop.layout().display()),
    ]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--rootless");
    }
    let (status, most) = watch(
        command
            .arg(place.path().join("bundle"))
            .stderr(Stdio::inherit()),
    );
    assert!(status.success());
    assert!(most > 0 && most < 64 << 10, "{most} KiB");
}

#[test]
fn directories_with_the_longest_names_fit() {
    let parents = vec!["a".repeat(240); 15].join("/");
    let directories: Vec<Entry> = (0..12_000)
        .map(|number| directory(&format!("{parents}/{number:0240}")))
        .collect();
    let workshop = Workshop::new();
    workshop.add_image(&[(tar(&directories), Packing::Gzip)], serde_json::json!({}));
    unpack_in_little_memory(&workshop);
}

/// Layers of many files in a directory of the lowest and one of so many zeros, each layer in a frame with
/// a window of 32 MiB.
fn with_large_windows(files: usize, zeros: usize) -> Workshop {
    let name = |layer: usize, number: usize| format!("d/{layer}-{number}");
    let layers: Vec<(Vec<u8>, Packing)> = (0..3)
        .map(|layer| {
            let mut entries = vec![directory("d"), file("zeros", &"\0".repeat(zeros))];
            entries.extend((0..files).map(|number| file(&name(layer, number), "")));
            (tar(&entries), Packing::ZstdWithWindow(25))
        })
        .collect();
    let workshop = Workshop::new();
    workshop.add_image(&layers, serde_json::json!({}));
    workshop
}

#[test]
fn layers_with_large_windows_fit() {
    unpack_in_little_memory(&with_large_windows(10_000, 40 << 20));
}

/// Windows and what has to be remembered of the files are of one budget.
#[test]
fn windows_and_names_share_the_memory() {
    let workshop = with_large_windows(30_000, 0);
    let image = format!("{}:latest", workshop.layout().display());
    let with_memory = |bytes: usize| {
        let mut command = windlass_img();
        command.args(["raw", "unpack", "--image", &image]);
        if !rustix::process::geteuid().is_root() {
            command.arg("--rootless");
        }
        command.arg("--max-memory").arg(bytes.to_string());
        command.arg(workshop.bundle()).output().unwrap()
    };
    for (bytes, enough) in [(32 << 20, false), (32800 << 10, false), (34 << 20, true)] {
        let output = with_memory(bytes);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), enough, "{bytes}: {message}");
        assert_eq!(message.contains("--max-memory"), !enough, "{message}");
        assert_eq!(workshop.bundle().exists(), enough);
    }
}
