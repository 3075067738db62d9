//! `--mount`: what a RUN has only while it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::build::cache::{BUILD, CACHES};
use crate::build::context::ignore::Ignore;
use crate::build::dockerfile::mount::{Bind, Cache, Mount, MountKind, Secret, Sharing};
use crate::build::steps::copy::{Copier, Destination, Manner};
use crate::build::steps::tree::{Tree, inside};
use crate::bundle::runtime_config;
use crate::flock::flock;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::layout::digest::{Algorithm, Hasher};
use crate::store::Store;

/// What the caller gave by `--secret`: where each is.
pub type Secrets = BTreeMap<String, SecretSource>;

/// Where a secret is.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In a variable of our environment.
    Variable(String),
}

impl SecretSource {
    fn read(&self) -> Result<Vec<u8>> {
        match self {
            SecretSource::File(path) => {
                std::fs::read(path).with_context(|| format!("read {}", path.display()))
            }
            SecretSource::Variable(name) => std::env::var_os(name)
                .map(std::ffi::OsString::into_encoded_bytes)
                .with_context(|| format!("variable {name} is not set")),
        }
    }
}

/// Gives the trees that binds and caches name.
pub trait Sources {
    /// A stage, an image, or the context.
    fn tree(&mut self, from: Option<&str>) -> Result<Tree>;
}

/// Mounts, ready for a container.
#[derive(Debug)]
pub struct Prepared {
    /// A directory of the step's own, in memory.
    pub directory: PathBuf,
    pub(super) mounts: Vec<runtime_config::Mount>,
    /// `NAME=value` of secrets.
    pub(super) environment: Vec<String>,
    /// On disk: copies of what is bound.
    copies: PathBuf,
    /// Caches that are in use.
    locks: Vec<File>,
}

impl Prepared {
    /// Gets mounts ready. `directory` lies in memory, `copies` on disk and is made if it is needed.
    pub fn new(directory: PathBuf, copies: PathBuf) -> Self {
        Prepared {
            directory,
            mounts: Vec::new(),
            environment: Vec::new(),
            copies,
            locks: Vec::new(),
        }
    }

    /// Adds a file of the host's memory, such as a script.
    pub fn add_file(&mut self, name: &str, content: &[u8], target: &str) -> Result<()> {
        let path = self.directory.join(name);
        std::fs::write(&path, content).context("write a script")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .context("chmod a script")?;
        self.bind(&path, target, true)
    }

