//! All images of a repository or of a directory, each to its place elsewhere (skopeo-sync(1)).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::registry::Repository;
use crate::registry::configuration::Configuration;
use crate::registry::name::{ImageName, Version};
use crate::registry::session::SessionOptions;
use crate::transport::Location;

/// How deep below a directory its images may be.
const DEEPEST_DIRECTORY: usize = 16;

/// A place of many images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A repository, or one image of it; as a destination, what the names begin with.
    Registry(String),
    /// A directory of `dir:` images.
    Directory(PathBuf),
}

/// An image to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From where.
    pub source: Location,
    /// To where.
    pub destination: Location,
}

/// What there is to copy. `scoped` keeps the whole path of a source in the name at the
/// destination.
pub fn steps(
    source: &Place,
    destination: &Place,
    scoped: bool,
    configuration: &Configuration,
    reading: &SessionOptions,
) -> Result<Vec<Step>> {
    let images = match source {
        Place::Registry(name) => in_registry(name, scoped, configuration, reading)?,
        Place::Directory(path) => in_directory(path, scoped)?,
    };
    if images.is_empty() {
        bail!("there is nothing to copy");
    }
    Ok(images
        .into_iter()
        .map(|(source, name)| Step {
            source,
            destination: destination.below(&name),
        })
        .collect())
}

impl Place {
    fn below(&self, name: &str) -> Location {
        match self {
            Place::Registry(place) => {
                Location::Registry(format!("{}/{name}", place.trim_end_matches('/')))
            }
            Place::Directory(path) => Location::Directory(path.join(name)),
        }
    }
}

/// The images of a repository, and what they are called at the destination.
fn in_registry(
    text: &str,
    scoped: bool,
    configuration: &Configuration,
    options: &SessionOptions,
) -> Result<Vec<(Location, String)>> {
    let name = configuration.resolve(text)?;
    let versions = if name.version == Version::default() {
        let endpoint = configuration.destination(&name)?;
        let mut tags = Repository::new(&endpoint, options)?
            .tags()
            .with_context(|| format!("can't list the tags of {text}"))?;
        // Registries give them in any order.
        tags.sort();
        let version = |tag| Version {
            tag: Some(tag),
            digest: None,
        };
        tags.into_iter().map(version).collect()
    } else {
        vec![name.version.clone()]
    };
    Ok(versions
        .into_iter()
        .map(|version| {
            let image = ImageName {
                version,
                ..name.clone()
            };
            let base = image.repository.rsplit('/').next().unwrap_or_default();
            let called = if scoped {
                image.to_string()
            } else {
                format!("{base}{}", image.version)
            };
            (Location::Registry(image.to_string()), called)
        })
        .collect())
}

/// The `dir:` images below a directory, and what they are called at the destination.
fn in_directory(path: &Path, scoped: bool) -> Result<Vec<(Location, String)>> {
    let mut found = Vec::new();
    collect(path, 0, &mut found)?;
    found.sort();
    found
        .into_iter()
        .map(|image| {
            let relative = if scoped {
                image.strip_prefix("/").unwrap_or(&image)
            } else {
                image.strip_prefix(path)?
            };
            let name = relative
                .to_str()
                .filter(|name| !name.is_empty())
                .with_context(|| format!("{} has no name for a registry", image.display()))?;
            Ok((Location::Directory(image.clone()), name.to_owned()))
        })
        .collect()
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.join("manifest.json").exists() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == DEEPEST_DIRECTORY {
        return Ok(());
    }
    let context = || format!("read directory {}", path.display());
    for entry in std::fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.file_type().with_context(context)?.is_dir() {
            collect(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}
