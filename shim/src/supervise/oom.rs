//! Hearing that a container ran out of memory.
//!
//! The front gives the watch's descriptor to the poller with [`OomWatch::interest`] and asks
//! [`OomWatch::news`] when it is ready. It may ask at any other time too, and does so once more when
//! the container's process has ended: that is often the very process that the kernel has killed, and
//! its end must not be reported before the reason for it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread, read, write};

use super::Interest;
use crate::cgroup::Cgroups;

/// What there is to hear of a cgroup's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing that hasn't been told before.
    Nothing,
    /// It ran out of memory, once or more often since it was last asked.
    OutOfMemory,
    /// The cgroup is gone: nothing will follow, and the descriptor must not be polled further.
    Gone,
}

/// An ear at the memory controller of one container.
#[derive(Debug)]
pub enum OomWatch {
    /// cgroup v1: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
    Eventfd {
        /// Counts what happens: each time out of memory, and the end of the cgroup.
        counter: OwnedFd,
        /// The cgroup's `memory.oom_control`.
        control: PathBuf,
    },
    /// cgroup v2: Documentation/admin-guide/cgroup-v2.rst. A file of the kernel's own that changes
    /// is ready for `POLLPRI` until it is read again; unlike an inotify instance, of which a user
    /// may have only 128, it costs nothing but its descriptor.
    Events {
        /// The cgroup's `memory.events`.
        file: OwnedFd,
        /// How many processes had been killed when it was last asked.
        killed: u64,
    },
}

impl OomWatch {
    /// Starts listening to the container whose cgroups are `cgroups`. What happened before is no
    /// news. `None` where the memory controller isn't used, or the container has no cgroup of its
    /// own and so no limit.
    pub fn start(cgroups: &Cgroups) -> Result<Option<Self>> {
        let Some(directory) = cgroups.directory("memory") else {
            return Ok(None);
        };
        match cgroups {
            Cgroups::Separate(_) => Self::on_v1(directory),
            Cgroups::Unified(_) => Self::on_v2(directory),
        }
    }

    fn on_v1(directory: &Path) -> Result<Option<Self>> {
        // Only the root of a hierarchy has this file.
        if directory.join("release_agent").exists() {
            return Ok(None);
        }
        let control = directory.join("memory.oom_control");
        let Some(file) = open(&control, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let counter =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("eventfd")?;
        let register = directory.join("cgroup.event_control");
        let Some(registration) = open(&register, OFlags::WRONLY)? else {
            return Ok(None);
        };
        let line = format!("{} {}", counter.as_raw_fd(), file.as_raw_fd());
        write(&registration, line.as_bytes())
            .with_context(|| format!("write({}, {line:?})", register.display()))?;
        Ok(Some(OomWatch::Eventfd { counter, control }))
    }

    fn on_v2(directory: &Path) -> Result<Option<Self>> {
        let Some(file) = open(&directory.join("memory.events"), OFlags::RDONLY)? else {
            return Ok(None);
        };
        let killed = killed(&file).unwrap_or(0);
        Ok(Some(OomWatch::Events { file, killed }))
    }

    /// What the poller is to wait for.
    pub fn interest(&self) -> Interest {
        match self {
            OomWatch::Eventfd { .. } => Interest::IN,
            OomWatch::Events { .. } => Interest::PRI,
        }
    }

    /// What has happened since this was last asked.
    pub fn news(&mut self) -> News {
        match self {
            OomWatch::Eventfd { counter, control } => {
                let mut count = [0; 8];
                let told = read(counter, &mut count).is_ok();
                // The directory is removed before the end of the cgroup is told.
                if !control.exists() {
                    News::Gone
                } else if told {
                    News::OutOfMemory
                } else {
                    News::Nothing
                }
            }
            OomWatch::Events { file, killed: seen } => match killed(file) {
                // ENODEV: the kernel has removed the file.
                None => News::Gone,
                Some(now) if now > *seen => {
                    *seen = now;
                    News::OutOfMemory
                }
                Some(_) => News::Nothing,
            },
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            OomWatch::Eventfd { counter, .. } => counter.as_fd(),
            OomWatch::Events { file, .. } => file.as_fd(),
        }
    }
}

/// The file's descriptor; `None` if there is no such file.
fn open(path: &Path, access: OFlags) -> Result<Option<OwnedFd>> {
    match openat(CWD, path, access | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("open({})", path.display())),
    }
}

