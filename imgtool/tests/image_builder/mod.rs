//! Makes images byte by byte, well-formed and otherwise, and runs windlass-img on them.
#![allow(dead_code)] // Each test binary uses its part of this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_for_each
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// One entry of an archive.
#[derive(Clone)]
pub struct Entry {
    pub kind: u8,
    pub name: String,
    pub link: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: u64,
    pub device: (u32, u32),
    pub data: Vec<u8>,
    /// What the header says in place of the data's length.
    pub size: Option<u64>,
    pub pax: Vec<(String, Vec<u8>)>,
}

pub fn entry(kind: u8, name: &str) -> Entry {
    Entry {
        kind,
        name: name.into(),
        link: String::new(),
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: 1_000_000,
        device: (0, 0),
        data: Vec::new(),
        size: None,
        pax: Vec::new(),
    }
}

pub fn file(name: &str, data: &str) -> Entry {
    Entry {
        data: data.into(),
        ..entry(b'0', name)
    }
}

pub fn directory(name: &str) -> Entry {
    entry(b'5', name)
}

pub fn symlink(name: &str, target: &str) -> Entry {
    Entry {
        link: target.into(),
        mode: 0o777,
        ..entry(b'2', name)
    }
}

pub fn hard_link(name: &str, target: &str) -> Entry {
    Entry {
        link: target.into(),
        ..entry(b'1', name)
    }
}

impl Entry {
    pub fn mode(self, mode: u32) -> Self {
        Entry { mode, ..self }
    }

    pub fn owner(self, uid: u32, gid: u32) -> Self {
        Entry { uid, gid, ..self }
    }

    pub fn mtime(self, mtime: u64) -> Self {
        Entry { mtime, ..self }
    }

    pub fn device(self, major: u32, minor: u32) -> Self {
        Entry {
            device: (major, minor),
            ..self
        }
    }

    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.into(), value.into()));
        self
    }

    pub fn xattr(self, name: &str, value: &[u8]) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    fn write(&self, tar: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let body: Vec<u8> = self
                .pax
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            Entry {
                data: body,
                ..entry(b'x', "pax")
            }
            .write(tar);
        }
        tar.extend(self.header());
        tar.extend(&self.data);
        pad(tar);
    }

    pub fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name.as_bytes()[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.gid).as_bytes());
        let size = self.size.unwrap_or(self.data.len() as u64);
        put(124, format!("{size:011o}").as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[self.kind]);
        put(157, &self.link.as_bytes()[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        set_checksum(&mut block);
        block
    }
}

pub fn set_checksum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn pad(tar: &mut Vec<u8>) {
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// An archive of these entries.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut tar));
    tar.resize(tar.len() + 1024, 0);
    tar
}

#[derive(Clone, Copy)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
    /// With a window that is a power of two.
    ZstdWithWindow(u32),
}

impl Packing {
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => bytes.to_vec(),
            Packing::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(bytes, 1).unwrap(),
            Packing::ZstdWithWindow(power) => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.window_log(power).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packing::Zstd | Packing::ZstdWithWindow(_) => {
                "application/vnd.oci.image.layer.v1.tar+zstd"
            }
        }
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A temporary directory with a layout, a place for bundles, and a canary that no image may
/// touch.
pub struct Workshop {
    pub directory: TempDir,
    canary: BTreeMap<PathBuf, String>,
}

impl Workshop {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("img-test-")
            .tempdir()
            .unwrap();
        let canary = directory.path().join("canary");
        std::fs::create_dir_all(canary.join("directory")).unwrap();
        std::fs::write(canary.join("file"), "alive").unwrap();
        std::fs::write(canary.join("directory/file"), "alive").unwrap();
        let layout = directory.path().join("layout");
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        std::fs::write(
            layout.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let mut workshop = Workshop {
            directory,
            canary: BTreeMap::new(),
        };
        workshop.write_index(&[]);
        workshop.canary = snapshot(&workshop.canary_path());
        workshop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn layout(&self) -> PathBuf {
        self.path("layout")
    }

    pub fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }

    pub fn canary_path(&self) -> PathBuf {
        self.path("canary")
    }

    pub fn canary(&self) -> String {
        self.canary_path().to_str().unwrap().to_owned()
    }

