//! What `checkpoint` and `restore` are both told, and where CRIU's images and its log are.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::messages::{Flag, Number, Options, Word};
use crate::error::{CallContext, Error, Result};

/// The file of options that CRIU reads for containers whose annotations name no other: runc's.
const DEFAULT_CONFIG: &str = "/etc/criu/runc.conf";
/// In a line of the log that is called an error, and is none: CRIU goes on with the limit it has.
const HARMLESS: &str = "Can't setup RLIMIT_NOFILE";
/// All there is to tell.
const EVERYTHING: i64 = 4;

/// `criu_cg_mode`: what CRIU does about cgroups (criu.org, "CGroups").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Nothing.
    Ignore = 0,
    /// Values of cgroups that it has made itself.
    Soft = 3,
    /// Values, always.
    Full = 4,
    /// As full; the cgroups must not be there.
    Strict = 5,
    /// CRIU's own choice.
    #[default]
    Default = 6,
}

impl CgroupMode {
    /// From the word of `--manage-cgroups-mode`; an empty one is the default.
    ///
    /// # Errors
    /// For any other word.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "" => CgroupMode::Default,
            "soft" => CgroupMode::Soft,
            "full" => CgroupMode::Full,
            "strict" => CgroupMode::Strict,
            "ignore" => CgroupMode::Ignore,
            _ => {
                return Err(Error::new("invalid manage-cgroups-mode value")
                    .hint("soft, full, strict or ignore"));
            }
        })
    }
}

/// What both verbs are told.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Where the images are.
    pub images: &'a Path,
    /// Where the log goes, if not there.
    pub work: Option<&'a Path>,
    /// Open TCP connections are dumped and restored.
    pub tcp_established: bool,
    /// Unix sockets with one end outside are allowed.
    pub ext_unix_sk: bool,
    /// A session leader or a terminal outside is allowed.
    pub shell_job: bool,
    /// File locks are dumped and restored.
    pub file_locks: bool,
    /// What is in the parent's images and these is taken out of the parent's.
    pub auto_dedup: bool,
    /// Memory comes when it is touched.
    pub lazy_pages: bool,
    /// What is done about cgroups.
    pub manage_cgroups: CgroupMode,
}

/// CRIU's options as far as both verbs give the same, and what must stay open meanwhile.
#[derive(Debug)]
pub struct Prepared {
    /// The options.
    pub options: Options,
    images: File,
    work: Option<File>,
    log: PathBuf,
}

impl Settings<'_> {
    /// Opens the directories, and begins the options. `annotations`' `org.criu.config` names the
    /// file of options that win over these; an empty one says that there is none.
    ///
    /// # Errors
    /// When a directory isn't there.
    pub fn prepare(&self, log_name: &str, config_file: Option<&str>) -> Result<Prepared> {
        let images = open_directory(self.images)?;
        let work = match self.work {
            Some(path) => {
                // A container can be checkpointed more than once, with the same directory.
                match rustix::fs::mkdir(path, rustix::fs::Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(errno) => {
                        return Err(Error::call(format!("mkdir({})", path.display()), errno));
                    }
                }
                Some(open_directory(path)?)
            }
            None => None,
        };
        let mut options = Options::default();
        // CRIU reaches both through the /proc of whoever made the socket: us.
        options.number(Number::ImagesDirFd, images.as_raw_fd().into());
        if let Some(work) = &work {
            options.number(Number::WorkDirFd, work.as_raw_fd().into());
        }
        options.number(Number::LogLevel, EVERYTHING);
        options.word(Word::LogFile, log_name);
        for (flag, value) in [
            (Flag::TcpEstablished, self.tcp_established),
            (Flag::ExtUnixSk, self.ext_unix_sk),
            (Flag::ShellJob, self.shell_job),
            (Flag::FileLocks, self.file_locks),
            (Flag::AutoDedup, self.auto_dedup),
            (Flag::LazyPages, self.lazy_pages),
            (Flag::ManageCgroups, true),
            (Flag::NotifyScripts, true),
            (Flag::OrphanPtsMaster, true),
        ] {
            options.flag(flag, value);
        }
        options.number(Number::ManageCgroupsMode, self.manage_cgroups as i64);
        // Interfaces are the caller's to make, as for a new container.
        options.number(Number::EmptyNs, libc::CLONE_NEWNET.into());
        match config_file {
            None => options.word(Word::ConfigFile, DEFAULT_CONFIG),
            Some("") => {}
            Some(path) => options.word(Word::ConfigFile, path),
        }
        Ok(Prepared {
            options,
            images,
            work,
            log: self.work.unwrap_or(self.images).join(log_name),
        })
    }
}

impl Prepared {
    /// A file in the directory of the images.
    pub fn image(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.images.as_raw_fd())
    }

    /// Adds to CRIU's refusal the first error of its log, and where the rest can be read.
    pub fn explain(&self, error: Error) -> Error {
        let directory = self.work.as_ref().unwrap_or(&self.images);
        let name = self.log.file_name().unwrap_or_default();
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let Ok(log) = File::open(Path::new(&path).join(name)) else {
            return error;
        };
        let first = BufReader::new(log)
            .lines()
            .map_while(std::result::Result::ok)
            .find(|line| line.contains("Error") && !line.contains(HARMLESS));
        let log = std::path::absolute(&self.log).unwrap_or_else(|_| self.log.clone());
        error.hint(match first {
            Some(line) => format!("{}; log file: {}", line.trim(), log.display()),
            None => format!("log file: {}", log.display()),
        })
    }
}

fn open_directory(path: &Path) -> Result<File> {
    let shown = || format!("open {}", path.display());
    let directory = File::open(path).call(shown)?;
    if directory.metadata().call(shown)?.is_dir() {
        Ok(directory)
    } else {
        Err(Error::call(shown(), rustix::io::Errno::NOTDIR))
    }
}
