//! `inspect`: what an image is, wherever it is.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{Access, Connection, PlatformArguments, StoreArguments};
use super::template::Template;
use crate::copy::CopyOptions;
use crate::copy::plan::one_image;
use crate::layout::document::{Descriptor, ImageConfig, Manifest};
use crate::layout::json;
use crate::layout::media::MediaKind;
use crate::layout::raw_document::RawDocument;
use crate::registry::Repository;
use crate::registry::configuration::Configuration;
use crate::registry::session::SessionOptions;
use crate::sys::signal;
use crate::transport::location::InvalidLocation;
use crate::transport::{Location, Source, open};

/// Shows what an image is, without fetching its layers.
///
/// The output is a JSON object with skopeo's fields. Of an artifact that is no container image there are those
/// that it has, and its ArtifactType.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: windlass-img inspect --config docker://registry.example.com/debian:12
          windlass-img inspect --format '{{.Digest}}' docker://registry.example.com/debian:12
          windlass-img inspect --config --format '{{range .Config.Env}}{{println .}}{{end}}' debian:12"
)]
pub struct Inspect {
    /// The manifest or index as it is, byte for byte; with --config, the configuration.
    #[arg(long)]
    raw: bool,

    /// The image's configuration.
    #[arg(long)]
    config: bool,

    /// What to show of it, as one of Go's templates: {{.FIELD}}, {{json .}}, {{index . KEY}}, {{join . TEXT}},
    /// {{println .}}, {{range .}}…{{end}}; 'json' for all of it in one line.
    #[arg(long, short, value_name = "TEMPLATE", value_parser = Template::argument, conflicts_with = "raw")]
    format: Option<Template>,

    /// Don't ask the registry for the repository's other tags.
    #[arg(long, short)]
    no_tags: bool,

    #[command(flatten)]
    platform: PlatformArguments,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    store: StoreArguments,

    /// docker://NAME, oci:LAYOUT[:TAG] or one of the other transports; without a transport, an
    /// image of the store.
    image: String,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let configuration = self.connection.configuration()?;
        let context = || format!("can't inspect {}", self.image);
        let output = match self.image.parse::<Location>() {
            Ok(location) => {
                let options = self.access.options(&self.connection)?;
                let source = open::source(&location, &configuration, &options)?;
                self.describe(&*source, &location, &configuration, &options)
                    .with_context(context)?
            }
            Err(InvalidLocation::Transport(_)) => {
                self.describe_stored(&configuration).with_context(context)?
            }
            Err(invalid) => return Err(invalid.into()),
        };
        std::io::stdout().write_all(&output)?;
        Ok(())
    }

    /// What the store knows of an image.
    fn describe_stored(&self, configuration: &Configuration) -> Result<Vec<u8>> {
        let store = self.store.open()?;
        let image = store.find(&self.image, configuration)?;
        if self.raw && !self.config {
            return Ok(store.document(&image)?.bytes);
        }
        let description = store.describe(&image)?;
        if self.raw {
            return store.layout().read_document(&description.manifest.config);
        }
        let shown = match description.config {
            Some((_, config)) if self.config => config,
            _ => description.to_json(),
        };
        self.formatted(&shown)
    }

    fn describe(
        &self,
        source: &dyn Source,
        location: &Location,
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
        let config = || -> Result<Vec<u8>> { Ok(source.document(&manifest.config)?.bytes) };
        if self.config && self.raw {
            return config();
        }
        if self.config {
            let shown = json::parse(&config()?).context("image configuration")?;
            return self.formatted(&shown);
        }
        let image = if manifest.config.kind() == MediaKind::Config {
            Some(json::parse(&config()?).context("image configuration")?)
        } else {
            None
        };
        let (name, tags) = self.repository(location, configuration, options)?;
        self.formatted(&summary(name, tags, &top, &manifest, image.as_ref()))
    }

    fn formatted(&self, shown: &Value) -> Result<Vec<u8>> {
        if let Some(template) = &self.format {
            return template.line(shown).map(String::into_bytes);
        }
        let mut text = serde_json::to_vec_pretty(shown)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The repository's name and tags, where there is a repository.
    fn repository(
        &self,
        location: &Location,
        configuration: &Configuration,
        options: &SessionOptions,
    ) -> Result<(Option<String>, Vec<String>)> {
        let Location::Registry(text) = location else {
            return Ok((None, Vec::new()));
        };
        let full = configuration.resolve(text)?;
        let tags = if self.no_tags {
            Vec::new()
        } else {
            let endpoint = configuration.destination(&full)?;
            Repository::new(&endpoint, options)?.tags()?
        };
        Ok((Some(full.without_version()), tags))
    }
}

/// The fields of skopeo's `inspect`; skopeo refuses what is no container image.
fn summary(
    name: Option<String>,
    tags: Vec<String>,
    top: &RawDocument,
    manifest: &Manifest,
    image: Option<&ImageConfig>,
) -> Value {
    let layer = |layer: &Descriptor| {
        json!({
            "MIMEType": layer.media_type, "Digest": layer.digest, "Size": layer.size,
            "Annotations": layer.annotations,
        })
    };
    let layers: Vec<Value> = manifest.layers.iter().map(layer).collect();
    let digests = manifest.layers.iter().map(|layer| layer.digest.to_string());
    let digests: Vec<String> = digests.collect();
    let mut summary = json!({
        "Digest": top.digest, "RepoTags": tags, "Layers": digests, "LayersData": layers,
    });
    let of_image = if let Some(image) = image {
        json!({
            "Created": image.created, "DockerVersion": "", "Labels": image.config.labels,
            "Architecture": image.platform.architecture, "Os": image.platform.os,
            "Env": image.config.env,
        })
    } else {
        let kind = manifest.other.get("artifactType");
        let kind = kind
            .cloned()
            .unwrap_or_else(|| manifest.config.media_type.clone().into());
        json!({ "ArtifactType": kind })
    };
    if let (Value::Object(summary), Value::Object(of_image)) = (&mut summary, of_image) {
        summary.extend(of_image);
    }
    if let Some(name) = name {
        summary["Name"] = name.into();
    }
    summary
}
