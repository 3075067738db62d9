//! The verbs that change a layout: init, new, tag, rm, config, gc.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use image_builder::{Workshop, file, run, windlass_img};
use rustix::fs::FlockOperation;
use serde_json::{Value, json};

fn image(workshop: &Workshop, tag: &str) -> String {
    format!("{}:{tag}", workshop.layout().display())
}

fn stat(workshop: &Workshop, tag: &str) -> Value {
    let mut command = windlass_img();
    command.args(["stat", "--json", "--image", &image(workshop, tag)]);
    serde_json::from_str(&run(&mut command)).unwrap()
}

fn config(workshop: &Workshop, tag: &str, arguments: &[&str]) -> Output {
    let mut command = windlass_img();
    command.args(["config", "--image", &image(workshop, tag)]);
    command.args(arguments).output().unwrap()
}

fn configured(workshop: &Workshop, arguments: &[&str]) -> Value {
    let output = config(workshop, "latest", arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    stat(workshop, "latest")
}

fn blobs(layout: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let mut blobs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    blobs.sort();
    blobs
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_image_is_made_from_nothing() {
    let workshop = Workshop::new();
    let layout = workshop.path("deep/images");
    let init = || {
        let mut command = windlass_img();
        command.arg("init").arg("--layout").arg(&layout);
        command
    };
    run(&mut init());
    assert!(!init().output().unwrap().status.success(), "made twice");
    let new = |tag: &str| {
        let mut command = windlass_img();
        let image = format!("{}:{tag}", layout.display());
        run(command
            .args(["new", "--image", &image])
            .env("SOURCE_DATE_EPOCH", "86400"));
    };
    new("a");
    new("b");
    assert_eq!(
        blobs(&layout).len(),
        2,
        "the same image gives the same bytes"
    );
    let mut list = windlass_img();
    assert_eq!(run(list.arg("ls").arg("--layout").arg(&layout)), "a\nb\n");
    let image = format!("{}:a", layout.display());
    let mut stat = windlass_img();
    let stat: Value =
        serde_json::from_str(&run(stat.args(["stat", "--json", "--image", &image]))).unwrap();
    assert_eq!(stat["config"]["blob"]["created"], "1970-01-02T00:00:00Z");
    assert_eq!(stat["manifest"]["blob"]["layers"], json!([]));
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn a_layout_whose_making_was_killed_is_completed() {
    let workshop = Workshop::new();
    let layout = workshop.path("killed");
    std::fs::create_dir_all(layout.join("blobs")).unwrap();
    std::fs::write(layout.join(".windlass-new-index.json.1"), "{").unwrap();
    run(windlass_img().arg("init").arg("--layout").arg(&layout));
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
    // But what holds something else is left alone.
    let other = workshop.path("other");
    std::fs::create_dir_all(other.join("blobs")).unwrap();
    std::fs::write(other.join("letter"), "dear").unwrap();
    let output = windlass_img()
        .arg("init")
        .arg("--layout")
        .arg(&other)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(names(&other), ["blobs", "letter"]);
}

#[test]
fn tags_come_and_go() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let latest = image(&workshop, "latest");
    run(windlass_img().args(["tag", "--image", &latest, "second"]));
    let digest = |tag| stat(&workshop, tag)["manifest"]["descriptor"]["digest"].clone();
    assert_eq!(digest("latest"), digest("second"));
    configured(&workshop, &["--author", "A"]);
    assert_ne!(digest("latest"), digest("second"));
    run(windlass_img().args(["tag", "--image", &latest, "second"]));
    assert_eq!(digest("latest"), digest("second"));
    run(windlass_img().args(["rm", "--image", &latest]));
    let list = run(windlass_img()
        .arg("ls")
        .arg("--layout")
        .arg(workshop.layout()));
    assert_eq!(list, "second\n");
    for arguments in [
        &["tag", "--image", &latest, "third"][..],
        &["tag", "--image", &image(&workshop, "second"), ".bad"],
        &["tag", "--image", &image(&workshop, "second")],
        &["rm"],
        &["gc"],
        &["gc", "--layout", &latest],
    ] {
        let output = windlass_img().args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[test]
fn every_field_of_the_configuration_can_be_set() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let stat = configured(
        &workshop,
        &[
            "--config.user=app:video",
            "--config.exposedports=80/tcp",
            "--config.exposedports",
            "53",
            "--config.env=A=1",
            "--config.env=B=x=y",
            "--config.env=A=2",
            "--config.entrypoint",
            "sh",
            "--config.entrypoint",
            "-e",
            "--config.cmd",
            "-c",
            "--config.cmd=--help",
            "--config.volume=/data",
            "--config.label=a.b=c",
            "--config.label=empty=",
            "--config.workingdir=/srv",
            "--config.stopsignal=SIGINT",
            "--created=2016-03-25T12:34:02.655002+11:00",
            "--author=Someone <some@one>",
            "--os=linux",
            "--architecture=arm64",
            "--platform.variant=v9",
            "--manifest.annotation=note=1",
            "--history.created=2016-12-09T04:45:40+11:00",
            "--history.comment=why",
            "--history.created_by=a test",
        ],
    );
    let config = &stat["config"]["blob"];
    assert_eq!(
        config["config"],
        json!({
            "User": "app:video", "ExposedPorts": { "80/tcp": {}, "53": {} },
            "Env": ["A=2", "B=x=y"], "Entrypoint": ["sh", "-e"], "Cmd": ["-c", "--help"],
            "Volumes": { "/data": {} }, "Labels": { "a.b": "c", "empty": "" },
            "WorkingDir": "/srv", "StopSignal": "SIGINT",
        })
    );
    assert_eq!(config["created"], "2016-03-25T12:34:02.655002+11:00");
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["variant"], "v9");
    assert_eq!(
        config["history"],
        json!([{
            "created": "2016-12-09T04:45:40+11:00", "created_by": "a test", "comment": "why",
            "author": "Someone <some@one>", "empty_layer": true,
        }])
    );
    assert_eq!(
        stat["manifest"]["blob"]["annotations"],
        json!({ "note": "1" })
    );

    let stat = configured(
        &workshop,
        &[
            "--clear=config.labels",
            "--clear=config.exposedports",
            "--clear=config.env",
            "--clear=config.volume",
            "--clear=config.cmd",
            "--clear=config.entrypoint",
            "--clear=manifest.annotations",
            "--config.volume=/other",
            "--config.user=",
            "--architecture=",
            "--no-history",
        ],
    );
    let config = &stat["config"]["blob"];
    assert_eq!(
        config["config"],
        json!({ "Volumes": { "/other": {} }, "WorkingDir": "/srv", "StopSignal": "SIGINT" })
    );
    assert_eq!(config["architecture"], "");
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    assert_eq!(stat["manifest"]["blob"].get("annotations"), None);
}

#[test]
fn bad_values_are_refused_and_change_nothing() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let before = std::fs::read(workshop.layout().join("index.json")).unwrap();
    for arguments in [
        &["--created=Jan 04 2004"][..],
        &["--history.created=yesterday"],
        &["--no-history", "--history.author=A"],
        &["--config.env=NOVALUE"],
        &["--config.label==x"],
        &["--clear=rootfs.diffids"],
        &["--tag", ""],
        &["--tag", ".bad"],
        &["positional"],
    ] {
        let output = config(&workshop, "latest", arguments);
        assert!(!output.status.success(), "{arguments:?}");
    }
    let output = config(&workshop, "absent", &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no image tagged 'absent'"));
    assert_eq!(
        std::fs::read(workshop.layout().join("index.json")).unwrap(),
        before
    );
    assert_eq!(
        names(&workshop.layout()),
        ["blobs", "index.json", "oci-layout"]
    );
}

#[test]
fn what_is_not_known_is_kept() {
    let workshop = Workshop::new();
    let descriptor = workshop.image(&[&[file("f", "1")]]);
    let manifest = workshop.blob_path(descriptor["digest"].as_str().unwrap());
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let config = workshop.blob_path(manifest["config"]["digest"].as_str().unwrap());
    let mut config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    config["config"]["Healthcheck"] = json!({ "Test": ["NONE"] });
    config["vendor"] = json!({ "key": 1 });
    let config = workshop.add_blob(config.to_string().as_bytes(), image_builder::CONFIG);
    manifest["config"] = config;
    manifest["vendor"] = json!([1, 2]);
    let mut new = workshop.add_blob(manifest.to_string().as_bytes(), image_builder::MANIFEST);
    new["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest", "note": "kept" });
    workshop.write_index(&[new]);
    let stat = configured(&workshop, &["--author=A"]);
    assert_eq!(
        stat["config"]["blob"]["config"]["Healthcheck"]["Test"],
        json!(["NONE"])
    );
    assert_eq!(stat["config"]["blob"]["vendor"]["key"], 1);
    assert_eq!(stat["manifest"]["blob"]["vendor"], json!([1, 2]));
    assert_eq!(
        stat["manifest"]["descriptor"]["annotations"]["note"],
        "kept"
    );
}

#[test]
fn an_image_within_an_index_is_changed_there() {
    let workshop = Workshop::new();
    let mut ours = workshop.add_manifest(&[], json!({ "User": "ours" }));
    ours["platform"] = json!({ "os": "linux", "architecture": image_builder::architecture() });
    let mut foreign = workshop.add_manifest(&[], json!({ "User": "foreign" }));
    foreign["platform"] = json!({ "os": "linux", "architecture": "z80" });
    let index = json!({ "schemaVersion": 2, "mediaType": image_builder::INDEX,
        "manifests": [foreign, ours] });
    let mut index = workshop.add_blob(index.to_string().as_bytes(), image_builder::INDEX);
    index["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[index]);
    let stat = configured(&workshop, &["--author=A"]);
    assert_eq!(stat["config"]["blob"]["config"]["User"], "ours");
    assert_eq!(stat["config"]["blob"]["author"], "A");
    let top: Value =
        serde_json::from_slice(&std::fs::read(workshop.layout().join("index.json")).unwrap())
            .unwrap();
    assert_eq!(top["manifests"][0]["mediaType"], image_builder::INDEX);
    let path = workshop.blob_path(top["manifests"][0]["digest"].as_str().unwrap());
    let nested: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(nested["manifests"][0]["digest"], foreign["digest"]);
    assert_ne!(nested["manifests"][1]["digest"], ours["digest"]);
    assert_eq!(nested["manifests"][1]["platform"], ours["platform"]);
}

#[test]
fn garbage_goes_and_nothing_else() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let before = blobs(&workshop.layout());
    workshop.add_blob(b"garbage", "text/plain");
    std::fs::write(workshop.layout().join("blobs/sha256/no digest"), "x").unwrap();
    let killed = workshop.layout().join(".windlass-incoming-1-0");
    std::fs::create_dir(&killed).unwrap();
    std::fs::write(killed.join("1"), "half a blob").unwrap();
    std::fs::create_dir(workshop.layout().join(".umoci-123")).unwrap();
    std::fs::write(workshop.layout().join("letter"), "dear").unwrap();
    let gc = || {
        run(windlass_img()
            .arg("gc")
            .arg("--layout")
            .arg(workshop.layout()))
    };
    gc();
    assert_eq!(blobs(&workshop.layout()), before);
    assert_eq!(
        names(&workshop.layout()),
        ["blobs", "index.json", "letter", "oci-layout"]
    );
    workshop.write_index(&[]);
    gc();
    assert_eq!(blobs(&workshop.layout()), [] as [PathBuf; 0]);
}

#[test]
fn a_damaged_image_loses_nothing_more() {
    let workshop = Workshop::new();
    let descriptor = workshop.image(&[&[file("f", "1")]]);
    let manifest = workshop.blob_path(descriptor["digest"].as_str().unwrap());
    let length = manifest.metadata().unwrap().len();
    std::fs::write(&manifest, "x".repeat(usize::try_from(length).unwrap())).unwrap();
    let before = blobs(&workshop.layout());
    let output = windlass_img()
        .arg("gc")
        .arg("--layout")
        .arg(workshop.layout())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing removed"));
    assert_eq!(blobs(&workshop.layout()), before);
}

#[test]
fn garbage_collection_waits_for_who_adds_blobs() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    workshop.add_blob(b"not referenced yet", "text/plain");
    let count = blobs(&workshop.layout()).len();
    let layout = std::fs::File::open(workshop.layout()).unwrap();
    rustix::fs::flock(layout.as_fd(), FlockOperation::LockShared).unwrap();
    let mut gc = windlass_img()
        .arg("gc")
        .arg("--layout")
        .arg(workshop.layout())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(gc.try_wait().unwrap(), None, "it did not wait");
    assert_eq!(blobs(&workshop.layout()).len(), count);
    // Meanwhile others may add.
    configured(&workshop, &["--author=A"]);
    drop(layout);
    assert!(gc.wait().unwrap().success());
    // The unreferenced one, and the old manifest and configuration.
    assert_eq!(blobs(&workshop.layout()).len(), 3);
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let mut children: Vec<_> = (0..12)
        .map(|number| {
            let mut command = windlass_img();
            command.args(["tag", "--image", &image(&workshop, "latest")]);
            command.arg(format!("tag{number:02}")).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let list = run(windlass_img()
        .arg("ls")
        .arg("--layout")
        .arg(workshop.layout()));
    assert_eq!(list.lines().count(), 13, "{list}");
}

#[test]
fn of_two_changes_of_one_tag_none_is_lost_silently() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let before = blobs(&workshop.layout()).len();
    let insert = |name: &str| {
        let source = workshop.path(name);
        std::fs::write(&source, name).unwrap();
        let mut command = windlass_img();
        command.args(["insert", "--image", &image(&workshop, "latest")]);
        command.arg(source).arg(format!("/{name}"));
        command.stderr(Stdio::piped());
        command
    };
    // Neither gets at index.json before both have read it.
    let marker = std::fs::File::open(workshop.layout().join("oci-layout")).unwrap();
    rustix::fs::flock(&marker, FlockOperation::LockExclusive).unwrap();
    let children = ["one", "two"].map(|name| (name, insert(name).spawn().unwrap()));
    let deadline = Instant::now() + Duration::from_secs(20);
    // A layer, a configuration and a manifest each.
    while blobs(&workshop.layout()).len() < before + 6 {
        assert!(Instant::now() < deadline, "they don't get to the index");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(marker);
    let mut refused = Vec::new();
    for (name, child) in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if !output.status.success() {
            assert!(stderr.contains("changed by somebody else"), "{stderr}");
            refused.push(name);
        }
    }
    assert_eq!(refused.len(), 1, "refused: {refused:?}");
    run(&mut insert(refused[0]));
    workshop.unpacked(&[]);
    for name in ["one", "two"] {
        assert!(workshop.rootfs().join(name).exists(), "{name} is lost");
    }
}

#[test]
fn a_users_layout_stays_the_users() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let before = blobs(&workshop.layout());
    std::os::unix::fs::chown(workshop.layout(), Some(1234), Some(4321)).unwrap();
    configured(&workshop, &["--author=A"]);
    let owner = |path: &Path| {
        let stat = path.metadata().unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!(owner(&workshop.layout().join("index.json")), (1234, 4321));
    for blob in blobs(&workshop.layout()) {
        if !before.contains(&blob) {
            assert_eq!(owner(&blob), (1234, 4321));
        }
    }
}

#[test]
fn how_much_is_said_can_be_chosen() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    let said = |arguments: &[&str]| {
        let mut command = windlass_img();
        command.args(arguments);
        let output = command
            .args(["rm", "--image", &image(&workshop, "absent")])
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&[]).contains("warning: there was no"));
    assert_eq!(said(&["--log=error"]), "");
    let mut command = windlass_img();
    command.args([
        "--verbose",
        "config",
        "--image",
        &image(&workshop, "latest"),
    ]);
    let output = command.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("'latest' is sha256:"));
    let output = windlass_img()
        .args(["--verbose", "--log=info", "ls"])
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn an_artifact_is_shown_though_it_is_no_image() {
    let workshop = Workshop::new();
    let chart = workshop.add_blob(b"a chart", "application/vnd.example.chart");
    let mut empty = workshop.add_blob(b"{}", "application/vnd.oci.empty.v1+json");
    empty["data"] = json!("e30=");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example", "config": empty, "layers": [chart],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let mut descriptor = workshop.add_blob(&bytes, "application/vnd.oci.image.manifest.v1+json");
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[descriptor]);

    let report = stat(&workshop, "latest");
    assert_eq!(report["manifest"]["blob"], manifest);
    assert_eq!(report["config"], json!({ "descriptor": empty }));
    assert!(report.get("history").is_none());
    let text = run(windlass_img().args(["stat", "--image", &image(&workshop, "latest")]));
    for line in [
        "Artifact Type: application/vnd.example\n",
        "\t\tData: (2 bytes)\n\t\t\t0000: 7b7d                                     {}\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("HISTORY"), "{text}");
}

#[test]
fn who_stops_reading_what_is_said_stops_nothing_else() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("f", "1")]]);
    for progress in ["plain", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = windlass_img();
        command.current_dir(&workshop.directory);
        command.args(["copy", "--progress", progress, "oci:layout"]);
        command.arg(format!("oci:{progress}")).stderr(writer);
        run(&mut command);
        assert!(workshop.path(progress).join("index.json").exists());
    }
}

#[test]
fn an_archive_that_nobody_reads_to_its_end_is_not_written() {
    let workshop = Workshop::new();
    let noise: String = (0..200_000u64)
        .map(|number| (number * number).to_string())
        .collect();
    workshop.image(&[&[file("f", &noise)]]);
    let fifo = workshop.path("fifo");
    let mode = rustix::fs::Mode::RWXU;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    let mut command = windlass_img();
    command.current_dir(&workshop.directory);
    command.args(["copy", "-q", "oci:layout", "oci-archive:fifo"]);
    let writer = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(std::fs::File::open(&fifo).unwrap());
    let output = writer.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("Broken pipe"), "{stderr}");
}
