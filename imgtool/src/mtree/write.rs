//! Writes the manifest of a tree.

use std::io::Write;

use anyhow::{Context, Result};

use super::describe::{FileDigests, describe};
use super::keyword::Keyword;
use super::vis;
use super::walk::{Visitor, walk};
use crate::layer::inode::Inode;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;

/// Writes what `keywords` say of all files of a tree.
pub fn write(
    root: &RootFs,
    keywords: &[Keyword],
    digests: &FileDigests,
    sink: impl Write,
) -> Result<()> {
    let mut writer = Writer {
        sink,
        keywords,
        digests,
        set: Vec::new(),
    };
    let names: Vec<&str> = keywords.iter().map(|keyword| keyword.name()).collect();
    writeln!(writer.sink, "#      keywords: {}", names.join(",")).context("write")?;
    walk(root, &mut writer)?;
    writer.sink.flush().context("write")
}

struct Writer<'a, W> {
    sink: W,
    keywords: &'a [Keyword],
    digests: &'a FileDigests,
    /// What `/set` says, so that entries needn't.
    set: Vec<(String, String)>,
}

impl<W: Write> Visitor for Writer<'_, W> {
    fn enter(&mut self, path: &ImagePath, inode: &Inode) -> Result<()> {
        let shown = if path.is_root() {
            ".".to_owned()
        } else {
            vis::encode(path.as_bytes())
        };
        write!(self.sink, "\n# {shown}\n").context("write")?;
        self.set_owner(inode)?;
        self.entry("", &name(path), inode)
    }

    fn file(&mut self, path: &ImagePath, inode: &Inode) -> Result<()> {
        self.entry("    ", &name(path), inode)
    }

    fn leave(&mut self) -> Result<()> {
        writeln!(self.sink, "..").context("write")
    }
}

/// The name as a manifest has it: the last component.
fn name(path: &ImagePath) -> String {
    path.split_last()
        .map_or_else(|| ".".to_owned(), |(_, name)| vis::encode(name))
}

impl<W: Write> Writer<'_, W> {
    /// Most files belong to who their directory belongs to.
    fn set_owner(&mut self, inode: &Inode) -> Result<()> {
        let stat = inode.stat();
        let mut set = Vec::new();
        for (keyword, value) in [
            (Keyword::Type, "file".to_owned()),
            (Keyword::Nlink, "1".to_owned()),
            (Keyword::Mode, "0664".to_owned()),
            (Keyword::Uid, stat.st_uid.to_string()),
            (Keyword::Gid, stat.st_gid.to_string()),
        ] {
            if self.keywords.contains(&keyword) {
                set.push((keyword.name().to_owned(), value));
            }
        }
        if set == self.set {
            return Ok(());
        }
        self.set = set;
        let words: Vec<String> = self.set.iter().map(word).collect();
        writeln!(self.sink, "/set {}", words.join(" ")).context("write")
    }

    fn entry(&mut self, indent: &str, name: &str, inode: &Inode) -> Result<()> {
        write!(self.sink, "{indent}{name}").context("write")?;
        for keyword in self.keywords {
            for pair in describe(inode, *keyword, self.digests)? {
                if !self.set.contains(&pair) {
                    write!(self.sink, " {}", word(&pair)).context("write")?;
                }
            }
        }
        writeln!(self.sink).context("write")
    }
}

fn word((name, value): &(String, String)) -> String {
    format!("{name}={value}")
}
