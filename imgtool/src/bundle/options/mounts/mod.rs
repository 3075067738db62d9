//! `--mount`, `--volume`, `--tmpfs`, `--read-only`, `--shm-size`, and the image's volumes: what is
//! mounted in the container.

pub(super) mod destination;
mod mount_flag;
mod request;
mod tmpfs_flag;
mod volume_flag;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::seccomp::kernel;
use crate::bundle::runtime_config::{Mount, RuntimeConfig};
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::size::Size;
use crate::store::volumes::{UsedVolumes, Volumes};
use request::{Access, Request, Source};

/// What is mounted in the container.
#[derive(Debug, Clone, Default, Args)]
pub struct MountOptions {
    /// A mount, such as type=bind,source=/srv,target=/srv,readonly; the types are bind, volume and
    /// tmpfs, the keys Docker's. May be repeated.
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = mount_flag::parse)]
    mount: Vec<Request>,

    /// A volume or a path of the host, which must be there. Without one, a volume of the
    /// container's own. OPTIONS are ro, rw, nocopy, rshared, rslave and so on. May be repeated.
    #[arg(long, short = 'v', value_name = "[NAME|PATH:]CONTAINER[:OPTIONS]")]
    #[arg(value_parser = volume_flag::parse)]
    volume: Vec<Request>,

    /// Memory at a path, with options such as size=64m,mode=1777,exec. May be repeated.
    #[arg(long, value_name = "CONTAINER[:OPTIONS]", value_parser = tmpfs_flag::parse)]
    tmpfs: Vec<Request>,

    /// Nothing can be written to the image's files; volumes and other mounts stay as they are.
    #[arg(long)]
    read_only: bool,

    /// The size of /dev/shm.
    #[arg(long, value_name = "AMOUNT", default_value = "64m")]
    shm_size: ShmSize,
}

/// The size of /dev/shm.
#[derive(Debug, Clone, Copy)]
struct ShmSize(Size);

impl Default for ShmSize {
    fn default() -> Self {
        ShmSize(Size(64 << 20))
    }
}

impl std::str::FromStr for ShmSize {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse()? {
            // tmpfs takes 0 for "as much as there is".
            Size(0) => bail!("a size above 0"),
            size => Ok(ShmSize(size)),
        }
    }
}

impl MountOptions {
    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.mount.iter().chain(&self.volume).chain(&self.tmpfs)
    }

    /// Writes the mounts into config.json. Volumes are found or made, and empty ones filled from
    /// the image's root file system; those that were made go again if what is returned is dropped.
    pub(super) fn apply(
        &self,
        config: &mut RuntimeConfig,
        image_volumes: &[String],
        rootfs: &mut RootFs,
        store: &Path,
    ) -> Result<UsedVolumes> {
        let requests = self.all(image_volumes)?;
        for request in &requests {
            request.check_source()?;
        }
        self.set_defaults(config);
        let taken = |mount: &Mount| requests.iter().any(|request| request.covers(mount));
        config.mounts.retain(|mount| !taken(mount));
        let mut used = Volumes::open(store)?.begin_use();
        for request in &requests {
            let of_mount = || format!("mount at {}", request.destination);
            let mount = request.mount(config, rootfs, &mut used);
            config.mounts.push(mount.with_context(of_mount)?);
        }
        // What is mounted below another mount comes after it.
        config
            .mounts
            .sort_by_key(|mount| mount.destination.matches('/').count());
        Ok(used)
    }

    /// What the caller wants, and the image's volumes where he wants nothing else.
    fn all(&self, image_volumes: &[String]) -> Result<Vec<Request>> {
        let mut all: Vec<Request> = Vec::new();
        for request in self.requests() {
            let same = |known: &&Request| known.destination == request.destination;
            if all.iter().find(same).is_some() {
                bail!("{} is to be mounted on twice", request.destination);
            }
            all.push(request.clone());
        }
        for path in image_volumes {
            let destination = destination::mountable(path).context("the image's Volumes")?;
            if all.iter().all(|known| known.destination != destination) {
                all.push(Request {
                    destination,
                    source: Source::Volume {
                        name: None,
                        labels: Vec::new(),
                        copy: true,
                    },
                    access: Access::Writable,
                });
            }
        }
        Ok(all)
    }

    fn set_defaults(&self, config: &mut RuntimeConfig) {
        if self.read_only {
            config.root["readonly"] = Value::Bool(true);
        }
        let ShmSize(Size(bytes)) = self.shm_size;
        for mount in &mut config.mounts {
            if mount.destination == "/dev/shm" {
                mount.options.retain(|option| !option.starts_with("size="));
                mount.options.push(format!("size={bytes}"));
            }
        }
    }
}

