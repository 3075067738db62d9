//! The store: what it keeps, under which names, whoever else is at work on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod debian_registry;
mod image_builder;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use debian_registry::{Options, Registry};
use image_builder::{Packing, Workshop, digest, file, run, tar, windlass_img};
use serde_json::{Value, json};

fn img(workshop: &Workshop, arguments: &[&str]) -> Command {
    let conf = workshop.path("registries.conf");
    if !conf.exists() {
        std::fs::write(&conf, "").unwrap();
    }
    let (verb, rest) = arguments.split_first().unwrap();
    let mut command = windlass_img();
    command
        .current_dir(workshop.directory.path())
        .env("HOME", workshop.path("home"))
        .env("REGISTRY_AUTH_FILE", workshop.path("auth.json"))
        .env("CONTAINERS_REGISTRIES_CONF", conf)
        .env_remove("http_proxy")
        .arg(verb);
    if !matches!(*verb, "copy" | "unpack") {
        command.args(["--store", "store"]);
    }
    command.args(rest);
    command
}

fn ours(workshop: &Workshop, arguments: &[&str]) -> String {
    run(&mut img(workshop, arguments)).trim_end().to_owned()
}

fn refused(output: Output, why: &str) {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
}

fn images(workshop: &Workshop) -> Value {
    serde_json::from_str(&ours(workshop, &["images", "--json"])).unwrap()
}

