//! `stat`: what an image is made of.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::layout::Layout;
use crate::layout::document::{Descriptor, History, Platform};
use crate::layout::reference::ImageReference;
use crate::layout::resolve::Image;

/// Shows an image's manifest, configuration and history.
///
/// Only the output of --json is for programs; it is umoci's.
#[derive(Debug, Args)]
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
            describe(&mut output, &image, &history)?;
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

/// Writes what an image is made of, for a person to read.
fn describe(
    output: &mut impl Write,
    image: &Image,
    history: &[HistoryEntry<'_>],
) -> io::Result<()> {
    writeln!(output, "== MANIFEST ==")?;
    describe_manifest(output, image)?;
    writeln!(output, "\n== CONFIG ==")?;
    describe_config(output, image)?;
    writeln!(output, "\n== HISTORY ==")?;
    table(output, history)
}

fn describe_manifest(output: &mut impl Write, image: &Image) -> io::Result<()> {
    let manifest = &image.manifest;
    writeln!(output, "Schema Version: {}", manifest.schema_version)?;
    field(
        output,
        "",
        "Media Type",
        manifest.media_type.as_deref().unwrap_or_default(),
    )?;
    writeln!(output, "Config:")?;
    descriptor(output, "\t", &manifest.config)?;
    if !manifest.layers.is_empty() {
        writeln!(output, "Layers:")?;
    }
    for layer in &manifest.layers {
        descriptor(output, "\t", layer)?;
    }
    list(output, "", "Annotations", pairs(&manifest.annotations))?;
    descriptor(output, "", &image.descriptor)
}

fn describe_config(output: &mut impl Write, image: &Image) -> io::Result<()> {
    let config = &image.config;
    field(
        output,
        "",
        "Created",
        config.created.as_deref().unwrap_or_default(),
    )?;
    field(
        output,
        "",
        "Author",
        config.author.as_deref().unwrap_or_default(),
    )?;
    field(output, "", "Platform", &platform_name(&config.platform))?;
    writeln!(output, "Image Config:")?;
    let process = &config.config;
    field(output, "\t", "User", &process.user)?;
    list(output, "\t", "Entrypoint", process.entrypoint.clone())?;
    list(output, "\t", "Command", process.cmd.clone())?;
    field(output, "\t", "Working Directory", &process.working_dir)?;
    list(output, "\t", "Environment", process.env.clone())?;
    field(output, "\t", "Stop Signal", &process.stop_signal)?;
    list(
        output,
        "\t",
        "Exposed Ports",
        process.exposed_ports.keys().cloned().collect(),
    )?;
    list(
        output,
        "\t",
        "Volumes",
        process.volumes.keys().cloned().collect(),
    )?;
    list(output, "\t", "Labels", pairs(&process.labels))?;
    descriptor(output, "", &image.manifest.config)
}

fn descriptor(output: &mut impl Write, indent: &str, descriptor: &Descriptor) -> io::Result<()> {
    writeln!(output, "{indent}Descriptor:")?;
    let indent = format!("{indent}\t");
    field(output, &indent, "Media Type", &descriptor.media_type)?;
    field(output, &indent, "Digest", &descriptor.digest.to_string())?;
    field(output, &indent, "Size", &human_size(descriptor.size))?;
    if let Some(platform) = &descriptor.platform {
        field(output, &indent, "Platform", &platform_name(platform))?;
    }
    list(output, &indent, "URLs", descriptor.urls.clone())?;
    list(
        output,
        &indent,
        "Annotations",
        pairs(&descriptor.annotations),
    )
}

fn platform_name(platform: &Platform) -> String {
    let variant = platform
        .variant
        .as_ref()
        .map(|variant| format!("/{variant}"));
    format!(
        "{}/{}{}",
        platform.os,
        platform.architecture,
        variant.unwrap_or_default()
    )
}

/// One line; nothing for an empty value. What came from the image is escaped, so that it can't
/// steer the terminal.
fn field(output: &mut impl Write, indent: &str, name: &str, value: &str) -> io::Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    writeln!(output, "{indent}{name}: {}", value.escape_debug())
}

fn list(output: &mut impl Write, indent: &str, name: &str, values: Vec<String>) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    writeln!(output, "{indent}{name}:")?;
    values
        .iter()
        .try_for_each(|value| writeln!(output, "{indent}\t{}", value.escape_debug()))
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<String> {
    map.iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect()
}

/// The history as columns.
fn table(output: &mut impl Write, history: &[HistoryEntry<'_>]) -> io::Result<()> {
    let none = || "<none>".to_owned();
    let text = |value: &Option<String>| {
        value
            .as_deref()
            .unwrap_or_default()
            .escape_debug()
            .to_string()
    };
    let mut rows = vec![["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned)];
    rows.extend(history.iter().map(|entry| {
        [
            entry
                .layer
                .map_or_else(none, |layer| layer.digest.to_string()),
            text(&entry.history.created),
            text(&entry.history.created_by),
            entry
                .layer
                .map_or_else(none, |layer| human_size(layer.size)),
            text(&entry.history.comment),
        ]
    }));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    for [layer, created, by, size, comment] in &rows {
        let line = format!("{layer:a$} {created:b$} {by:c$} {size:d$} {comment}");
        writeln!(output, "{}", line.trim_end_matches(' '))?;
    }
    Ok(())
}

/// Bytes in units of a thousand with four significant digits, as Docker's tools print them.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut thousandth = u128::from(bytes) * 1000;
    while thousandth >= 1_000_000 && unit + 1 < UNITS.len() {
        thousandth /= 1000;
        unit += 1;
    }
    let decimals = if thousandth >= 100_000 {
        1
    } else if thousandth >= 10_000 {
        2
    } else {
        3
    };
    let step = 10u128.pow(3 - decimals);
    let rounded = (thousandth + step / 2) / step * step;
    let text = format!("{}.{:03}", rounded / 1000, rounded % 1000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_dockers_tools_print_them() {
        for (bytes, text) in [
            (0, "0B"),
            (351, "351B"),
            (1000, "1kB"),
            (1234, "1.234kB"),
            (141_799_151, "141.8MB"),
            (12_345_678, "12.35MB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
