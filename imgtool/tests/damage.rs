//! Blobs that aren't what their descriptors say, and unpacks that are cut short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use image_builder::{CONFIG, Entry, MANIFEST, Packing, Workshop, digest, file, tar, windlass_img};
use serde_json::{Value, json};

/// An image whose one layer is described as `change` has it.
fn image_with(workshop: &Workshop, change: impl Fn(&mut Value)) {
    let archive = tar(&[file("f", &"content ".repeat(5000))]);
    let blob = Packing::Gzip.pack(&archive);
    let mut layer = workshop.add_blob(&blob, Packing::Gzip.media_type());
    layer["diffID"] = digest(&archive).into();
    change(&mut layer);
    let diff_id = layer.as_object_mut().unwrap().remove("diffID").unwrap();
    let config = json!({
        "architecture": image_builder::architecture(), "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config = workshop.add_blob(config.to_string().as_bytes(), CONFIG);
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let mut manifest = workshop.add_blob(manifest.to_string().as_bytes(), MANIFEST);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[manifest]);
}

fn layer_path(workshop: &Workshop) -> std::path::PathBuf {
    let blobs = workshop.layout().join("blobs/sha256");
    let paths = std::fs::read_dir(blobs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .into_iter()
        .find(|path| std::fs::read(path).unwrap().starts_with(b"\x1f\x8b"))
        .unwrap()
}

#[test]
fn what_the_descriptor_says_has_to_hold() {
    let workshop = Workshop::new();
    image_with(&workshop, |_| {});
    workshop.unpacked(&[]);
    std::fs::remove_dir_all(workshop.bundle()).unwrap();

    image_with(&workshop, |layer| layer["diffID"] = digest(b"other").into());
    workshop.refused("diffID");
    image_with(&workshop, |layer| {
        layer["size"] = (layer["size"].as_u64().unwrap() + 1).into();
    });
    workshop.refused("but its descriptor says");
    image_with(&workshop, |layer| {
        layer["size"] = (layer["size"].as_u64().unwrap() - 1).into();
    });
    workshop.refused("but its descriptor says");
    image_with(&workshop, |layer| {
        layer["mediaType"] = Packing::Plain.media_type().into();
    });
    workshop.refused("media type says uncompressed, its content is gzip");
    image_with(&workshop, |layer| {
        layer["mediaType"] = Packing::Zstd.media_type().into();
    });
    workshop.refused("media type says zstd");
    image_with(&workshop, |layer| {
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted".into();
    });
    workshop.refused("unsupported media type");
    image_with(&workshop, |layer| {
        layer["digest"] = digest(b"not there").into();
    });
    workshop.refused("can't open");
}

#[test]
fn damaged_blobs_are_found() {
    let workshop = Workshop::new();
    image_with(&workshop, |_| {});
    let path = layer_path(&workshop);
    let good = std::fs::read(&path).unwrap();
    // Cut short.
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    workshop.refused("but its descriptor says");
    // Something behind it, or before it, in umoci's words.
    std::fs::write(&path, [&good[..], b"\0"].concat()).unwrap();
    workshop.refused("(verified reader size mismatch)");
    std::fs::write(&path, [b"\0", &good[..]].concat()).unwrap();
    workshop.refused("(verified reader digest mismatch)");
    // The same length, but not the same: in the name of gzip's header, which gunzip ignores.
    let mut changed = good.clone();
    changed[9] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    workshop.refused("is corrupt");
    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x55;
    std::fs::write(&path, &changed).unwrap();
    workshop.refused("layer sha256:");
}

/// A layer may not ask for any amount of memory.
#[test]
fn a_window_of_zstd_is_bounded() {
    let workshop = Workshop::new();
    let archive = tar(&[file("f", "content")]);
    let pack = |window| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window).unwrap();
        encoder.write_all(&archive).unwrap();
        encoder.finish().unwrap()
    };
    workshop.add_packed_image(&archive, &pack(25), Packing::Zstd);
    workshop.unpacked(&[]);
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.add_packed_image(&archive, &pack(26), Packing::Zstd);
    workshop.refused("its zstd window is 64 MiB");
}

/// The digest covers the bytes after the archive's end, too.
#[test]
fn blobs_are_verified_to_their_end() {
    let workshop = Workshop::new();
    let mut archive = tar(&[file("f", "x")]);
    archive.extend([0; 10_000]);
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        workshop.add_image(&[(archive.clone(), packing)], json!({}));
        workshop.unpacked(&[]);
        std::fs::remove_dir_all(workshop.bundle()).unwrap();
    }
    let descriptor = workshop.add_image(&[(archive.clone(), Packing::Plain)], json!({}));
    assert!(descriptor["digest"].is_string());
    let path = workshop.blob_path(&digest(&archive));
    *archive.last_mut().unwrap() = 1;
    std::fs::write(path, &archive).unwrap();
    workshop.refused("is corrupt");
}

