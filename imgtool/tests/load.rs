//! Archives into layouts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use image_builder::{
    Entry, INDEX, Packing, Workshop, architecture, digest, directory, file, run, snapshot, symlink,
    tar, windlass_img,
};
use serde_json::json;

fn load(workshop: &Workshop, archive: &[u8], options: &[&str]) -> Output {
    let input = workshop.path("archive");
    std::fs::write(&input, archive).unwrap();
    let layout = workshop.path("loaded");
    // Of its own time, since that of the machine is others' too.
    let mut command = Command::new("prlimit");
    command
        .arg("--cpu=10")
        .arg(windlass_img().get_program())
        .args(["load", "--input"])
        .arg(input)
        .arg("--layout")
        .arg(layout)
        .args(options);
    command.output().unwrap()
}

fn loaded(workshop: &Workshop, archive: &[u8], options: &[&str]) -> String {
    let output = load(workshop, archive, options);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let prefix = format!("{}:", workshop.path("loaded").display());
    String::from_utf8(output.stdout)
        .unwrap()
        .replace(&prefix, "")
}

/// Expects one line that contains `why`, and that no layout came to be.
fn refused(workshop: &Workshop, archive: &[u8], options: &[&str], why: &str) {
    let output = load(workshop, archive, options);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        !workshop.path("loaded").exists(),
        "a layout was left behind"
    );
    workshop.assert_canary_is_well();
}

fn bytes(name: &str, data: &[u8]) -> Entry {
    Entry {
        data: data.to_vec(),
        ..file(name, "")
    }
}

/// What `docker save` writes: the layers first or last, one of them as a link to another.
fn docker_archive(tags: &[&str]) -> Vec<Entry> {
    let (base, top) = (tar(&[file("base", "b")]), tar(&[file("top", "t")]));
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": { "Cmd": ["/top"], "Env": null },
        "rootfs": { "type": "layers", "diff_ids": [digest(&base), digest(&top), digest(&base)] },
    });
    let manifest = json!([{
        "Config": "config.json", "RepoTags": tags,
        "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    }]);
    vec![
        directory("1"),
        bytes("1/layer.tar", &base),
        file("1/VERSION", "1.0"),
        bytes("2/layer.tar", &top),
        symlink("3/layer.tar", "../1/layer.tar"),
        file("config.json", &config.to_string()),
        file("manifest.json", &manifest.to_string()),
    ]
}

fn unpack_loaded(workshop: &Workshop, tag: &str) {
    let image = format!("{}:{tag}", workshop.path("loaded").display());
    run(windlass_img()
        .args(["unpack", "--image", &image])
        .arg(workshop.bundle()));
}

#[test]
fn docker_archives_are_loaded() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let workshop = Workshop::new();
        let archive = packing.pack(&tar(&docker_archive(&["example.com:5000/app:v1"])));
        assert_eq!(loaded(&workshop, &archive, &[]), "v1\n");
        unpack_loaded(&workshop, "v1");
        assert!(workshop.rootfs().join("base").exists() && workshop.rootfs().join("top").exists());
        assert_eq!(workshop.config()["process"]["args"], json!(["/top"]));
        // Only what the image needs: two layers, configuration, manifest.
        let layout = workshop.path("loaded");
        assert_eq!(
            std::fs::read_dir(layout.join("blobs/sha256"))
                .unwrap()
                .count(),
            4
        );
        assert_eq!(std::fs::read_dir(layout).unwrap().count(), 3);
    }
}

#[test]
fn tags_are_given_and_replaced() {
    let workshop = Workshop::new();
    let archive = tar(&docker_archive(&["a:1", "b:2"]));
    assert_eq!(loaded(&workshop, &archive, &[]), "1\n2\n");
    assert_eq!(loaded(&workshop, &archive, &["--tag", "mine"]), "mine\n");
    assert_eq!(loaded(&workshop, &archive, &["--tag", "mine"]), "mine\n");
    assert_eq!(
        loaded(&workshop, &tar(&docker_archive(&[])), &[]),
        "latest\n"
    );
    let list = run(windlass_img()
        .args(["ls", "--layout"])
        .arg(workshop.path("loaded")));
    assert_eq!(list, "1\n2\nmine\nlatest\n");
    let mut bad = windlass_img();
    bad.args(["load", "--layout", "x", "--tag", "../x"])
        .stdin(Stdio::null());
    assert_eq!(bad.output().unwrap().status.code(), Some(2));
}

