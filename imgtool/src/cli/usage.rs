//! `df`: how much the store holds.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::arguments::StoreArguments;
use super::table;
use crate::progress::amount;

/// Shows how much the store holds, and how much of it gc would remove.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img df --json")]
pub struct DiskUsage {
    /// A JSON object, in bytes, for programs.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: StoreArguments,
}

impl DiskUsage {
    pub(super) fn run(self) -> Result<()> {
        let usage = self.store.open()?.usage()?;
        let mut output = std::io::stdout().lock();
        if self.json {
            let count = |(count, bytes): (u64, u64)| json!({ "Count": count, "Bytes": bytes });
            let shown = json!({
                "Images": usage.images, "Used": count(usage.used),
                "Unused": count(usage.unused), "Parts": count(usage.parts),
                "Layers": count(usage.layers), "UnusedLayers": count(usage.unused_layers),
                "Bundles": count(usage.bundles),
            });
            writeln!(output, "{}", serde_json::to_string_pretty(&shown)?)?;
            return Ok(());
        }
        let row = |what: &str, (count, bytes): (u64, u64)| {
            [what.to_owned(), count.to_string(), amount(bytes)]
        };
        let rows = [
            ["WHAT", "COUNT", "SIZE"].map(str::to_owned),
            row("images' blobs", usage.used),
            row("blobs without an image", usage.unused),
            row("parts of blobs", usage.parts),
            row("unpacked layers", usage.layers),
            row("unpacked layers without an image", usage.unused_layers),
            row("bundles' writable layers", usage.bundles),
        ];
        table::write(&mut output, &rows)?;
        Ok(())
    }
}
