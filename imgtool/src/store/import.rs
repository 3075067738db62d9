//! An image of one layer, out of an archive of a root file system.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Context, Result, bail};

use super::Store;
use crate::layer::diff::LayerSink;
use crate::layer::limits::Limits;
use crate::layer::tar::TarReader;
use crate::layout::digest::Digest;
use crate::layout::document::History;
use crate::layout::edit::ImageEdit;
use crate::layout::media::Compression;
use crate::sys::signal;

impl Store {
    /// Makes an image called `name` of a tar file, plain or compressed. The archive becomes the layer
    /// byte for byte, once it is clear that it can be unpacked; it is added to `edit`, whose history
    /// says `history` of it.
    pub fn import(
        &self,
        input: impl Read,
        name: &str,
        mut edit: ImageEdit,
        history: History,
        compression: Compression,
    ) -> Result<Digest> {
        let layout = self.layout();
        let mut incoming = layout.incoming()?;
        let mut sink = LayerSink::new(&mut incoming, compression)?;
        copy_archive(input, &mut sink)?;
        let layer = sink.finish()?;
        edit.add_layer(&layer, Some(history))?;
        let way = edit.commit(layout, &mut incoming, &[layer.blob], Some(name))?;
        let manifest = way.last().context("an image without a manifest")?;
        Ok(manifest.digest.clone())
    }
}

/// Copies an archive's bytes while they are read as entries.
fn copy_archive(input: impl Read, sink: &mut impl Write) -> Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let start = input.fill_buf().context("read the archive")?;
    if start.is_empty() {
        bail!("the archive is empty");
    }
    let limits = Limits::default();
    let decoder = Compression::detect(start).decoder(input, &limits.memory)?;
    let copying = Copying {
        source: decoder,
        sink,
        copied: 0,
        allowed: limits.bytes,
    };
    let mut tar = TarReader::new(BufReader::with_capacity(BUFFER, copying), limits.tar);
    while tar.next_entry().context("the archive")?.is_some() {
        signal::check()?;
    }
    // What follows the archive's end belongs to the layer too.
    io::copy(&mut tar.into_inner(), &mut io::sink()).context("read the archive to its end")?;
    Ok(())
}

const BUFFER: usize = 256 << 10;

/// Gives every byte that is read to a sink.
struct Copying<'a, R, W> {
    source: R,
    sink: &'a mut W,
    copied: u64,
    allowed: u64,
}

impl<R: Read, W: Write> Read for Copying<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        signal::check().map_err(io::Error::other)?;
        let count = self.source.read(buffer)?;
        self.sink.write_all(&buffer[..count])?;
        self.copied += count as u64;
        if self.copied > self.allowed {
            return Err(io::Error::other(
                "the archive is larger than any layer may be",
            ));
        }
        Ok(count)
    }
}
