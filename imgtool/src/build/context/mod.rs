//! The build's context: the directory whose files COPY may have. It is held by descriptor; nothing
//! outside it is reached, whatever links in it say.

pub mod ignore;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::read_at_most::read_at_most;
use ignore::Ignore;

use super::steps::tree::Tree;

/// How large a file of patterns may be.
const LARGEST_IGNORE_FILE: u64 = 4 << 20;

/// Opens the directory at `path`. What `.dockerignore` names in it isn't part of it; a file called
/// as the Dockerfile with `.dockerignore` behind it counts instead, if there is one.
pub fn open(path: &Path, dockerfile: Option<&Path>) -> Result<Tree> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("open the context {}", path.display()))?;
    let root = RootFs::new(directory);
    let ignore = match own_ignore_file(dockerfile)? {
        Some(ignore) => ignore,
        None => usual_ignore_file(&root)?,
    };
    Ok(Tree::new(root, ignore, "the context"))
}

fn own_ignore_file(dockerfile: Option<&Path>) -> Result<Option<Ignore>> {
    let Some(dockerfile) = dockerfile else {
        return Ok(None);
    };
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(".dockerignore");
    let path = PathBuf::from(name);
    match File::open(&path) {
        Ok(file) => parse(file, &path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("open {}", path.display())),
    }
}

fn usual_ignore_file(root: &RootFs) -> Result<Ignore> {
    let name = ".dockerignore";
    match root.open_file(&ImagePath::parse(name.as_bytes())?)? {
        Some(file) => parse(file, Path::new(name)),
        None => Ok(Ignore::default()),
    }
}

fn parse(file: File, path: &Path) -> Result<Ignore> {
    let context = || path.display().to_string();
    let bytes = read_at_most(file, LARGEST_IGNORE_FILE).with_context(context)?;
    let text = String::from_utf8(bytes)
        .context("it is not UTF-8")
        .with_context(context)?;
    Ignore::parse(&text).with_context(context)
}
