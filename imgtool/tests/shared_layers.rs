//! Layers that are unpacked once for all containers show together what a flat unpack of the image
//! gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod image_builder;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;

use container::Site;
use image_builder::{
    Entry, Workshop, directory, entry, file, hard_link, snapshot, symlink, xattrs,
};
use rustix::fs::{CWD, Mode, OFlags};
use windlass_img::layer::limits::Limits;
use windlass_img::layout::resolve::Image;
use windlass_img::store::Store;
use windlass_img::store::layers::copy_directory_metadata;

/// Mounts an image's layers and says where.
fn mounted(site: &Site) -> PathBuf {
    let store = Store::open(&site.store()).unwrap();
    let image = Image::find(store.layout(), "latest").unwrap();
    let chain = store.unpacked_layers(&image, &Limits::default()).unwrap();
    let [upper, work, mount] = ["upper", "work", "mount"].map(|name| site.path(name));
    for path in [&upper, &work, &mount] {
        std::fs::create_dir(path).unwrap();
    }
    copy_directory_metadata(chain.directories.last().unwrap(), &upper).unwrap();
    let overlay = chain.overlay(Some(empty(site)), upper, work);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let target = rustix::fs::openat(CWD, &mount, flags, Mode::empty()).unwrap();
    overlay.mount_on(target.as_fd(), &mount).unwrap();
    mount
}

/// A lower directory with nothing in it: an overlay of one layer needs another.
fn empty(site: &Site) -> PathBuf {
    let path = site.path("empty");
    std::fs::create_dir(&path).unwrap();
    path
}

/// The shared layers of an image show what unpack makes of it.
fn same_tree(layers: &[&[Entry]]) {
    let site = Site::new();
    site.workshop.image(layers);
    site.workshop.unpacked(&[]);
    let flat = snapshot(&site.workshop.rootfs());
    let shared = snapshot(&mounted(&site));
    for (path, seen) in &flat {
        assert_eq!(shared.get(path), Some(seen), "{}", path.display());
    }
    assert_eq!(flat.len(), shared.len());
}

#[test]
fn whiteouts_and_opaque_directories() {
    let base = [
        file("gone", ""),
        file("a/gone", ""),
        file("a/kept", ""),
        file("tree/deep/file", ""),
        directory("opaque").mode(0o2775).owner(3, 4),
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
        file("opaque/sub/new", ""),
        file("opaque/.wh..wh..opq", ""),
        file("opaque/newer", ""),
        file("mixed/new", ""),
        file(".wh.mixed", ""),
    ];
    // What was hidden comes back as something else.
    let top = [
        file("gone/is/a/directory/now", "x"),
        directory("tree"),
        file("tree/other", ""),
        file(".wh.opaque", ""),
    ];
    same_tree(&[&base, &upper]);
    same_tree(&[&base, &upper, &top]);
}

#[test]
fn links_of_the_layers_below() {
    let base = [
        directory("usr/lib"),
        file("usr/lib/old", "old"),
        symlink("lib", "usr/lib"),
        symlink("absolute", "/usr/lib"),
        symlink("up", "../../../../usr"),
        file("data", "several names").mode(0o640).owner(5, 6),
        symlink("dangling", "nowhere"),
    ];
    let upper = [
        file("lib/new", "through a link"),
        file("absolute/newer", "through another"),
        file("up/lib/newest", "stays inside"),
        hard_link("name", "data"),
        hard_link("usr/lib/further", "data"),
        hard_link("link-to-link", "dangling"),
        file("lib/.wh.old", ""),
    ];
    let top = [hard_link("last", "usr/lib/newest"), file(".wh.name", "")];
    same_tree(&[&base, &upper]);
    same_tree(&[&base, &upper, &top]);
}

#[test]
fn files_and_directories_in_each_others_place() {
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
        file("twice", "first"),
        directory("twice"),
        file("twice", "last"),
    ];
    same_tree(&[&base, &upper]);
}

#[test]
fn metadata_of_every_kind() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x05\0\x07\0\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let base = [
        directory("./").mode(0o711).owner(0, 9).mtime(77),
        directory("group").mode(0o2770).owner(1, 50).mtime(3),
        directory("acl")
            .xattr("system.posix_acl_default", acl)
            .mtime(4),
        directory("locked").mode(0o500).owner(8, 8).mtime(42),
        file("locked/a", ""),
        file("capable", "x").xattr("security.capability", capability),
        file("set-id", "x").mode(0o6755).owner(0, 7),
        entry(b'3', "null").device(1, 3),
        entry(b'6', "fifo"),
        directory("empty"),
    ];
    // Work in directories that only lower layers describe leaves no trace on them.
    let upper = [
        file("group/new", ""),
        directory("group/sub"),
        file("acl/new", ""),
        directory("acl/sub"),
        file("locked/b", ""),
        file("group/made/on/the/way", ""),
        directory("empty").xattr("user.new", b"2"),
    ];
    let top = [file("locked/.wh.a", ""), directory("acl").mode(0o755)];
    same_tree(&[&base, &upper]);
    same_tree(&[&base, &upper, &top]);
    // The root is an entry like others.
    let root = [directory("./").mode(0o750).xattr("user.root", b"1")];
    same_tree(&[&base, &root]);
    same_tree(&[&root, &base, &[file("plain", "")]]);
}

