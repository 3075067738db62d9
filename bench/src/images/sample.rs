//! An image of this machine's own files: real names, real sizes, real content.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

/// How large the image is to be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of its files, at least.
    pub bytes: u64,
    /// Files, at least.
    pub files: usize,
    /// Layers.
    pub layers: usize,
}

/// A larger file is left out, so that no layer is one file.
const LARGEST: u64 = 16 << 20;

/// Makes the image `sample` in a new layout, out of whole directories of `tree`, and the list of its files
/// that the floor writes.
pub fn make(tree: &Path, size: Size, layout: &Path, list: &Path) -> Result<()> {
    let mut directories = BTreeMap::new();
    collect(tree, &mut directories)?;
    let chosen = choose(&directories, size)?;
    write_list(&chosen, list)?;
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    fs::create_dir_all(layout.join("blobs/sha256")).context("make the layout")?;
    for files in in_layers(&chosen, size.layers) {
        let (layer, diff_id) = write_layer(&files, layout)?;
        layers.push(layer);
        diff_ids.push(diff_id);
    }
    write_documents(layout, &layers, &diff_ids)?;
    let bytes: u64 = chosen.iter().map(|(_, metadata)| data(metadata)).sum();
    println!(
        "the image: {} files, {} MiB, in {} layers",
        chosen.len(),
        bytes >> 20,
        layers.len()
    );
    Ok(())
}

type Files = Vec<(PathBuf, Metadata)>;

/// Bytes of a regular file.
fn data(metadata: &Metadata) -> u64 {
    if metadata.is_file() {
        metadata.len()
    } else {
        0
    }
}

/// What is in each directory below `directory`: itself first, then files and symbolic links by name.
fn collect(directory: &Path, directories: &mut BTreeMap<PathBuf, Files>) -> Result<()> {
    let context = || format!("read {}", directory.display());
    let mut files = vec![(
        directory.to_owned(),
        fs::symlink_metadata(directory).with_context(context)?,
    )];
    let mut below = Vec::new();
    for entry in fs::read_dir(directory).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let metadata = fs::symlink_metadata(&path).with_context(context)?;
        if metadata.is_dir() {
            below.push(path);
        } else if metadata.is_symlink() || metadata.is_file() && metadata.len() < LARGEST {
            files.push((path, metadata));
        }
    }
    files[1..].sort_by(|(one, _), (other, _)| one.cmp(other));
    directories.insert(directory.to_owned(), files);
    below.iter().try_for_each(|path| collect(path, directories))
}

/// Directories in the order of their names' digests, so that they come from everywhere, until they are
/// enough; then all of their files in the order of names.
fn choose(directories: &BTreeMap<PathBuf, Files>, size: Size) -> Result<Files> {
    let mut order: Vec<(&PathBuf, &Files)> = directories.iter().collect();
    order.sort_by_cached_key(|(path, _)| Sha256::digest(path.as_os_str().as_bytes()));
    let mut chosen: Files = Vec::new();
    let mut bytes = 0;
    for (_, files) in order {
        if bytes >= size.bytes && chosen.len() >= size.files {
            break;
        }
        bytes += files
            .iter()
            .map(|(_, metadata)| data(metadata))
            .sum::<u64>();
        chosen.extend(files.iter().cloned());
    }
    if bytes < size.bytes || chosen.len() < size.files {
        let (found, bytes) = (chosen.len(), bytes >> 20);
        bail!("there are only {found} files of {bytes} MiB; give a larger tree, or ask for less");
    }
    chosen.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(chosen)
}

/// Parts of about the same size.
fn in_layers(files: &Files, layers: usize) -> Vec<Files> {
    let weight = |metadata: &Metadata| data(metadata) + 4096;
    let all: u64 = files.iter().map(|(_, metadata)| weight(metadata)).sum();
    let share = all / layers.max(1) as u64 + 1;
    let mut parts = vec![Files::new(); layers.max(1)];
    let mut before = 0;
    for (path, metadata) in files {
        let part = usize::try_from(before / share).unwrap_or(0);
        parts[part].push((path.clone(), metadata.clone()));
        before += weight(metadata);
    }
    parts
}

