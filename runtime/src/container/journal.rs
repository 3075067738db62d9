//! The journal of a container: what has been done on the host for it, written down before it is
//! done, so that what a killed runtime left behind can be undone from any point (design rule 4).
//!
//! One JSON object a line. A line that was cut off by a crash stands for something that had not
//! begun.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::directory::ContainerDirectory;
use crate::cgroup::Placement;
use crate::cgroup::systemd::Unit;
use crate::error::{CallContext, Error, Result};

/// One line. Its undo is what [`super::delete`] does for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// The container has begun. Undo: remove its directory.
    Begun {
        /// The bundle.
        bundle: String,
        /// ociVersion of its config.json.
        oci_version: String,
        /// The root file system.
        rootfs: String,
        /// When, RFC 3339.
        created: String,
    },
    /// systemd is asked to start its unit. Undo: stop it, if it is this container's.
    Unit(Unit),
    /// Its cgroups are being made. Undo: remove those that are empty.
    MakingCgroups(Placement),
    /// Its cgroups have been made. Undo: end what runs in them, and remove them.
    Cgroups(Placement),
    /// A directory of resctrl's is being made for it. Undo: remove it.
    ResctrlDirectory(PathBuf),
    /// CRIU is restoring its processes into the cgroups. Undo: end what is in them.
    Restoring,
    /// Its first process is there. Undo: end it.
    Init {
        /// Its pid on the host.
        pid: i32,
        /// Its start time, in clock ticks since boot (proc_pid_stat(5), field 22): the same pid
        /// with another start time is another process.
        start_time: u64,
        /// Whether the container has a pid namespace of its own: then nothing of it outlives init.
        own_pids: bool,
    },
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The first line, which goes out together with the second.
    first: Vec<u8>,
}

/// The journal's name in the container's directory.
pub const JOURNAL: &str = "journal";

impl Journal {
    /// The file, when there is nothing more to write down.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Begins the journal of a new container in its empty file. Its first record is written with the
    /// second: until then nothing has been done that a crash could leave behind.
    ///
    /// # Errors
    /// When the record can't be written as JSON.
    pub fn begin(file: File, first: &Record) -> Result<Self> {
        Ok(Journal {
            file,
            first: line(first)?,
        })
    }

    /// Adds a record, in one write.
    ///
    /// # Errors
    /// write(2)'s.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let mut lines = std::mem::take(&mut self.first);
        lines.append(&mut line(record)?);
        self.file.write_all(&lines).call(|| "write(journal)")
    }
}

/// Leaves the first process out of `records`, which has ended and been waited for, with all the
/// others of its pid namespace: its pid may be another's by now. One that is not the first of its
/// pid namespace stays, for those that it may have left behind.
pub fn forget_ended_init(records: &mut Vec<Record>) {
    records.retain(|record| !matches!(record, Record::Init { own_pids: true, .. }));
}

fn line(record: &Record) -> Result<Vec<u8>> {
    let mut line =
        serde_json::to_vec(record).map_err(|error| Error::new(format!("journal: {error}")))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads what was written down for a container; nothing if it had not even begun.
///
/// # Errors
/// When the file is there and can't be read.
pub fn read(directory: &ContainerDirectory) -> Result<Vec<Record>> {
    let path = directory.file(JOURNAL);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.call(|| format!("read {}", path.display()))?,
    };
    Ok(text
        .lines()
        .map_while(|line| serde_json::from_str(line).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn a_line_cut_off_has_not_happened() {
        let root = tempfile::tempdir().unwrap();
        let (directory, _lock, file) = Store::new(root.path().to_owned()).make("c").unwrap();
        let init = |pid| Record::Init {
            pid,
            start_time: 8,
            own_pids: true,
        };
        let mut journal = Journal::begin(file, &init(6)).unwrap();
        assert!(read(&directory).unwrap().is_empty());
        journal.add(&init(7)).unwrap();
        journal.file.write_all(br#"{"init":{"pid":9,"#).unwrap();
        let records = read(&directory).unwrap();
        assert!(matches!(
            records[..],
            [
                Record::Init { pid: 6, .. },
                Record::Init {
                    pid: 7,
                    start_time: 8,
                    own_pids: true
                }
            ]
        ));
    }
}
