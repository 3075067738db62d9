//! `raw add-layer`: an archive becomes a layer as it is.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::arguments::{CompressArguments, HistoryArguments};
use crate::layer::diff::LayerSink;
use crate::layer::limits::Limits;
use crate::layer::tar::TarReader;
use crate::layout::Layout;
use crate::layout::edit::ImageEdit;
use crate::layout::reference::{ImageReference, checked_tag};
use crate::layout::resolve::Image;
use crate::sys::signal;
use crate::warnings;

/// Puts an uncompressed tar archive on top of an image, as a layer, byte for byte.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img raw add-layer --image images:mine layer.tar")]
pub struct AddLayer {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// The tag of the changed image, in place of the old one's.
    #[arg(long, value_name = "NEW-TAG", value_parser = checked_tag)]
    tag: Option<String>,

    #[command(flatten)]
    compress: CompressArguments,

    #[command(flatten)]
    history: HistoryArguments,

    /// The archive.
    #[arg(value_name = "LAYER.TAR")]
    archive: PathBuf,
}

impl AddLayer {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let name = self.image.to_string();
        self.change()
            .with_context(|| format!("can't add a layer to {name}"))
    }

    fn change(self) -> Result<()> {
        let layout = Layout::open_to_change(&self.image.layout)?;
        let image = Image::find(&layout, &self.image.tag)?;
        let mut edit = ImageEdit::of_tagged(&image, &self.image.tag)?;
        let mut incoming = layout.incoming()?;
        let path = self.archive.display();
        let archive = File::open(&self.archive).with_context(|| format!("open {path}"))?;
        if archive.metadata().context("fstat")?.is_dir() {
            bail!("{path} is a directory (insert takes those)");
        }
        let sink = LayerSink::new(&mut incoming, self.compress.choose(&edit))?;
        let sink = copy_checked(archive, sink).with_context(|| format!("{path}"))?;
        let layer = sink.finish()?;
        let author = edit.current_config()?.author;
        let history = self.history.entry(author, "windlass-img raw add-layer")?;
        edit.add_layer(&layer, history)?;
        let tag = self.tag.unwrap_or(self.image.tag);
        let way = edit.commit(&layout, &mut incoming, &[layer.blob], Some(&tag))?;
        warnings::note(|| format!("'{tag}' is {}", way[0].digest));
        Ok(())
    }
}

/// Copies an archive, reading it on the way: one that we would refuse to unpack is refused.
fn copy_checked(archive: File, sink: LayerSink) -> Result<LayerSink> {
    let tee = Tee { archive, sink };
    let mut tar = TarReader::new(
        BufReader::with_capacity(256 << 10, tee),
        Limits::default().tar,
    );
    while tar.next_entry()?.is_some() {
        signal::check()?;
    }
    // What follows the archive's end belongs to the layer too.
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).context("read the archive to its end")?;
    Ok(rest.into_inner().sink)
}

/// Writes to the sink what is read from the archive.
struct Tee {
    archive: File,
    sink: LayerSink,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.archive.read(buffer)?;
        io::Write::write_all(&mut self.sink, &buffer[..count])?;
        Ok(count)
    }
}
