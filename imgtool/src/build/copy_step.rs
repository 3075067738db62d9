//! COPY, ADD and WORKDIR: the steps that we carry out ourselves.

use anyhow::{Context, Result, bail};

use super::Build;
use super::cache::Key;
use super::configuration;
use super::context::ignore::Ignore;
use super::dockerfile::instruction::{Copy, Source, Statement};
use super::report::Step;
use super::stage::{Outcome, Stage};
use super::steps::archive::Archive;
use super::steps::copy::{Copier, Destination, Manner};
use super::steps::download::{self, Download};
use super::steps::permissions::Permissions;
use super::steps::tree::{Found, Tree, inside};
use super::steps::{content, tree};
use crate::bundle::user;
use crate::date;
use crate::layer::metadata::Metadata;
use crate::layer::rootfs::RootFs;
use crate::layer::tar::Timestamp;
use crate::layout::digest::{Algorithm, Hasher};
use crate::store::layers::LayerChain;

/// Something to copy, found.
enum Piece {
    Files(Found),
    Document { name: String, content: String },
    Fetched(Download),
}

/// COPY, ADD.
pub(super) fn carry_out(
    stage: &mut Stage,
    build: &mut Build<'_>,
    copy: &Copy,
    statement: &Statement,
    step: &Step,
) -> Result<()> {
    let mut tree = build.tree(copy.from.as_deref())?;
    let excludes: Result<Vec<String>> = copy
        .excludes
        .iter()
        .map(|text| stage.scope.word(text))
        .collect();
    let excludes = Ignore::of_patterns(&excludes?).context("--exclude")?;
    let pieces = find(stage, build, copy, &mut tree)?;
    let destination = destination(stage, copy, pieces.len())?;
    let chown = copy
        .chown
        .as_deref()
        .map(|text| stage.scope.word(text))
        .transpose()?;
    let permissions = copy
        .chmod
        .as_deref()
        .map(|text| Permissions::parse(&stage.scope.word(text)?).context("--chmod"))
        .transpose()?;
    let mut key = if copy.link {
        Key::new("linked copy")
    } else {
        stage.key(&statement.keyword)?
    };
    key.add("destination", destination.path.as_bytes());
    key.add(
        "flags",
        format!(
            "{:?} {:?} {chown:?} {permissions:?} {} {}",
            destination,
            copy.unpack,
            copy.from.is_some(),
            copy.is_add
        )
        .as_bytes(),
    );
    for piece in &pieces {
        add_to_key(&mut key, piece, &tree, &excludes, copy.from.is_some())?;
    }
    let key = key.finish();
    let created_by = format!("{} {}", statement.keyword, statement.text);
    stage.with_cache(build, step, &key, created_by, |stage, build| {
        let chain = stage.chain(build)?;
        let workplace = build.workplace(&chain)?;
        let below = if copy.link {
            LayerChain::default()
        } else {
            chain
        };
        let mut root = workplace.root(&below)?;
        let owner = match &chown {
            Some(text) => Some(owner(text, &root)?),
            // What comes from a stage or image keeps its owner.
            None if copy.from.is_some() => None,
            None => Some((0, 0)),
        };
        let manner = Manner {
            owner,
            permissions,
            now: now()?,
        };
        let mut copier = Copier::new(&mut root, manner);
        for piece in pieces {
            put(&mut copier, copy, piece, &tree, &excludes, &destination)?;
        }
        copier.finish()?;
        drop(root);
        Ok(Outcome::Files(workplace))
    })
}

/// WORKDIR: the directory is made if it isn't there, and is USER's then.
pub(super) fn workdir(
    stage: &mut Stage,
    build: &mut Build<'_>,
    path: &str,
    statement: &Statement,
    step: &Step,
) -> Result<()> {
    let path = stage.scope.word(path)?;
    if path.is_empty() {
        bail!("it needs a path");
    }
    let path = stage.absolute(&path)?;
    let process = stage.edit.process()?;
    process.insert("WorkingDir".to_owned(), path.clone().into());
    let user = configuration::text(stage.edit.process()?, "User").to_owned();
    let key = stage.key(&statement.keyword)?.finish();
    let created_by = format!("WORKDIR {path}");
    stage.with_cache(build, step, &key, created_by, |stage, build| {
        let chain = stage.chain(build)?;
        let workplace = build.workplace(&chain)?;
        let mut root = workplace.root(&chain)?;
        // As BuildKit and buildah do it: who works there owns it.
        let user = user::resolve(&user, Some(&root))?;
        let manner = Manner {
            owner: Some((user.uid, user.gid)),
            permissions: None,
            now: now()?,
        };
        let mut copier = Copier::new(&mut root, manner);
        copier.directory(&inside(&path)?)?;
        copier.finish()?;
        drop(root);
        Ok(Outcome::Files(workplace))
    })
}

