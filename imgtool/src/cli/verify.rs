//! `verify`: whether the store still holds what it should.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::arguments::{MemoryArguments, StoreArguments};
use crate::layout::digest::Digest;
use crate::store::Store;
use crate::store::layers::LayersVerified;
use crate::sys::signal;

/// Hashes every blob of the store and names those that are damaged, and those that are missing.
///
/// Of unpacked layers, those are named that are missing for a bundle; with --layers also every file in
/// which one differs from what its blob gives: content, mode, owner, time, attributes, files too many
/// or too few.
///
/// Fails if there are any, unless it is to --remove them: then a pull of their images brings both kinds
/// back. The images for other platforms that an index lists aren't missing.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img verify --remove && windlass-img pull NAME")]
pub struct Verify {
    /// Remove damaged blobs, so that the next pull of their images fetches them again.
    #[arg(long)]
    remove: bool,

    /// Compare unpacked layers too, which takes as long as unpacking them once more. With --remove, those
    /// that differ go, unless a bundle has them; they are unpacked anew when they are needed.
    #[arg(long)]
    layers: bool,

    #[command(flatten)]
    memory: MemoryArguments,
    #[command(flatten)]
    store: StoreArguments,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let store = if self.remove {
            self.store.open_to_collect()?
        } else {
            self.store.open()?
        };
        let missing = store.missing()?;
        let (all, damaged) = self.blobs(&store)?;
        let mut output = std::io::stdout().lock();
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
        drop(output);
        let mut without = damaged.clone();
        without.extend(missing.iter().map(|(digest, _)| digest.clone()));
        let layers = self
            .layers
            .then(|| self.layers(&store, &without))
            .transpose()?;
        if !damaged.is_empty() && !self.remove {
            bail!(
                "{} of {all} blobs are damaged (--remove makes room for good ones), \
                 {} are missing",
                damaged.len(),
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
        let mut output = std::io::stdout().lock();
        writeln!(
            output,
            "{} of {all} blobs are well",
            all - damaged.len() as u64
        )?;
        if let Some(LayersVerified { compared, others }) = layers {
            writeln!(output, "{compared} unpacked layers are well")?;
            if others > 0 {
                writeln!(
                    output,
                    "{others} weren't compared: they are of no image here"
                )?;
            }
        }
        Ok(())
    }

    /// Hashes all blobs: how many there are, and which are damaged.
    fn blobs(&self, store: &Store) -> Result<(u64, HashSet<Digest>)> {
        let mut output = std::io::stdout().lock();
        let mut damaged = HashSet::new();
        let all = store.verify(|digest, found| {
            damaged.insert(digest.clone());
            if self.remove {
                store.layout().remove_blob(digest)?;
                writeln!(output, "{digest}: damaged ({found}), removed")?;
            } else {
                writeln!(output, "{digest}: damaged ({found})")?;
            }
            Ok(())
        })?;
        Ok((all, damaged))
    }

    /// Compares all unpacked layers; fails if any that stays differs.
    fn layers(&self, store: &Store, without: &HashSet<Digest>) -> Result<LayersVerified> {
        let mut output = std::io::stdout().lock();
        let mut different = BTreeSet::new();
        let mut verified = store.verify_layers(without, |id, path, difference| {
            different.insert(id.clone());
            writeln!(output, "unpacked layer {id}: {path}: {difference}")?;
            Ok(())
        })?;
        verified.compared -= different.len();
        if self.remove {
            let in_use = store.layers_of_bundles()?;
            for id in &different {
                if !in_use.contains(id) {
                    store.remove_layer(id)?;
                    writeln!(output, "unpacked layer {id}: removed")?;
                }
            }
            different.retain(|id| in_use.contains(id));
        }
        match (different.len(), self.remove) {
            (0, _) => Ok(verified),
            (count, true) => bail!(
                "{count} unpacked layers differ from their blobs, and bundles have them: unbundle \
                 these first"
            ),
            (count, false) => bail!(
                "{count} unpacked layers differ from their blobs (--layers --remove has them \
                 unpacked anew)"
            ),
        }
    }
}
