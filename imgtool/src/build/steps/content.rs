//! What of a tree counts for the cache: names, types, permissions, contents; not times, and owners
//! only where they are kept.

use std::io::Read;

use anyhow::{Context, Result};
use rustix::fs::FileType;

use super::tree::{Found, Tree, Visited};
use crate::build::cache::Key;
use crate::build::context::ignore::Ignore;
use crate::layer::inode::Inode;
use crate::layer::metadata::belongs_to_host;
use crate::layer::path::ImagePath;
use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::sys::signal;

/// Adds what a source found to a key.
pub fn add(
    key: &mut Key,
    tree: &Tree,
    found: &Found,
    excludes: &Ignore,
    keeps_owner: bool,
) -> Result<()> {
    for parent in &found.parents {
        key.add("parent", &parent.name);
        let visited = Visited {
            relative: &ImagePath::root(),
            inode: &parent.inode()?,
            only_on_the_way: false,
        };
        add_file(key, &visited, keeps_owner)?;
    }
    key.add("source", &found.called);
    tree.walk_without(found, excludes, &mut |visited| {
        add_file(key, &visited, keeps_owner)
            .with_context(|| format!("read {}{}", found.path, visited.relative))
    })
}

fn add_file(key: &mut Key, visited: &Visited<'_>, keeps_owner: bool) -> Result<()> {
    let inode = visited.inode;
    let stat = inode.stat();
    key.add("path", visited.relative.as_bytes());
    key.add("mode", &stat.st_mode.to_le_bytes());
    if keeps_owner {
        key.add(
            "owner",
            format!("{}:{}", stat.st_uid, stat.st_gid).as_bytes(),
        );
    }
    for (name, value) in inode.xattrs()? {
        if !belongs_to_host(&name) {
            key.add("xattr", &name);
            key.add("value", &value);
        }
    }
    match inode.kind() {
        FileType::RegularFile => key.add("content", digest(inode)?.to_string().as_bytes()),
        FileType::Symlink => key.add("target", &inode.link_target()?),
        FileType::CharacterDevice | FileType::BlockDevice => {
            key.add("device", &stat.st_rdev.to_le_bytes());
        }
        _ => {}
    }
    Ok(())
}

fn digest(inode: &Inode) -> Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut file = inode.data()?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        signal::check()?;
        match file.read(&mut buffer).context("read")? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
