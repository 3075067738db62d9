//! Finding the file that args[0] names, with the rights of the user that will execute it.

use std::ffi::{CStr, CString};

use rustix::fs::{Access, AtFlags, FileType, accessat, stat};
use rustix::io::Errno;

use crate::error::{Error, Result, kernel_words};
use crate::spec::Text;

/// A program that is there.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) path: CString,
    pub(crate) argv: Vec<CString>,
}

impl Located {
    /// The one line of a failed execve, as runc words it.
    pub(crate) fn error(&self, errno: Errno) -> Error {
        Error::new(format!(
            "exec {}: {}",
            self.path.to_string_lossy(),
            kernel_words(errno)
        ))
    }
}

/// Looks args[0] up as execvp(3) does, with the container's PATH.
///
/// # Errors
/// In Go's words, from which Docker makes exit statuses 126 and 127: `executable file not found
/// in $PATH`, `no such file or directory`, `permission denied`.
pub(crate) fn locate(args: &[Text<'_>], path: Option<&str>) -> Result<Located> {
    let argv = args
        .iter()
        .map(|argument| CString::new(argument.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::new("an argument contains a NUL byte"))?;
    let name = args
        .first()
        .ok_or_else(|| Error::new("args must not be empty"))?;
    if name.contains('/') {
        let file = argv[0].clone();
        return match executable(&file) {
            Ok(()) => Ok(Located { path: file, argv }),
            Err(Errno::ACCESS) => Err(not_found(name, "permission denied")),
            Err(errno) => Err(not_found(
                name,
                &format!("stat {}: {}", &**name, kernel_words(errno)),
            )),
        };
    }
    let mut refused = false;
    // Nothing is taken from the working directory, which the image may have chosen: as Go does.
    let directories = path.unwrap_or_default().split(':');
    for directory in directories.filter(|directory| directory.starts_with('/')) {
        let Ok(file) = CString::new(format!("{directory}/{}", &**name)) else {
            continue;
        };
        match executable(&file) {
            Ok(()) => return Ok(Located { path: file, argv }),
            Err(Errno::ACCESS) => refused = true,
            Err(_) => {}
        }
    }
    Err(not_found(
        name,
        if refused {
            "permission denied"
        } else {
            "executable file not found in $PATH"
        },
    ))
}

fn not_found(name: &str, why: &str) -> Error {
    Error::new(format!("exec: {name:?}: {why}"))
}

fn executable(file: &CStr) -> Result<(), Errno> {
    let found = stat(file)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    match accessat(rustix::fs::CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        // A filter that refuses faccessat2(2) says nothing about the file: execve will.
        Err(Errno::PERM | Errno::NOSYS) if found.st_mode & 0o111 != 0 => Ok(()),
        result => result,
    }
}
