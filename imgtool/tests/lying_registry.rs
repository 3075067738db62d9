//! Registries that lie, break off, dawdle and send us elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http_server;
mod image_builder;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_server::{Answer, Body, Request, Server, answer};
use image_builder::{CONFIG, INDEX, MANIFEST, digest, file, tar, windlass_img};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An image of one layer in memory, and an honest registry's answers for it.
#[derive(Clone)]
struct Image {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        let content = "0123456789abcdef".repeat(100_000);
        let layer = tar(&[file("file", &content)]);
        let config = json!({
            "architecture": image_builder::architecture(), "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let mut image = Image {
            layer,
            config,
            manifest: Vec::new(),
        };
        image.manifest = image.manifest_with(&json!({})).to_string().into_bytes();
        image
    }

    fn manifest_with(&self, layer_fields: &Value) -> Value {
        let mut layer = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest(&self.layer), "size": self.layer.len(),
        });
        for (name, value) in layer_fields.as_object().unwrap() {
            layer[name] = value.clone();
        }
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest(&self.config), "size": self.config.len() },
            "layers": [layer],
        })
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path();
        let found = if path == "/v2/" {
            return answer(200, "{}");
        } else if path.contains("/manifests/") {
            return answer(200, self.manifest.clone()).with("content-type", MANIFEST);
        } else if path.ends_with(&digest(&self.config)) {
            &self.config
        } else if path.ends_with(&digest(&self.layer)) {
            &self.layer
        } else {
            return answer(404, "{}");
        };
        match request.from() {
            Some(start) => answer(206, &found[start..]).with(
                "content-range",
                format!("bytes {start}-{}/{}", found.len() - 1, found.len()),
            ),
            None => answer(200, found.clone()),
        }
    }

    fn is_layer(&self, request: &Request) -> bool {
        request.path().ends_with(&digest(&self.layer))
    }
}

/// An honest registry, except for the layer.
fn with_layer(layer: impl Fn(&Image, &Request) -> Answer + Send + Sync + 'static) -> Server {
    let image = Image::new();
    Server::start(move |request| {
        if image.is_layer(request) {
            layer(&image, request)
        } else {
            image.answer(request)
        }
    })
}

/// A place to pull to.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Home(
            tempfile::Builder::new()
                .prefix("img-lies-")
                .tempdir()
                .unwrap(),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn img(&self, arguments: &[&str]) -> Command {
        let conf = self.path("registries.conf");
        std::fs::write(&conf, "").unwrap();
        let mut command = windlass_img();
        command
            .current_dir(self.0.path())
            .env("HOME", self.path("home"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", conf)
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .args(arguments);
        command
    }

    fn pull(&self, server: &Server, options: &[&str]) -> Output {
        let name = format!("{}/app:1", server.address);
        let fixed = [
            "pull",
            "--store",
            "store",
            "-q",
            "--tls-verify=false",
            &name,
        ];
        self.img(&[&fixed[..], options].concat()).output().unwrap()
    }

    fn pulled(&self, server: &Server, options: &[&str]) {
        let output = self.pull(server, options);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let verify = self.img(&["verify", "--store", "store"]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&verify.stdout),
            "3 of 3 blobs are well\n"
        );
    }

    /// Expects an error of one line that says why, and no image.
    fn refused(&self, server: &Server, options: &[&str], why: &str) {
        let output = self.pull(server, options);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        if self.path("store").exists() {
            let images = self
                .img(&["images", "--store", "store", "-q"])
                .output()
                .unwrap();
            assert!(images.stdout.is_empty());
        }
    }

    /// Whether there is a part of the layer in the store. What came of an honest blob when
    /// another one failed may well be there.
    fn has_part(&self) -> bool {
        self.part().exists()
    }

    fn part(&self) -> PathBuf {
        let name = digest(&Image::new().layer).replace(':', "-");
        self.path("store/.windlass-partial").join(name)
    }
}

const ONCE: [&str; 2] = ["--retry-times", "0"];

#[test]
fn an_honest_registry_is_believed() {
    let server = with_layer(Image::answer);
    Home::new().pulled(&server, &[]);
}