impl Request {
    fn check_source(&self) -> Result<()> {
        if let Source::Bind { path, .. } = &self.source {
            std::fs::metadata(path).with_context(|| {
                let path = path.display();
                format!("{path}, which is to be mounted at {}", self.destination)
            })?;
        }
        Ok(())
    }

    /// Whether it takes the place of a mount that is there anyway. Who brings a /dev brings all of
    /// it.
    fn covers(&self, mount: &Mount) -> bool {
        let destination = Path::new(&mount.destination);
        destination == Path::new(&self.destination)
            || (self.destination == "/dev" && destination.starts_with("/dev"))
    }

    fn mount(
        &self,
        config: &mut RuntimeConfig,
        rootfs: &mut RootFs,
        used: &mut UsedVolumes,
    ) -> Result<Mount> {
        let (kind, source, mut options) = match &self.source {
            Source::Tmpfs { options } => {
                let mut options = options.clone();
                let has_mode = options.iter().any(|option| option.starts_with("mode="));
                let path = ImagePath::parse(self.destination.as_bytes())?;
                // Runtimes go by the directory that it is mounted on; where the image has none, that
                // is one of ours, and Docker's tmpfs everybody's.
                if !has_mode && rootfs.directory(&path)?.is_none() {
                    options.push("mode=1777".to_owned());
                }
                ("tmpfs", "tmpfs".to_owned(), options)
            }
            Source::Bind {
                path,
                recursive,
                propagation,
            } => {
                if let Some(of_root) = propagation.of_root() {
                    spread_root(config, of_root);
                }
                let bind = if *recursive { "rbind" } else { "bind" };
                let options = [bind, propagation.option()].map(str::to_owned).to_vec();
                ("bind", in_utf8(path)?, options)
            }
            Source::Volume { name, labels, copy } => {
                let from = copy.then_some(&*self.destination);
                let path = used.take(name.as_ref(), labels, rootfs, from)?;
                let options = ["rbind", "rprivate"].map(str::to_owned).to_vec();
                ("bind", in_utf8(&path)?, options)
            }
        };
        options.extend(self.access_option(kind == "bind")?.map(str::to_owned));
        Ok(Mount {
            destination: self.destination.clone(),
            kind: kind.to_owned(),
            source,
            options,
        })
    }

    fn access_option(&self, is_bind: bool) -> Result<Option<&'static str>> {
        // mount_setattr(2), which alone makes mounts read-only with what is below them.
        let recursive = is_bind && kernel()? >= (5, 12);
        Ok(match self.access {
            Access::Writable => None,
            Access::ReadOnly | Access::ReadOnlyAll if recursive => Some("rro"),
            Access::ReadOnly | Access::ReadOnlyTop => Some("ro"),
            Access::ReadOnlyAll => bail!("bind-recursive=readonly needs Linux 5.12"),
        })
    }
}

/// Lets mounts through the container's root, in both directions if any mount needs it.
fn spread_root(config: &mut RuntimeConfig, propagation: &str) {
    let known = &mut config.linux.rootfs_propagation;
    if known.as_deref() != Some("rshared") {
        *known = Some(propagation.to_owned());
    }
}

fn in_utf8(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| {
        format!(
            "{} is not UTF-8, which config.json has to be",
            path.display()
        )
    })
}
