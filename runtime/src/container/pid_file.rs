//! `--pid-file`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open, unlink};
use rustix::io::Errno;

use crate::error::{CallContext, Error, Result};

/// Writes a pid file whole, or not at all: whoever waits for it must not read half a number, and a
/// crash must leave nothing else beside it. So it gets its name only when it is written
/// (`O_TMPFILE`, open(2)).
///
/// # Errors
/// With the path.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let shown = || format!("write pid file {}", path.display());
    if path.file_name().is_none() {
        return Err(Error::new(format!("{}: no name", shown())));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = match open(directory, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => File::from(file),
        // A file system that has no files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => return write_and_rename(path, pid).call(shown),
        Err(errno) => return Err(errno).call(shown),
    };
    write!(file, "{pid}").call(shown)?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    let name = || linkat(CWD, nameless.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW);
    match name() {
        // One of a container before.
        Err(Errno::EXIST) => unlink(path).and_then(|()| name()),
        result => result,
    }
    .call(shown)
}

fn write_and_rename(path: &Path, pid: i32) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{pid}"));
    std::fs::write(&new, pid.to_string())?;
    std::fs::rename(&new, path)
}
