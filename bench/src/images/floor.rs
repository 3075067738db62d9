//! What nobody can save: each layer inflated and hashed, each file written. One thread, one after the other.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::bufread::GzDecoder;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sample::{hex, parse};

const PIECE: usize = 256 << 10;

/// Inflates and hashes the layers of the one image of `layout`, and writes the files of `list` below
/// `directory`: as large as they are, of zeros.
pub fn floor(layout: &Path, list: &Path, directory: &Path) -> Result<()> {
    inflate_all(layout)?;
    let list = fs::read(list).context("read the list of files")?;
    fs::create_dir(directory).context("make the directory")?;
    write_all(&list, directory)
}

fn inflate_all(layout: &Path) -> Result<()> {
    let document = |path: &Path| -> Result<Value> {
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        layout.join("blobs").join(digest.replacen(':', "/", 1))
    };
    let index = document(&layout.join("index.json"))?;
    let manifest = document(&blob(&index["manifests"][0]))?;
    let config = document(&blob(&manifest["config"]))?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    for (number, layer) in layers.iter().enumerate() {
        let (compressed, inflated) = inflate(&blob(layer))?;
        if layer["digest"] != compressed || config["rootfs"]["diff_ids"][number] != inflated {
            bail!("layer {number} is damaged");
        }
    }
    Ok(())
}

/// The digests of a layer's blob and of what is in it.
fn inflate(path: &Path) -> Result<(String, String)> {
    let source = Hashing {
        file: File::open(path).with_context(|| format!("open {}", path.display()))?,
        hasher: Sha256::new(),
    };
    let mut decoder = GzDecoder::new(BufReader::with_capacity(PIECE, source));
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let count = decoder.read(&mut piece).context("inflate")?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
    }
    let compressed = decoder.into_inner().into_inner().hasher;
    let name = |hasher: Sha256| format!("sha256:{}", hex(&hasher.finalize()));
    Ok((name(compressed), name(hasher)))
}

/// Hashes what is read.
struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn write_all(list: &[u8], directory: &Path) -> Result<()> {
    rustix::process::umask(Mode::empty());
    let root = File::open(directory)?;
    let zeros = vec![0; PIECE];
    for line in list
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let entry = parse(line)?;
        let context = || format!("make {}", entry.name.display());
        match entry.kind {
            b'd' => fs::create_dir_all(directory.join(entry.name)).with_context(context)?,
            b'l' => {
                make_parent(directory, entry.name)?;
                rustix::fs::symlinkat(entry.target, &root, entry.name).with_context(context)?;
            }
            _ => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(entry.mode);
                let open = || rustix::fs::openat(&root, entry.name, flags, mode);
                let mut file = match open() {
                    Err(rustix::io::Errno::NOENT) => {
                        make_parent(directory, entry.name)?;
                        open()
                    }
                    result => result,
                }
                .map(File::from)
                .with_context(context)?;
                let mut left = entry.bytes;
                while left > 0 {
                    let count = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                    file.write_all(&zeros[..count]).with_context(context)?;
                    left -= count as u64;
                }
                let time = Timespec {
                    tv_sec: entry.time,
                    tv_nsec: 0,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                rustix::fs::futimens(file.as_fd(), &times).with_context(context)?;
            }
        }
    }
    Ok(())
}

fn make_parent(directory: &Path, name: &Path) -> Result<()> {
    let parent = name.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(directory.join(parent)).with_context(|| format!("make {}", parent.display()))
}