#[test]
fn wrong_content_is_not_kept() {
    let home = Home::new();
    let server = with_layer(|image, _| {
        let mut layer = image.layer.clone();
        layer[700] ^= 1;
        answer(200, layer)
    });
    home.refused(&server, &[], "is wrong: what came is sha256:");
    assert!(!home.has_part());
    // Nor when it is a manifest.
    let image = Image::new();
    let wanted = format!("/app@{}", digest(&image.manifest));
    let server = Server::start(move |request| {
        let mut manifest = image.manifest.clone();
        manifest.push(b' ');
        if request.path().contains("/manifests/") {
            answer(200, manifest).with("content-type", MANIFEST)
        } else {
            image.answer(request)
        }
    });
    let name = format!("{}{wanted}", server.address);
    let pull = home
        .img(&["pull", "--store", "store", "--tls-verify=false", &name])
        .output()
        .unwrap();
    let stderr = String::from_utf8(pull.stderr).unwrap();
    assert!(
        stderr.contains(&format!(", not {}", &wanted[5..])),
        "{stderr}"
    );
}

#[test]
fn wrong_lengths_are_not_kept() {
    let home = Home::new();
    let short = with_layer(|image, _| answer(200, &image.layer[..1000]));
    home.refused(
        &short,
        &ONCE,
        "the blob has 1000 bytes, but its descriptor says",
    );
    let long = with_layer(|image, _| answer(200, [&image.layer[..], b"more"].concat()));
    home.refused(&long, &ONCE, "but its descriptor says");
    // Without a length, no more is read than the descriptor says; here the right bytes come first.
    let endless = with_layer(|_, _| answer(200, "").body(Body::Endless(vec![b'x'; 65536])));
    home.refused(&endless, &ONCE, "is wrong: what came is");
    assert!(!home.has_part());
}

#[test]
fn endless_documents_are_cut_off() {
    let home = Home::new();
    let server = Server::start(|request| match request.path() {
        "/v2/" => answer(200, "{}"),
        _ => answer(200, "")
            .with("content-type", MANIFEST)
            .body(Body::Endless(vec![b' '; 65536])),
    });
    home.refused(&server, &[], "larger than our limit of 4194304 bytes");
    let announced = Server::start(|request| match request.path() {
        "/v2/" => answer(200, "{}"),
        _ => answer(200, "")
            .with("content-length", 5 << 20)
            .body(Body::Endless(vec![b' '; 65536])),
    });
    home.refused(&announced, &[], "larger than our limit of 4194304 bytes");
    let head = Server::start(|_| answer(200, "{}").with("x-long", "x".repeat(200 << 10)));
    home.refused(&head, &ONCE, "GET");
}

