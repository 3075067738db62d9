//! Rotated files are compressed by a child process, so that neither time nor memory is taken from
//! the supervisor: a fork of it, at the lowest priority, with nothing open but what it needs.
//!
//! The file may be rotated further while it is being compressed; so it is known by its inode, and
//! its place is looked up when the child is done. That is the supervisor's to do; but if the
//! supervisor has gone by then, the child does it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use flate2::GzBuilder;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

use super::rotation::{numbered, with_suffix};
use crate::sys::{self, Forked};

/// How often it is looked whether the child is done.
const LOOK: Duration = Duration::from_millis(100);
/// What the child says when it is; anything else is why it could not.
const DONE: &str = "\n";

/// The compression of rotated files, one at a time.
#[derive(Debug, Default)]
pub(super) struct Compression {
    running: Option<Running>,
    files: u32,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Running {
    /// Speaks once; sees our end closed when we have put the file into its place.
    child: OwnedFd,
    plan: Plan,
    look_at: Instant,
}

/// Which file is compressed, and into what.
#[derive(Debug, Clone)]
struct Plan {
    log: PathBuf,
    files: u32,
    /// Device and inode.
    source: (u64, u64),
    unfinished: PathBuf,
}

impl Compression {
    /// Compresses the rotated files of `log` that aren't yet, of which there are at most `files`.
    pub(super) fn begin(&mut self, log: &Path, files: u32) {
        self.files = files;
        self.trouble = None;
        if self.running.is_none() {
            self.next(log);
        }
    }

    /// When [`Compression::look`] is due, if there is anything to look after.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.look_at)
    }

    /// Looks whether the child is done, and goes on with the next file.
    pub(super) fn look(&mut self, log: &Path) {
        let Some(running) = &mut self.running else {
            return;
        };
        let mut said = [0; 512];
        let outcome = match recv(&running.child, &mut said[..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => {
                running.look_at = Instant::now() + LOOK;
                return;
            }
            Ok((length, _)) if said[..length] == *DONE.as_bytes() => running.plan.put_into_place(),
            Ok((0, _)) | Err(_) => Err(anyhow!("the compressing process was killed")),
            Ok((length, _)) => Err(anyhow!("{}", String::from_utf8_lossy(&said[..length]))),
        };
        let plan = running.plan.clone();
        self.running = None;
        match outcome {
            Ok(()) => self.next(log),
            // Tried again after the next rotation.
            Err(error) => {
                let _ = std::fs::remove_file(&plan.unfinished);
                self.fail(log, &error);
            }
        }
    }

    /// Why the last compression failed.
    pub(super) fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }

    fn fail(&mut self, log: &Path, error: &anyhow::Error) {
        let log = log.display();
        self.trouble = Some(format!(
            "compressing a rotated file of the log {log}: {error:#}"
        ));
    }

    fn next(&mut self, log: &Path) {
        let job = Job::next(log, self.files);
        match job.and_then(|job| job.map(start).transpose()) {
            Ok(running) => self.running = running,
            Err(error) => self.fail(log, &error),
        }
    }
}

/// One file to be compressed.
struct Job {
    input: File,
    output: File,
    plan: Plan,
}

impl Job {
    /// The oldest rotated file that isn't compressed, which is the next to be gone.
    fn next(log: &Path, files: u32) -> Result<Option<Self>> {
        let mut names = (1..=files).rev().map(|number| numbered(log, number));
        let Some([source, _]) = names.find(|[plain, _]| plain.is_file()) else {
            return Ok(None);
        };
        let opening = || format!("opening {}", source.display());
        let input = File::open(&source).with_context(opening)?;
        let metadata = input.metadata().with_context(opening)?;
        let unfinished = with_suffix(log, "gz.windlass-unfinished");
        // One that is there is another compression's of this log, which will see that it was taken
        // away: nobody else uses this name.
        let _ = std::fs::remove_file(&unfinished);
        let output = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(metadata.mode() & 0o777)
            .open(&unfinished)
            .with_context(|| format!("opening {}", unfinished.display()))?;
        let plan = Plan {
            log: log.to_owned(),
            files,
            source: (metadata.dev(), metadata.ino()),
            unfinished,
        };
        Ok(Some(Job {
            input,
            output,
            plan,
        }))
    }

