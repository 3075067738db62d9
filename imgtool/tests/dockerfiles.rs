//! `build` of the Dockerfiles in `dockerfiles/`: each gives the configuration and the files that stand
//! beside it. `WINDLASS_WRITE_DOCKERFILES=1` writes these anew; see `dockerfiles/README.md` first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build_site;
mod image_builder;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use build_site::{Site, can_run};
use image_builder::run;
use serde_json::{Value, json};

/// Mode, owner and content of what is not the base image's. Archives say when they were made: their
/// content isn't listed.
fn files(root: &Path, base: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut to_do = vec![root.to_owned()];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().to_str().map(str::to_owned)
            } else if metadata.is_file() && metadata.len() < 512 {
                String::from_utf8(fs::read(&path).unwrap()).ok()
            } else {
                None
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            let seen = format!("{mode:o} {uid}:{gid} {}", content.unwrap_or_default());
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if base.get(name) != Some(&seen) {
                files.insert(name.to_owned(), seen);
            }
            if metadata.is_dir() {
                to_do.push(path);
            }
        }
    }
    files
}

/// The arguments that a Dockerfile asks for in a comment `# options: …`.
fn options(dockerfile: &Path) -> Vec<String> {
    let text = fs::read_to_string(dockerfile).unwrap();
    let options = text
        .lines()
        .find_map(|line| line.strip_prefix("# options: "));
    let words = options.unwrap_or_default().split_whitespace();
    words.map(str::to_owned).collect()
}

fn built(site: &Site, dockerfile: &Path, base: &BTreeMap<String, String>) -> Value {
    let mut build = site.command(&["build", "-q", "-t", "built", "-f"]);
    build
        .arg(dockerfile)
        .args(options(dockerfile))
        .arg("context");
    let output = build.current_dir(site.path("")).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {complaint}",
        dockerfile.display()
    );
    json!({ "config": site.config()["config"], "files": files(&site.unpacked(), base) })
}

#[test]
fn every_dockerfile_gives_what_stands_beside_it() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let context = site.path("context");
    fs::write(context.join("not-an-archive.tar.gz"), "text\n").unwrap();
    let archive = [
        "--owner=55",
        "--group=66",
        "-cf",
        "archive.tar",
        "dir",
        "a.txt",
    ];
    run(Command::new("tar").current_dir(&context).args(archive));
    let base = files(&site.path("base"), &BTreeMap::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfiles");
    let entries = fs::read_dir(&folder).unwrap();
    let mut dockerfiles: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "Dockerfile")
        })
        .collect();
    dockerfiles.sort();
    assert!(dockerfiles.len() > 30);
    let write = std::env::var_os("WINDLASS_WRITE_DOCKERFILES").is_some();
    for dockerfile in dockerfiles {
        let found = built(&site, &dockerfile, &base);
        let beside = dockerfile.with_extension("json");
        if write {
            let text = serde_json::to_string_pretty(&found).unwrap();
            fs::write(beside, text + "\n").unwrap();
            continue;
        }
        let expected: Value = serde_json::from_str(&fs::read_to_string(&beside).unwrap()).unwrap();
        assert_eq!(
            found["config"],
            expected["config"],
            "{}",
            dockerfile.display()
        );
        assert_eq!(
            found["files"],
            expected["files"],
            "{}",
            dockerfile.display()
        );
    }
    assert_eq!(site.unfinished(), 0);
}
