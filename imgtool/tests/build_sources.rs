//! `build`: what COPY and ADD take, from where, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build_site;
mod http_server;
mod image_builder;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use build_site::{Site, can_run};
use http_server::{Server, answer};
use image_builder::{digest, file, tar};

/// All files below a directory.
fn files(root: &Path, directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut to_do = vec![root.join(directory)];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                to_do.push(path);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn addresses_are_fetched() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let content = std::sync::Arc::new(Mutex::new("first"));
    let served = std::sync::Arc::clone(&content);
    let server = Server::start(move |request| match request.path() {
        "/files/tool.txt" => answer(200, *served.lock().unwrap())
            .with("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
        "/moved" => answer(302, "").with("location", "/files/tool.txt"),
        "/files.tar" => answer(200, tar(&[file("inside", "x")])),
        _ => answer(404, "no such file"),
    });
    let address = format!("http://{}", server.address);
    let dockerfile = format!(
        "FROM scratch\nADD {address}/files/tool.txt?query=x#part /d/\nADD --chown=5:6 --chmod=755 {address}/files/tool.txt /named\n\
         ADD {address}/files.tar /packed.tar\nADD --unpack=true {address}/files.tar /unpacked/\nADD {address}/moved /followed"
    );
    site.built(&dockerfile, &[]);
    let root = site.unpacked();
    let fetched = root.join("d/tool.txt");
    assert_eq!(fs::read_to_string(&fetched).unwrap(), "first");
    assert_eq!(mode(&fetched), 0o600);
    assert_eq!(fs::metadata(&fetched).unwrap().mtime(), 1_445_412_480);
    let named = fs::metadata(root.join("named")).unwrap();
    assert_eq!(
        (named.uid(), named.gid(), mode(&root.join("named"))),
        (5, 6, 0o755)
    );
    assert!(root.join("packed.tar").is_file());
    assert_eq!(site.read("unpacked/inside"), "x");
    assert_eq!(site.read("followed"), "first");

    // What is found again is decided by what is there now.
    let cached = |output: &str| output.matches("] cached").count();
    let dockerfile = format!("FROM scratch\nADD {address}/files/tool.txt /a");
    assert_eq!(cached(&site.built(&dockerfile, &[])), 0);
    assert_eq!(cached(&site.built(&dockerfile, &[])), 1);
    *content.lock().unwrap() = "second";
    assert_eq!(cached(&site.built(&dockerfile, &[])), 0);
    assert_eq!(site.read("a"), "second");

    let right = digest(b"second");
    let checked = |checksum: &str| {
        format!("FROM scratch\nADD --checksum={checksum} {address}/files/tool.txt /a")
    };
    site.built(&checked(&right), &[]);
    let wrong = digest(b"first");
    let (host, port) = server.address.split_once(':').unwrap();
    for (dockerfile, expected) in [
        (checked(&wrong), format!("is {right}, not {wrong}")),
        (checked("sha256:12"), "--checksum=sha256:12".to_owned()),
        (
            format!("FROM scratch\nADD {address}/none /a"),
            "404".to_owned(),
        ),
        (
            format!("FROM scratch\nADD {address}/ /a/"),
            "404".to_owned(),
        ),
        (
            format!("FROM scratch\nADD http://me:secret@{host}:{port}/x /a"),
            "can't hold a user's name".to_owned(),
        ),
        (
            format!("FROM scratch\nADD {address}/project.git /a"),
            "a git repository can't be added".to_owned(),
        ),
        (
            "FROM scratch\nADD http://127.0.0.1:1/x /a".to_owned(),
            "127.0.0.1:1".to_owned(),
        ),
        (
            format!("FROM scratch\nCOPY {address}/files/tool.txt /a"),
            ":2: COPY: ".to_owned(),
        ),
    ] {
        let complaint = site.refused(&dockerfile, &[]);
        assert!(complaint.contains(&expected), "{complaint}, not {expected}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }
}

#[test]
fn parents_are_kept() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.built(
        "FROM scratch\nCOPY --parents dir/sub/d.txt /one\nCOPY --parents ./dir/sub/deep a.txt /two/\n\
         COPY --parents dir/./sub/*.txt /pivot/\nCOPY --parents dir/**/e /any/\nCOPY --parents d*/./sub/d* /both/\n\
         COPY --parents=false dir/sub/d.txt /plain/",
        &[],
    );
    let root = site.unpacked();
    for (directory, expected) in [
        ("one", &["one/dir/sub/d.txt"][..]),
        ("two", &["two/a.txt", "two/dir/sub/deep/e"]),
        ("pivot", &["pivot/sub/d.txt"]),
        ("any", &["any/dir/sub/deep/e"]),
        ("both", &["both/sub/d.txt", "both/sub/deep/e"]),
        ("plain", &["plain/d.txt"]),
    ] {
        assert_eq!(files(&root, directory), expected);
    }
    // The parents are copies, too.
    for copy in ["one/dir/sub", "two/dir/sub", "pivot/sub"] {
        assert_eq!(mode(&root.join(copy)), 0o711, "{copy}");
    }
    assert_eq!(mode(&root.join("one")), 0o755);
}

#[test]
fn what_is_excluded_is_not_copied() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.built(
        "FROM scratch\nCOPY --exclude=*.md --exclude=sub/deep dir /below/\nCOPY --exclude=b.* *.txt /matched/\n\
         COPY --exclude=**/d.txt --exclude=**/link --exclude=**/absolute . /all/\n\
         ADD --exclude=sub dir /added/\nARG WHAT=*.md\nCOPY --exclude=$WHAT dir/ /variable/\n\
         COPY --parents --exclude=dir/sub/deep dir/sub /kept/",
        &[],
    );
    let root = site.unpacked();
    let below = ["absolute", "link", "sub/d.txt"];
    assert_eq!(
        files(&root, "below"),
        below.map(|name| format!("below/{name}"))
    );
    assert_eq!(files(&root, "matched"), ["matched/a.txt"]);
    assert!(
        !files(&root, "all")
            .iter()
            .any(|name| name.ends_with("d.txt"))
    );
    assert!(root.join("all/dir/sub/deep/e").exists());
    assert_eq!(
        files(&root, "added"),
        ["absolute", "c.md", "link"].map(|name| format!("added/{name}"))
    );
    assert!(!root.join("variable/c.md").exists() && root.join("variable/sub/deep/e").exists());
    assert_eq!(files(&root, "kept"), ["kept/dir/sub/d.txt"]);
    // What is left out doesn't count.
    fs::write(site.path("context/dir/c.md"), "changed").unwrap();
    let again = site.built(
        "FROM scratch\nCOPY --exclude=*.md --exclude=sub/deep dir /below/",
        &[],
    );
    assert!(again.contains("] cached"), "{again}");
}

#[test]
fn a_linked_copy_stands_on_its_own() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let dockerfile = |word: &str| {
        format!(
            "FROM base:1\nRUN echo {word} > /word && mkdir -p /d && echo old > /d/old && ln -s /d /link\nCOPY --link a.txt /d/\nCOPY --link --chown=7:8 a.txt /link/\n"
        )
    };
    site.built(&dockerfile("first"), &[]);
    let root = site.unpacked();
    assert_eq!(files(&root, "d"), ["d/a.txt", "d/old"]);
    // It doesn't see links below it: a directory takes their place.
    assert!(!root.join("link").is_symlink());
    assert_eq!(files(&root, "link"), ["link/a.txt"]);
    assert_eq!(fs::metadata(root.join("link/a.txt")).unwrap().uid(), 7);
    let layers = |site: &Site| site.config()["rootfs"]["diff_ids"].clone();
    let first = layers(&site);
    // Whatever is below it, the layer is the same.
    let again = site.built(&dockerfile("second"), &[]);
    assert_eq!(again.matches("] cached").count(), 2, "{again}");
    assert_eq!(site.read("word"), "second\n");
    assert_eq!(first[2], layers(&site)[2]);
    assert_ne!(first[1], layers(&site)[1]);
    // A name can't be looked up in what isn't seen.
    let named = site.refused("FROM base:1\nCOPY --link --chown=app a.txt /x", &[]);
    assert!(named.contains("COPY: --chown: "), "{named}");
}