#[test]
fn who_dawdles_is_left() {
    let home = Home::new();
    let impatient = ["--retry-times", "0", "--idle-timeout", "0.5"];
    let started = Instant::now();
    let silent = with_layer(|_, _| answer(200, "").body(Body::Silence(Duration::from_secs(30))));
    home.refused(&silent, &impatient, "nothing came for 0.5 s");
    let drip = with_layer(|image, _| {
        answer(200, "").body(Body::Drip(image.layer.clone(), Duration::from_millis(50)))
    });
    home.refused(&drip, &impatient, "bytes in 0.5");
    let slow_manifest = Server::start(|request| match request.path() {
        "/v2/" => answer(200, "{}"),
        _ => answer(200, "").body(Body::Drip(vec![b' '; 1000], Duration::from_millis(50))),
    });
    home.refused(&slow_manifest, &impatient, "has not ended after 2 s");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

/// Answers blobs with what `broken` says for the first so many requests.
fn breaking(times: usize, cut: usize, ranges: bool) -> Server {
    let count = AtomicUsize::new(0);
    with_layer(move |image, request| {
        let mut request = request.clone();
        if !ranges {
            request.headers.retain(|(name, _)| name != "range");
        }
        let mut whole = image.answer(&request);
        if count.fetch_add(1, Ordering::Relaxed) < times
            && let Body::Whole(bytes) = whole.body
        {
            let length = bytes.len().min(cut);
            whole.body = Body::Cut(bytes, length);
        }
        whole
    })
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let home = Home::new();
    let server = breaking(2, 500_000, true);
    home.pulled(&server, &[]);
    let requests = server.requests();
    let starts: Vec<_> = requests.iter().filter_map(Request::from).collect();
    assert_eq!(starts, [500_000, 1_000_000]);

    // A server that ignores ranges sends it all again.
    let home = Home::new();
    home.pulled(&breaking(2, 500_000, false), &[]);

    // One that answers with another range is not believed.
    let home = Home::new();
    let server = with_layer(|image, request| match request.from() {
        Some(_) => answer(206, &image.layer[7..]).with("content-range", "bytes 7-9/10"),
        None => answer(200, "").body(Body::Cut(image.layer.clone(), 5000)),
    });
    home.refused(&server, &[], "answers with another range than asked for");
}

#[test]
fn the_next_pull_goes_on_too() {
    let home = Home::new();
    let server = breaking(1, 500_000, true);
    home.refused(&server, &ONCE, "broke off");
    assert!(home.has_part());
    home.pulled(&server, &ONCE);
    let requests = server.requests();
    let starts: Vec<_> = requests.iter().filter_map(Request::from).collect();
    assert_eq!(starts, [500_000]);
    assert!(!home.has_part());

    // What lies there is not believed.
    let home = Home::new();
    let server = breaking(1, 500_000, true);
    home.refused(&server, &ONCE, "broke off");
    let part = home.part();
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    home.refused(&server, &ONCE, "is wrong: what came is");
    assert!(!home.has_part());
    home.pulled(&server, &ONCE);
}

#[test]
fn a_busy_registry_is_given_time() {
    let home = Home::new();
    let count = AtomicUsize::new(0);
    let server = with_layer(
        move |image, request| match count.fetch_add(1, Ordering::Relaxed) {
            0 => answer(429, "{}").with("retry-after", 1),
            1 => answer(503, "{}"),
            _ => image.answer(request),
        },
    );
    let started = Instant::now();
    home.pulled(&server, &[]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    let home = Home::new();
    let server = with_layer(|_, _| answer(429, "{}").with("retry-after", 3600));
    home.refused(&server, &[], "the server wants us to wait 3600 s");
    let server =
        with_layer(|_, _| answer(500, r#"{"errors":[{"message":"disk\u001b[31m full"}]}"#));
    home.refused(
        &server,
        &ONCE,
        r"the server answered 500: disk\u{1b}[31m full",
    );
}

#[test]
fn redirects_are_followed_without_secrets() {
    let home = Home::new();
    let image = Image::new();
    let elsewhere = Server::start({
        let image = image.clone();
        move |request| {
            if request.target.contains("gate") {
                // It would like to know who we are.
                return answer(401, "{}").with("www-authenticate", "Basic realm=\"x\"");
            }
            image.answer(request)
        }
    });
    let other = elsewhere.address.clone();
    let server = with_layer(
        move |image, request| match request.header("authorization") {
            None => answer(401, "{}").with("www-authenticate", "Basic realm=\"here\""),
            Some(_) => answer(307, "").with(
                "location",
                format!("http://{other}/signed/{}", digest(&image.layer)),
            ),
        },
    );
    home.pulled(&server, &["--creds", "me:secret"]);
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let told = server.requests();
    assert!(
        told.iter()
            .any(|request| request.header("authorization").is_some())
    );

    // A demand from where we were sent to is not answered.
    let home = Home::new();
    let other = elsewhere.address.clone();
    let server =
        with_layer(move |_, _| answer(307, "").with("location", format!("http://{other}/gate")));
    home.refused(
        &server,
        &["--creds", "me:secret"],
        "the server answered 401",
    );
    assert!(
        elsewhere
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );

    let round = with_layer(|_, request| answer(302, "").with("location", &request.target));
    home.refused(&round, &[], "redirected more than 5 times");
    assert_eq!(round.count("GET", &digest(&image.layer)), 6);
    let file = with_layer(|_, _| answer(302, "").with("location", "file:///etc/passwd"));
    home.refused(
        &file,
        &[],
        "'file:///etc/passwd' is not an http or https address",
    );
}

/// A registry that wants tokens of a token server, which gives them for a password.
fn with_tokens(life: u64) -> (Server, Server) {
    let image = Image::new();
    let tokens = Server::start(move |request| {
        let basic = request.header("authorization") == Some("Basic bWU6c2VjcmV0");
        let scope = request.target.contains("scope=repository%3Aapp%3Apull");
        if !basic || !scope || !request.target.contains("service=reg") {
            return answer(401, r#"{"details":"who are you?"}"#);
        }
        answer(
            200,
            json!({ "token": "good", "expires_in": life }).to_string(),
        )
    });
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"reg\"",
        tokens.address
    );
    let registry = Server::start(move |request| {
        if request.header("authorization") == Some("Bearer good") {
            return image.answer(request);
        }
        answer(401, "{}").with("www-authenticate", &realm)
    });
    (registry, tokens)
}

#[test]
fn tokens_are_fetched_once_and_used() {
    let home = Home::new();
    let (registry, tokens) = with_tokens(300);
    home.pulled(&registry, &["--creds", "me:secret"]);
    assert_eq!(tokens.count("GET", "/token"), 1);
    let passwords = registry.requests();
    let leaked = |request: &Request| {
        request
            .header("authorization")
            .is_some_and(|value| value.starts_with("Basic"))
    };
    assert!(
        !passwords.iter().any(leaked),
        "the password is the token server's alone"
    );
    let home = Home::new();
    home.refused(&registry, &["--creds", "me:wrong"], "who are you?");
    // A token that the registry doesn't take is no reason to ask forever.
    let (asked, tokens) = (registry.count("GET", "/manifests/1"), &tokens);
    let endless = Server::start({
        let realm = format!(
            "Bearer realm=\"http://{}/token\",service=\"reg\"",
            tokens.address
        );
        move |request| match request.path() {
            "/v2/" => answer(200, "{}"),
            _ => answer(401, "{}").with("www-authenticate", &realm),
        }
    });
    home.refused(
        &endless,
        &["--creds", "me:secret"],
        "the server answered 401",
    );
    assert_eq!(endless.count("GET", "/manifests/1"), 2);
    assert!(asked > 0);
}

#[test]
fn what_we_do_not_support_says_so() {
    let home = Home::new();
    let image = Image::new();
    let serving = |manifest: Value, media_type: &'static str| {
        let image = image.clone();
        Server::start(move |request| {
            if request.path().contains("/manifests/") {
                answer(200, manifest.to_string()).with("content-type", media_type)
            } else {
                image.answer(request)
            }
        })
    };
    let schema1 = json!({ "schemaVersion": 1, "fsLayers": [] });
    let schema1 = serving(
        schema1,
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    );
    home.refused(&schema1, &[], "Docker's schema 1, which is not supported");
    let foreign = image.manifest_with(&json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "urls": ["http://elsewhere.invalid/layer"],
    }));
    home.refused(&serving(foreign, MANIFEST), &[], "is a foreign one");
    let both = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "manifests": [], "layers": [], "config": {} });
    home.refused(&serving(both, MANIFEST), &[], "ambiguous");
    home.refused(
        &serving(json!({ "mediaType": INDEX, "manifests": [] }), MANIFEST),
        &[],
        "the server that it is",
    );
    let outside = image.manifest_with(&json!({ "digest": "sha256:../../../etc/passwd" }));
    home.refused(
        &serving(outside, MANIFEST),
        &[],
        "is not a digest that we know",
    );
    let huge = image.manifest_with(&json!({ "size": u64::MAX }));
    home.refused(
        &serving(huge, MANIFEST),
        &ONCE,
        "but its descriptor says 18446744073709551615",
    );
}

