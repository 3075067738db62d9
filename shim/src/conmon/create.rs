//! What the runtime is told to make, as conmon's options describe it.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::termios::Winsize;

use super::Outlets;
use super::options::Options;
use crate::supervise::{Birth, Descent, Input, Output, Runtime};

/// The bundle: by default the working directory; for an exec session, where its sockets are to be,
/// and none if there are to be none.
pub fn bundle(options: &Options) -> Result<Option<PathBuf>> {
    match &options.bundle {
        Some(bundle) => Ok(Some(PathBuf::from(bundle))),
        None if options.exec => Ok(None),
        None => Ok(Some(
            std::env::current_dir().context("Failed to get working directory")?,
        )),
    }
}

/// The runtime's call. `directory` is for the socket that it sends a terminal through.
pub fn birth(
    options: &Options,
    bundle: Option<&Path>,
    outlets: Outlets,
    directory: Option<&Path>,
) -> Result<Birth> {
    let passthrough = outlets.drivers.passthrough;
    let output = |own: BorrowedFd<'_>| -> Result<Output> {
        Ok(if passthrough {
            Output::Given(duplicate(own)?)
        } else {
            Output::Front
        })
    };
    let stdin = if passthrough {
        Input::Given(duplicate(std::io::stdin().as_fd())?)
    } else if options.stdin {
        Input::Front
    } else {
        Input::Null
    };
    Ok(Birth {
        runtime: runtime(options),
        descent: descent(options, bundle)?,
        id: options.cid.clone(),
        options: verb_options(options, bundle),
        pid_file: pid_file(options)?,
        directory: directory.map(Path::to_owned).unwrap_or_default(),
        terminal: options.terminal.then_some(Winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        }),
        stdin,
        stdout: output(std::io::stdout().as_fd())?,
        stderr: output(std::io::stderr().as_fd())?,
        log: outlets.log,
        owner: None,
        patience: None,
        listen_pid: wants_listen_pid(options),
    })
}

fn runtime(options: &Options) -> Runtime {
    let systemd = options.systemd_cgroup && !options.exec;
    let systemd = systemd.then(|| "--systemd-cgroup".to_owned());
    Runtime {
        program: PathBuf::from(&options.runtime),
        root: None,
        arguments: systemd
            .into_iter()
            .chain(options.runtime_args.iter().cloned())
            .collect(),
    }
}

fn descent(options: &Options, bundle: Option<&Path>) -> Result<Descent> {
    if options.exec {
        let process = options.exec_process_spec.as_deref();
        return Ok(Descent::Exec(process.unwrap_or_default().into()));
    }
    let bundle = bundle.context("no bundle")?.to_owned();
    Ok(match options.restore {
        Some(_) => Descent::Restore(bundle),
        None => Descent::Create(bundle),
    })
}

fn verb_options(options: &Options, bundle: Option<&Path>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    if !options.exec {
        if options.no_pivot {
            all.push("--no-pivot".into());
        }
        if options.no_new_keyring {
            all.push("--no-new-keyring".into());
        }
        if let (Some(image), Some(bundle)) = (&options.restore, bundle) {
            all.extend(["--image-path".into(), image.into()]);
            all.extend(["--work-path".into(), bundle.into()]);
        }
    }
    all.extend(options.runtime_opts.iter().map(OsString::from));
    all
}

fn pid_file(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.container_pidfile {
        return Ok(PathBuf::from(path));
    }
    let directory = std::env::current_dir().context("Failed to get working directory")?;
    Ok(directory.join(format!("pidfile-{}", options.cid)))
}

/// Whether sockets that came with our start (sd_listen_fds(3)) are the runtime's to pass on.
fn wants_listen_pid(options: &Options) -> bool {
    std::env::var("LISTEN_PID")
        .is_ok_and(|pid| options.replace_listen_pid || pid.parse() == Ok(std::process::id()))
}

fn duplicate(own: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(own, 3).context("dup")
}

/// A directory that only we use, for the console socket; gone when this is dropped.
#[derive(Debug)]
pub struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Below the directory for temporary files.
    pub fn make() -> Result<Self> {
        let parent = std::env::temp_dir();
        let pid = std::process::id();
        for attempt in 0..100 {
            let path = parent.join(format!("conmon-term.{pid}.{attempt}"));
            match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
                Ok(()) => return Ok(PrivateDirectory(path)),
                // Left by a process that had our id.
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(errno).with_context(|| {
                        format!(
                            "Failed to make the directory {} for the console socket",
                            path.display()
                        )
                    });
                }
            }
        }
        anyhow::bail!("{} is full of conmon-term.{pid}.*", parent.display())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