#[test]
fn broken_layouts_and_documents_are_one_line_errors() {
    let workshop = Workshop::new();
    workshop.refused("no image tagged 'latest'");
    workshop.image(&[&[file("f", "")]]);
    let index = workshop.layout().join("index.json");
    for bad in [
        "",
        "{",
        "[]",
        "{\"schemaVersion\":2}",
        "{\"schemaVersion\":2,\"manifests\":[{}]}",
    ] {
        std::fs::write(&index, bad).unwrap();
        workshop.refused("index.json");
    }
    std::fs::write(&index, vec![b' '; 9 << 20]).unwrap();
    workshop.refused("limit");
    std::fs::write(
        workshop.layout().join("oci-layout"),
        "{\"imageLayoutVersion\":\"2.0.0\"}",
    )
    .unwrap();
    workshop.refused("imageLayoutVersion");
    std::fs::remove_file(workshop.layout().join("oci-layout")).unwrap();
    workshop.refused("is not an OCI image layout");
    std::fs::remove_dir_all(workshop.layout()).unwrap();
    workshop.refused("can't open image layout");
}

#[test]
fn a_bundle_that_is_not_empty_is_left_alone() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "")]]);
    std::fs::create_dir(workshop.bundle()).unwrap();
    std::fs::write(workshop.bundle().join("mine"), "x").unwrap();
    let output = workshop.unpack(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("is not empty")
    );
    assert_eq!(
        std::fs::read_to_string(workshop.bundle().join("mine")).unwrap(),
        "x"
    );
    std::fs::remove_file(workshop.bundle().join("mine")).unwrap();
    // An empty one is the caller's: used, and left in place by a failure.
    workshop.image(&[&[file("../f", "")]]);
    assert!(!workshop.unpack(&[]).status.success());
    assert_eq!(std::fs::read_dir(workshop.bundle()).unwrap().count(), 0);
    workshop.image(&[&[file("f", "")]]);
    workshop.unpacked(&[]);
}

#[test]
fn parents_made_for_a_failed_bundle_go_too() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("../f", "")]]);
    let bundle = workshop.path("new/parents/bundle");
    let output = windlass_img()
        .args(["unpack", "--image"])
        .arg(workshop.layout())
        .arg(&bundle)
        .output();
    assert!(!output.unwrap().status.success());
    assert!(!workshop.path("new").exists());
    workshop.image(&[&[file("f", "")]]);
    let output = windlass_img()
        .args(["unpack", "--image"])
        .arg(workshop.layout())
        .arg(&bundle)
        .output();
    assert!(output.unwrap().status.success());
    assert!(bundle.join("config.json").exists());
}

/// An image that takes a while, being unpacked; it has begun to make files.
fn slow_unpack(workshop: &Workshop) -> Child {
    let big = Entry {
        data: vec![7; 64 << 20],
        ..file("big", "")
    };
    let many: Vec<Entry> = (0..20_000)
        .map(|n| file(&format!("d{}/f{n}", n / 100), "x"))
        .collect();
    let layers = vec![(tar(&many), Packing::Plain), (tar(&[big]), Packing::Gzip)];
    workshop.add_image(&layers, json!({}));
    let mut command = windlass_img();
    command
        .args(["unpack", "--image"])
        .arg(workshop.layout())
        .arg(workshop.bundle());
    let child = command
        .process_group(0)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !workshop.rootfs().join("d3").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the unpack did not begin"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    child
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_killed_unpack_is_reported_by_the_next() {
    let workshop = Workshop::new();
    let child = slow_unpack(&workshop);
    signal(&child, rustix::process::Signal::KILL);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "it was faster than we");
    // No runtime takes the rest for a bundle, and the next unpack says what it is.
    assert!(!workshop.bundle().join("config.json").exists());
    let again = workshop.unpack(&[]);
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(
        stderr.contains("rest of an unpack that was killed"),
        "{stderr}"
    );
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.unpacked(&[]);
}

#[test]
fn a_terminated_unpack_leaves_nothing() {
    let workshop = Workshop::new();
    let child = slow_unpack(&workshop);
    signal(&child, rustix::process::Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(128 + 15), "{stderr}");
    assert_eq!(stderr, "windlass-img: interrupted by signal 15\n");
    assert!(!workshop.bundle().exists());
}
