//! `stat`: what an image is made of.

mod describe;
mod quote;

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::layout::Layout;
use crate::layout::document::{Descriptor, History, Manifest};
use crate::layout::json;
use crate::layout::media::MediaKind;
use crate::layout::reference::ImageReference;
use crate::layout::resolve::{self, Image};

/// The configuration of what needs none: `{}` (image-spec manifest.md, "Guidance for an Empty
/// Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Shows an image's manifest, configuration and history.
///
/// Of what is no container image (an artifact), only the manifest.
///
/// Only the output of --json is for programs; it is umoci's.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img stat --image images:debian --json | jq .config.blob")]
pub struct Stat {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// umoci's JSON: `manifest` and `config` are the documents as they are, `history` joins the
/// configuration's history with the layers.
#[derive(Debug, Serialize)]
struct Report<'a> {
    manifest: Document<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Document<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<HistoryEntry<'a>>>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    descriptor: &'a Descriptor,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct HistoryEntry<'a> {
    layer: Option<&'a Descriptor>,
    diff_id: String,
    #[serde(flatten)]
    history: &'a History,
}

impl Stat {
    pub(super) fn run(self) -> Result<()> {
        let layout = Layout::open(&self.image.layout)?;
        let tag = &self.image.tag;
        let tagged = resolve::tagged(&layout, tag)?;
        let subject = Subject::read(&layout, &tagged).with_context(|| format!("tag '{tag}'"))?;
        let mut output = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut output, &subject.report()?).map_err(io::Error::from)?;
            writeln!(output)?;
        } else {
            let history = subject.image.as_ref().map(history).transpose()?;
            describe::describe(&mut output, &subject, history.as_deref())?;
        }
        Ok(())
    }
}

/// What a tag leads to.
#[derive(Debug)]
struct Subject {
    /// With the platform of the nearest index entry that has one.
    descriptor: Descriptor,
    /// As it stands where the way ends.
    listed: Descriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
    /// Unless the manifest is of something else.
    image: Option<Image>,
}

impl Subject {
    fn read(layout: &Layout, tagged: &Descriptor) -> Result<Self> {
        let (descriptor, way) = resolve::manifest_below(layout, tagged)?;
        let listed = way.last().unwrap_or(&descriptor).clone();
        let bytes = layout.read_document(&descriptor)?;
        let manifest = Manifest::parse(&bytes, &descriptor.media_type)
            .with_context(|| format!("manifest {}", descriptor.digest))?;
        let image = match manifest.config.kind() {
            MediaKind::Config => {
                let (bytes, descriptor) = (bytes.clone(), descriptor.clone());
                Some(Image::of_manifest(layout, bytes, descriptor, way)?)
            }
            _ => None,
        };
        Ok(Subject {
            descriptor,
            listed,
            bytes,
            manifest,
            image,
        })
    }

    fn report(&self) -> Result<Report<'_>> {
        let manifest = Document {
            descriptor: &self.descriptor,
            blob: json::parse(&self.bytes).context("manifest")?,
        };
        let blob = match &self.image {
            Some(image) => json::parse(&image.config_bytes).context("configuration")?,
            None => None,
        };
        let config = Document {
            descriptor: &self.manifest.config,
            blob,
        };
        Ok(Report {
            manifest,
            config: self.shows_config().then_some(config),
            history: self.image.as_ref().map(history).transpose()?,
        })
    }

    /// Whether the configuration is one that we know.
    fn shows_config(&self) -> bool {
        self.image.is_some() || self.manifest.config.media_type == EMPTY
    }
}

/// The history with its layers: every entry that isn't empty is one layer, in order.
fn history(image: &Image) -> Result<Vec<HistoryEntry<'_>>> {
    let layers = image.layers()?;
    let mut rest = layers.iter();
    let mut entries = Vec::new();
    for history in &image.config.history {
        let layer = if history.empty_layer {
            None
        } else {
            rest.next()
        };
        if layer.is_none() && !history.empty_layer {
            bail!("the image's history has more layers than its manifest");
        }
        entries.push(HistoryEntry {
            layer: layer.map(|layer| layer.descriptor),
            diff_id: layer
                .map(|layer| layer.diff_id.to_string())
                .unwrap_or_default(),
            history,
        });
    }
    Ok(entries)
}