fn names(workshop: &Workshop) -> Vec<String> {
    let images = images(workshop);
    let all = images.as_array().unwrap().iter();
    let mut names: Vec<String> = all
        .flat_map(|image| image["Names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A layout with two layers, pushed to a registry.
fn pushed(workshop: &Workshop, name: &str) -> (Registry, String, String) {
    let big = "content ".repeat(200_000);
    let layers = [
        (tar(&[file("big", &big)]), Packing::Plain),
        (tar(&[file("small", "x")]), Packing::Gzip),
    ];
    let descriptor = workshop.add_image(&layers, json!({ "Cmd": ["/x"] }));
    let registry = Registry::start(&Options::default());
    let target = registry.image(name);
    ours(
        workshop,
        &[
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "oci:layout",
            &target,
        ],
    );
    let name = format!("{}/{name}", registry.address);
    (
        registry,
        name,
        descriptor["digest"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn images_come_are_named_and_go() {
    let workshop = Workshop::new();
    let (registry, name, digest) = pushed(&workshop, "team/app:1");
    let pulled = ours(&workshop, &["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(pulled, digest);
    let mode = workshop
        .path("store")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else may look");
    assert_eq!(names(&workshop), [name.as_str()]);

    ours(&workshop, &["tag", &name, "mine"]);
    ours(&workshop, &["tag", &digest[7..20], "mine:also"]);
    let mut all = vec![
        name.clone(),
        "localhost/mine:also".into(),
        "localhost/mine:latest".into(),
    ];
    all.sort();
    assert_eq!(names(&workshop), all);
    assert_eq!(images(&workshop).as_array().unwrap().len(), 1);
    let shown: Value = serde_json::from_str(&ours(&workshop, &["inspect", "mine"])).unwrap();
    assert_eq!(shown["Digest"], digest);
    assert_eq!(shown["Image"]["config"]["Cmd"][0], "/x");
    let history: Value =
        serde_json::from_str(&ours(&workshop, &["history", "--json", "mine"])).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 2);
    for (arguments, expected) in [
        (
            &["inspect", "--format", "{{.Digest}}", "mine"][..],
            &*digest,
        ),
        (
            &[
                "inspect",
                "--config",
                "-f",
                "{{index .Config.Cmd 0}}",
                "mine",
            ],
            "/x",
        ),
        (
            &["images", "--format", "{{.Digest}}{{range .Names}} x{{end}}"],
            &format!("{digest} x x x"),
        ),
        (
            &["history", "--format", "{{.Size}}", "mine"],
            &format!("{}\n{}", history[0]["Size"], history[1]["Size"]),
        ),
    ] {
        assert_eq!(ours(&workshop, arguments).trim_end(), expected);
    }
    let template = ["inspect", "--format", "{{if .Digest}}", "mine"];
    let output = img(&workshop, &template).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("there are only {{.FIELD}}"),
        "{complaint}"
    );
    // The store is a layout like any other.
    let bundle = workshop.bundle();
    let image = format!("store:{name}");
    run(img(&workshop, &["unpack", "--image", &image]).arg(bundle));
    assert_eq!(
        std::fs::read_to_string(workshop.path("bundle/rootfs/small")).unwrap(),
        "x"
    );

    let again = format!("{}/other/app:2", registry.address);
    let sent = ours(
        &workshop,
        &["push", "-q", "--tls-verify=false", "mine", &again],
    );
    assert_eq!(sent, digest);

    ours(&workshop, &["untag", "mine:also"]);
    ours(&workshop, &["rm", "mine"]);
    assert_eq!(names(&workshop), [name.as_str()]);
    refused(
        img(&workshop, &["inspect", "mine"]).output().unwrap(),
        "no image 'mine' in store",
    );
    refused(
        img(&workshop, &["rm", "mine"]).output().unwrap(),
        "no image 'mine' in store",
    );
    ours(&workshop, &["rm", "-f", "mine", &digest[7..15], "mine"]);
    assert_eq!(names(&workshop), Vec::<String>::new());
    let blobs = std::fs::read_dir(workshop.path("store/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0, "no image needs them any more");
}

#[test]
fn archives_go_in_and_out() {
    let workshop = Workshop::new();
    let (_registry, name, digest) = pushed(&workshop, "app:1");
    ours(&workshop, &["pull", "-q", "--tls-verify=false", &name]);
    ours(&workshop, &["save", "-o", "docker.tar", &name]);
    ours(
        &workshop,
        &["save", "--format", "oci-archive", "-o", "oci.tar", &name],
    );
    ours(&workshop, &["rm", &name]);
    assert_eq!(ours(&workshop, &["load", "--input", "oci.tar"]), name);
    assert_eq!(images(&workshop)[0]["Digest"], digest);
    ours(&workshop, &["rm", &name]);
    assert_eq!(ours(&workshop, &["load", "--input", "docker.tar"]), name);
    // skopeo's, whose name has no host.
    run(Command::new("skopeo")
        .current_dir(workshop.directory.path())
        .args([
            "--insecure-policy",
            "copy",
            "oci:layout:latest",
            "docker-archive:theirs.tar",
        ]));
    let loaded = ours(&workshop, &["load", "--input", "theirs.tar"]);
    assert_eq!(loaded, "localhost/latest:latest");
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let workshop = Workshop::new();
    let archive = tar(&[file("hello", "world")]);
    std::fs::write(workshop.path("root.tar.gz"), Packing::Gzip.pack(&archive)).unwrap();
    let digest = ours(&workshop, &["import", "root.tar.gz", "base:1"]);
    let shown: Value = serde_json::from_str(&ours(&workshop, &["inspect", "base:1"])).unwrap();
    assert_eq!(shown["Digest"], digest);
    assert_eq!(
        shown["Image"]["rootfs"]["diff_ids"][0],
        image_builder::digest(&archive)
    );
    run(img(&workshop, &["unpack", "--image", "store:localhost/base:1"]).arg(workshop.bundle()));
    assert_eq!(
        std::fs::read_to_string(workshop.path("bundle/rootfs/hello")).unwrap(),
        "world"
    );
    let changes = [
        "-c",
        "CMD [\"/hello\"]",
        "--change=ENV A=1 B=$A",
        "-m",
        "by hand",
    ];
    ours(
        &workshop,
        &[&["import"], &changes[..], &["root.tar.gz", "changed"]].concat(),
    );
    let shown: Value = serde_json::from_str(&ours(&workshop, &["inspect", "changed"])).unwrap();
    assert_eq!(
        shown["Image"]["config"]["Cmd"],
        serde_json::json!(["/hello"])
    );
    assert_eq!(
        shown["Image"]["config"]["Env"],
        serde_json::json!(["A=1", "B="])
    );
    assert_eq!(shown["Image"]["history"][0]["comment"], "by hand");
    ours(&workshop, &["rm", "changed"]);
    refused(
        img(
            &workshop,
            &["import", "--change=EXPOSE x", "root.tar.gz", "bad"],
        )
        .output()
        .unwrap(),
        "--change EXPOSE: 'x' is no port",
    );
    // What can't be unpacked is no image.
    let mut broken = archive.clone();
    broken[150] ^= 1;
    std::fs::write(workshop.path("broken.tar"), broken).unwrap();
    refused(
        img(&workshop, &["import", "broken.tar", "bad"])
            .output()
            .unwrap(),
        "can't import broken.tar",
    );
    assert_eq!(names(&workshop), ["localhost/base:1"]);
}

#[test]
fn damage_is_found_and_mended() {
    let workshop = Workshop::new();
    let (_registry, name, _) = pushed(&workshop, "app:1");
    let pull = ["pull", "-q", "--tls-verify=false", &name];
    ours(&workshop, &pull);
    assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
    let big = digest(&tar(&[file("big", &"content ".repeat(200_000))]));
    let blob = workshop.path("store/blobs").join(big.replace(':', "/"));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    refused(
        img(&workshop, &["verify"]).output().unwrap(),
        "1 of 4 blobs are damaged",
    );
    assert!(ours(&workshop, &["verify", "--remove"]).contains(&format!("{big}: damaged")));
    ours(&workshop, &pull);
    assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
    // What isn't there is missed.
    std::fs::remove_file(&blob).unwrap();
    let output = img(&workshop, &["verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("{big}: missing (needed by ")),
        "{said}"
    );
    refused(output, "1 blobs are missing");
    ours(&workshop, &pull);
    assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
    // What nothing leads to is counted, and goes.
    ours(&workshop, &["untag", &name]);
    let usage: Value = serde_json::from_str(&ours(&workshop, &["df", "--json"])).unwrap();
    assert_eq!(
        (&usage["Images"], &usage["Unused"]["Count"]),
        (&json!(0), &json!(4))
    );
    ours(&workshop, &["gc"]);
    let usage: Value = serde_json::from_str(&ours(&workshop, &["df", "--json"])).unwrap();
    assert_eq!(usage["Unused"]["Count"], 0);
}

#[test]
fn an_index_keeps_its_digest() {
    let workshop = Workshop::new();
    let layer = [(tar(&[file("a", "b")]), Packing::Gzip)];
    let mut native = workshop.add_manifest(&layer, json!({}));
    native["platform"] = json!({ "os": "linux", "architecture": image_builder::architecture() });
    let other = [(tar(&[file("a", "other")]), Packing::Gzip)];
    let mut other = workshop.add_manifest(&other, json!({}));
    other["platform"] = json!({ "os": "linux", "architecture": "z80" });
    let index = json!({ "schemaVersion": 2, "mediaType": image_builder::INDEX, "manifests": [other, native] });
    let mut descriptor = workshop.add_blob(index.to_string().as_bytes(), image_builder::INDEX);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[descriptor.clone()]);
    let registry = Registry::start(&Options::default());
    let target = registry.image("multi:1");
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            "--all",
            "--dest-tls-verify=false",
            "oci:layout",
            &target,
        ],
    );
    let name = format!("{}/multi:1", registry.address);
    let pull = |options: &[&str]| {
        ours(
            &workshop,
            &[&["pull", "-q", "--tls-verify=false", &name], options].concat(),
        )
    };
    assert_eq!(pull(&[]), descriptor["digest"]);
    assert_eq!(
        images(&workshop)[0]["Size"],
        json!(native_size(&workshop, &native))
    );
    run(img(&workshop, &["unpack", "--image", &format!("store:{name}")]).arg(workshop.bundle()));
    ours(&workshop, &["gc"]);
    assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
    assert_eq!(pull(&["--override-arch", "z80"]), other["digest"]);
    assert_eq!(pull(&["--all"]), descriptor["digest"]);
    let back = format!("{}/multi:2", registry.address);
    assert_eq!(
        ours(
            &workshop,
            &["push", "-q", "--all", "--tls-verify=false", &name, &back]
        ),
        descriptor["digest"]
    );
}

fn native_size(workshop: &Workshop, manifest: &Value) -> u64 {
    let bytes = std::fs::read(workshop.blob_path(manifest["digest"].as_str().unwrap())).unwrap();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    manifest["config"]["size"].as_u64().unwrap() + manifest["layers"][0]["size"].as_u64().unwrap()
}

/// Eight pulls of one image, a collector and a tagger at the same time.
#[test]
fn many_work_at_once() {
    let workshop = Workshop::new();
    let (_registry, name, digest) = pushed(&workshop, "app:1");
    let pull = || {
        img(&workshop, &["pull", "-q", "--tls-verify=false", &name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for _ in 0..5 {
        let pulls: Vec<_> = (0..8).map(|_| pull()).collect();
        let collector = img(&workshop, &["gc"]).spawn().unwrap();
        for child in pulls {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                String::from_utf8_lossy(&output.stdout).trim_end(),
                digest,
                "{stderr}"
            );
        }
        assert!(collector.wait_with_output().unwrap().status.success());
        assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
        ours(&workshop, &["tag", &name, "mine"]);
        ours(&workshop, &["rm", "mine", &name]);
    }
}

/// Killed at any moment, the store holds the whole image or none, and the next pull completes it.
#[test]
fn a_killed_pull_leaves_nothing_but_garbage() {
    let workshop = Workshop::new();
    let (_registry, name, digest) = pushed(&workshop, "app:1");
    let pull = ["pull", "-q", "--tls-verify=false", &name];
    for milliseconds in [1, 3, 5, 8, 12, 16, 20, 25, 30, 40, 60] {
        let mut child = img(&workshop, &pull).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if workshop.path("store/oci-layout").exists() && !names(&workshop).is_empty() {
            assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
        }
        assert_eq!(ours(&workshop, &pull), digest);
        assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
        ours(&workshop, &["rm", &name]);
        ours(&workshop, &["gc"]);
        let mut left: Vec<_> = std::fs::read_dir(workshop.path("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["blobs", "index.json", "oci-layout"],
            "after {milliseconds} ms"
        );
    }
}

struct Unmount<'a>(&'a std::path::Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}

/// A full disk ends a pull with an error, and no image; with room, the pull goes on.
#[test]
fn a_full_disk_loses_nothing() {
    let workshop = Workshop::new();
    let (_registry, name, digest) = pushed(&workshop, "app:1");
    let store = workshop.path("store");
    std::fs::create_dir(&store).unwrap();
    let mount = |options: &str| {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&store));
    };
    mount("size=1m");
    let _unmount = Unmount(&store);
    let pull = ["pull", "-q", "--tls-verify=false", &name];
    refused(
        img(&workshop, &pull).output().unwrap(),
        "No space left on device",
    );
    assert_eq!(names(&workshop), Vec::<String>::new());
    mount("remount,size=20m");
    assert_eq!(ours(&workshop, &pull), digest);
    assert_eq!(ours(&workshop, &["verify"]), "4 of 4 blobs are well");
    // Nor does a directory stay that another copy was to be in.
    std::fs::write(store.join("pad"), vec![0; 20 << 20]).unwrap_err();
    let source = format!("oci:store:{name}");
    let copy = windlass_img()
        .args(["copy", "-q", &source, "dir:store/copy"])
        .current_dir(workshop.path(""))
        .output();
    refused(copy.unwrap(), "No space left on device");
    assert!(!store.join("copy").exists());
}
