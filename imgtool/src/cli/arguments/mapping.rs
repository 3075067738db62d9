//! `--uid-map`, `--gid-map` and `--rootless`.

use anyhow::{Result, bail};
use clap::Args;

use crate::layer::ids::{IdMapping, IdRange};

/// Whose the image's files are on the host.
#[derive(Debug, Args)]
pub struct MappingArguments {
    /// Map the image's users to others on the host; may be repeated.
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    uid_map: Vec<IdRange>,

    /// Map the image's groups to others on the host; may be repeated.
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]")]
    gid_map: Vec<IdRange>,

    /// Work without privileges: every file belongs to the caller, its owner is kept in the
    /// attribute user.rootlesscontainers, an empty file stands for a device, and config.json is
    /// one that the caller can run (user namespace, no cgroup limits, the host's network).
    #[arg(long)]
    rootless: bool,
}

impl MappingArguments {
    /// The mapping that they ask for.
    pub fn mapping(&self) -> Result<IdMapping> {
        let (mut users, mut groups) = (self.uid_map.clone(), self.gid_map.clone());
        if self.rootless {
            // The one mapping that an unprivileged user can make.
            if users.is_empty() {
                let host_id = rustix::process::geteuid().as_raw();
                users.push(IdRange {
                    container_id: 0,
                    host_id,
                    size: 1,
                });
            }
            if groups.is_empty() {
                let host_id = rustix::process::getegid().as_raw();
                groups.push(IdRange {
                    container_id: 0,
                    host_id,
                    size: 1,
                });
            }
        } else if users.is_empty() != groups.is_empty() {
            bail!("--uid-map and --gid-map go together: a user namespace needs both");
        }
        Ok(IdMapping {
            users,
            groups,
            rootless: self.rootless,
        })
    }
}
