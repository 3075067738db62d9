//! `insert`: a file or tree of the host into an image.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{CompressArguments, HistoryArguments, MappingArguments, MemoryArguments};
use crate::date;
use crate::layer::diff::insert::insert;
use crate::layer::diff::{LayerSink, LayerWriter, PackOptions};
use crate::layer::path::ImagePath;
use crate::layout::Layout;
use crate::layout::edit::ImageEdit;
use crate::layout::reference::{ImageReference, checked_tag};
use crate::layout::resolve::Image;
use crate::memory_budget::MemoryBudget;
use crate::warnings;

/// Adds a layer with a file or directory of the host to an image, or one that removes a path.
///
/// What is there already is merged with the directory, or replaced by the file. A removed or
/// replaced file stays readable in the layers below: this is no way to take a secret out.
#[derive(Debug, Args)]
#[command(
    override_usage = "windlass-img insert [OPTIONS] --image <LAYOUT[:TAG]> [--opaque] <SOURCE> <TARGET>\n       \
        windlass-img insert [OPTIONS] --image <LAYOUT[:TAG]> --whiteout <TARGET>",
    after_help = "Example: windlass-img insert --image images:mine ./etc /etc"
)]
pub struct Insert {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// The tag of the changed image, in place of the old one's.
    #[arg(long, value_name = "NEW-TAG", value_parser = checked_tag)]
    tag: Option<String>,

    /// Remove the target from the image instead of adding something.
    #[arg(long, conflicts_with = "opaque")]
    whiteout: bool,

    /// Hide all that the layers below have in the target directory.
    #[arg(long)]
    opaque: bool,

    #[command(flatten)]
    compress: CompressArguments,

    #[command(flatten)]
    mapping: MappingArguments,

    #[command(flatten)]
    history: HistoryArguments,

    #[command(flatten)]
    memory: MemoryArguments,

    /// What to insert, and where; with --whiteout only what to remove.
    #[arg(value_name = "PATH", required = true, num_args = 1..=2)]
    paths: Vec<PathBuf>,
}

impl Insert {
    pub(super) fn run(self) -> Result<()> {
        crate::sys::signal::note_requests_to_stop();
        self.memory.apply();
        let name = self.image.to_string();
        self.change()
            .with_context(|| format!("can't insert into {name}"))
    }

    fn change(self) -> Result<()> {
        let (source, target) = match (&self.paths[..], self.whiteout) {
            ([target], true) => (None, target),
            ([source, target], false) => (Some(source), target),
            (_, true) => anyhow::bail!("--whiteout takes one path: the one to remove"),
            (_, false) => anyhow::bail!("two paths are needed: what to insert, and where"),
        };
        let target = ImagePath::parse(target.as_os_str().as_encoded_bytes())
            .with_context(|| format!("target '{}'", target.display()))?;
        let layout = Layout::open_to_change(&self.image.layout)?;
        let image = Image::find(&layout, &self.image.tag)?;
        let mut edit = ImageEdit::of_tagged(&image, &self.image.tag)?;
        let mut incoming = layout.incoming()?;
        let options = PackOptions {
            memory: MemoryBudget::default(),
            mapping: self.mapping.mapping()?,
            latest_time: date::source_date_epoch()?,
        };
        let sink = LayerSink::new(&mut incoming, self.compress.choose(&edit))?;
        let mut layer = LayerWriter::new(sink, options);
        match source {
            Some(source) => insert(source, &target, self.opaque, &mut layer)?,
            None => layer.whiteout(&target)?,
        }
        let layer = layer.finish()?.finish()?;
        edit.add_layer(&layer, self.history.entry(None, "windlass-img insert")?)?;
        let tag = self.tag.unwrap_or(self.image.tag);
        let way = edit.commit(&layout, &mut incoming, &[layer.blob], Some(&tag))?;
        warnings::note(|| format!("'{tag}' is {}", way[0].digest));
        Ok(())
    }
}
