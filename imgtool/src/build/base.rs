//! The images that stages begin with: from the store, and before that from their registry.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::copy::CopyOptions;
use crate::layer::limits::Limits;
use crate::layout::document::{Descriptor, Index};
use crate::layout::media::MediaKind;
use crate::layout::platform::WantedPlatform;
use crate::layout::resolve::Image;
use crate::progress::{Progress, Style};
use crate::registry::configuration::Configuration;
use crate::registry::session::SessionOptions;
use crate::store::Store;
use crate::store::layers::can_share_layers;
use crate::transport::registry::RegistrySource;

/// When images are fetched from their registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// If the store has none of the name.
    #[value(alias = "false")]
    Missing,
    /// Always, so that what the name leads to now is used.
    #[value(alias = "true")]
    Always,
    /// Not at all.
    Never,
}

/// Where images come from.
#[derive(Debug)]
pub struct BaseImages<'a> {
    /// The store.
    pub store: &'a Store,
    /// What names stand for.
    pub configuration: &'a Configuration,
    /// How registries are spoken to.
    pub session: &'a SessionOptions,
    /// When they are asked.
    pub pull: Pull,
    /// How that is shown.
    pub progress: Style,
}

impl BaseImages<'_> {
    /// The image of a name, for a platform.
    pub fn get(&self, name: &str, platform: &WantedPlatform) -> Result<Image> {
        let context = || format!("image '{}'", name.escape_debug());
        let known = self.store.find(name, self.configuration);
        let descriptor = match (known, self.pull) {
            (Ok(stored), Pull::Missing | Pull::Never) => stored.descriptor,
            (Err(error), Pull::Never) => return Err(error),
            _ => self.fetch(name, platform).with_context(context)?,
        };
        let image = self
            .for_platform(&descriptor, platform)
            .with_context(context)?;
        let found = &image.config.platform;
        if found.os != platform.os || found.architecture != platform.architecture {
            bail!(
                "image '{}' in the store is for {}/{}, not for {platform} \
                 (pull --override-arch fetches another)",
                name.escape_debug(),
                found.os.escape_debug(),
                found.architecture.escape_debug()
            );
        }
        Ok(image)
    }

    fn fetch(&self, name: &str, platform: &WantedPlatform) -> Result<Descriptor> {
        let name = self.configuration.resolve(name)?.with_default_tag();
        let source = RegistrySource::open(&name, self.configuration, self.session)?;
        let options = CopyOptions {
            keep_index: *platform == WantedPlatform::default(),
            platform: platform.clone(),
            ..CopyOptions::default()
        };
        self.store.pull(
            &source,
            &name.to_string(),
            &options,
            &Progress::new(self.progress),
            can_share_layers().then(Limits::default),
        )?;
        let stored = self.store.find(&name.to_string(), self.configuration)?;
        Ok(stored.descriptor)
    }

    fn for_platform(&self, descriptor: &Descriptor, platform: &WantedPlatform) -> Result<Image> {
        let layout = self.store.layout();
        if descriptor.kind() != MediaKind::Index || *platform == WantedPlatform::default() {
            return Image::below(layout, descriptor);
        }
        let bytes = layout.read_document(descriptor)?;
        let index = Index::parse(&bytes, Some(&descriptor.media_type))?;
        let best = platform.best(index.manifests.iter(), |entry| entry.platform.as_ref());
        let best = best.with_context(|| format!("there is none for {platform}"))?;
        Image::below(layout, best)
    }
}