#[test]
fn long_lists_come_in_pages() {
    let home = Home::new();
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/" => answer(200, "{}"),
        "/v2/app/tags/list?n=1000" => answer(200, r#"{"tags":["a","b"]}"#)
            .with("link", "</v2/app/tags/list?n=1000&last=b>; rel=\"next\""),
        "/v2/app/tags/list?n=1000&last=b" => answer(200, r#"{"tags":["c"]}"#),
        _ => answer(404, "{}"),
    });
    let name = format!("docker://{}/app", server.address);
    let listed = home
        .img(&["list-tags", "--tls-verify=false", &name])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["Tags"], json!(["a", "b", "c"]));
}

/// A registry that can be pushed to: uploads by number, manifests and blobs by reference.
#[derive(Default)]
struct Writable {
    uploads: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    /// Bytes of the first PATCH that are kept before the connection breaks.
    breaks_after: Option<usize>,
}

impl Writable {
    /// Debian's registry refuses an index of manifests that it doesn't have.
    fn misses_a_manifest_of(&self, index: &[u8]) -> bool {
        let index: Value = serde_json::from_slice(index).unwrap();
        let manifests = index["manifests"].as_array();
        manifests.into_iter().flatten().any(|manifest| {
            let digest = manifest["digest"].as_str().unwrap();
            !self.manifests.contains_key(digest)
        })
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path().to_owned();
        let last = path.rsplit('/').next().unwrap().to_owned();
        let location = format!("/v2/app/blobs/uploads/{last}");
        match (request.method.as_str(), path.as_str()) {
            ("GET", "/v2/") => answer(200, "{}"),
            ("POST", _) => {
                let name = self.uploads.len().to_string();
                self.uploads.insert(name.clone(), Vec::new());
                answer(202, "").with("location", format!("/v2/app/blobs/uploads/{name}?state=x"))
            }
            ("PATCH", _) => {
                let upload = self.uploads.get_mut(&last).unwrap();
                if let Some(start) = request.header("content-range") {
                    let start = start.split('-').next().unwrap();
                    assert_eq!(start.parse::<usize>().unwrap(), upload.len());
                }
                if let Some(length) = self.breaks_after.take() {
                    upload.extend_from_slice(&request.body[..length]);
                    return answer(500, "").body(Body::Silence(Duration::ZERO));
                }
                upload.extend_from_slice(&request.body);
                answer(202, "").with("location", location)
            }
            ("GET", path) if path.contains("/uploads/") => {
                let length = self.uploads[&last].len();
                answer(204, "")
                    .with("location", location)
                    .with("range", format!("0-{}", length - 1))
            }
            ("PUT", path) if path.contains("/uploads/") => {
                let mut content = self.uploads.remove(&last).unwrap();
                content.extend_from_slice(&request.body);
                let wanted = request
                    .target
                    .rsplit("digest=")
                    .next()
                    .unwrap()
                    .replace("%3A", ":");
                if digest(&content) != wanted {
                    return answer(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                self.blobs.insert(wanted, content);
                answer(201, "")
            }
            ("PUT", _) if self.misses_a_manifest_of(&request.body) => {
                answer(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#)
            }
            ("PUT", _) => {
                self.manifests.insert(last, request.body.clone());
                self.manifests
                    .insert(digest(&request.body), request.body.clone());
                answer(201, "").with("docker-content-digest", digest(&request.body))
            }
            ("DELETE", path) if path.contains("/manifests/") => {
                self.manifests
                    .retain(|name, content| *name != last && digest(content) != last);
                answer(202, "")
            }
            ("HEAD", _) if self.blobs.contains_key(&last) => answer(200, ""),
            ("HEAD", path) if path.contains("/manifests/") => match self.manifests.get(&last) {
                Some(manifest) => answer(200, "").with("docker-content-digest", digest(manifest)),
                None => answer(404, ""),
            },
            ("GET", path) if path.contains("/manifests/") => match self.manifests.get(&last) {
                Some(manifest) => answer(200, manifest.clone()),
                None => answer(404, "{}"),
            },
            _ => answer(404, "{}"),
        }
    }
}

fn writable(breaks_after: Option<usize>) -> (Server, Arc<Mutex<Writable>>) {
    let state = Arc::new(Mutex::new(Writable {
        breaks_after,
        ..Writable::default()
    }));
    let shared = Arc::clone(&state);
    (
        Server::start(move |request| shared.lock().unwrap().answer(request)),
        state,
    )
}

#[test]
fn uploads_come_in_pieces_and_go_on_where_they_broke() {
    let image = Image::new();
    let source = with_layer(Image::answer);
    let home = Home::new();
    home.pulled(&source, &[]);
    let name = format!("{}/app:1", source.address);
    let push = |server: &Server, options: &[&str]| {
        let target = format!("{}/app:2", server.address);
        let fixed = [
            "push",
            "--store",
            "store",
            "-q",
            "--tls-verify=false",
            &name,
            &target,
        ];
        home.img(&[&fixed[..], options].concat()).output().unwrap()
    };
    let (server, state) = writable(None);
    assert!(push(&server, &["--chunk-size", "600000"]).status.success());
    assert_eq!(
        server.count("PATCH", ""),
        4,
        "three of the layer, one of the configuration"
    );
    let blobs = &state.lock().unwrap().blobs;
    assert!(blobs[&digest(&image.layer)] == image.layer);

    let (server, state) = writable(Some(123_456));
    let output = push(&server, &[]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let patches: Vec<Request> = server
        .requests()
        .into_iter()
        .filter(|r| r.method == "PATCH")
        .collect();
    let range = format!("123456-{}", image.layer.len() - 1);
    assert_eq!(
        patches.last().unwrap().header("content-range"),
        Some(&*range)
    );
    let state = state.lock().unwrap();
    assert!(state.blobs[&digest(&image.layer)] == image.layer);
    assert!(state.manifests["2"] == image.manifest);
}

#[test]
fn referrers_are_found_with_and_without_an_api() {
    let home = Home::new();
    let image = Image::new();
    let subject = digest(&image.manifest);
    // A registry without the API: the client keeps the list under a tag.
    let (server, state) = writable(None);
    state
        .lock()
        .unwrap()
        .manifests
        .insert("1".to_owned(), image.manifest.clone());
    state
        .lock()
        .unwrap()
        .manifests
        .insert(subject.clone(), image.manifest.clone());
    let hex = |bytes: &[u8]| digest(bytes)[7..].to_owned();
    let ours = |arguments: &[&str]| {
        let output = home.img(arguments).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
    };
    let push = |kind: &str| {
        let mut manifest = image.manifest_with(&json!({}));
        manifest["artifactType"] = json!(kind);
        manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        manifest["subject"] =
            json!({ "mediaType": MANIFEST, "digest": subject, "size": image.manifest.len() });
        let manifest = manifest.to_string().into_bytes();
        let directory = home.path("referrer");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(
            directory.join("version"),
            "Directory Transport Version: 1.1\n",
        )
        .unwrap();
        std::fs::write(directory.join("manifest.json"), &manifest).unwrap();
        std::fs::write(directory.join(hex(&image.config)), &image.config).unwrap();
        std::fs::write(directory.join(hex(&image.layer)), &image.layer).unwrap();
        let target = format!("docker://{}/app@{}", server.address, digest(&manifest));
        ours(&["copy", "-q", "--tls-verify=false", "dir:referrer", &target]);
        manifest
    };
    let signature = push("application/x.signature");
    let ask = |options: &[&str]| {
        let name = format!("docker://{}/app:1", server.address);
        let arguments = [&["referrers", "--tls-verify=false", &name], options].concat();
        let output = home.img(&arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let index: Value = serde_json::from_slice(&output.stdout).unwrap();
        index["manifests"].as_array().unwrap().clone()
    };
    let found = ask(&[]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["digest"], digest(&signature));
    assert_eq!(found[0]["artifactType"], "application/x.signature");
    assert_eq!(
        ask(&["--artifact-type", "application/x.other"]),
        Vec::<Value>::new()
    );
    let shown = home
        .img(&[
            "inspect",
            "--no-tags",
            "--tls-verify=false",
            &format!("docker://{}/app@{}", server.address, digest(&signature)),
        ])
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["Digest"], digest(&signature));
    assert_eq!(shown["ArtifactType"], "application/x.signature");
    // What is deleted is struck off the list; and the list goes with the last.
    let [bill, lost] = ["application/x.bill", "application/x.lost"].map(push);
    assert_eq!(ask(&[]).len(), 3);
    let delete = |manifest: &[u8]| {
        let name = format!("docker://{}/app@{}", server.address, digest(manifest));
        ours(&["delete", "--tls-verify=false", &name]);
    };
    // So is what somebody deleted without doing that.
    state.lock().unwrap().manifests.remove(&digest(&lost));
    delete(&signature);
    let left = ask(&[]);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["digest"], digest(&bill));
    delete(&bill);
    assert_eq!(ask(&[]), Vec::<Value>::new());
    let mut tags = state.lock().unwrap().manifests.clone();
    tags.retain(|name, _| !name.contains(':'));
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["1"]);
}
