//! `dir:`: manifest.json and the blobs, each a file named by its digest's hexadecimal.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::{Accepts, Arrival, Destination, Source};
use crate::layout::blob_source::BlobSource;
use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::layout::document::Descriptor;
use crate::layout::media::MediaKind;
use crate::layout::raw_document::{RawDocument, media_type_of};
use crate::layout::store::LARGEST_DOCUMENT;
use crate::layout::verified_reader::VerifiedReader;
use crate::read_at_most::read_at_most;

/// What the file `version` says.
const VERSION: &str = "Directory Transport Version: 1.1\n";

/// An image in a directory.
#[derive(Debug)]
pub struct DirectorySource {
    path: PathBuf,
}

impl DirectorySource {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self> {
        let version = std::fs::read_to_string(path.join("version"))
            .with_context(|| format!("{} is not a dir: image", path.display()))?;
        if !version.starts_with("Directory Transport Version: 1.") {
            bail!("{}: unknown version of dir:", path.display());
        }
        Ok(DirectorySource {
            path: path.to_owned(),
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        read_at_most(file, LARGEST_DOCUMENT).with_context(|| path.display().to_string())
    }
}

impl Source for DirectorySource {
    fn top(&self) -> Result<RawDocument> {
        let bytes = self.read("manifest.json")?;
        let media_type = media_type_of(&bytes, None).context("manifest.json")?;
        Ok(RawDocument::new(bytes, &media_type))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<RawDocument> {
        let digest = &descriptor.digest;
        let name = match descriptor.kind() {
            MediaKind::Manifest | MediaKind::Index => manifest_name(digest),
            _ => blob_name(digest),
        };
        let bytes = self.read(&name)?;
        let found = Hasher::digest(digest.algorithm(), &bytes);
        if found != *digest {
            bail!("{name} is corrupt: its content is {found}");
        }
        Ok(RawDocument {
            bytes,
            media_type: descriptor.media_type.clone(),
            digest: digest.clone(),
        })
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let path = self.path.join(blob_name(&descriptor.digest));
        let context = || format!("open {}", path.display());
        let mut file = File::open(&path).with_context(context)?;
        file.seek(SeekFrom::Start(offset)).with_context(context)?;
        Ok(Box::new(file))
    }
}

/// A directory that an image is to be in.
#[derive(Debug)]
pub struct DirectoryDestination {
    path: PathBuf,
    /// The files of the new image.
    written: Mutex<HashSet<String>>,
}

impl DirectoryDestination {
    /// Makes the directory, or takes one that is empty or holds an older image, which goes when
    /// the new one is whole.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || format!("make directory {}", path.display());
        let is_new = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut listing = std::fs::read_dir(path).with_context(context)?;
                if listing.next().is_some() && DirectorySource::open(path).is_err() {
                    bail!(
                        "{} is neither empty nor a dir: image, so it isn't overwritten",
                        path.display()
                    );
                }
                false
            }
            Err(error) => return Err(error).with_context(context),
        };
        let destination = DirectoryDestination {
            path: path.to_owned(),
            written: Mutex::default(),
        };
        // Marks a new directory as ours. An older image stays whole until the new one is.
        if !path.join("version").exists() {
            let marked = destination.write("version", VERSION.as_bytes());
            if marked.is_err() && is_new {
                drop(std::fs::remove_dir(path));
            }
            marked?;
        }
        Ok(destination)
    }

    /// Notes that a file is one of the new image's.
    fn keep(&self, name: &str) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(name.to_owned());
    }

    /// Removes what older images left, signatures included, and nothing that is no image's.
    fn remove_older(&self) -> Result<()> {
        let context = || format!("read directory {}", self.path.display());
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in std::fs::read_dir(&self.path).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_of_an_image(name) && !written.contains(name) {
                std::fs::remove_file(self.path.join(name))
                    .with_context(|| format!("remove {name} of the image that was there"))?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!(".{name}.new"));
        let result =
            std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if result.is_err() {
            drop(std::fs::remove_file(&temporary));
        }
        result.with_context(|| format!("write {}", path.display()))
    }
}

impl Destination for DirectoryDestination {
    fn accepts(&self) -> Accepts {
        Accepts::Anything
    }

    fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        _: Option<(&str, &str)>,
    ) -> Result<Arrival> {
        let name = blob_name(&descriptor.digest);
        self.keep(&name);
        let path = self.path.join(&name);
        if path
            .metadata()
            .is_ok_and(|metadata| metadata.len() == descriptor.size)
            && verify(File::open(&path)?, descriptor).is_ok()
        {
            return Ok(Arrival::Already);
        }
        let temporary = self.path.join(format!(".{name}.new"));
        let mut file =
            File::create(&temporary).with_context(|| format!("create {}", temporary.display()))?;
        let mut reader = VerifiedReader::new(source.open(0)?, descriptor);
        let result =
            copy(&mut reader, &mut file).and_then(|()| Ok(std::fs::rename(&temporary, &path)?));
        if result.is_err() {
            drop(std::fs::remove_file(&temporary));
        }
        result.with_context(|| format!("write {}", path.display()))?;
        Ok(Arrival::Copied)
    }

    fn put_document(&self, document: &RawDocument) -> Result<()> {
        let name = manifest_name(&document.digest);
        self.keep(&name);
        self.write(&name, &document.bytes)
    }

    fn commit(&self, top: &RawDocument) -> Result<()> {
        self.write("manifest.json", &top.bytes)?;
        self.write("version", VERSION.as_bytes())?;
        self.remove_older()
    }
}

fn copy(reader: &mut impl Read, file: &mut File) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        crate::sys::signal::check()?;
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..count])?;
    }
}

fn verify(file: File, descriptor: &Descriptor) -> Result<()> {
    std::io::copy(
        &mut VerifiedReader::new(file, descriptor),
        &mut std::io::sink(),
    )?;
    Ok(())
}

/// skopeo's names: the hexadecimal alone for sha256, the whole digest for others.
fn blob_name(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        Algorithm::Sha512 => digest.to_string(),
    }
}

fn manifest_name(digest: &Digest) -> String {
    format!("{}.manifest.json", blob_name(digest))
}

/// Whether a file of that name belongs to an image: a blob, a manifest, a signature, or one that was
/// being written when we were killed.
fn is_of_an_image(name: &str) -> bool {
    let unfinished = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".new"));
    let name = unfinished.unwrap_or(name);
    if let Some(number) = name.strip_prefix("signature-") {
        return !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    }
    let digest = name.strip_suffix(".manifest.json").unwrap_or(name);
    let known = |text: &str| text.parse::<Digest>().is_ok();
    known(digest) || known(&format!("sha256:{digest}"))
}