#[test]
fn a_pipe_is_read_to_the_same_end() {
    let workshop = Workshop::new();
    let mut command = windlass_img();
    command
        .args(["load", "--layout"])
        .arg(workshop.path("loaded"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(&tar(&docker_archive(&["a:piped"])))
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.ends_with(b":piped\n"));
    unpack_loaded(&workshop, "piped");
}

/// Everything of a layout, as an archive.
fn archive_of(layout: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    for path in snapshot(layout)
        .keys()
        .filter(|path| layout.join(path).is_file())
    {
        entries.push(bytes(
            path.to_str().unwrap(),
            &std::fs::read(layout.join(path)).unwrap(),
        ));
    }
    entries
}

#[test]
fn oci_archives_are_loaded() {
    let workshop = Workshop::new();
    let image = workshop.image(&[&[file("f", "content")], &[file("g", "")]]);
    workshop.add_blob(b"nothing needs this", "text/plain");
    let archive = Packing::Gzip.pack(&tar(&archive_of(&workshop.layout())));
    assert_eq!(loaded(&workshop, &archive, &[]), "latest\n");
    let blobs = workshop.path("loaded/blobs/sha256");
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 4);
    assert!(blobs.join(&image["digest"].as_str().unwrap()[7..]).exists());
    unpack_loaded(&workshop, "latest");
    assert!(workshop.rootfs().join("f").exists());
}

#[test]
fn an_index_that_lists_one_thing_many_times_is_read_once() {
    let workshop = Workshop::new();
    let mut listed = workshop.image(&[&[file("f", "content")]]);
    for _ in 0..6 {
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![&listed; 30] });
        listed = workshop.add_blob(index.to_string().as_bytes(), INDEX);
    }
    workshop.write_index(&[listed]);
    let archive = tar(&archive_of(&workshop.layout()));
    // 30^6 ways lead to the image.
    assert_eq!(loaded(&workshop, &archive, &[]), "latest\n");
}

#[test]
fn a_configuration_that_is_named_many_times_is_read_once() {
    let workshop = Workshop::new();
    let archive = |count: usize| {
        let config = json!({
            "architecture": architecture(), "os": "linux", "comment": "x".repeat(3 << 20),
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let images = vec![json!({ "Config": "config.json", "Layers": [] }); count];
        tar(&[
            file("config.json", &config.to_string()),
            file("manifest.json", &json!(images).to_string()),
        ])
    };
    assert_eq!(
        loaded(&workshop, &archive(1500), &[]),
        "latest\n".repeat(1500)
    );
    let other = Workshop::new();
    refused(&other, &archive(5000), &[], "more than 4096 images");
}

#[test]
fn loading_again_mends_a_damaged_blob() {
    let workshop = Workshop::new();
    let image = workshop.image(&[&[file("f", "content")]]);
    let archive = tar(&archive_of(&workshop.layout()));
    loaded(&workshop, &archive, &[]);
    // As a power cut soon after the first load may leave it.
    let manifest = image["digest"].as_str().unwrap().replace(':', "/");
    std::fs::write(workshop.path("loaded/blobs").join(manifest), "").unwrap();
    loaded(&workshop, &archive, &[]);
    unpack_loaded(&workshop, "latest");
}

#[test]
fn a_signal_ends_the_loading_of_an_archive_that_never_ends() {
    let workshop = Workshop::new();
    let layout = workshop.path("loaded");
    let mut command = windlass_img();
    let mut child = command
        .args(["load", "--layout"])
        .arg(&layout)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Headers of which none is an entry.
    let global = tar(&[image_builder::entry(b'g', "g")]);
    let headers = global[..512].repeat(128);
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(&headers).is_ok() {});
    while !layout.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(100));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    writer.join().unwrap();
    assert_eq!(status.code(), Some(128 + 15));
    assert!(!layout.exists(), "a layout was left behind");
}

