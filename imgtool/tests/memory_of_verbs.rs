//! Verbs that read layers take as much memory as `--max-memory` allows, and some more for all else, however
//! many names are in the image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http_server;
mod image_builder;
mod peak_memory;

use std::fs;
use std::process::{Command, Stdio};

use http_server::{Server, answer};
use image_builder::{Entry, MANIFEST, Packing, Workshop, directory, file, run, tar, windlass_img};
use peak_memory::{place_in_memory, watch};
use serde_json::{Value, json};

/// What the verbs are allowed, a window of 4 MiB among it, and what they take besides, with some to spare:
/// it is less than the names take.
const MAX_MEMORY: u64 = 5 << 20;
const ALL_ELSE: u64 = 30 << 20;

/// Many files with the longest names in one directory, of which the layer on top has one anew.
fn image_of_long_names(workshop: &Workshop) -> Value {
    let name = |number| format!("many/{number:0250}");
    let files = (0..60_000).map(|number| file(&name(number), ""));
    let lower: Vec<Entry> = [directory("many")].into_iter().chain(files).collect();
    let upper = [file(&name(7), "new"), file("many/.wh.none", "")];
    let layers = [tar(&lower), tar(&upper)].map(|layer| (layer, Packing::ZstdWithWindow(22)));
    workshop.add_image(&layers, json!({}))
}

/// Runs a verb, and checks what it took.
fn in_little_memory(command: &mut Command) {
    let name = format!("{command:?}");
    let (status, most) = watch(
        command
            .arg(format!("--max-memory={MAX_MEMORY}"))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit()),
    );
    assert!(status.success(), "{name}");
    // Of one that is done at once nothing may have been seen.
    assert!(most << 10 < MAX_MEMORY + ALL_ELSE, "{most} KiB: {name}");
}

#[test]
fn a_bundle_is_unpacked_and_compared() {
    let workshop = Workshop::new();
    image_of_long_names(&workshop);
    let image = format!("{}:latest", workshop.layout().display());
    let place = place_in_memory();
    let bundle = place.path().join("bundle");
    let mut unpack = windlass_img();
    unpack.args(["unpack", "--image", &image]).arg(&bundle);
    if !rustix::process::geteuid().is_root() {
        unpack.arg("--rootless");
    }
    in_little_memory(&mut unpack);
    let mut repack = windlass_img();
    repack.args(["repack", "--image", &image]).arg(&bundle);
    in_little_memory(&mut repack);
}

#[test]
fn a_store_is_filled_and_built_upon() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a store's unpacked layers need root");
        return;
    }
    let workshop = Workshop::new();
    let manifest = image_of_long_names(&workshop);
    let place = place_in_memory();
    let path = |name: &str| place.path().join(name);
    let server = {
        let layout = workshop.layout();
        Server::start(move |request| {
            let path = request.path();
            if path == "/v2/" {
                return answer(200, "{}");
            }
            if path.contains("/manifests/") {
                let document = layout.join(blob(&manifest["digest"]));
                return answer(200, fs::read(document).unwrap()).with("content-type", MANIFEST);
            }
            let name = path.rsplit('/').next().unwrap();
            answer(200, fs::read(layout.join(blob(&json!(name)))).unwrap())
        })
    };
    let on_store = |arguments: &[&str]| {
        let mut command = windlass_img();
        command.args(arguments).arg("--store").arg(path("store"));
        command
    };
    let name = format!("{}/app:1", server.address);
    in_little_memory(&mut on_store(&[
        "pull",
        "--unpack",
        "--quiet",
        "--tls-verify=false",
        &name,
    ]));
    in_little_memory(&mut on_store(&["verify", "--layers"]));

    let archive = path("archive").display().to_string();
    let layout = format!("oci:{}:latest", workshop.layout().display());
    run(windlass_img().args([
        "copy",
        "--quiet",
        &layout,
        &format!("oci-archive:{archive}:x"),
    ]));
    in_little_memory(&mut on_store(&[
        "load",
        "--tag=localhost/loaded:1",
        "--input",
        &archive,
    ]));

    let context = path("context");
    fs::create_dir(&context).unwrap();
    let dockerfile = "FROM localhost/loaded:1\nCOPY --from=localhost/loaded:1 /many /copy/\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let context = context.display().to_string();
    in_little_memory(&mut on_store(&[
        "build",
        "--quiet",
        "--tag=localhost/built:1",
        &context,
    ]));
}

fn blob(digest: &Value) -> String {
    format!("blobs/{}", digest.as_str().unwrap().replacen(':', "/", 1))
}

/// A configuration that takes much memory is refused, whoever reads it.
#[test]
fn documents_of_too_many_values_are_refused() {
    let workshop = Workshop::new();
    let numbers: Vec<Value> = vec![json!([]); 40_000];
    workshop.add_image(&[(tar(&[]), Packing::Gzip)], json!({ "numbers": numbers }));
    workshop.refused("more than our limit of 32768 values");
}
