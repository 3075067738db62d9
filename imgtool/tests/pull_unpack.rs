//! `pull --unpack`: layers are unpacked while others come, and what a registry, a signal or a broken
//! connection does in the middle of it leaves nothing that isn't whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod http_server;
mod image_builder;

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use container::Site;
use http_server::{Answer, Body, Request, Server, answer};
use image_builder::{CONFIG, Entry, MANIFEST, architecture, digest, file, tar};
use serde_json::{Value, json};

/// An image whose layers each add a file to the same directory, at a registry in which one layer's
/// answers are the test's.
struct Registry {
    layers: Vec<Vec<u8>>,
    server: Server,
}

/// The command line that pulls an image.
fn pull(name: &str) -> [&str; 6] {
    let once = "--retry-times=0";
    [
        "pull",
        "--unpack",
        "--quiet",
        "--tls-verify=false",
        once,
        name,
    ]
}

type Answering = dyn Fn(&[u8], &Request) -> Answer + Send + Sync;

impl Registry {
    fn new(
        layers: Vec<Vec<u8>>,
        diff_ids: &[String],
        special: usize,
        answering: Box<Answering>,
    ) -> Self {
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let blob = |bytes: &[u8], kind: &str| -> Value {
            json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
        };
        let tar_type = "application/vnd.oci.image.layer.v1.tar";
        let descriptors: Vec<Value> = layers.iter().map(|layer| blob(layer, tar_type)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": blob(&config, CONFIG), "layers": descriptors,
        });
        let manifest = manifest.to_string().into_bytes();
        let blobs = layers.clone();
        let server = Server::start(move |request| {
            let path = request.path();
            if path == "/v2/" {
                return answer(200, "{}");
            }
            if path.contains("/manifests/") {
                return answer(200, manifest.clone()).with("content-type", MANIFEST);
            }
            if path.ends_with(&digest(&config)) {
                return answer(200, config.clone());
            }
            let number = blobs.iter().position(|blob| path.ends_with(&digest(blob)));
            match number {
                Some(number) if number == special => answering(&blobs[number], request),
                Some(number) => answer(200, blobs[number].clone()),
                None => answer(404, "{}"),
            }
        });
        Registry { layers, server }
    }

    /// Three small layers, of which the second is special.
    fn of_three(answering: Box<Answering>) -> Self {
        let layers = three();
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        Registry::new(layers, &diff_ids, 1, answering)
    }

    fn name(&self) -> String {
        format!("{}/app:1", self.server.address)
    }

    /// How often a layer was asked for.
    fn asked(&self, number: usize) -> usize {
        self.server.count("GET", &digest(&self.layers[number]))
    }

    fn start(&self, site: &Site) -> Child {
        let name = self.name();
        let mut command = site.command(&pull(&name));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

fn three() -> Vec<Vec<u8>> {
    ["a", "b", "c"]
        .map(|name| tar(&[file(&format!("d/{name}"), &name.repeat(100_000))]))
        .into()
}

/// Waits for something that another process does.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The name of the lowest layer's directory.
fn lowest(layers: &[Vec<u8>]) -> String {
    digest(&layers[0]).split_once(':').unwrap().1.to_owned()
}

/// A gate that is closed until somebody opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

#[test]
fn a_layer_is_unpacked_while_the_next_one_comes() {
    let site = Site::new();
    let gate = Gate::default();
    let behind = gate.clone();
    let registry = Registry::of_three(Box::new(move |layer, _| {
        behind.wait();
        answer(200, layer)
    }));
    let child = registry.start(&site);
    let lowest = lowest(&registry.layers);
    wait_until("the first layer is unpacked", || {
        site.layers() == [lowest.clone()]
    });
    let third = site.workshop.blob_path(&digest(&registry.layers[2]));
    wait_until("the third has come", || third.exists());
    // It waits for the second: it may write through that one's links.
    assert_eq!(site.layers(), std::slice::from_ref(&lowest));
    assert_eq!(site.ours(&["images", "--quiet"]), "");
    gate.open();
    container::finished(child.wait_with_output().unwrap());
    assert_eq!(site.layers().len(), 3);
    let made = || {
        let layers = site.store().join("layers/sha256");
        let times = container::names(&layers);
        let times = times
            .iter()
            .map(|name| layers.join(name).metadata().unwrap().ino());
        times.collect::<Vec<_>>()
    };
    // Neither a second pull nor a bundle does any of it again.
    let before = made();
    let name = registry.name();
    site.ours(&pull(&name));
    site.ours(&["bundle", &name, "b"]);
    assert_eq!(made(), before);
    assert_eq!(container::names(&site.path("b/rootfs/d")), ["a", "b", "c"]);
    assert_eq!((0..3).map(|number| registry.asked(number)).max(), Some(1));
}

#[test]
fn a_registry_that_lies_on_the_way() {
    let site = Site::new();
    let gate = Gate::default();
    let (behind, honest) = (gate.clone(), Arc::new(Mutex::new(false)));
    let is_honest = Arc::clone(&honest);
    let registry = Registry::of_three(Box::new(move |layer, _| {
        behind.wait();
        let mut layer = layer.to_vec();
        if !*is_honest.lock().unwrap() {
            // In a file's content: only the digest tells.
            let last = layer.len() - 2000;
            layer[last] ^= 1;
        }
        answer(200, layer)
    }));
    let child = registry.start(&site);
    let lowest = lowest(&registry.layers);
    wait_until("the first layer is unpacked", || {
        site.layers() == [lowest.clone()]
    });
    gate.open();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("is wrong: what came is sha256:"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(site.layers(), [lowest]);
    assert_eq!(site.ours(&["images", "--quiet"]), "");

    *honest.lock().unwrap() = true;
    let name = registry.name();
    site.ours(&pull(&name));
    assert_eq!(site.layers().len(), 3);
    assert_eq!(registry.asked(0), 1);
}

#[test]
fn a_wrong_diff_id_ends_the_transfer() {
    let site = Site::new();
    let layers = three();
    let mut diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    diff_ids[0] = digest(b"something else");
    // The last layer would take an hour.
    let drip = |layer: &[u8], _: &Request| {
        let drip = Body::Drip(layer.to_vec(), Duration::from_millis(30));
        answer(200, "").body(drip)
    };
    let registry = Registry::new(layers, &diff_ids, 2, Box::new(drip));
    let name = registry.name();
    site.refused(&pull(&name), "but the image's diffID is");
    assert_eq!(site.layers(), Vec::<String>::new());
    assert_eq!(site.ours(&["images", "--quiet"]), "");
}

#[test]
fn a_killed_pull_is_gone_on_with() {
    let site = Site::new();
    let cut = |layer: &[u8], request: &Request| match request.from() {
        Some(start) => answer(206, &layer[start..]).with(
            "content-range",
            format!("bytes {start}-{}/{}", layer.len() - 1, layer.len()),
        ),
        // Then nothing, until the client is killed.
        None => answer(200, "")
            .with("content-length", layer.len())
            .body(Body::Drip(layer.to_vec(), Duration::from_millis(20))),
    };
    let registry = Registry::of_three(Box::new(cut));
    let mut child = registry.start(&site);
    let lowest = lowest(&registry.layers);
    wait_until("the first layer is unpacked", || {
        site.layers() == [lowest.clone()]
    });
    let parts = site.store().join(".windlass-partial");
    wait_until("a part of the second is there", || {
        let Ok(mut entries) = std::fs::read_dir(&parts) else {
            return false;
        };
        entries.any(|entry| entry.unwrap().metadata().is_ok_and(|part| part.len() > 0))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(site.layers(), std::slice::from_ref(&lowest));
    let inode = || {
        site.store()
            .join("layers/sha256")
            .join(&lowest)
            .metadata()
            .unwrap()
            .ino()
    };
    let before = inode();
    let name = registry.name();
    site.ours(&pull(&name));
    assert_eq!(inode(), before);
    assert_eq!(site.layers().len(), 3);
    assert_eq!(registry.asked(0), 1);
    let requests = registry.server.requests();
    assert!(
        requests
            .iter()
            .filter_map(Request::from)
            .all(|start| start > 0)
    );
    assert!(requests.iter().any(|request| request.from().is_some()));
}

/// Whenever it is killed, what is there is whole.
#[test]
fn a_killed_unpacking_is_not_seen() {
    let many: Vec<Entry> = (0..3000)
        .map(|number| file(&format!("f{number}"), "x"))
        .collect();
    let layer = tar(&many);
    let registry = Registry::new(
        vec![layer.clone()],
        &[digest(&layer)],
        0,
        Box::new(|layer, _| answer(200, layer)),
    );
    let site = Site::new();
    let whole = lowest(&registry.layers);
    let making = site
        .store()
        .join("layers/sha256")
        .join(format!(".{whole}/upper/f5"));
    let mut child = registry.start(&site);
    wait_until("some of it is unpacked", || {
        making.exists() || child.try_wait().unwrap().is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let layer = site.store().join("layers/sha256").join(&whole);
    let count = |names: Vec<String>| names.len();
    if layer.exists() {
        // It was faster than we were.
        assert_eq!(count(container::names(&layer)), 3000);
    }
    let name = registry.name();
    site.ours(&pull(&name));
    assert_eq!(count(container::names(&layer)), 3000);
    assert_eq!(site.layers(), [whole]);
}

#[test]
fn all_images_of_an_index_are_not_unpacked() {
    let site = Site::new();
    let mut command = site.command(&["pull", "--unpack", "--all", "127.0.0.1:1/app:1"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}