/// How many processes of the cgroup, and of those below it, the kernel has killed for want of
/// memory.
fn killed(events: &OwnedFd) -> Option<u64> {
    let mut text = [0; 512];
    let length = pread(events, &mut text[..], 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = lines.find(|(key, _)| *key == "oom_kill")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, ExitStatus};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::supervise::{Poller, Token};

    /// A cgroup of the memory controller whose processes may have 16 MiB; removed with the test.
    struct SmallMemory {
        directory: PathBuf,
        cgroups: Cgroups,
    }

    impl SmallMemory {
        /// `None`, and a line that says so, where this kind of hierarchy can't be used here.
        fn new(unified: bool) -> Option<Self> {
            let root = Path::new("/sys/fs/cgroup");
            let version = if unified { "v2" } else { "v1" };
            if unified != root.join("cgroup.controllers").exists() {
                eprintln!("SKIPPED: cgroup {version} is not what this host uses");
                return None;
            }
            let (parent, limits) = if unified {
                // In the root alone may processes and controllers of sub-cgroups be together.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
                (root.to_owned(), ["memory.max", "memory.swap.max"])
            } else {
                let limits = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
                (root.join("memory"), limits)
            };
            let directory = parent.join(format!("windlass-oom-test-{}", std::process::id()));
            if fs::create_dir(&directory).is_err() || !directory.join(limits[0]).exists() {
                let _ = fs::remove_dir(&directory);
                eprintln!("SKIPPED: no memory controller of cgroup {version} here");
                return None;
            }
            fs::write(directory.join(limits[0]), "16777216").unwrap();
            // Without accounting of swap there is no such file.
            let swap = if unified { "0" } else { "16777216" };
            let _ = fs::write(directory.join(limits[1]), swap);
            let cgroups = if unified {
                Cgroups::Unified(directory.clone())
            } else {
                Cgroups::Separate(vec![crate::cgroup::Membership {
                    controllers: vec!["memory".to_owned()],
                    directory: directory.clone(),
                }])
            };
            Some(SmallMemory { directory, cgroups })
        }

        fn run(&self, script: &str) -> ExitStatus {
            let enter = format!("ulimit -v 1000000; echo $$ >$0/cgroup.procs; {script}");
            let mut command = Command::new("sh");
            command.arg("-c").arg(enter).arg(&self.directory);
            command.status().unwrap()
        }
    }

    impl Drop for SmallMemory {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.directory);
        }
    }

    /// The next news that isn't `Nothing`; `Nothing` if none comes within `patience`.
    fn wait(watch: &mut OomWatch, patience: Duration) -> News {
        let poller = Poller::new().unwrap();
        poller
            .add(&*watch, Token::of_front(0), watch.interest())
            .unwrap();
        let deadline = Instant::now() + patience;
        let mut news = News::Nothing;
        while news == News::Nothing && Instant::now() < deadline {
            let mut events = Vec::new();
            let left = deadline.saturating_duration_since(Instant::now());
            poller.wait(Some(left), &mut events).unwrap();
            if !events.is_empty() {
                news = watch.news();
            }
        }
        news
    }

    fn every_death_is_told_once(unified: bool) {
        let Some(memory) = SmallMemory::new(unified) else {
            return;
        };
        let mut watch = OomWatch::start(&memory.cgroups).unwrap().unwrap();
        assert!(memory.run("exec sleep 0.01").success());
        assert_eq!(wait(&mut watch, Duration::from_millis(50)), News::Nothing);
        for _ in 0..2 {
            assert!(!memory.run("exec tail /dev/zero").success());
            assert_eq!(wait(&mut watch, Duration::from_secs(5)), News::OutOfMemory);
            let quiet = Duration::from_millis(50);
            assert_eq!(wait(&mut watch, quiet), News::Nothing, "told twice");
        }
        if unified {
            let mut later = OomWatch::start(&memory.cgroups).unwrap().unwrap();
            assert_eq!(later.news(), News::Nothing, "what was before is no news");
        }
        fs::remove_dir(&memory.directory).unwrap();
        if !unified {
            assert_eq!(wait(&mut watch, Duration::from_secs(5)), News::Gone);
        }
        assert_eq!(watch.news(), News::Gone);
    }

    #[test]
    fn every_death_for_want_of_memory_is_told_once_on_v1() {
        every_death_is_told_once(false);
    }

    #[test]
    fn every_death_for_want_of_memory_is_told_once_on_v2() {
        every_death_is_told_once(true);
    }

    #[test]
    fn without_limits_there_is_nothing_to_watch() {
        let root = Cgroups::Separate(vec![crate::cgroup::Membership {
            controllers: vec!["memory".to_owned()],
            directory: PathBuf::from("/sys/fs/cgroup/memory"),
        }]);
        assert!(OomWatch::start(&root).unwrap().is_none());
        let root = Cgroups::Unified(PathBuf::from("/sys/fs/cgroup"));
        assert!(OomWatch::start(&root).unwrap().is_none());
        assert!(
            OomWatch::start(&Cgroups::Separate(Vec::new()))
                .unwrap()
                .is_none()
        );
    }
}
