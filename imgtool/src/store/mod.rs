//! The images that this host keeps: an image layout whose tags are whole names.
//!
//! Any tool that reads image layouts reads it. Many processes use it at once: whoever adds holds a
//! shared lock, who removes blobs an exclusive one, and what a killed process leaves is parts of
//! blobs and blobs without a name, which `gc` removes.

pub mod bundle_place;
pub mod bundles;
pub mod collect;
pub mod describe;
pub mod import;
pub mod layers;
pub mod name;
pub mod pull;
pub mod verify;
pub mod volumes;
pub mod whereabouts;

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::layout::create::Created;
use crate::layout::document::{Descriptor, Manifest};
use crate::layout::media::MediaKind;
use crate::registry::configuration::Configuration;
use crate::transport::Accepts;
use crate::transport::layout::{LayoutDestination, LayoutSource};
use name::possible_names;

/// The store.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
}

/// An image of the store, as somebody named it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its names; the one asked for first, if a name was asked for.
    pub names: Vec<String>,
    /// What they lead to.
    pub descriptor: Descriptor,
    /// Whether it was asked for by name.
    pub by_name: bool,
}

/// Where the store is unless the caller says: `/var/lib/windlass` for root, otherwise
/// `$XDG_DATA_HOME/windlass`.
pub fn default_path() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/windlass"));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|data| data.join("windlass"))
        .context("neither XDG_DATA_HOME nor HOME is set: give --store")
}

impl Store {
    /// Opens the store to read it, or add to it; makes it where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || format!("can't open the store {}", path.display());
        if !path.join("oci-layout").exists() {
            make(path).with_context(context)?;
        }
        let layout = Layout::open_to_change(path).with_context(context)?;
        Ok(Store { layout })
    }

    /// Opens the store to remove blobs from it: waits for all who use it.
    pub fn open_to_collect(path: &Path) -> Result<Self> {
        let context = || format!("can't open the store {}", path.display());
        if !path.join("oci-layout").exists() {
            make(path).with_context(context)?;
        }
        let layout = Layout::open_to_collect(path).with_context(context)?;
        Ok(Store { layout })
    }

    /// The same if nobody else uses it now.
    pub fn try_to_collect(path: &Path) -> Result<Option<Self>> {
        let layout = Layout::try_open_to_collect(path)
            .with_context(|| format!("can't open the store {}", path.display()))?;
        Ok(layout.map(|layout| Store { layout }))
    }

    /// The layout that it is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All images, each with its names.
    pub fn images(&self) -> Result<Vec<Stored>> {
        let mut images: Vec<Stored> = Vec::new();
        for descriptor in self.layout.index()?.manifests {
            let name = descriptor.tag().map(str::to_owned);
            let known = images
                .iter_mut()
                .find(|image| image.descriptor.digest == descriptor.digest);
            match known {
                Some(image) => image.names.extend(name),
                None => images.push(Stored {
                    names: name.into_iter().collect(),
                    descriptor,
                    by_name: false,
                }),
            }
        }
        Ok(images)
    }

    /// The image of a name, or of the beginning of its digest or its configuration's.
    pub fn find(&self, text: &str, configuration: &Configuration) -> Result<Stored> {
        self.find_if_there(text, configuration)?.with_context(|| {
            format!(
                "no image '{}' in {} (see images)",
                text.escape_debug(),
                self.layout.path().display()
            )
        })
    }

    /// The same, if there is one.
    pub fn find_if_there(
        &self,
        text: &str,
        configuration: &Configuration,
    ) -> Result<Option<Stored>> {
        let images = self.images()?;
        for name in possible_names(text, configuration) {
            let named = images.iter().find(|image| image.names.contains(&name));
            if let Some(image) = named {
                let mut image = image.clone();
                image.names.retain(|other| *other != name);
                image.names.insert(0, name);
                image.by_name = true;
                return Ok(Some(image));
            }
        }
        if let Some(hex) = name::digest_beginning(text) {
            let mut found = Vec::new();
            for image in &images {
                if self.begins_with(image, hex)? {
                    found.push(image);
                }
            }
            match found.as_slice() {
                [only] => return Ok(Some((*only).clone())),
                [] => {}
                several => bail!("{} images' digests begin with '{hex}'", several.len()),
            }
        }
        Ok(None)
    }

    fn begins_with(&self, image: &Stored, hex: &str) -> Result<bool> {
        if image.descriptor.digest.hex().starts_with(hex) {
            return Ok(true);
        }
        if image.descriptor.kind() != MediaKind::Manifest {
            return Ok(false);
        }
        let bytes = self.layout.read_document(&image.descriptor)?;
        let manifest = Manifest::parse(&bytes, &image.descriptor.media_type)?;
        Ok(manifest.config.digest.hex().starts_with(hex))
    }

    /// Gives an image a further name, in place of any image that has it.
    pub fn add_name(&self, descriptor: &Descriptor, name: &str) -> Result<()> {
        self.layout.change_index(|index| {
            index.tag(descriptor.clone(), name);
            Ok(())
        })
    }

    /// Takes names away; says how many were there.
    pub fn remove_names(&self, names: &[String]) -> Result<usize> {
        self.layout.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|known| {
                known
                    .tag()
                    .is_none_or(|tag| !names.iter().any(|name| name == tag))
            });
            Ok(before - index.manifests.len())
        })
    }

    /// Takes an image away that has no name.
    pub fn remove_nameless(&self, descriptor: &Descriptor) -> Result<()> {
        self.layout.change_index(|index| {
            index
                .manifests
                .retain(|known| known.tag().is_some() || known.digest != descriptor.digest);
            Ok(())
        })
    }

    /// Takes all images away that have no name; says how many there were.
    pub fn remove_all_nameless(&self) -> Result<usize> {
        self.layout.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|known| known.tag().is_some());
            Ok(before - index.manifests.len())
        })
    }

    /// To copy an image out of the store.
    pub fn source(self, name: &str) -> Result<LayoutSource> {
        LayoutSource::of(self.layout, Some(name))
    }

    /// To copy an image into the store. Nothing of it is changed on the way.
    pub fn destination(self, name: String) -> LayoutDestination {
        LayoutDestination::of(self.layout, Created::Nothing, Some(name), Accepts::Anything)
    }
}

/// Makes an empty store. Images may hold set-user-ID programs and other people's secrets: nobody
/// else may look (CVE-2021-41103).
fn make(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("make directory {}", path.display()));
        }
        _ => {}
    }
    Layout::open_or_create(path)?;
    Ok(())
}
