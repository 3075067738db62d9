//! ADD of an archive: what is in it, not the file.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::fs::FileType;

use super::tree::Found;
use crate::layer::apply::{Applier, ApplyOptions};
use crate::layer::limits::Limits;
use crate::layer::tar::TarReader;
use crate::layout::media::Compression;

const BUFFER: usize = 256 << 10;

/// An archive to be unpacked, at its start.
#[derive(Debug)]
pub struct Archive {
    file: File,
    compression: Compression,
}

impl Archive {
    /// The archive that a source is; nothing if it is something else.
    pub fn of(found: &Found) -> Result<Option<Self>> {
        let inode = found.inode()?;
        if inode.kind() != FileType::RegularFile {
            return Ok(None);
        }
        Archive::of_file(inode.data()?).with_context(|| found.path.to_string())
    }

    /// The archive that a file is.
    pub fn of_file(file: File) -> Result<Option<Self>> {
        let mut input = BufReader::with_capacity(BUFFER, file);
        let start = input.fill_buf().context("read")?;
        for (magic, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh", "bzip2")] {
            if start.starts_with(magic) {
                bail!("an archive that {name} compressed can't be unpacked here: use gzip or zstd");
            }
        }
        let compression = Compression::detect(start);
        let is_archive = {
            let limits = Limits::default();
            let decoder = compression.decoder(&mut input, &limits.memory)?;
            let mut tar = TarReader::new(BufReader::new(decoder), limits.tar);
            matches!(tar.next_entry(), Ok(Some(_)))
        };
        let mut file = input.into_inner();
        file.seek(SeekFrom::Start(0)).context("lseek")?;
        Ok(is_archive.then_some(Archive { file, compression }))
    }

    /// Unpacks it into a directory. It can't reach out of that.
    pub fn unpack(self, directory: OwnedFd) -> Result<()> {
        let options = ApplyOptions {
            keep_dirlinks: true,
            ..ApplyOptions::default()
        };
        let limits = options.limits.clone();
        let mut applier = Applier::on_top(directory, options)?;
        let input = BufReader::with_capacity(BUFFER, self.file);
        let decoder = self.compression.decoder(input, &limits.memory)?;
        let decoder = BufReader::with_capacity(BUFFER, decoder);
        let mut tar = TarReader::new(decoder, limits.tar);
        applier
            .apply_layer(&mut tar)
            .context("unpack the archive")?;
        applier.finish()?;
        Ok(())
    }
}