/// A line a file: kind, mode, bytes, time, name; the target of a link behind a NUL.
fn write_list(files: &Files, list: &Path) -> Result<()> {
    let mut output = BufWriter::new(File::create(list).context("make the list of files")?);
    for (path, metadata) in files {
        let (mode, time) = (metadata.mode() & 0o7777, metadata.mtime());
        let kind = match () {
            () if metadata.is_dir() => 'd',
            () if metadata.is_symlink() => 'l',
            () => 'f',
        };
        write!(output, "{kind} {mode} {} {time} ", data(metadata))?;
        output.write_all(path.as_os_str().as_bytes())?;
        if metadata.is_symlink() {
            output.write_all(b"\0")?;
            output.write_all(fs::read_link(path)?.as_os_str().as_bytes())?;
        }
        output.write_all(b"\n")?;
    }
    output.flush().context("write the list of files")
}

/// A layer as GNU tar and gzip make it: its descriptor and its diffID.
fn write_layer(files: &Files, layout: &Path) -> Result<(serde_json::Value, String)> {
    let mut names = tempfile::tempfile().context("make a list of names")?;
    for (path, _) in files {
        names.write_all(path.as_os_str().as_bytes())?;
        names.write_all(b"\0")?;
    }
    io::Seek::rewind(&mut names)?;
    let mut tar = Command::new("tar")
        .args(["--create", "--file=-", "--no-recursion", "--null"])
        .args(["--verbatim-files-from", "--files-from=-"])
        .args(["--hard-dereference", "--numeric-owner", "--format=gnu"])
        .stdin(Stdio::from(names))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start tar")?;
    let mut archive = tar.stdout.take().context("tar has no output")?;
    let temporary = layout.join("incoming");
    let blob = Hashing::new(BufWriter::new(File::create(&temporary)?));
    let mut gzip = GzEncoder::new(blob, Compression::new(6));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = archive.read(&mut buffer).context("read from tar")?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        gzip.write_all(&buffer[..count]).context("compress")?;
    }
    if !tar.wait()?.success() {
        bail!("tar failed");
    }
    let mut blob = gzip.finish()?;
    blob.flush()?;
    let digest = hex(&blob.hasher.finalize());
    fs::rename(&temporary, layout.join("blobs/sha256").join(&digest))?;
    let layer = json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": format!("sha256:{digest}"),
        "size": blob.count,
    });
    Ok((layer, format!("sha256:{}", hex(&hasher.finalize()))))
}

fn write_documents(layout: &Path, layers: &[serde_json::Value], diff_ids: &[String]) -> Result<()> {
    let history = vec![json!({"created_by": "scripts/bench-img"}); layers.len()];
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    let config = add(layout, "application/vnd.oci.image.config.v1+json", &config)?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
    let mut manifest = add(layout, kind, &manifest)?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "sample"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    Ok(())
}

/// Adds a document; its descriptor.
fn add(layout: &Path, kind: &str, document: &serde_json::Value) -> Result<serde_json::Value> {
    let text = document.to_string();
    let digest = hex(&Sha256::digest(&text));
    fs::write(layout.join("blobs/sha256").join(&digest), &text)?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": text.len()}))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes and counts what is written through it.
struct Hashing<W> {
    sink: W,
    hasher: Sha256,
    count: u64,
}

impl<W> Hashing<W> {
    fn new(sink: W) -> Self {
        Self {
            sink,
            hasher: Sha256::new(),
            count: 0,
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// A file of the list, as the floor reads it.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    /// `d`, `l` or `f`.
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) bytes: u64,
    pub(super) time: i64,
    /// Without the leading slash.
    pub(super) name: &'a Path,
    /// The target of a symbolic link.
    pub(super) target: &'a Path,
}

/// Reads a line of the list.
pub(super) fn parse(line: &[u8]) -> Result<Listed<'_>> {
    let bad = || format!("a bad line in the list: {}", line.escape_ascii());
    let mut words = line.splitn(5, |&byte| byte == b' ');
    let mut word = || words.next().with_context(bad);
    let kind = word()?.first().copied().with_context(bad)?;
    let mut number = || -> Result<i64> {
        let word = word()?;
        std::str::from_utf8(word)?.parse().with_context(bad)
    };
    let (mode, bytes, time) = (number()?, number()?, number()?);
    let mut names = word()?.splitn(2, |&byte| byte == 0);
    let mut name = || Path::new(OsStr::from_bytes(names.next().unwrap_or_default()));
    let absolute = name();
    Ok(Listed {
        kind,
        mode: u32::try_from(mode)?,
        bytes: u64::try_from(bytes)?,
        time,
        name: absolute.strip_prefix("/").unwrap_or(absolute),
        target: name(),
    })
}