    pub fn assert_canary_is_well(&self) {
        assert_eq!(
            snapshot(&self.canary_path()),
            self.canary,
            "the canary was touched"
        );
    }

    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.layout().join("blobs").join(digest.replace(':', "/"))
    }

    pub fn add_blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = digest(bytes);
        std::fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub fn write_index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        std::fs::write(self.layout().join("index.json"), index.to_string()).unwrap();
    }

    /// Adds an image and tags it `latest`, as the only one. Returns its descriptor.
    pub fn add_image(&self, layers: &[(Vec<u8>, Packing)], config: Value) -> Value {
        let mut descriptor = self.add_manifest(layers, config);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        self.write_index(&[descriptor.clone()]);
        descriptor
    }

    /// Adds an image of one layer that somebody else has packed, and tags it `latest`, as the only one.
    pub fn add_packed_image(&self, archive: &[u8], blob: &[u8], packing: Packing) {
        let descriptor = self.add_manifest(&[(archive.to_vec(), packing)], json!({}));
        let manifest = self.blob_path(descriptor["digest"].as_str().unwrap());
        let mut manifest: Value =
            serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
        manifest["layers"] = json!([self.add_blob(blob, packing.media_type())]);
        let mut descriptor = self.add_blob(manifest.to_string().as_bytes(), MANIFEST);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        self.write_index(&[descriptor]);
    }

    pub fn add_manifest(&self, layers: &[(Vec<u8>, Packing)], config: Value) -> Value {
        let diff_ids: Vec<String> = layers.iter().map(|(tar, _)| digest(tar)).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.add_blob(config.to_string().as_bytes(), CONFIG);
        let layers: Vec<Value> = layers
            .iter()
            .map(|(tar, packing)| self.add_blob(&packing.pack(tar), packing.media_type()))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        self.add_blob(manifest.to_string().as_bytes(), MANIFEST)
    }

    /// An image of plain layers with these entries.
    pub fn image(&self, layers: &[&[Entry]]) -> Value {
        let layers: Vec<_> = layers
            .iter()
            .map(|entries| (tar(entries), Packing::Plain))
            .collect();
        self.add_image(&layers, json!({}))
    }

    pub fn unpack(&self, options: &[&str]) -> Output {
        let layout = self.layout();
        let mut command = windlass_img();
        command
            .arg("unpack")
            .arg("--image")
            .arg(layout)
            .args(options)
            .arg(self.bundle());
        command.output().unwrap()
    }

    /// Unpacks and expects success.
    pub fn unpacked(&self, options: &[&str]) {
        let output = self.unpack(options);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Unpacks and expects a refusal: one line that contains `why`, nothing left, no canary hurt.
    pub fn refused(&self, why: &str) {
        self.refused_with(&[], why);
    }

    pub fn refused_with(&self, options: &[&str], why: &str) {
        let output = self.unpack(options);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
        assert!(
            stderr.ends_with('\n') && stderr.lines().count() == 1,
            "not one line: {stderr}"
        );
        assert!(!self.bundle().exists(), "a bundle was left behind");
        self.assert_canary_is_well();
    }

    pub fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.bundle().join("config.json")).unwrap()).unwrap()
    }
}

pub fn windlass_img() -> Command {
    Command::new(env!("CARGO_BIN_EXE_windlass-img"))
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// All that can be seen of a tree: type, mode, owner, device, size, times, content, attributes
/// and which names are one file.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    look(root, root, &mut tree, &mut first_names);
    tree
}

fn look(
    root: &Path,
    path: &Path,
    tree: &mut BTreeMap<PathBuf, String>,
    first_names: &mut BTreeMap<u64, PathBuf>,
) {
    let metadata = path.symlink_metadata().unwrap();
    let relative = path.strip_prefix(root).unwrap().to_path_buf();
    let mut seen = format!(
        "{:o} {}:{} dev {} time {}.{:09}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev(),
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    if metadata.is_file() {
        seen += &format!(" content {}", digest(&std::fs::read(path).unwrap()));
    }
    if metadata.is_symlink() {
        seen += &format!(" to {}", std::fs::read_link(path).unwrap().display());
    }
    if !metadata.is_dir() && metadata.nlink() > 1 {
        let first = first_names
            .entry(metadata.ino())
            .or_insert_with(|| relative.clone());
        seen += &format!(" is {}", first.display());
    }
    for (name, value) in xattrs(path) {
        seen += &format!(" {name}={}", value.escape_ascii());
    }
    tree.insert(relative, seen);
    if metadata.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names
            .iter()
            .for_each(|path| look(root, path, tree, first_names));
    }
}

pub fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(errno) => panic!("llistxattr {}: {errno}", path.display()),
    };
    names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (String::from_utf8(name.to_vec()).unwrap(), value)
        })
        .collect()
}
