//! `verify`: whether the store still holds what it should.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::arguments::StoreArguments;
use crate::sys::signal;

/// Hashes every blob of the store and names those that are damaged, and those that are missing.
///
/// Unpacked layers aren't hashed: only those that are missing for a bundle are named.
///
/// Fails if there are any, unless it is to --remove them: then a pull of their images brings both kinds
/// back. The images for other platforms that an index lists aren't missing.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img verify --remove && windlass-img pull NAME")]
pub struct Verify {
    /// Remove damaged blobs, so that the next pull of their images fetches them again.
    #[arg(long)]
    remove: bool,

    #[command(flatten)]
    store: StoreArguments,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let store = if self.remove {
            self.store.open_to_collect()?
        } else {
            self.store.open()?
        };
        let mut output = std::io::stdout().lock();
        let missing = store.missing()?;
        let mut damaged = 0;
        let all = store.verify(|digest, found| {
            damaged += 1;
            if self.remove {
                store.layout().remove_blob(digest)?;
                writeln!(output, "{digest}: damaged ({found}), removed")?;
            } else {
                writeln!(output, "{digest}: damaged ({found})")?;
            }
            Ok(())
        })?;
        for (digest, needed_by) in &missing {
            match needed_by {
                Some(needed_by) => writeln!(output, "{digest}: missing (needed by {needed_by})")?,
                None => writeln!(output, "{digest}: missing")?,
            }
        }
        let missing_layers = store.missing_layers()?;
        for (layer, bundle) in &missing_layers {
            let bundle = bundle.display();
            writeln!(
                output,
                "unpacked layer {layer}: missing (needed by bundle {bundle})"
            )?;
        }
        if damaged > 0 && !self.remove {
            bail!(
                "{damaged} of {all} blobs are damaged (--remove makes room for good ones), \
                 {} are missing",
                missing.len()
            );
        }
        if !missing.is_empty() && !self.remove {
            bail!(
                "{} blobs are missing: pull their images again",
                missing.len()
            );
        }
        if !missing_layers.is_empty() {
            bail!("unpacked layers are missing: mount the bundles again to have them unpacked");
        }
        writeln!(output, "{} of {all} blobs are well", all - damaged)?;
        Ok(())
    }
}
