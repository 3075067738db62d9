//! Layers that carry a table of contents for those who fetch single files: eStargz and zstd:chunked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::path::Path;
use std::process::Command;

use image_builder::{
    Entry, MANIFEST, Packing, Workshop, directory, file, hard_link, run, snapshot, symlink, tar,
    windlass_img,
};
use serde_json::json;

/// An image of one layer, whose blob is what `blob` says and not what we would make of the archive.
fn image(workshop: &Workshop, archive: &[u8], blob: &[u8], packing: Packing) {
    let descriptor = workshop.add_image(&[(archive.to_vec(), packing)], json!({}));
    let manifest = workshop.blob_path(descriptor["digest"].as_str().unwrap());
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    manifest["layers"] = json!([workshop.add_blob(blob, packing.media_type())]);
    let mut descriptor = workshop.add_blob(manifest.to_string().as_bytes(), MANIFEST);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[descriptor]);
}

fn files() -> Vec<Entry> {
    vec![
        directory("etc/"),
        file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        hard_link("etc/other", "etc/passwd"),
        symlink("etc/link", "passwd"),
        file("etc/stargz.index.json", "not at the root"),
        file("large", &"text ".repeat(100_000)),
    ]
}

/// What there is for the fetchers' sake: landmarks among the files, the table as the last entry.
fn with_table() -> Vec<Entry> {
    let mut entries = files();
    let table =
        json!({"version": 1, "entries": [{"name": "etc/passwd", "type": "reg", "size": 26}]});
    entries.insert(2, file(".prefetch.landmark", "\u{f}"));
    entries.insert(0, file(".no.prefetch.landmark", "\u{f}"));
    entries.push(file("stargz.index.json", &table.to_string()));
    entries
}

/// Each entry a gzip member of its own, then the footer (stargz-snapshotter, docs/estargz.md).
fn estargz(archive: &[u8], entries: &[Entry]) -> Vec<u8> {
    let mut blob = Vec::new();
    let (mut rest, mut table) = (archive, 0);
    for entry in entries {
        let length = 512 + entry.data.len().next_multiple_of(512);
        let (member, after) = rest.split_at(length);
        table = blob.len();
        rest = after;
        blob.extend(Packing::Gzip.pack(member));
    }
    blob.truncate(table);
    // The table's member holds the archive's end too.
    let table_member = &archive[archive.len() - rest.len() - table_length(entries)..];
    blob.extend(Packing::Gzip.pack(table_member));
    blob.extend(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0");
    blob.extend(format!("{table:016x}STARGZ").as_bytes());
    blob.extend(b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0");
    blob
}

fn table_length(entries: &[Entry]) -> usize {
    512 + entries.last().unwrap().data.len().next_multiple_of(512)
}

#[test]
fn the_table_of_estargz_is_no_file() {
    let workshop = Workshop::new();
    workshop.add_image(&[(tar(&files()), Packing::Gzip)], json!({}));
    workshop.unpacked(&[]);
    let expected = snapshot(&workshop.rootfs());
    std::fs::remove_dir_all(workshop.bundle()).unwrap();

    let archive = tar(&with_table());
    image(
        &workshop,
        &archive,
        &estargz(&archive, &with_table()),
        Packing::Gzip,
    );
    workshop.unpacked(&[]);
    assert_eq!(snapshot(&workshop.rootfs()), expected);
    // The bundle is the image's all the same: nothing has changed.
    let layout = format!("{}:latest", workshop.layout().display());
    run(windlass_img()
        .args(["repack", "--image", &layout])
        .arg(workshop.bundle()));
    let document = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let index = document(&workshop.layout().join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = document(&workshop.blob_path(digest));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
}

#[test]
fn without_the_footer_they_are_files() {
    let workshop = Workshop::new();
    workshop.add_image(&[(tar(&with_table()), Packing::Gzip)], json!({}));
    workshop.unpacked(&[]);
    for name in [
        "stargz.index.json",
        ".prefetch.landmark",
        ".no.prefetch.landmark",
    ] {
        assert!(workshop.rootfs().join(name).is_file(), "{name}");
    }
}

/// A link or directory of such a name is nothing that a fetcher puts there.
#[test]
fn only_files_belong_to_the_table() {
    let workshop = Workshop::new();
    let mut entries = files();
    entries.push(symlink(".prefetch.landmark", "large"));
    entries.push(file("stargz.index.json", "{}"));
    let archive = tar(&entries);
    image(
        &workshop,
        &archive,
        &estargz(&archive, &entries),
        Packing::Gzip,
    );
    workshop.unpacked(&[]);
    assert!(workshop.rootfs().join(".prefetch.landmark").is_symlink());
    assert!(!workshop.rootfs().join("stargz.index.json").exists());
}

fn skopeo_makes(source: &Path, target: &Path) -> bool {
    let made = Command::new("skopeo")
        .args([
            "copy",
            "--quiet",
            "--dest-compress",
            "--dest-compress-format",
            "zstd:chunked",
        ])
        .arg(format!("oci:{}:latest", source.display()))
        .arg(format!("oci:{}:latest", target.display()))
        .status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn what_skopeo_chunked_is_the_same_tree() {
    let workshop = Workshop::new();
    let layers = [
        (tar(&files()), Packing::Gzip),
        (
            tar(&[file("etc/.wh.other", ""), file("new", "x")]),
            Packing::Gzip,
        ),
    ];
    workshop.add_image(&layers, json!({}));
    workshop.unpacked(&[]);
    let expected = snapshot(&workshop.rootfs());
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    let chunked = workshop.path("chunked");
    if !skopeo_makes(&workshop.layout(), &chunked) {
        println!("skipped: there is no skopeo that writes zstd:chunked");
        return;
    }
    let blobs: Vec<Vec<u8>> = std::fs::read_dir(chunked.join("blobs/sha256"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let is_chunked = |blob: &&Vec<u8>| blob.to_ascii_lowercase().ends_with(b"gnulinux");
    assert_eq!(blobs.iter().filter(is_chunked).count(), 2);
    run(windlass_img()
        .args(["unpack", "--image"])
        .arg(&chunked)
        .arg(workshop.bundle()));
    assert_eq!(snapshot(&workshop.rootfs()), expected);
}
