//! The files of an archive, each of them an incoming blob.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};

use crate::layer::path::ImagePath;
use crate::layer::tar::{EntryKind, TarReader};
use crate::layout::blob::{Incoming, IncomingBlob};
use crate::layout::store::LARGEST_DOCUMENT;
use crate::sys::signal;

/// What an archive holds, by name.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<ImagePath, IncomingBlob>,
    /// Old `docker save` writes a layer that it has written before as a link to it.
    links: BTreeMap<ImagePath, ImagePath>,
}

impl Contents {
    /// Reads the archive to its end.
    pub(super) fn read<R: BufRead>(
        tar: &mut TarReader<R>,
        incoming: &mut Incoming,
    ) -> Result<Self> {
        let mut contents = Contents::default();
        while let Some(entry) = tar.next_entry()? {
            signal::check()?;
            let path = entry.path;
            match entry.kind {
                EntryKind::Directory => {}
                EntryKind::File => {
                    let blob = read_file(tar, incoming)?;
                    if contents.files.insert(path.clone(), blob).is_some() {
                        bail!("the archive holds {path} twice");
                    }
                }
                EntryKind::HardLink(target) => {
                    contents.links.insert(path, target);
                }
                EntryKind::Symlink(target) => {
                    let target = beside(&path, &target)
                        .with_context(|| format!("{path} links out of the archive"))?;
                    contents.links.insert(path, target);
                }
                _ => bail!("the archive holds {path}, which is not a file"),
            }
        }
        Ok(contents)
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        ImagePath::parse(name).is_ok_and(|path| self.files.contains_key(&path))
    }

    /// The file of that name, links followed.
    pub(super) fn file(&self, name: &[u8]) -> Result<&IncomingBlob> {
        let shown = name.escape_ascii();
        let mut path = ImagePath::parse(name).with_context(|| format!("'{shown}'"))?;
        for _ in 0..8 {
            match (self.files.get(&path), self.links.get(&path)) {
                (Some(file), _) => return Ok(file),
                (None, Some(target)) => path = target.clone(),
                (None, None) => break,
            }
        }
        bail!("the archive does not hold '{shown}'")
    }

    /// A document of that name.
    pub(super) fn document(&self, name: &[u8], incoming: &Incoming) -> Result<Vec<u8>> {
        let shown = name.escape_ascii();
        self.file(name)?
            .read(incoming, LARGEST_DOCUMENT)
            .with_context(|| format!("'{shown}'"))
    }
}

fn read_file<R: BufRead>(tar: &mut TarReader<R>, incoming: &mut Incoming) -> Result<IncomingBlob> {
    let mut blob = incoming.begin()?;
    loop {
        let data = tar.data()?;
        if data.is_empty() {
            return Ok(blob.finish());
        }
        let length = data.len();
        blob.write_all(data).context("write an incoming blob")?;
        tar.consume(length);
        signal::check()?;
    }
}

/// Where a relative link beside `path` leads, by its names alone.
fn beside(path: &ImagePath, target: &[u8]) -> Option<ImagePath> {
    let (directory, _) = path.split_last()?;
    let mut components: Vec<&[u8]> = directory.components().collect();
    if target.starts_with(b"/") {
        return None;
    }
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            _ => components.push(component),
        }
    }
    ImagePath::parse(&components.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_archive() {
        let path = ImagePath::parse(b"abc/layer.tar").unwrap();
        let target = ImagePath::parse(b"def/layer.tar").unwrap();
        assert_eq!(beside(&path, b"../def/layer.tar"), Some(target));
        assert_eq!(beside(&path, b"../../etc/passwd"), None);
        assert_eq!(beside(&path, b"/etc/passwd"), None);
    }
}
