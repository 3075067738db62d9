//! A process's standard streams as containerd names them: fifos, files, programs that log, or
//! nothing.

mod fifo;
mod logger;
mod uri;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Gid, OFlags, Uid, fchown};
use rustix::io::fcntl_dupfd_cloexec;

use self::fifo::FifoOutput;
use self::logger::Logger;
use self::uri::Uri;
use crate::supervise::{Input, Output};

/// How often it is looked whether somebody reads what a process has left: first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What containerd says of a process's streams.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The container's id, or the exec's.
    pub id: &'a str,
    /// Containerd's.
    pub namespace: &'a str,
    /// A path or URI, or empty for none.
    pub stdin: &'a str,
    /// Likewise. What is a file or a program here takes standard error as well.
    pub stdout: &'a str,
    /// Likewise; of no meaning with a terminal.
    pub stderr: &'a str,
    /// The process has a terminal.
    pub terminal: bool,
    /// Who is to own the pipes; 0 and 0 are nobody else.
    pub owner: (u32, u32),
}

/// A process's streams.
#[derive(Debug)]
pub struct Streams {
    /// For its birth.
    pub stdin: Input,
    /// For its birth.
    pub stdout: Output,
    /// For its birth.
    pub stderr: Output,
    /// To be kept as long as the process is.
    pub kept: Kept,
}

/// What keeps a process's streams as they are while clients come and go.
#[derive(Debug, Default)]
pub struct Kept {
    input: Option<OwnedFd>,
    outputs: Vec<FifoOutput>,
    /// The program that takes the output. The process must not be made before it is ready.
    pub logger: Option<Logger>,
    pause: Option<Duration>,
    /// Nobody else will read than who reads now.
    final_readers: bool,
}

impl Kept {
    /// Lets standard input end when the last client is gone that has it open: `CloseIO`.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Readers that are not there now won't come any more: what they have not read is given up, and
    /// what the process still writes for them.
    pub fn expect_no_readers(&mut self) {
        self.outputs.retain_mut(FifoOutput::is_read);
        self.final_readers = true;
    }

    /// To be called when the process has ended and all its output is written ([`drained`]), and
    /// again at the time that it returns, until it returns none: then every reader gets to the end
    /// of its stream, and the logger has ended.
    ///
    /// A fifo that nobody reads, because containerd is away or late, waits for it. Dropping this gives
    /// that up.
    ///
    /// [`drained`]: crate::supervise::Front::drained
    pub fn finish(&mut self, now: Instant) -> Option<Instant> {
        self.input = None;
        if self.final_readers {
            self.outputs.clear();
        }
        self.outputs.retain_mut(|output| !output.can_be_closed());
        let unread = (!self.outputs.is_empty()).then(|| {
            let pause = self.pause.map_or(FIRST_LOOK, |pause| pause * 2);
            now + *self.pause.insert(pause.min(LONGEST_WAIT))
        });
        let logger = self.logger.as_mut().and_then(|logger| logger.see_off(now));
        if logger.is_none() {
            self.logger = None;
        }
        unread.into_iter().chain(logger).min()
    }

    /// Whether there is a fifo with something in it that nobody has read.
    pub fn has_unread(&self) -> bool {
        self.outputs.iter().any(FifoOutput::has_unread)
    }

    /// Whether output goes into fifos.
    pub fn has_fifos(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether dropping this now would lose output.
    pub fn holds_output(&self) -> bool {
        self.logger.is_some() || self.has_unread()
    }
}

/// Opens what containerd names, without waiting for anybody; starts the logger.
pub fn open(wanted: &Wanted<'_>) -> Result<Streams> {
    let mut kept = Kept::default();
    let stdin = input(wanted, &mut kept).context("standard input")?;
    let (stdout, stderr) = outputs(wanted, &mut kept)?;
    Ok(Streams {
        stdin,
        stdout,
        stderr,
        kept,
    })
}

fn input(wanted: &Wanted<'_>, kept: &mut Kept) -> Result<Input> {
    if wanted.stdin.is_empty() {
        return Ok(Input::Null);
    }
    let uri = Uri::parse(wanted.stdin)?;
    if uri.scheme != "fifo" {
        bail!("it can't come from {:?}", wanted.stdin);
    }
    let path = Path::new(&uri.path);
    if fifo::is_fifo(path)? {
        let (reader, writer) = fifo::open_input(path)?;
        kept.input = Some(writer);
        return Ok(Input::From(reader));
    }
    if wanted.terminal {
        bail!(
            "{} is no fifo, and a terminal's has to be one",
            path.display()
        );
    }
    fifo::open(path, OFlags::RDONLY).map(Input::Given)
}

fn outputs(wanted: &Wanted<'_>, kept: &mut Kept) -> Result<(Output, Output)> {
    let uri = Uri::parse(wanted.stdout).context("standard output")?;
    match uri.scheme.as_str() {
        "fifo" => {
            let stdout = output(wanted.stdout, kept).context("standard output")?;
            let stderr = if wanted.terminal { "" } else { wanted.stderr };
            let stderr = output(stderr, kept).context("standard error")?;
            Ok((stdout, stderr))
        }
        "file" => {
            let file = log_file(Path::new(&uri.path)).context("standard output")?;
            let same = fcntl_dupfd_cloexec(&file, 3).context("dup")?;
            Ok((Output::Into(file), Output::Into(same)))
        }
        "binary" | "binary-v2" => {
            let (logger, pipes) = Logger::start(&uri, wanted.id, wanted.namespace)?;
            kept.logger = Some(logger);
            if wanted.terminal {
                rustix::io::ioctl_fionbio(&pipes.stdout, true).context("ioctl(FIONBIO)")?;
                return Ok((Output::Into(pipes.stdout), Output::Null));
            }
            for pipe in [&pipes.stdout, &pipes.stderr] {
                give_to(pipe, wanted.owner)?;
            }
            Ok((Output::Given(pipes.stdout), Output::Given(pipes.stderr)))
        }
        _ => bail!("standard output: it can't go to {:?}", wanted.stdout),
    }
}

/// A fifo, or another file that exists.
fn output(name: &str, kept: &mut Kept) -> Result<Output> {
    if name.is_empty() {
        return Ok(Output::Null);
    }
    let uri = Uri::parse(name)?;
    let path = Path::new(&uri.path);
    match uri.scheme.as_str() {
        "fifo" if fifo::is_fifo(path)? => {
            let (output, writer) = FifoOutput::open(path)?;
            kept.outputs.push(output);
            Ok(Output::Into(writer))
        }
        "fifo" => {
            // A terminal that nobody reads must not hold up the others.
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK;
            fifo::open(path, flags).map(Output::Into)
        }
        "file" => log_file(path).map(Output::Into),
        _ => bail!("it can't go to {name:?}"),
    }
}

/// A file that is appended to, made with its directory if need be. What is no regular file is not
/// waited for.
fn log_file(path: &Path) -> Result<OwnedFd> {
    if let Some(directory) = path.parent() {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory);
        made.with_context(|| format!("mkdir({})", directory.display()))?;
    }
    let mut options = fs::File::options();
    options.append(true).create(true).mode(0o644);
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    let file = options.open(path);
    file.map(OwnedFd::from)
        .with_context(|| format!("open({})", path.display()))
}