#[test]
fn archives_that_are_not_whole_are_refused() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "content")]]);
    let entries = archive_of(&workshop.layout());
    for (index, entry) in entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.name.starts_with("blobs/"))
    {
        let mut damaged = entries.clone();
        let middle = entry.data.len() / 2;
        damaged[index].data[middle] ^= 1;
        refused(&workshop, &tar(&damaged), &[], "is corrupt");
        damaged.remove(index);
        refused(&workshop, &tar(&damaged), &[], "archive");
    }
    let docker = docker_archive(&["a:1"]);
    for missing in [1, 3, 5] {
        let mut damaged = docker.clone();
        damaged.remove(missing);
        refused(&workshop, &tar(&damaged), &[], "does not hold");
    }
    let mut damaged = docker.clone();
    damaged[1].data = tar(&[file("other", "")]);
    refused(&workshop, &tar(&damaged), &[], "diffID");
    let whole = tar(&docker);
    refused(
        &workshop,
        &whole[..whole.len() - 3000],
        &[],
        "in the middle",
    );
    refused(&workshop, b"", &[], "empty");
    refused(
        &workshop,
        b"not an archive at all",
        &[],
        "tar archive refused",
    );
    refused(
        &workshop,
        &tar(&[file("x", "")]),
        &[],
        "neither a docker-archive",
    );
    let gzip = Packing::Gzip.pack(&whole);
    refused(&workshop, &gzip[..gzip.len() / 2], &[], "can't load");
}

#[test]
fn hostile_archives_are_refused() {
    let workshop = Workshop::new();
    let canary = workshop.path("canary/file");
    let with = |extra: Entry| tar(&[docker_archive(&["a:1"]), vec![extra]].concat());
    refused(&workshop, &with(file("../x", "")), &[], "'..' component");
    refused(
        &workshop,
        &with(symlink("x", "../../canary/file")),
        &[],
        "links out of the archive",
    );
    refused(
        &workshop,
        &with(symlink("x", canary.to_str().unwrap())),
        &[],
        "links out of the archive",
    );
    refused(
        &workshop,
        &with(image_builder::entry(b'3', "dev").device(1, 3)),
        &[],
        "not a file",
    );
    refused(&workshop, &with(file("config.json", "{}")), &[], "twice");
    let mut names = docker_archive(&["a:1"]);
    let manifest = r#"[{"Config":"../../canary/file","Layers":[],"RepoTags":[]}]"#;
    names[6] = file("manifest.json", manifest);
    refused(&workshop, &tar(&names), &[], "'..' component");
    let clash = [docker_archive(&["a:1"])[..6].to_vec(), vec![file("manifest.json", &json!([
        { "Config": "config.json", "RepoTags": ["a:1"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"] },
        { "Config": "config.json", "RepoTags": ["b:1"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"] },
    ]).to_string())]].concat();
    refused(&workshop, &tar(&clash), &["--tag", "x"], "can't name one");
    assert_eq!(loaded(&workshop, &tar(&clash), &[]), "a:1\nb:1\n");
}

#[test]
fn a_layout_that_is_there_is_kept_by_a_failure() {
    let workshop = Workshop::new();
    loaded(&workshop, &tar(&docker_archive(&["a:1"])), &[]);
    // What a killed load left behind goes with the next.
    std::fs::create_dir(workshop.path("loaded/.windlass-incoming-1")).unwrap();
    std::fs::write(workshop.path("loaded/.windlass-incoming-1/1"), "rest").unwrap();
    let before = |path: &str| {
        snapshot(&workshop.path(path))
            .into_keys()
            .collect::<Vec<_>>()
    };
    let blobs = before("loaded/blobs");
    let output = load(&workshop, &tar(&[file("x", "")]), &[]);
    assert!(!output.status.success());
    assert_eq!(before("loaded/blobs"), blobs);
    assert!(!workshop.path("loaded/.windlass-incoming-1").exists());
    let other = workshop.path("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("mine"), "x").unwrap();
    let mut command = windlass_img();
    command
        .args(["load", "--input"])
        .arg(workshop.path("archive"))
        .arg("--layout")
        .arg(&other);
    let output = command.output().unwrap();
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("not an OCI image layout")
    );
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}
