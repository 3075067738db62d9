//! What unpacked layers show together, without mounting them: for each directory, the directories of
//! the layers that it is made of (the kernel's filesystems/overlayfs.rst, "Directories").

use anyhow::Result;
use rustix::fs::FileType;

use super::inode::Inode;
use super::listing::Listing;
use super::rootfs::Directory;

/// A directory of several layers, merged.
#[derive(Debug)]
pub struct LowerDirectory {
    /// The directories, the topmost layer's first.
    layers: Vec<Directory>,
}

/// What layers have under a name.
#[derive(Debug)]
pub enum Lower {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory(LowerDirectory),
    /// Something else.
    File,
}

impl LowerDirectory {
    /// The merged directory of these, the topmost layer's first.
    pub fn new(layers: Vec<Directory>) -> Self {
        LowerDirectory { layers }
    }

    /// All names in its layers, whiteouts' included.
    pub fn names(&self) -> Result<Listing> {
        Listing::of(&self.layers)
    }

    /// What is called `name` in it.
    pub fn child(&self, name: &[u8]) -> Result<Lower> {
        let mut found = Vec::new();
        for layer in &self.layers {
            let Some(stat) = layer.stat(name)? else {
                continue;
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {}
                _ if !found.is_empty() => break,
                FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(Lower::Nothing),
                _ => return Ok(Lower::File),
            }
            let opaque = Inode::open(layer, name)?.xattr(b"trusted.overlay.opaque")?;
            found.extend(layer.subdirectory(name)?);
            if opaque.as_deref() == Some(b"y") {
                break;
            }
        }
        if found.is_empty() {
            return Ok(Lower::Nothing);
        }
        Ok(Lower::Directory(LowerDirectory::new(found)))
    }
}
