//! `docker://`: a repository of a registry.

use std::io::Read;

use anyhow::{Context, Result, bail};

use super::{Accepts, Arrival, Destination, Source};
use crate::http::RequestError;
use crate::layout::blob_source::BlobSource;
use crate::layout::document::Descriptor;
use crate::layout::media::MediaKind;
use crate::layout::raw_document::RawDocument;
use crate::layout::verified_reader::read_document;
use crate::registry::configuration::Configuration;
use crate::registry::name::{ImageName, Version};
use crate::registry::repository::Repository;
use crate::registry::session::SessionOptions;
use crate::registry::upload::UploadOptions;

/// An image in a registry, or in a mirror of it.
#[derive(Debug)]
pub struct RegistrySource {
    repository: Repository,
    top: RawDocument,
}

impl RegistrySource {
    /// Finds the image in the first place that has it.
    pub fn open(
        name: &ImageName,
        configuration: &Configuration,
        options: &SessionOptions,
    ) -> Result<Self> {
        let mut failures = Vec::new();
        let endpoints = configuration.sources(name)?;
        let last = endpoints.len() - 1;
        let own_hosts = [&name.host, &endpoints[last].name.host];
        let of_mirror = options.for_mirror();
        for (number, endpoint) in endpoints.iter().enumerate() {
            let options = if own_hosts.contains(&&endpoint.name.host) {
                options
            } else {
                &of_mirror
            };
            let attempt = Repository::new(endpoint, options).and_then(|repository| {
                let top = repository.manifest(&endpoint.name.version)?;
                Ok(RegistrySource { repository, top })
            });
            match attempt {
                Ok(source) => return Ok(source),
                Err(error) if number < last => {
                    crate::sys::signal::check()?;
                    crate::warnings::note(|| format!("mirror {}: {error:#}", endpoint.name));
                    failures.push(format!("{}: {error:#}", endpoint.name));
                }
                Err(error) if failures.is_empty() => return Err(error),
                Err(error) => {
                    return Err(
                        error.context(format!("no mirror has it ({})", failures.join("; ")))
                    );
                }
            }
        }
        bail!("{name} is nowhere to be had")
    }
}

impl Source for RegistrySource {
    fn top(&self) -> Result<RawDocument> {
        Ok(self.top.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<RawDocument> {
        let is_manifest = matches!(descriptor.kind(), MediaKind::Manifest | MediaKind::Index);
        if !is_manifest {
            return self.small_blob(descriptor);
        }
        let version = Version {
            tag: None,
            digest: Some(descriptor.digest.clone()),
        };
        let document = self.repository.manifest(&version)?;
        if document.media_type != descriptor.media_type
            || document.bytes.len() as u64 != descriptor.size
        {
            bail!(
                "manifest {} is '{}' of {} bytes, but its descriptor says '{}' and {}",
                descriptor.digest,
                document.media_type.escape_debug(),
                document.bytes.len(),
                descriptor.media_type.escape_debug(),
                descriptor.size
            );
        }
        Ok(document)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.repository.blob(descriptor, offset)?))
    }

    fn mountable(&self) -> Option<(&str, &str)> {
        Some((self.repository.host(), &self.repository.path))
    }

    fn give_up(&self) {
        self.repository.give_up();
    }
}

impl RegistrySource {
    fn small_blob(&self, descriptor: &Descriptor) -> Result<RawDocument> {
        let bytes = read_document(self.blob(descriptor, 0)?, descriptor)?;
        Ok(RawDocument {
            bytes,
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
        })
    }
}

/// A repository that an image is to be in.
#[derive(Debug)]
pub struct RegistryDestination {
    repository: Repository,
    version: Version,
    upload: UploadOptions,
}

impl RegistryDestination {
    /// Nothing is sent yet.
    pub fn open(
        name: &ImageName,
        configuration: &Configuration,
        options: &SessionOptions,
        upload: UploadOptions,
    ) -> Result<Self> {
        let endpoint = configuration.destination(name)?;
        Ok(RegistryDestination {
            repository: Repository::new(&endpoint, options)?,
            version: endpoint.name.version,
            upload,
        })
    }
}

impl Destination for RegistryDestination {
    fn accepts(&self) -> Accepts {
        Accepts::Anything
    }

    fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        mountable: Option<(&str, &str)>,
    ) -> Result<Arrival> {
        let digest = &descriptor.digest;
        if self.repository.has_blob(digest)? {
            return Ok(Arrival::Already);
        }
        if let Some((host, repository)) = mountable
            && host == self.repository.host()
            && repository != self.repository.path
            && self.repository.mount(digest, repository)?
        {
            return Ok(Arrival::Mounted);
        }
        self.repository
            .upload(descriptor, source, self.upload)
            .with_context(|| format!("upload blob {digest}"))?;
        Ok(Arrival::Copied)
    }

    fn put_document(&self, document: &RawDocument) -> Result<()> {
        self.repository.put_manifest(document, None)
    }

    fn commit(&self, top: &RawDocument) -> Result<()> {
        if let Some(digest) = &self.version.digest {
            if *digest != top.digest {
                bail!(
                    "the image is {}, so it can't be put as {digest}",
                    top.digest
                );
            }
            return self.repository.put_manifest(top, None);
        }
        let tag = self.version.tag.as_deref().unwrap_or("latest");
        self.repository
            .put_manifest(top, Some(tag))
            .map_err(|error| match RequestError::status_of(&error) {
                Some(400 | 415) => error.context(format!(
                    "the registry doesn't take a '{}' (see --format)",
                    top.media_type.escape_debug()
                )),
                _ => error,
            })
    }

    fn give_up(&self) {
        self.repository.give_up();
    }
}
