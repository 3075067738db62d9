//! What a manifest says of a file on disk.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::keyword::Keyword;
use super::vis;
use crate::layer::inode::Inode;
use crate::layout::digest::hex;
use crate::sys::signal;

/// SHA-256 of the content of files, by inode, as far as it is known already.
#[derive(Debug, Default)]
pub struct FileDigests(HashMap<u64, [u8; 32]>);

/// How many digests are kept; files beyond them are read once more. A table of 2^16 places, 3 MB, is
/// full then (hashbrown leaves an eighth free).
const MOST_DIGESTS: usize = (1 << 16) / 8 * 7;

impl FileDigests {
    /// Notes the digest of a file that has just been written.
    pub fn insert(&mut self, inode: u64, digest: [u8; 32]) {
        if self.0.len() < MOST_DIGESTS {
            self.0.insert(inode, digest);
        } else {
            // Never one of an earlier file with that number.
            self.0.remove(&inode);
        }
    }

    /// Drops what was noted of an inode's number: another file has it now, not written through us.
    pub fn forget(&mut self, inode: u64) {
        self.0.remove(&inode);
    }

    fn digest(&self, inode: &Inode) -> Result<[u8; 32]> {
        match self.0.get(&inode.stat().st_ino) {
            Some(digest) => Ok(*digest),
            None => read_digest(inode),
        }
    }
}

fn read_digest(inode: &Inode) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    if inode.stat().st_size > 0 {
        let mut file = inode.data()?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            signal::check()?;
            match file.read(&mut buffer).context("read")? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
    }
    Ok(hasher.finalize().into())
}

/// The value of a keyword for a file: none if it has nothing to say, for `xattr` any number. Each
/// with its full name.
pub(super) fn describe(
    inode: &Inode,
    keyword: Keyword,
    digests: &FileDigests,
) -> Result<Vec<(String, String)>> {
    let stat = inode.stat();
    let kind = inode.kind();
    let value = match keyword {
        Keyword::Size => stat.st_size.to_string(),
        Keyword::Type => type_name(kind).to_owned(),
        Keyword::Uid => stat.st_uid.to_string(),
        Keyword::Gid => stat.st_gid.to_string(),
        Keyword::Mode => match stat.st_mode & 0o7777 {
            0 => "0".to_owned(),
            mode => format!("0{mode:o}"),
        },
        Keyword::Link if kind == FileType::Symlink => vis::encode(&inode.link_target()?),
        Keyword::Nlink => stat.st_nlink.to_string(),
        Keyword::Time => format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec),
        Keyword::TarTime => format!("{}.000000000", stat.st_mtime),
        Keyword::Sha256 if kind == FileType::RegularFile => hex(&digests.digest(inode)?),
        Keyword::Link | Keyword::Sha256 => return Ok(Vec::new()),
        Keyword::Xattr => return xattrs(inode),
        Keyword::Flags => "none".to_owned(),
    };
    Ok(vec![(keyword.name().to_owned(), value)])
}

fn xattrs(inode: &Inode) -> Result<Vec<(String, String)>> {
    if !matches!(inode.kind(), FileType::RegularFile | FileType::Directory) {
        return Ok(Vec::new());
    }
    let xattrs = inode.xattrs()?;
    let keyword = |name: &[u8]| format!("xattr.{}", vis::encode(name));
    Ok(xattrs
        .iter()
        .map(|(name, value)| (keyword(name), STANDARD.encode(value)))
        .collect())
}

fn type_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "link",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Unknown => "unknown",
    }
}
