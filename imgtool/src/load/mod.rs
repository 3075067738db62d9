//! Archives into layouts: `docker save`'s format and tarred OCI layouts.
//!
//! One pass, so that a pipe will do: every file of the archive becomes an incoming blob, hashed
//! as it passes; then the archive's own table of contents says which of them an image needs, and
//! only those are moved into the layout. Until then the layout is as it was.

mod contents;
mod docker_archive;
mod oci_archive;

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::layer::limits::Limits;
use crate::layer::tar::TarReader;
use crate::layout::Layout;
use crate::layout::blob::IncomingBlob;
use crate::layout::document::{Descriptor, REF_NAME};
use crate::layout::media::Compression;
use crate::store::name::stored_name;
use crate::sys::signal;
use contents::Contents;

/// What the caller decides about loading.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The tag of the one image.
    pub tag: Option<String>,
    /// What images are called.
    pub naming: Naming,
    /// How much an archive may hold.
    pub limits: Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        // An archive holds a few files an image, not the files of its layers.
        let mut limits = Limits::default();
        limits.tar.entries = 100_000;
        LoadOptions {
            tag: None,
            naming: Naming::Tag,
            limits,
        }
    }
}

/// What images of an archive are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By the tag alone, where there is one image.
    Tag,
    /// As the archive calls them.
    Whole,
    /// As the store calls them: a registry, a repository and a tag.
    Stored,
}

/// What an archive turned out to hold.
#[derive(Debug, Default)]
struct Loaded {
    /// Images and what the archive calls them.
    images: Vec<(Descriptor, Vec<String>)>,
    /// The blobs that they need.
    blobs: Vec<IncomingBlob>,
}

/// Loads an archive's images into the layout at `path`, which is made if need be. Returns their
/// tags.
pub fn load(input: Box<dyn Read + '_>, path: &Path, options: &LoadOptions) -> Result<Vec<String>> {
    let (layout, created) = Layout::open_or_create(path)?;
    let result = load_into(input, &layout, options);
    if result.is_err() {
        layout.remove_created(created);
    }
    result
}

/// Loads an archive's images into a layout that is open to be changed. Returns their tags.
pub fn load_into(
    input: Box<dyn Read + '_>,
    layout: &Layout,
    options: &LoadOptions,
) -> Result<Vec<String>> {
    let mut incoming = layout.incoming()?;
    let archive = decompressed(input, &options.limits)?;
    let mut tar = TarReader::new(archive, options.limits.tar);
    let contents = Contents::read(&mut tar, &mut incoming)?;
    let whole = options.naming != Naming::Tag;
    let loaded = if contents.has(b"oci-layout") {
        oci_archive::read(&contents, &incoming, whole)?
    } else if contents.has(b"manifest.json") {
        docker_archive::read(&contents, &mut incoming, whole)?
    } else {
        bail!("neither a docker-archive (no manifest.json) nor an oci-archive (no oci-layout)");
    };
    let tagged = tagged(loaded.images, options)?;
    incoming.keep(&loaded.blobs)?;
    layout.change_index(|index| {
        for descriptor in &tagged {
            index.put(descriptor.clone());
        }
        Ok(())
    })?;
    Ok(tagged
        .iter()
        .filter_map(Descriptor::tag)
        .map(str::to_owned)
        .collect())
}

/// Gives every image its tags.
fn tagged(
    images: Vec<(Descriptor, Vec<String>)>,
    options: &LoadOptions,
) -> Result<Vec<Descriptor>> {
    let tag = options.tag.as_deref();
    if images.is_empty() {
        bail!("the archive holds no image");
    }
    if tag.is_some() && images.len() > 1 {
        bail!(
            "the archive holds {} images, so --tag can't name one",
            images.len()
        );
    }
    let mut tagged: Vec<Descriptor> = Vec::new();
    for (descriptor, names) in images {
        let names = match tag {
            Some(tag) => vec![tag.to_owned()],
            None if names.is_empty() => vec!["latest".to_owned()],
            None => names,
        };
        for mut name in names {
            if options.naming == Naming::Stored {
                name = stored_name(&name).with_context(|| format!("image '{name}'"))?;
            }
            let clash = tagged
                .iter()
                .any(|other| other.tag() == Some(&name) && other.digest != descriptor.digest);
            if clash {
                bail!("two images of the archive are called '{name}'");
            }
            let mut descriptor = descriptor.clone();
            descriptor.annotations.insert(REF_NAME.to_owned(), name);
            tagged.push(descriptor);
        }
    }
    Ok(tagged)
}

/// The archive without its compression, which its first bytes tell.
fn decompressed<'a>(input: Box<dyn Read + 'a>, limits: &Limits) -> Result<Box<dyn BufRead + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let start = input.fill_buf().context("read")?;
    if start.is_empty() {
        bail!("it is empty");
    }
    let source = Compression::detect(start)
        .decoder(input, &limits.memory)
        .context("decompress")?;
    let limited = Limited {
        source,
        read: 0,
        allowed: limits.bytes,
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER, limited)))
}

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Reads at most so many bytes.
struct Limited<R> {
    source: R,
    read: u64,
    allowed: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        signal::check().map_err(io::Error::other)?;
        let count = self.source.read(buffer)?;
        self.read += count as u64;
        if self.read > self.allowed {
            let message = format!(
                "the archive is larger than {} bytes uncompressed",
                self.allowed
            );
            return Err(io::Error::other(message));
        }
        Ok(count)
    }
}
