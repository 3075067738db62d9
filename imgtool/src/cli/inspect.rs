//! `inspect`: what an image is, wherever it is.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{Access, Connection, PlatformArguments};
use crate::copy::CopyOptions;
use crate::copy::plan::one_image;
use crate::layout::document::{ImageConfig, Manifest};
use crate::layout::raw_document::RawDocument;
use crate::registry::Repository;
use crate::registry::configuration::Configuration;
use crate::registry::session::SessionOptions;
use crate::sys::signal;
use crate::transport::{Location, Source, open};

/// Shows what an image is, without fetching its layers.
///
/// The output is a JSON object with skopeo's fields.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img inspect --config docker://registry.example.com/debian:12"
)]
pub struct Inspect {
    /// The manifest or index as it is, byte for byte; with --config, the configuration.
    #[arg(long)]
    raw: bool,

    /// The image's configuration.
    #[arg(long)]
    config: bool,

    /// Don't ask the registry for the repository's other tags.
    #[arg(long, short)]
    no_tags: bool,

    #[command(flatten)]
    platform: PlatformArguments,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    /// docker://NAME, oci:LAYOUT[:TAG] or one of the other transports.
    image: Location,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let configuration = self.connection.configuration()?;
        let options = self.access.options(&self.connection)?;
        let source = open::source(&self.image, &configuration, &options)?;
        let output = self
            .describe(&*source, &configuration, &options)
            .with_context(|| format!("can't inspect {}", self.image))?;
        std::io::stdout().write_all(&output)?;
        Ok(())
    }

    fn describe(
        &self,
        source: &dyn Source,
        configuration: &Configuration,
        options: &SessionOptions,
    ) -> Result<Vec<u8>> {
        let top = source.top()?;
        if self.raw && !self.config {
            return Ok(top.bytes);
        }
        let choice = CopyOptions {
            platform: self.platform.wanted(),
            ..CopyOptions::default()
        };
        let image = one_image(source, top.clone(), &choice)?;
        let manifest = Manifest::parse(&image.bytes, &image.media_type)
            .with_context(|| format!("manifest {}", image.digest))?;
        let config = source.document(&manifest.config)?;
        if self.config && self.raw {
            return Ok(config.bytes);
        }
        let shown = if self.config {
            serde_json::from_slice(&config.bytes).context("image configuration")?
        } else {
            self.summary(&top, &manifest, &config, configuration, options)?
        };
        let mut text = serde_json::to_vec_pretty(&shown)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The fields of skopeo's `inspect`.
    fn summary(
        &self,
        top: &RawDocument,
        manifest: &Manifest,
        config: &RawDocument,
        configuration: &Configuration,
        options: &SessionOptions,
    ) -> Result<Value> {
        let image: ImageConfig =
            serde_json::from_slice(&config.bytes).context("image configuration")?;
        let (mut name, mut tags) = (String::new(), Vec::new());
        if let Location::Registry(text) = &self.image {
            let full = configuration.resolve(text)?;
            name = full.without_version();
            if !self.no_tags {
                let endpoint = configuration.destination(&full)?;
                tags = Repository::new(&endpoint, options)?.tags()?;
            }
        }
        let layers: Vec<Value> = manifest
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "MIMEType": layer.media_type, "Digest": layer.digest, "Size": layer.size,
                    "Annotations": layer.annotations,
                })
            })
            .collect();
        let digests: Vec<String> = manifest
            .layers
            .iter()
            .map(|layer| layer.digest.to_string())
            .collect();
        let mut summary = json!({
            "Name": name, "Digest": top.digest, "RepoTags": tags,
            "Created": image.created, "DockerVersion": "",
            "Labels": image.config.labels, "Architecture": image.platform.architecture,
            "Os": image.platform.os, "Layers": digests, "LayersData": layers,
            "Env": image.config.env,
        });
        if name.is_empty()
            && let Some(fields) = summary.as_object_mut()
        {
            fields.remove("Name");
        }
        Ok(summary)
    }
}
