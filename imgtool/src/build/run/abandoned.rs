//! A build that was killed together with its guard: its container may go on, and with it the build's
//! mount namespace, in which the container's supervisor is.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::guard;
use crate::programs;
use crate::sys::namespace;

/// Ends what goes on of the build that worked in `work`, an absolute path, as its guard would have.
/// Only for who knows that the build has ended.
pub fn end(work: &Path) -> Result<()> {
    let private = guard::private_directory(work);
    if !private.exists() {
        return Ok(());
    }
    let Some(namespace) = namespace_with_mount(&private)? else {
        return Ok(());
    };
    let shim = programs::find(Path::new("windlass-shim"))?;
    let ended = std::thread::scope(|scope| {
        let thread = scope.spawn(|| clear_up_in(&namespace, &shim, work));
        thread.join()
    });
    match ended {
        Ok(result) => result.with_context(|| format!("end what is left of {}", work.display())),
        Err(_) => bail!("the thread that clears up after a build failed"),
    }
}

/// Has a guard clear up, in the namespace in which the build's mounts are. Changes the thread's own.
fn clear_up_in(namespace: &File, shim: &Path, work: &Path) -> Result<()> {
    let program = std::env::current_exe().context("find our own program")?;
    namespace::join_mount_namespace(namespace.as_fd())?;
    let output = Command::new(program)
        .arg(guard::VERB)
        .arg(shim)
        .arg(work)
        .stdin(Stdio::null())
        .output()
        .context("execute our own program as the build's guard")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The mount namespace of a process that sees a mount at `path`.
fn namespace_with_mount(path: &Path) -> Result<Option<File>> {
    for entry in std::fs::read_dir("/proc").context("read directory /proc")? {
        let process = entry.context("read directory /proc")?.path();
        // Processes come and go, and not everything in there is one.
        let Ok(table) = std::fs::read(process.join("mountinfo")) else {
            continue;
        };
        if mount_points(&table).any(|point| point == path) {
            match File::open(process.join("ns/mnt")) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened.context("open a mount namespace").map(Some),
            }
        }
    }
    Ok(None)
}

/// The mount points of a `mountinfo` (proc_pid_mountinfo(5)).
fn mount_points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = table.split(|&byte| byte == b'\n');
    lines.filter_map(|line| {
        let point = line.split(|&byte| byte == b' ').nth(4)?;
        Some(PathBuf::from(unescaped(point)))
    })
}

/// Blanks, line ends and backslashes are written as three octal digits.
fn unescaped(text: &[u8]) -> std::ffi::OsString {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        bytes.push(first);
        rest = after;
        if first == b'\\'
            && let Some((digits, behind)) = after.split_at_checked(3)
            && let Some(byte) = from_octal(digits)
        {
            bytes.pop();
            bytes.push(byte);
            rest = behind;
        }
    }
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

fn from_octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_may_hold_anything() {
        let table =
            b"36 35 98:0 / /a\\040b\\134c rw - tmpfs tmpfs rw\n37 35 98:0 / /d rw - x y rw\n";
        let points: Vec<PathBuf> = mount_points(table).collect();
        assert_eq!(points, [Path::new("/a b\\c"), Path::new("/d")]);
    }
}
