//! From a location to what reads or writes it.

use anyhow::{Context, Result, bail};

use super::archive::ArchiveSource;
use super::directory::{DirectoryDestination, DirectorySource};
use super::docker_archive::DockerArchiveDestination;
use super::layout::{LayoutDestination, LayoutSource};
use super::layout_archive::LayoutArchiveDestination;
use super::registry::{RegistryDestination, RegistrySource};
use super::{Accepts, Destination, Location, Source};
use crate::layout::reference::checked_tag;
use crate::registry::configuration::Configuration;
use crate::registry::name::{Version, Written};
use crate::registry::session::SessionOptions;
use crate::registry::upload::UploadOptions;

/// Opens what an image is to be read from.
pub fn source(
    location: &Location,
    configuration: &Configuration,
    options: &SessionOptions,
) -> Result<Box<dyn Source>> {
    let opened: Result<Box<dyn Source>> = (|| {
        Ok(match location {
            Location::Registry(name) => {
                let name = configuration.resolve(name)?;
                Box::new(RegistrySource::open(&name, configuration, options)?) as Box<dyn Source>
            }
            Location::Layout(path, tag) => Box::new(LayoutSource::open(path, tag.as_deref())?),
            Location::Directory(path) => Box::new(DirectorySource::open(path)?),
            Location::LayoutArchive(path, name) | Location::DockerArchive(path, name) => {
                Box::new(ArchiveSource::open(path, name.as_deref())?)
            }
        })
    })();
    opened.with_context(|| format!("can't read {location}"))
}

/// Opens what an image is to be written to.
pub fn destination(
    location: &Location,
    configuration: &Configuration,
    options: &SessionOptions,
    upload: UploadOptions,
) -> Result<Box<dyn Destination>> {
    let opened: Result<Box<dyn Destination>> = (|| {
        Ok(match location {
            Location::Registry(name) => {
                let name = configuration.resolve(name)?;
                let opened = RegistryDestination::open(&name, configuration, options, upload)?;
                Box::new(opened) as Box<dyn Destination>
            }
            Location::Layout(path, tag) => {
                let tag = tag.as_deref().map(checked_tag).transpose()?;
                Box::new(LayoutDestination::open(path, tag, Accepts::Oci)?)
            }
            Location::Directory(path) => Box::new(DirectoryDestination::open(path)?),
            Location::LayoutArchive(path, tag) => {
                let tag = tag.as_deref().map(checked_tag).transpose()?;
                Box::new(LayoutArchiveDestination::open(path, tag)?)
            }
            Location::DockerArchive(path, name) => {
                let names = name.as_deref().map(archive_name).transpose()?;
                let names = names.into_iter().collect();
                Box::new(DockerArchiveDestination::open(path, names)?)
            }
        })
    })();
    opened.with_context(|| format!("can't write to {location}"))
}

/// The name of an image in a docker-archive: with a tag, as `docker load` wants it.
fn archive_name(text: &str) -> Result<String> {
    let (name, version) = match Written::parse(text)? {
        Written::Full(name) => (name.without_version(), name.version),
        Written::Short {
            repository,
            version,
        } => (repository, version),
    };
    let Version { tag, digest } = version;
    if digest.is_some() {
        bail!("'{text}': an image in a docker-archive has a tag, not a digest");
    }
    Ok(format!("{name}:{}", tag.as_deref().unwrap_or("latest")))
}
