//! The files that tell others how a container has ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes `text` so that whoever sees `path` sees all of it: into a neighbour that is then renamed.
/// Podman polls for the file, CRI-O watches its directory with inotify.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let neighbour = neighbour(path);
    let written = write_new(&neighbour, text).and_then(|()| std::fs::rename(&neighbour, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&neighbour);
    }
    written.with_context(|| format!("writing {text} into {}", path.display()))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Named as `g_file_set_contents` does it, so that watchers that know conmon skip it.
fn neighbour(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:06}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_file_replaces_an_older_one_and_leaves_no_neighbour() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("id.with.dots");
        write(&path, "137").expect("written");
        write(&path, "0").expect("written again");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "0");
        assert_eq!(place.path().read_dir().expect("there").count(), 1);
        let error = write(&place.path().join("no/dir"), "1").expect_err("no directory");
        assert!(format!("{error:#}").contains("no/dir"));
    }
}