    /// Adds a mount. `target` is absolute; variables have been replaced.
    pub fn add(
        &mut self,
        mount: &Mount,
        target: &str,
        store: &Store,
        sources: &mut dyn Sources,
        secrets: &Secrets,
    ) -> Result<()> {
        match &mount.kind {
            MountKind::Bind(bind) => self.add_bind(bind, target, sources),
            MountKind::Cache(cache) => self.add_cache(cache, target, store, sources),
            MountKind::Tmpfs(size) => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
                options.extend(size.map(|size| format!("size={size}")));
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                let mount = runtime_config::Mount::new(target, "tmpfs", "tmpfs", &options);
                self.mounts.push(mount);
                Ok(())
            }
            MountKind::Secret(secret) => self.add_secret(secret, mount, target, secrets),
        }
    }

    fn bind(&mut self, source: &Path, target: &str, readonly: bool) -> Result<()> {
        let source = source.to_str().context("the store's path is not UTF-8")?;
        let options = ["rbind", if readonly { "ro" } else { "rw" }, "rprivate"];
        self.mounts
            .push(runtime_config::Mount::new(target, "bind", source, &options));
        Ok(())
    }

    /// A copy, so that neither what is written nor what `.dockerignore` leaves out matters.
    fn add_bind(&mut self, bind: &Bind, target: &str, sources: &mut dyn Sources) -> Result<()> {
        let mut tree = sources.tree(bind.from.as_deref())?;
        let number = self.mounts.len();
        let copy = self.copies.join(number.to_string());
        std::fs::create_dir_all(&copy).with_context(|| format!("mkdir {}", copy.display()))?;
        let name = copy_into(&mut tree, &bind.source, &copy)?;
        self.bind(&copy.join(name), target, !bind.writable)
    }

    fn add_cache(
        &mut self,
        cache: &Cache,
        target: &str,
        store: &Store,
        sources: &mut dyn Sources,
    ) -> Result<()> {
        let id = cache.id.as_deref().unwrap_or(target);
        let id = Hasher::digest(Algorithm::Sha256, id.as_bytes());
        let caches = store.layout().path().join(BUILD).join(CACHES);
        let (directory, lock) = open_cache(&caches, id.hex(), cache.sharing)?;
        self.locks.push(lock);
        let data = directory.join("data");
        if !data.exists() {
            let new = directory.join("new");
            if new.exists() {
                crate::build::steps::layer::remove_tree(&new)?;
            }
            std::fs::create_dir(&new).with_context(|| format!("mkdir {}", new.display()))?;
            if cache.from.is_some() {
                let mut tree = sources.tree(cache.from.as_deref())?;
                let name = copy_into(&mut tree, &cache.source, &new)?;
                if name != "." {
                    bail!("what is in a cache at first has to be a directory");
                }
            }
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(cache.mode))
                .context("chmod a cache")?;
            chown(&new, Some(cache.uid), Some(cache.gid)).context("chown a cache")?;
            std::fs::rename(&new, &data).context("rename a cache")?;
        }
        self.bind(&data, target, cache.readonly)
    }

    fn add_secret(
        &mut self,
        secret: &Secret,
        mount: &Mount,
        target: &str,
        secrets: &Secrets,
    ) -> Result<()> {
        let id = match (&secret.id, &mount.target) {
            (Some(id), _) => id.clone(),
            (None, Some(target)) => target.rsplit('/').next().unwrap_or_default().to_owned(),
            (None, None) => bail!("a secret needs an id, or a target"),
        };
        let Some(source) = secrets.get(&id) else {
            if secret.required {
                bail!(
                    "there is no secret '{}': give --secret id={id},…",
                    id.escape_debug()
                );
            }
            return Ok(());
        };
        let content = source
            .read()
            .with_context(|| format!("secret '{}'", id.escape_debug()))?;
        if let Some(name) = &secret.env {
            let value = String::from_utf8(content.clone())
                .with_context(|| format!("secret '{}' is no text", id.escape_debug()))?;
            self.environment.push(format!("{name}={value}"));
            if mount.target.is_none() {
                return Ok(());
            }
        }
        let path = self.directory.join(format!("secret-{}", self.mounts.len()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .context("write a secret")?;
        std::io::Write::write_all(&mut file, &content).context("write a secret")?;
        chown(&path, Some(secret.uid), Some(secret.gid)).context("chown a secret")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(secret.mode))
            .context("chmod a secret")?;
        self.bind(&path, target, true)
    }

    /// Copies go.
    pub(super) fn unmount(&self) -> Result<()> {
        if self.copies.exists() {
            crate::build::steps::layer::remove_tree(&self.copies)?;
        }
        Ok(())
    }
}

/// Copies a file or directory of a tree into a directory of the host; under which name it is there.
fn copy_into(tree: &mut Tree, source: &str, directory: &Path) -> Result<String> {
    let source = if source.is_empty() { "/" } else { source };
    let path = inside(source)?;
    let found = tree.find_one(source)?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let root = rustix::fs::open(directory, flags, rustix::fs::Mode::empty())
        .with_context(|| format!("open {}", directory.display()))?;
    let mut root = RootFs::new(root);
    let destination = Destination {
        path: ImagePath::root(),
        is_directory: true,
        keeps_parents: false,
    };
    let mut copier = Copier::new(&mut root, Manner::default());
    copier.copy(tree, &found, &Ignore::default(), &destination)?;
    copier.finish()?;
    if found.directory().is_some() {
        return Ok(".".to_owned());
    }
    let name = path
        .split_last()
        .map_or(Vec::new(), |(_, name)| name.to_vec());
    String::from_utf8(name).context("the file's name is not UTF-8")
}

/// The directory of a cache, and the lock that says that it is in use.
fn open_cache(caches: &Path, id: &str, sharing: Sharing) -> Result<(PathBuf, File)> {
    for number in 0.. {
        let name = match number {
            0 => id.to_owned(),
            number => format!("{id}-{number}"),
        };
        let directory = caches.join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("mkdir {}", directory.display()))?;
        let file =
            File::open(&directory).with_context(|| format!("open {}", directory.display()))?;
        let operation = match sharing {
            Sharing::Shared => FlockOperation::LockShared,
            Sharing::Locked => FlockOperation::LockExclusive,
            Sharing::Private => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, operation) {
            Ok(()) => return Ok((directory, file)),
            Err(error) if error.downcast_ref() == Some(&Errno::WOULDBLOCK) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("flock {}", directory.display()));
            }
        }
    }
    bail!("every cache of this name is in use")
}
