//! What an image is made of, for a person to read, as umoci shows it since 0.6.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::quote::{quote, quote_in_list};
use super::{HistoryEntry, Subject};
use crate::layout::document::{Descriptor, ImageConfig, Platform};

/// Writes manifest, configuration and history.
pub(super) fn describe(
    output: &mut impl Write,
    subject: &Subject,
    history: Option<&[HistoryEntry<'_>]>,
) -> io::Result<()> {
    writeln!(output, "== MANIFEST ==")?;
    manifest(output, subject)?;
    if subject.shows_config() {
        writeln!(output, "\n== CONFIG ==")?;
        if let Some(image) = &subject.image {
            config(output, &image.config)?;
        }
        descriptor(output, "", &subject.manifest.config)?;
    }
    if let Some(history) = history {
        writeln!(output, "\n== HISTORY ==")?;
        table(output, history)?;
    }
    Ok(())
}

fn manifest(output: &mut impl Write, subject: &Subject) -> io::Result<()> {
    let manifest = &subject.manifest;
    let media_type = manifest.media_type.as_deref().unwrap_or_default();
    value(
        output,
        "",
        "Schema Version",
        &manifest.schema_version.to_string(),
    )?;
    value(output, "", "Media Type", media_type)?;
    if let Some(kind) = manifest.other.get("artifactType").and_then(Value::as_str) {
        value(output, "", "Artifact Type", kind)?;
    }
    writeln!(output, "Config:")?;
    descriptor(output, "\t", &manifest.config)?;
    if !manifest.layers.is_empty() {
        writeln!(output, "Layers:")?;
    }
    for layer in &manifest.layers {
        descriptor(output, "\t", layer)?;
    }
    let refers_to = manifest.other.get("subject").cloned();
    if let Some(Ok(refers_to)) = refers_to.map(serde_json::from_value) {
        writeln!(output, "Subject:")?;
        descriptor(output, "\t", &refers_to)?;
    }
    map(output, "", "Annotations", &manifest.annotations)?;
    descriptor(output, "", &subject.listed)
}

fn config(output: &mut impl Write, config: &ImageConfig) -> io::Result<()> {
    if let Some(created) = &config.created {
        value(output, "", "Created", created)?;
    }
    let author = config.author.as_deref().unwrap_or_default();
    value(output, "", "Author", author)?;
    platform(output, "", &config.platform)?;
    writeln!(output, "Image Config:")?;
    let process = &config.config;
    value(output, "\t", "User", &process.user)?;
    if !process.entrypoint.is_empty() {
        list(output, "\t", "Entrypoint", &process.entrypoint)?;
    }
    list(output, "\t", "Command", &process.cmd)?;
    if !process.working_dir.is_empty() {
        value(output, "\t", "Working Directory", &process.working_dir)?;
    }
    if !process.env.is_empty() {
        list(output, "\t", "Environment", &process.env)?;
    }
    if !process.stop_signal.is_empty() {
        value(output, "\t", "Stop Signal", &process.stop_signal)?;
    }
    set(output, "\t", "Exposed Ports", process.exposed_ports.keys())?;
    set(output, "\t", "Volumes", process.volumes.keys())?;
    map(output, "\t", "Labels", &process.labels)
}

fn descriptor(output: &mut impl Write, indent: &str, descriptor: &Descriptor) -> io::Result<()> {
    writeln!(output, "{indent}Descriptor:")?;
    let indent = format!("{indent}\t");
    value(output, &indent, "Media Type", &descriptor.media_type)?;
    value(output, &indent, "Digest", &descriptor.digest.to_string())?;
    value(output, &indent, "Size", &human_size(descriptor.size))?;
    if let Some(its) = &descriptor.platform {
        platform(output, &indent, its)?;
    }
    if !descriptor.urls.is_empty() {
        list(output, &indent, "URLs", &descriptor.urls)?;
    }
    map(output, &indent, "Annotations", &descriptor.annotations)?;
    let embedded = descriptor.other.get("data").and_then(Value::as_str);
    match embedded.map(|text| STANDARD.decode(text)) {
        Some(Ok(bytes)) => data(output, &indent, &bytes),
        _ => Ok(()),
    }
}

/// The content that a descriptor holds, as xxd shows it.
fn data(output: &mut impl Write, indent: &str, bytes: &[u8]) -> io::Result<()> {
    writeln!(output, "{indent}Data: ({} bytes)", bytes.len())?;
    for (number, line) in bytes.chunks(16).enumerate() {
        let pairs = line.chunks(2).map(crate::layout::digest::hex);
        let pairs = pairs.collect::<Vec<_>>().join(" ");
        let shown = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let text: String = line.iter().map(shown).collect();
        writeln!(output, "{indent}\t{:04x}: {pairs:39}  {text}", number * 16)?;
    }
    Ok(())
}

fn platform(output: &mut impl Write, indent: &str, platform: &Platform) -> io::Result<()> {
    writeln!(output, "{indent}Platform:")?;
    let indent = format!("{indent}\t");
    value(output, &indent, "OS", &platform.os)?;
    if let Some(version) = &platform.os_version {
        value(output, &indent, "OS Version", version)?;
    }
    set(output, &indent, "OS Features", platform.os_features.iter())?;
    let architecture = quote(&platform.architecture, true);
    match &platform.variant {
        None => writeln!(output, "{indent}Architecture: {architecture}"),
        Some(variant) => {
            let variant = quote(variant, false);
            writeln!(output, "{indent}Architecture: {architecture} ({variant})")
        }
    }
}

/// One value on one line.
fn value(output: &mut impl Write, indent: &str, name: &str, value: &str) -> io::Result<()> {
    writeln!(output, "{indent}{name}: {}", quote_in_list(value))
}

/// A value a line.
fn list(output: &mut impl Write, indent: &str, name: &str, values: &[String]) -> io::Result<()> {
    if values.is_empty() {
        return writeln!(output, "{indent}{name}: (empty)");
    }
    writeln!(output, "{indent}{name}:")?;
    values
        .iter()
        .try_for_each(|value| writeln!(output, "{indent}\t{}", quote(value, true)))
}

/// All values on one line; none without any.
fn set<'a>(
    output: &mut impl Write,
    indent: &str,
    name: &str,
    values: impl Iterator<Item = &'a String>,
) -> io::Result<()> {
    let values: Vec<String> = values.map(|value| quote_in_list(value)).collect();
    if values.is_empty() {
        return Ok(());
    }
    writeln!(output, "{indent}{name}: {}", values.join(", "))
}

/// A pair a line; nothing without any.
fn map(
    output: &mut impl Write,
    indent: &str,
    name: &str,
    pairs: &BTreeMap<String, String>,
) -> io::Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(output, "{indent}{name}:")?;
    let indent = format!("{indent}\t");
    pairs
        .iter()
        .try_for_each(|(key, text)| value(output, &indent, &quote(key, true), text))
}

/// The history as columns.
fn table(output: &mut impl Write, history: &[HistoryEntry<'_>]) -> io::Result<()> {
    let none = || "<none>".to_owned();
    let text = |value: &Option<String>| quote(value.as_deref().unwrap_or_default(), false);
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
        writeln!(
            output,
            "{layer:a$} {created:b$} {by:c$} {size:d$} {comment}"
        )?;
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