/// Finds, or fetches, all sources.
fn find(stage: &Stage, build: &Build<'_>, copy: &Copy, tree: &mut Tree) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for source in &copy.sources {
        let path = match source {
            Source::Document(document) => {
                let content = if document.expands {
                    stage.scope.document(&document.content)?
                } else {
                    document.content.clone()
                };
                pieces.push(Piece::Document {
                    name: document.name.clone(),
                    content,
                });
                continue;
            }
            Source::Path(path) => stage.scope.word(path)?,
        };
        if copy.is_add && download::is_repository(&path) {
            bail!("a git repository can't be added: clone it in a RUN, or before the build");
        }
        if copy.is_add && download::is_address(&path) {
            let checksum = copy.checksum.as_deref();
            let checksum = checksum.map(|text| stage.scope.word(text)).transpose()?;
            let download = download::fetch(&path, checksum.as_deref(), &build.work)?;
            pieces.push(Piece::Fetched(download));
            continue;
        }
        if copy.checksum.is_some() {
            bail!("--checksum is for http and https sources");
        }
        let found = if copy.parents {
            tree.find_with_parents(&path)?
        } else {
            tree.find(&path)?
        };
        pieces.extend(found.into_iter().map(Piece::Files));
    }
    Ok(pieces)
}

fn add_to_key(
    key: &mut Key,
    piece: &Piece,
    tree: &Tree,
    excludes: &Ignore,
    keeps_owner: bool,
) -> Result<()> {
    match piece {
        Piece::Files(found) => {
            content::add(key, tree, found, excludes, keeps_owner)?;
        }
        Piece::Document { name, content } => {
            key.add("document", name.as_bytes());
            let digest = Hasher::digest(Algorithm::Sha256, content.as_bytes());
            key.add("content", digest.to_string().as_bytes());
        }
        Piece::Fetched(download) => {
            key.add("fetched", download.name.as_bytes());
            key.add("content", download.digest.to_string().as_bytes());
        }
    }
    Ok(())
}

/// Puts a source into the root file system.
fn put(
    copier: &mut Copier<'_>,
    copy: &Copy,
    piece: Piece,
    tree: &Tree,
    excludes: &Ignore,
    destination: &Destination,
) -> Result<()> {
    match piece {
        Piece::Document { name, content } => copier.write(&name, content.as_bytes(), destination),
        Piece::Files(found) => {
            let archive = if copy.is_add && copy.unpack != Some(false) {
                Archive::of(&found)?
            } else {
                None
            };
            match archive {
                Some(archive) => unpack(copier, archive, copy, destination),
                None => copier.copy(tree, &found, excludes, destination),
            }
        }
        Piece::Fetched(download) => {
            let Download {
                mut file,
                name,
                modified,
                ..
            } = download;
            if copy.unpack == Some(true)
                && let Some(archive) = Archive::of_file(file.try_clone().context("dup")?)?
            {
                return unpack(copier, archive, copy, destination);
            }
            if name.is_empty() && destination.is_directory {
                bail!("the address names no file: say one in the destination");
            }
            let time = modified.map_or_else(now, Ok)?;
            // docker/dockerfile: a fetched file is for its owner alone.
            let metadata = Metadata {
                owner: None,
                mode: 0o600,
                times: (time, time),
                xattrs: Vec::new(),
            };
            copier.write_from(&name, metadata, &mut file, destination)
        }
    }
}

fn unpack(
    copier: &mut Copier<'_>,
    archive: Archive,
    copy: &Copy,
    destination: &Destination,
) -> Result<()> {
    let directory = copier.directory(&destination.path)?;
    if copy.chown.is_none() && copy.chmod.is_none() {
        return archive.unpack(directory.readable()?);
    }
    // Unpacked aside, and copied with the owner that is asked for.
    let aside = tempfile::tempdir().context("make a directory to unpack an archive in")?;
    let root = rustix::fs::open(
        aside.path(),
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .context("open a directory to unpack an archive in")?;
    archive.unpack(root.try_clone().context("dup")?)?;
    let mut tree = Tree::new(RootFs::new(root), Ignore::default(), "the archive");
    let found = tree.find_one(".")?;
    copier.copy(&tree, &found, &Ignore::default(), destination)
}

/// Where files go.
fn destination(stage: &mut Stage, copy: &Copy, pieces: usize) -> Result<Destination> {
    let text = stage.scope.word(&copy.destination)?;
    let is_directory = text.ends_with('/') || text == "." || text.ends_with("/.") || text == "..";
    if pieces > 1 && !is_directory {
        bail!("several files need a directory as their destination: '{text}/'");
    }
    let path = stage.absolute(&text)?;
    Ok(Destination {
        path: tree::inside(&path)?,
        is_directory,
        keeps_parents: copy.parents,
    })
}

/// `--chown`: names are the image's. Without a group, a user by name has his own, and one by number
/// the group of that number (docker/dockerfile, "COPY --chown").
fn owner(text: &str, root: &RootFs) -> Result<(u32, u32)> {
    let user = user::resolve(text, Some(root)).context("--chown")?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((user.uid, user.uid));
    }
    Ok((user.uid, user.gid))
}

fn now() -> Result<Timestamp> {
    if let Some(seconds) = date::source_date_epoch()? {
        return Ok(Timestamp {
            seconds,
            nanoseconds: 0,
        });
    }
    let now = jiff::Timestamp::now();
    Ok(Timestamp {
        seconds: now.as_second(),
        nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
    })
}

/// The tree of a stage, read-only as far as we are concerned.
pub(super) fn tree_of(stage: &Stage, build: &mut Build<'_>, name: &str) -> Result<Tree> {
    let chain = stage.chain(build)?;
    let workplace = build.workplace(&chain)?;
    let root = workplace.root(&chain)?;
    build.borrowed.push(workplace);
    Ok(Tree::new(root, Ignore::default(), name))
}