    fn squeeze(&mut self) -> io::Result<()> {
        let (device, inode) = self.plan.source;
        let mut gzip = GzBuilder::new()
            .comment(format!("{device}:{inode}"))
            .write(&self.output, flate2::Compression::default());
        io::copy(&mut self.input, &mut gzip)?;
        gzip.finish()?;
        // What it was made from will be removed.
        self.output.sync_all()
    }

    /// Does all of it, for nobody.
    fn finish(&mut self) -> Result<()> {
        let outcome = self.squeeze();
        self.settle(outcome)
    }

    /// Puts what was made into its place, or away, if nobody else has.
    fn settle(&self, outcome: io::Result<()>) -> Result<()> {
        if !self.plan.is_unfinished(&self.output) {
            return Ok(());
        }
        match outcome {
            Ok(()) => self.plan.put_into_place(),
            Err(error) => {
                std::fs::remove_file(&self.plan.unfinished)?;
                Err(error.into())
            }
        }
    }
}

impl Plan {
    /// Where the file is now, if it still is.
    fn names(&self) -> Option<[PathBuf; 2]> {
        let names = (1..=self.files).map(|number| numbered(&self.log, number));
        names.into_iter().find(|[plain, _]| {
            let metadata = plain.symlink_metadata();
            metadata.is_ok_and(|found| (found.dev(), found.ino()) == self.source)
        })
    }

    /// Whether `output` still is where it was made.
    fn is_unfinished(&self, output: &File) -> bool {
        match (output.metadata(), self.unfinished.symlink_metadata()) {
            (Ok(output), Ok(named)) => (output.dev(), output.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }

    /// Puts the compressed file into the place of what it was made from.
    fn put_into_place(&self) -> Result<()> {
        let Some([plain, compressed]) = self.names() else {
            // Rotated away meanwhile.
            return std::fs::remove_file(&self.unfinished).context("removing what is too late");
        };
        std::fs::rename(&self.unfinished, &compressed)
            .and_then(|()| std::fs::remove_file(&plain))
            .with_context(|| {
                format!(
                    "replacing {} with {}",
                    plain.display(),
                    compressed.display()
                )
            })
    }
}

fn start(job: Job) -> Result<Running> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context("socketpair")?;
    match sys::fork().context("fork")? {
        Forked::Parent(_) => Ok(Running {
            child: ours,
            plan: job.plan,
            look_at: Instant::now() + LOOK,
        }),
        Forked::Child => {
            std::mem::forget(ours);
            sys::leave(match work(job, theirs) {
                Ok(()) => 0,
                Err(_) => 1,
            })
        }
    }
}

/// What the child does.
fn work(job: Job, supervisor: OwnedFd) -> Result<()> {
    let Job {
        input,
        output,
        plan,
    } = job;
    // Someone else's pipe that stayed open in here would never end for them.
    rustix::stdio::dup2_stdin(&input)?;
    rustix::stdio::dup2_stdout(&output)?;
    rustix::stdio::dup2_stderr(&supervisor)?;
    std::mem::forget((input, output, supervisor));
    sys::close_inherited_descriptors()?;
    let mut job = Job {
        input: File::from(rustix::io::dup(rustix::stdio::stdin())?),
        output: File::from(rustix::io::dup(rustix::stdio::stdout())?),
        plan,
    };
    let supervisor = rustix::stdio::stderr();
    let _ = rustix::process::nice(19);
    let outcome = job.squeeze();
    let word = outcome
        .as_ref()
        .map_or_else(ToString::to_string, |()| DONE.to_owned());
    // If that fails, then it is gone.
    let told = send(supervisor, word.as_bytes(), SendFlags::NOSIGNAL);
    // The end of file says that it has taken over what we have made, or is gone.
    while told.is_ok() && recv(supervisor, &mut [0; 1][..], RecvFlags::empty()) == Err(Errno::INTR)
    {
    }
    if !job.plan.is_unfinished(&job.output) {
        return Ok(());
    }
    job.settle(outcome)?;
    // It is gone, and nobody will see to the others.
    while let Some(mut next) = Job::next(&job.plan.log, job.plan.files)? {
        next.finish()?;
    }
    Ok(())
}

/// The device and inode that stand in the comment of a compressed file: whoever follows a log has
/// the file that it was made from open, and so finds what comes after it.
pub fn made_from(comment: &[u8]) -> Option<(u64, u64)> {
    let (device, inode) = std::str::from_utf8(comment).ok()?.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}
