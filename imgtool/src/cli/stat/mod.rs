//! `stat`: what an image is made of.

mod describe;
mod quote;

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::layout::Layout;
use crate::layout::document::{Descriptor, History};
use crate::layout::reference::ImageReference;
use crate::layout::resolve::Image;

/// Shows an image's manifest, configuration and history.
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
    config: Document<'a>,
    history: Vec<HistoryEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    descriptor: &'a Descriptor,
    blob: &'a RawValue,
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
        let image = Image::find(&layout, &self.image.tag)?;
        let history = history(&image)?;
        let mut output = io::stdout().lock();
        if self.json {
            let report = Report {
                manifest: Document {
                    descriptor: &image.descriptor,
                    blob: serde_json::from_slice(&image.manifest_bytes).context("manifest")?,
                },
                config: Document {
                    descriptor: &image.manifest.config,
                    blob: serde_json::from_slice(&image.config_bytes).context("configuration")?,
                },
                history,
            };
            serde_json::to_writer(&mut output, &report).map_err(io::Error::from)?;
            writeln!(output)?;
        } else {
            describe::describe(&mut output, &image, &history)?;
        }
        Ok(())
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
