//! Hearing of processes killed for want of memory, and of the end of the container's cgroup.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, retry_on_intr};

use super::files;
use super::placement::Placement;
use crate::error::{CallContext as _, Error, Result};

/// What is heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// A process was killed, or on cgroup v1 would have been, because the limit was reached.
    pub out_of_memory: bool,
    /// The cgroup is gone, or on cgroup v2 has no process any more.
    pub ended: bool,
}

/// Open ears: poll(2) the descriptor for reading, then ask for the news.
#[derive(Debug)]
pub struct Watch {
    directory: String,
    /// An eventfd on cgroup v1, inotify's on v2.
    fd: OwnedFd,
    version: Version,
}

#[derive(Debug)]
enum Version {
    V1 {
        /// The eventfd's registration lives as long as this file is open.
        _control: OwnedFd,
    },
    V2 {
        /// How often a process had been killed when it was last asked.
        killed: u64,
    },
}

impl Placement {
    /// Begins to listen.
    ///
    /// Fails for a container without a cgroup of the memory controller.
    pub fn watch_memory(&self) -> Result<Watch> {
        let place = self
            .with_controller("memory")
            .ok_or_else(|| Error::new("memory controller missing"))?;
        if place.hierarchy.is_empty() {
            Watch::on_v2(place.path.clone())
        } else {
            Watch::on_v1(place.path.clone())
        }
    }
}

impl Watch {
    /// Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
    fn on_v1(directory: String) -> Result<Self> {
        use std::os::fd::AsRawFd as _;

        let path = format!("{directory}/memory.oom_control");
        let control =
            files::open(&path, OFlags::RDONLY).call(|| format!("open({path:?}, O_RDONLY)"))?;
        let fd = eventfd(0, EventfdFlags::CLOEXEC).call(|| "eventfd()")?;
        files::write_to(
            &format!("{directory}/cgroup.event_control"),
            &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()),
        )?;
        Ok(Watch {
            directory,
            fd,
            version: Version::V1 { _control: control },
        })
    }

    /// cgroup-v2.rst: a change of either file is a file modified event.
    fn on_v2(directory: String) -> Result<Self> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).call(|| "inotify_init1()")?;
        for file in ["memory.events", "cgroup.events"] {
            let path = format!("{directory}/{file}");
            inotify::add_watch(&fd, path.as_str(), WatchFlags::MODIFY)
                .call(|| format!("inotify_add_watch({path:?}, IN_MODIFY)"))?;
        }
        let mut watch = Watch {
            directory,
            fd,
            version: Version::V2 { killed: 0 },
        };
        // What has happened before is no news.
        watch.look_at_v2();
        Ok(watch)
    }

    /// What there is to hear now, whether the descriptor said so or not.
    pub fn news(&mut self) -> Result<News> {
        let mut told = [0_u8; 4096];
        match &self.version {
            Version::V1 { .. } => {
                retry_on_intr(|| rustix::io::read(&self.fd, &mut told[..8]))
                    .call(|| "read(eventfd)")?;
                // The end of the cgroup is told in the same way.
                let path = format!("{}/cgroup.event_control", self.directory);
                let ended = files::open(&path, OFlags::PATH).is_err();
                Ok(News {
                    out_of_memory: !ended,
                    ended,
                })
            }
            Version::V2 { .. } => {
                match retry_on_intr(|| rustix::io::read(&self.fd, &mut told)) {
                    Ok(_) | Err(Errno::AGAIN) => {}
                    Err(errno) => return Err(errno).call(|| "read(inotify)"),
                }
                Ok(self.look_at_v2())
            }
        }
    }

    fn look_at_v2(&mut self) -> News {
        let number = |file: &str, key: &str| -> Option<u64> {
            let text = files::read(&format!("{}/{file}", self.directory)).ok()?;
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(known, _)| *known == key)?.1.parse().ok()
        };
        let ended = number("cgroup.events", "populated") != Some(1);
        let now = number("memory.events", "oom_kill").unwrap_or(0);
        let mut news = News {
            out_of_memory: false,
            ended,
        };
        if let Version::V2 { killed } = &mut self.version {
            news.out_of_memory = now > *killed;
            *killed = now.max(*killed);
        }
        news
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
