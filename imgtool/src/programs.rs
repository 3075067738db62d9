//! The programs that ours call: a runtime, windlass-shim.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Access, access};

/// The runtime, unless the caller names another.
pub const RUNTIME: &str = "windlass";

/// Where a program is. A name is looked for beside our own program first (what was installed
/// together belongs together), then on PATH; a path is that program.
pub fn find(program: &Path) -> Result<PathBuf> {
    let shown = program.display();
    if program.components().count() > 1 {
        let path = std::path::absolute(program).with_context(|| format!("the program {shown}"))?;
        access(&path, Access::EXEC_OK).with_context(|| format!("the program {shown}"))?;
        return Ok(path);
    }
    let ours = std::env::current_exe().ok();
    let beside = ours.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program));
    candidates
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
        .with_context(|| format!("{shown} is neither beside windlass-img nor on PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_and_paths_are_not() {
        assert!(find(Path::new("sh")).unwrap().ends_with("sh"));
        assert_eq!(find(Path::new("/bin/sh")).unwrap(), Path::new("/bin/sh"));
        for (missing, message) in [
            ("no-such-program", "no-such-program is neither beside"),
            ("/bin/no-such-program", "the program /bin/no-such-program"),
            // A directory of that name beside the program is none.
            ("deps", "deps is neither beside"),
        ] {
            let error = find(Path::new(missing)).unwrap_err();
            assert!(format!("{error:#}").contains(message), "{error:#}");
        }
    }
}