/// A file of a lower layer that has two names there becomes two when a higher layer links to one of
/// them: an overlay copies the name that is used (overlayfs.rst, "Non-standard behavior").
#[test]
fn only_hard_links_across_layers_part() {
    let site = Site::new();
    let base = [file("a", "data"), hard_link("c", "a")];
    site.workshop.image(&[&base, &[hard_link("b", "a")]]);
    let tree = mounted(&site);
    for name in ["a", "b", "c"] {
        assert_eq!(std::fs::read_to_string(tree.join(name)).unwrap(), "data");
    }
    assert_eq!(
        snapshot(&tree)[&PathBuf::from("b")],
        snapshot(&tree)[&PathBuf::from("a")]
    );
}

/// Nothing that overlay writes for itself is seen from outside.
#[test]
fn layers_say_only_what_overlays_hide() {
    let site = Site::new();
    let base = [directory("d"), file("d/a", ""), file("e", "")];
    let upper = [file("d/b", ""), hard_link("f", "e")];
    site.workshop.image(&[&base, &upper]);
    let tree = mounted(&site);
    for name in ["d", "d/b", "e", "f"] {
        assert!(xattrs(&tree.join(name)).is_empty(), "{name}");
    }
}

/// An overlay takes a character device 0:0 for a whiteout: an image that has one can be used all the
/// same, without it.
#[test]
fn devices_that_are_whiteouts_to_an_overlay() {
    let site = Site::new();
    let whiteout = |name: &str| entry(b'3', name).device(0, 0);
    site.workshop.image(&[
        &[file("file", ""), whiteout("dev/first"), file("kept", "")],
        &[whiteout("file"), whiteout("dev/second"), file("new", "")],
    ]);
    let mount = mounted(&site);
    assert_eq!(container::names(&mount.join("dev")), Vec::<String>::new());
    assert_eq!(container::names(&mount), ["dev", "kept", "new"]);
}

#[test]
fn many_layers() {
    let site = Site::new();
    let layers: Vec<Vec<Entry>> = (0..130)
        .map(|number| {
            vec![
                file(&format!("file-{number}"), ""),
                file("same", &number.to_string()),
            ]
        })
        .collect();
    let layers: Vec<&[Entry]> = layers.iter().map(Vec::as_slice).collect();
    site.workshop.image(&layers);
    let tree = mounted(&site);
    assert_eq!(std::fs::read_dir(&tree).unwrap().count(), 131);
    assert_eq!(std::fs::read_to_string(tree.join("same")).unwrap(), "129");
}

/// Layers that images share are unpacked once, whoever asks at the same time.
#[test]
fn many_unpack_at_once() {
    let site = Site::new();
    let base: Vec<Entry> = (0..500)
        .map(|number| file(&format!("f{number}"), "x"))
        .collect();
    site.workshop
        .image(&[&base, &[file("a", "")], &[file("b", "")]]);
    let bundle = |number: usize| {
        site.command(&["bundle", "latest", &format!("bundle-{number}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let all: Vec<_> = (0..6).map(bundle).collect();
    for child in all {
        container::finished(child.wait_with_output().unwrap());
    }
    assert_eq!(site.layers().len(), 3);
    assert_eq!(site.mounts().len(), 6);
    let bundles: Vec<String> = (0..6).map(|number| format!("bundle-{number}")).collect();
    let mut unbundle = vec!["unbundle"];
    unbundle.extend(bundles.iter().map(String::as_str));
    site.ours(&unbundle);
    assert_eq!(site.mounts(), Vec::<String>::new());
}

#[test]
fn a_layer_that_lies_leaves_nothing() {
    let site = Site::new();
    let workshop: &Workshop = &site.workshop;
    let good = image_builder::tar(&[file("a", "")]);
    let bad = image_builder::tar(&[file("b", "")]);
    workshop.add_image(
        &[
            (good, image_builder::Packing::Gzip),
            (bad.clone(), image_builder::Packing::Plain),
        ],
        serde_json::json!({}),
    );
    let path = workshop.blob_path(&image_builder::digest(&bad));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] = b'c';
    std::fs::write(&path, bytes).unwrap();
    site.refused(&["bundle", "latest", "b"], "layer sha256:");
    assert_eq!(site.layers().len(), 1);
    assert!(!site.path("b").exists());
    assert_eq!(site.references(), Vec::<String>::new());
}

#[test]
fn a_directory_becomes_roots_again() {
    let base = [
        directory("theirs").owner(7, 8),
        directory("theirs/deeper").owner(7, 8),
    ];
    let upper = [directory("theirs"), file("theirs/new", "")];
    same_tree(&[&base, &upper]);
    let root = [directory("/").owner(3, 4)];
    same_tree(&[&root, &[directory("/")]]);
}
