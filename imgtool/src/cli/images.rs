//! `images`: what the store holds.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::arguments::StoreArguments;
use super::table;
use super::template::Template;
use crate::progress::amount;
use crate::store::describe::Description;
use crate::warnings;

/// Lists the images of the store, the youngest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples: windlass-img images --json | jq -r '.[].Digest'
          windlass-img images --format '{{join .Names \" \"}} {{.Digest}}'")]
pub struct Images {
    /// A JSON array, for programs.
    #[arg(long)]
    json: bool,

    /// A line for each, as inspect --format writes it, of the fields that --json has.
    #[arg(long, value_name = "TEMPLATE", value_parser = Template::argument, conflicts_with_all = ["json", "quiet"])]
    format: Option<Template>,

    /// Whole digests.
    #[arg(long)]
    no_trunc: bool,

    /// The images' digests alone.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,

    #[command(flatten)]
    store: StoreArguments,
}

impl Images {
    pub(super) fn run(self) -> Result<()> {
        let store = self.store.open()?;
        let mut images = Vec::new();
        for image in store.images()? {
            // One broken image must not hide the others.
            match store.describe(&image) {
                Ok(description) => images.push(description),
                Err(error) => warnings::warn(|| {
                    let digest = &image.descriptor.digest;
                    format!("{} ({digest}): {error:#}", image.names.join(", "))
                }),
            }
        }
        let created = |image: &Description| image.created().and_then(|at| at.parse().ok());
        images.sort_by_key(|image| std::cmp::Reverse(created(image).unwrap_or(Timestamp::MIN)));
        let mut output = std::io::stdout().lock();
        if self.json {
            let all: Vec<_> = images.iter().map(to_json).collect();
            writeln!(output, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(());
        }
        if let Some(template) = &self.format {
            for image in &images {
                output.write_all(template.line(&to_json(image))?.as_bytes())?;
            }
            return Ok(());
        }
        if self.quiet {
            for image in &images {
                writeln!(output, "{}", image.digest)?;
            }
            return Ok(());
        }
        let mut rows = vec![["NAME", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned)];
        for image in &images {
            let id = image.manifest.config.digest.to_string();
            let id = if self.no_trunc {
                id
            } else {
                id[7..19].to_owned()
            };
            let age = image.created().map(table::age).unwrap_or_default();
            let nameless = ["<none>".to_owned()];
            let names = if image.names.is_empty() {
                &nameless[..]
            } else {
                &image.names
            };
            for name in names {
                let name = name.escape_debug().to_string();
                rows.push([name, id.clone(), age.clone(), amount(image.size())]);
            }
        }
        table::write(&mut output, &rows)?;
        Ok(())
    }
}

fn to_json(image: &Description) -> Value {
    json!({
        "Names": image.names, "Digest": image.digest, "Id": image.manifest.config.digest,
        "Created": image.created(), "Size": image.size(),
    })
}