fn give_to(pipe: &OwnedFd, (user, group): (u32, u32)) -> Result<()> {
    if (user, group) == (0, 0) {
        return Ok(());
    }
    fchown(pipe, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
        .with_context(|| format!("fchown(a pipe, {user}, {group})"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn wanted() -> Wanted<'static> {
        Wanted {
            id: "id",
            namespace: "namespace",
            stdin: "",
            stdout: "",
            stderr: "",
            terminal: false,
            owner: (0, 0),
        }
    }

    fn fifo(directory: &tempfile::TempDir, name: &str) -> String {
        let path = directory.path().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        path.display().to_string()
    }

    fn said(error: anyhow::Error) -> String {
        format!("{error:#}")
    }

    #[test]
    fn no_names_are_no_streams() {
        let streams = open(&wanted()).unwrap();
        assert!(matches!(
            (&streams.stdin, &streams.stdout, &streams.stderr),
            (Input::Null, Output::Null, Output::Null)
        ));
        let mut kept = streams.kept;
        assert_eq!(kept.finish(Instant::now()), None);
    }

    #[test]
    fn fifos_are_kept_until_they_have_been_read() {
        let directory = tempfile::tempdir().unwrap();
        let (i, o, e) = (
            fifo(&directory, "i"),
            fifo(&directory, "o"),
            fifo(&directory, "e"),
        );
        let streams = open(&Wanted {
            stdin: &i,
            stdout: &format!("fifo://{o}"),
            stderr: &e,
            ..wanted()
        })
        .unwrap();
        let (Input::From(input), Output::Into(stdout), Output::Into(stderr)) =
            (streams.stdin, streams.stdout, streams.stderr)
        else {
            panic!("not the fifos");
        };
        let mut kept = streams.kept;
        fs::File::from(stdout).write_all(b"out").unwrap();
        drop(stderr);
        kept.close_input();
        assert_eq!(fs::File::from(input).read(&mut [0; 8]).unwrap(), 0);

        let now = Instant::now();
        let pauses: Vec<_> = (0..9)
            .map_while(|_| kept.finish(now))
            .map(|at| (at - now).as_millis())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(kept.holds_output());
        let mut reader = fs::File::open(&o).unwrap();
        assert!(
            kept.finish(now).is_some(),
            "standard error's reader may still come"
        );
        assert!(!kept.holds_output());
        let _errors = fs::File::open(&e).unwrap();
        assert_eq!(kept.finish(now), None);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "out");
    }

    #[test]
    fn a_file_takes_both_outputs_and_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/log");
        let stdout = format!("file://{}", path.display());
        for _ in 0..2 {
            let streams = open(&Wanted {
                stdout: &stdout,
                stderr: "/ignored",
                ..wanted()
            })
            .unwrap();
            let (Output::Into(stdout), Output::Into(stderr)) = (streams.stdout, streams.stderr)
            else {
                panic!("not the file");
            };
            fs::File::from(stdout).write_all(b"o").unwrap();
            fs::File::from(stderr).write_all(b"e").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "oeoe");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let failing = |wanted: Wanted<'_>| said(open(&wanted).unwrap_err());
        let error = failing(Wanted {
            stdin: "/none/in",
            ..wanted()
        });
        assert!(
            error.contains("standard input: open(/none/in): No such file"),
            "{error}"
        );
        let error = failing(Wanted {
            stderr: "/none/err",
            ..wanted()
        });
        assert!(error.contains("standard error: open(/none/err)"), "{error}");
        let error = failing(Wanted {
            stdout: "npipe:////x",
            ..wanted()
        });
        assert!(error.contains("npipe"), "{error}");
        let error = failing(Wanted {
            stderr: "binary:///bin/cat",
            ..wanted()
        });
        assert!(error.contains("standard error"), "{error}");
        let error = failing(Wanted {
            stdin: "/dev/null",
            terminal: true,
            ..wanted()
        });
        assert!(error.contains("is no fifo"), "{error}");
    }
}
