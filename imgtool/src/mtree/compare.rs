//! Compares a tree with a manifest.

use std::borrow::Cow;
use std::fmt;

use anyhow::Result;

use super::describe::{FileDigests, describe};
use super::keyword::Keyword;
use super::manifest::{Manifest, ManifestEntry};
use super::vis;
use super::walk::{Visitor, walk};
use crate::layer::inode::Inode;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;

/// How a path differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The manifest has it, the tree doesn't.
    Missing,
    /// The tree has it, the manifest doesn't.
    Extra,
    /// Both have it, with different values of this keyword at least.
    Changed {
        /// Its full name.
        keyword: String,
        /// What the manifest says; empty for nothing.
        expected: String,
        /// What the tree has; empty for nothing.
        found: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing => f.write_str("missing path"),
            Difference::Extra => f.write_str("unexpected path"),
            Difference::Changed {
                keyword,
                expected,
                found,
            } => write!(f, "keyword \"{keyword}\": expected {expected}; got {found}"),
        }
    }
}

/// Tells of all paths, in no order, in which a tree differs from a manifest by these keywords. A keyword that only one
/// side has a value for makes a difference, as in go-mtree.
pub fn compare(
    manifest: Manifest,
    root: &RootFs,
    keywords: &[Keyword],
    mut tell: impl FnMut(ImagePath, Difference) -> Result<()>,
) -> Result<()> {
    let mut comparison = Comparison {
        manifest,
        keywords: keywords.to_vec(),
        digests: FileDigests::default(),
        tell: &mut tell,
    };
    // Reading a file takes longest, and often something else has shown by then that it changed.
    comparison
        .keywords
        .sort_by_key(|keyword| *keyword == Keyword::Sha256);
    walk(root, &mut comparison)?;
    let manifest = comparison.manifest;
    manifest.rest(|path| tell(path, Difference::Missing))
}

struct Comparison<'a, T> {
    /// What the walk hasn't come to yet.
    manifest: Manifest,
    keywords: Vec<Keyword>,
    digests: FileDigests,
    tell: &'a mut T,
}

impl<T: FnMut(ImagePath, Difference) -> Result<()>> Visitor for Comparison<'_, T> {
    fn enter(&mut self, path: &ImagePath, inode: &Inode) -> Result<()> {
        self.file(path, inode)
    }

    fn file(&mut self, path: &ImagePath, inode: &Inode) -> Result<()> {
        let difference = match self.manifest.take(path)? {
            None => Some(Difference::Extra),
            Some(entry) => self.difference(&entry, inode)?,
        };
        if let Some(difference) = difference {
            (self.tell)(path.clone(), difference)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<T> Comparison<'_, T> {
    fn difference(&self, entry: &ManifestEntry, inode: &Inode) -> Result<Option<Difference>> {
        for &keyword in &self.keywords {
            let expected = expected(entry, keyword);
            // A manifest that has seconds only is compared by those.
            let precision = match keyword {
                Keyword::Time if entry.value("time").is_none() => Keyword::TarTime,
                keyword => keyword,
            };
            let found = describe(inode, keyword, &self.digests)?;
            let changed = |name: &str, expected: &str, found: &str| {
                Some(Difference::Changed {
                    keyword: name.to_owned(),
                    expected: expected.to_owned(),
                    found: found.to_owned(),
                })
            };
            for (name, value) in &expected {
                let found = found.iter().find(|(found, _)| found == name);
                let found = found.map_or("", |(_, value)| value);
                if !same(precision, value, found) {
                    return Ok(changed(name, value, found));
                }
            }
            for (name, value) in &found {
                if !expected.iter().any(|(expected, _)| expected == name) {
                    return Ok(changed(name, "", value));
                }
            }
        }
        Ok(None)
    }
}

/// What an entry says of a keyword, by full names; synonyms under the name that we use.
fn expected(entry: &ManifestEntry, keyword: Keyword) -> Vec<(Cow<'_, str>, &str)> {
    let value = |name: &str| entry.value(name);
    let one = match keyword {
        Keyword::Xattr => {
            let xattrs = entry.words().filter(|(name, _)| name.starts_with("xattr."));
            return xattrs
                .map(|(name, value)| (Cow::from(name), value))
                .collect();
        }
        Keyword::TarTime => value("tar_time").or_else(|| value("time")),
        Keyword::Time => value("time").or_else(|| value("tar_time")),
        Keyword::Sha256 => value("sha256digest").or_else(|| value("sha256")),
        _ => value(keyword.name()),
    };
    let named = one.map(|value| (Cow::from(keyword.name()), value));
    named.into_iter().collect()
}

/// Whether two values mean the same.
fn same(keyword: Keyword, one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match keyword {
        Keyword::Mode => {
            let number = |text: &str| u32::from_str_radix(text, 8).ok();
            number(one).is_some() && number(one) == number(other)
        }
        Keyword::Link => {
            let bytes = |text: &str| vis::decode(text.as_bytes());
            bytes(one).is_some() && bytes(one) == bytes(other)
        }
        Keyword::TarTime => seconds(one) == seconds(other),
        _ => false,
    }
}

fn seconds(time: &str) -> &str {
    time.split_once('.').map_or(time, |(seconds, _)| seconds)
}
