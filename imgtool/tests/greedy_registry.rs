//! Registries that would have our time, our memory, or more than a number can hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http_server;
mod image_builder;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use http_server::{Answer, Body, Request, Server, answer};
use image_builder::{CONFIG, MANIFEST, digest, windlass_img};
use serde_json::json;
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("img-greedy-").tempdir();
        Home(directory.unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn img(&self, arguments: &[&str]) -> Output {
        let conf = self.path("registries.conf");
        std::fs::write(&conf, "").unwrap();
        windlass_img()
            .current_dir(self.0.path())
            .env("HOME", self.path("home"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", conf)
            .args(arguments)
            .output()
            .unwrap()
    }
}

/// Expects an error of one line that says why.
fn refused(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// The manifest and the blob of an image whose configuration is all that it has.
fn image() -> (String, Vec<u8>) {
    let config = json!({
        "architecture": image_builder::architecture(), "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [] }, "author": "x".repeat(10_000),
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": { "mediaType": CONFIG, "digest": digest(&config), "size": config.len() },
    });
    (manifest.to_string(), config)
}

fn pull(home: &Home, server: &Server, options: &[&str]) -> Output {
    let name = format!("{}/app:1", server.address);
    let fixed = ["pull", "--store", "store", "-q", "--tls-verify=false"];
    home.img(&[&fixed[..], options, &[&name]].concat())
}

#[test]
fn a_tag_is_no_path() {
    let home = Home::new();
    let server = Server::start(|request| match request.path() {
        "/v2/" => answer(200, "{}"),
        "/v2/app/tags/list" => answer(200, r#"{"tags":["1","x/../../../evil"]}"#),
        _ => answer(404, "{}"),
    });
    let name = format!("{}/app", server.address);
    let options = ["--src", "docker", "--dest", "dir", "--src-tls-verify=false"];
    let output = home.img(&[&["sync"][..], &options, &[&name, "out/of"]].concat());
    refused(&output, "'x/../../../evil', which is not a tag");
    assert!(!home.path("out").exists());
}

#[test]
fn a_token_that_lasts_for_ever_is_a_token() {
    let (manifest, config) = image();
    let tokens = Server::start(|_| {
        let token = json!({ "token": "good", "expires_in": u64::MAX });
        answer(200, token.to_string())
    });
    let demand = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    let server = Server::start(move |request| {
        if request.header("authorization") != Some("Bearer good") {
            return answer(401, "{}").with("www-authenticate", &demand);
        }
        match request.path() {
            path if path.contains("/manifests/") => {
                answer(200, manifest.clone()).with("content-type", MANIFEST)
            }
            _ => answer(200, config.clone()),
        }
    });
    let output = pull(&Home::new(), &server, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// An honest registry, except for the configuration.
fn with_config(config: impl Fn(&[u8], &Request) -> Answer + Send + Sync + 'static) -> Server {
    let (manifest, bytes) = image();
    Server::start(move |request| match request.path() {
        "/v2/" => answer(200, "{}"),
        path if path.contains("/manifests/") => {
            answer(200, manifest.clone()).with("content-type", MANIFEST)
        }
        _ => config(&bytes, request),
    })
}

#[test]
fn lengths_that_no_number_holds_are_wrong_ones() {
    let server = with_config(|config, request| match request.from() {
        None => answer(200, "").body(Body::Cut(config.to_vec(), 5000)),
        Some(start) => answer(206, "")
            .with("content-range", format!("bytes {start}-9/10"))
            .with("content-length", u64::MAX)
            .body(Body::Endless(vec![b'x'; 65536])),
    });
    refused(
        &pull(&Home::new(), &server, &[]),
        "the blob has 18446744073709551615 bytes, but its descriptor says",
    );

    // Asked how far an upload got that broke.
    let home = Home::new();
    let honest = with_config(|config, _| answer(200, config));
    assert!(pull(&home, &honest, &[]).status.success());
    let server = Server::start(|request| match request.method.as_str() {
        "GET" if request.path() == "/v2/" => answer(200, "{}"),
        "POST" => answer(202, "").with("location", "/v2/app/blobs/uploads/1"),
        "PATCH" => answer(500, "").body(Body::Silence(Duration::ZERO)),
        "GET" => answer(204, "")
            .with("location", "/v2/app/blobs/uploads/1")
            .with("range", format!("0-{}", u64::MAX)),
        _ => answer(404, "{}"),
    });
    let (name, target) = (
        format!("{}/app:1", honest.address),
        format!("{}/app:2", server.address),
    );
    let push = ["push", "--store", "store", "-q", "--tls-verify=false"];
    let push = [&push[..], &["--chunk-size", "6000", &name, &target]].concat();
    refused(&home.img(&push), "it has more than the");
}

#[test]
fn lists_have_an_end() {
    let page = |list: &str| {
        let mut page = list.as_bytes().to_vec();
        page.resize(4 << 20, b' ');
        page
    };
    let (tags, referrers) = (
        page(r#"{"tags":["a"]}"#),
        page(r#"{"schemaVersion":2,"manifests":[]}"#),
    );
    let server = Server::start(move |request| {
        let page = match request.path() {
            "/v2/" => return answer(200, "{}"),
            path if path.contains("/referrers/") => &referrers,
            path if path.contains("/manifests/") => {
                return answer(200, "").with("docker-content-digest", digest(b"x"));
            }
            path if path.ends_with("/tags/list") => &tags,
            _ => return answer(404, "{}"),
        };
        answer(200, page.clone()).with("link", format!("<{}>; rel=\"next\"", request.target))
    });
    let home = Home::new();
    let name = format!("docker://{}/app", server.address);
    let why = "larger than our limit of 33554432 bytes";
    refused(&home.img(&["list-tags", "--tls-verify=false", &name]), why);
    let name = format!("{name}@{}", digest(b"x"));
    refused(&home.img(&["referrers", "--tls-verify=false", &name]), why);
}

#[test]
fn complaints_are_not_listened_to_for_ever() {
    let server = with_config(|_, _| {
        let complaint = Body::Drip(vec![b' '; 1000], Duration::from_millis(50));
        answer(403, "").body(complaint)
    });
    let started = Instant::now();
    let output = pull(&Home::new(), &server, &["--idle-timeout", "0.25"]);
    refused(&output, "the server answered 403");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_handshake_that_drips_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A record of 16 KiB that holds a ServerHello, which never comes to its end.
        let head = b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03";
        let mut left = stream.write_all(head);
        while left.is_ok() {
            std::thread::sleep(Duration::from_millis(50));
            left = stream.write_all(b"x");
        }
    });
    let name = format!("docker://{address}/x/y");
    let patience = ["--idle-timeout", "1", "--retry-times", "0"];
    let begun = Instant::now();
    let output = Home::new().img(&[&["list-tags", &name][..], &patience].concat());
    refused(&output, "no answer in time");
    assert!(begun.elapsed() < Duration::from_secs(30), "{begun:?}");
    server.join().unwrap();
}
