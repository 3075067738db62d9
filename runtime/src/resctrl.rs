//! The resctrl file system (Documentation/filesystems/resctrl.rst): groups of tasks that share a
//! part of the caches and of the memory bandwidth. Runc knows it as Intel RDT.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;

use crate::error::{CallContext, Error, Result};

/// Where the kernel provides a directory for it.
const USUAL_MOUNT_POINT: &str = "/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC` (include/uapi/linux/magic.h).
const MAGIC: i64 = 0x0765_5821;

/// The mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resctrl {
    /// Where it is mounted.
    pub root: PathBuf,
    /// Whether parts of the L3 cache can be given out (CAT).
    pub cache: bool,
    /// Whether memory bandwidth can (MBA).
    pub bandwidth: bool,
}

impl Resctrl {
    /// Looks where it is mounted: at the usual place, or else anywhere.
    pub fn detect() -> Option<Self> {
        let usual = statfs(USUAL_MOUNT_POINT).ok()?;
        #[allow(clippy::useless_conversion)] // the type differs between architectures
        if i64::from(usual.f_type) == MAGIC {
            return Some(Self::at(Path::new(USUAL_MOUNT_POINT)));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        mount_point(&mounts).map(|root| Self::at(Path::new(root)))
    }

    /// What it can do, mounted there.
    pub fn at(root: &Path) -> Self {
        Resctrl {
            root: root.to_owned(),
            cache: root.join("info/L3").exists(),
            bandwidth: root.join("info/MB").exists(),
        }
    }
}

/// The mount point of the first resctrl in a mountinfo(5) text.
fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (right.split(' ').next() == Some("resctrl")).then(|| left.split(' ').nth(4))?
    })
}

/// The group of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Where the file system is mounted.
    pub root: PathBuf,
    /// `closID`; none: the group has the container's name and lives as long as the container.
    pub clos_id: Option<&'a str>,
    /// Whether the container has a monitoring group below it.
    pub monitoring: bool,
}

/// What a group is to share out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemata<'a> {
    /// The lines, in the order in which they are written.
    pub lines: Vec<&'a str>,
    /// How many of the first ones an existing group must have already.
    pub settled: usize,
}

impl Group<'_> {
    fn path(&self, container: &str) -> PathBuf {
        match self.clos_id {
            Some("/") => self.root.clone(),
            Some(name) => self.root.join(name),
            None => self.root.join(container),
        }
    }

    fn monitoring_path(&self, container: &str) -> Option<PathBuf> {
        self.monitoring
            .then(|| self.path(container).join("mon_groups").join(container))
    }

    /// Makes it as far as it is missing, and writes its schemata. `making` is told of a directory
    /// that is the container's own before it is made.
    ///
    /// # Errors
    /// When a group that has to be there is missing or another, and the kernel's, with its own
    /// explanation.
    pub fn make(
        &self,
        container: &str,
        schemata: &Schemata<'_>,
        making: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let path = self.path(container);
        let exists = path.exists();
        if exists {
            self.compare(&path, schemata)?;
        } else if self.clos_id.is_some() && schemata.lines.is_empty() {
            return Err(Error::new(format!(
                "clos dir not accessible (must be pre-created when schemata, l3CacheSchema and \
                 memBwSchema are empty): {}",
                path.display()
            )));
        } else {
            if self.clos_id.is_none() {
                making(&path)?;
            }
            self.make_directory(&path)?;
        }
        if !schemata.lines.is_empty()
            && let Err(error) = self.share_out(container, &schemata.lines)
        {
            if !exists {
                let _ = std::fs::remove_dir(&path);
            }
            return Err(error);
        }
        if let Some(monitoring) = self
            .monitoring_path(container)
            .filter(|path| !path.exists())
        {
            making(&monitoring)?;
            self.make_directory(&monitoring)?;
        }
        Ok(())
    }

    /// Writes lines to its schemata; what they don't name stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn share_out(&self, container: &str, lines: &[&str]) -> Result<()> {
        let text = lines.join("\n") + "\n";
        self.write(&self.path(container).join("schemata"), &text)
    }

    /// Puts a process into it, by its pid on the host.
    ///
    /// # Errors
    /// The kernel's.
    pub fn enter(&self, container: &str, pid: i32) -> Result<()> {
        let own = std::iter::once(self.path(container));
        for directory in own.chain(self.monitoring_path(container)) {
            self.write(&directory.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// config-linux.md: "runtimes MUST compare l3CacheSchema and/or memBwSchema value with schemata
    /// file, and generate an error if doesn't match". A group of the container's own name is not
    /// somebody else's.
    fn compare(&self, path: &Path, schemata: &Schemata<'_>) -> Result<()> {
        if self.clos_id.is_none() || schemata.settled == 0 {
            return Ok(());
        }
        let file = path.join("schemata");
        let shown = || format!("read {}", file.display());
        let text = std::fs::read_to_string(&file).call(shown)?;
        let existing: Vec<_> = text.lines().filter_map(domains).collect();
        for line in &schemata.lines[..schemata.settled] {
            let matches = domains(line).is_some_and(|(resource, wanted)| {
                existing.iter().any(|(name, found)| {
                    *name == resource
                        && wanted
                            .iter()
                            .all(|(id, share)| found.get(id) == Some(share))
                })
            });
            if !matches {
                return Err(Error::new(format!(
                    "{} exists and doesn't have {line:?} in its schemata",
                    path.display()
                ))
                .hint("another closID, or what that group has"));
            }
        }
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> Result<()> {
        std::fs::create_dir(path)
            .call(|| format!("mkdir {}", path.display()))
            .map_err(|error| self.explain(error))
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        std::fs::write(path, text)
            .call(|| format!("write({}, {text:?})", path.display()))
            .map_err(|error| self.explain(error))
    }

    /// Adds what the file system has to say of the last call.
    fn explain(&self, error: Error) -> Error {
        match std::fs::read_to_string(self.root.join("info/last_cmd_status")) {
            Ok(status) if !matches!(status.trim(), "" | "ok") => {
                error.hint(format!("last_cmd_status: {}", status.trim()))
            }
            _ => error,
        }
    }
}

/// Removes a directory that [`Group::make`] has made. The kernel moves the tasks that are still in
/// it up.
///
/// # Errors
/// rmdir(2)'s.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.call(|| format!("rmdir {}", path.display())),
    }
}

/// `L3:0=0f;1=3` as the resource's name and the shares, without leading zeros, by domain.
fn domains(line: &str) -> Option<(&str, BTreeMap<&str, String>)> {
    let plain = |number: &str| {
        let number = number.trim().trim_start_matches('0').to_ascii_lowercase();
        if number.is_empty() {
            "0".to_owned()
        } else {
            number
        }
    };
    let (resource, shares) = line.split_once(':')?;
    let shares = shares.split(';').map(|share| {
        let (domain, share) = share.split_once('=')?;
        Some((domain.trim(), plain(share)))
    });
    Some((resource.trim(), shares.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files that the kernel would have in a group's.
    fn file_system() -> (tempfile::TempDir, Resctrl) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("info/L3")).unwrap();
        std::fs::create_dir(root.path().join("shared")).unwrap();
        let schemata = "    L3:0=00f;1=ff\n    MB:0=100;1= 50\n";
        std::fs::write(root.path().join("shared/schemata"), schemata).unwrap();
        let found = Resctrl::at(root.path());
        (root, found)
    }

    fn group<'a>(resctrl: &Resctrl, clos_id: Option<&'a str>) -> Group<'a> {
        Group {
            root: resctrl.root.clone(),
            clos_id,
            monitoring: false,
        }
    }

    fn made(group: &Group<'_>, lines: &[&'static str], settled: usize) -> Result<Vec<PathBuf>> {
        let mut told = Vec::new();
        let schemata = Schemata {
            lines: lines.to_vec(),
            settled,
        };
        group.make("c1", &schemata, &mut |path| {
            assert!(!path.exists(), "told before it is made");
            told.push(path.to_owned());
            Ok(())
        })?;
        Ok(told)
    }

    fn read(path: PathBuf) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn finds_what_is_mounted() {
        let (_root, resctrl) = file_system();
        assert!(resctrl.cache && !resctrl.bandwidth);
        let text = "30 1 0:9 / /proc rw - proc proc rw\n31 1 0:8 / /mnt/r rw shared:3 - resctrl resctrl rw\n";
        assert_eq!(mount_point(text), Some("/mnt/r"));
        assert_eq!(mount_point("30 1 0:9 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn an_own_group_is_made_written_and_removed() {
        let (_root, resctrl) = file_system();
        let group = group(&resctrl, None);
        let own = resctrl.root.join("c1");
        assert_eq!(
            made(&group, &["L3:0=f", "MB:0=20"], 1).unwrap(),
            std::slice::from_ref(&own)
        );
        assert_eq!(read(own.join("schemata")), "L3:0=f\nMB:0=20\n");
        group.share_out("c1", &["MB:0=30"]).unwrap();
        assert_eq!(read(own.join("schemata")), "MB:0=30\n");
        group.enter("c1", 42).unwrap();
        assert_eq!(read(own.join("tasks")), "42");
        // The kernel's files vanish with their directory; these don't.
        for file in ["schemata", "tasks"] {
            std::fs::remove_file(own.join(file)).unwrap();
        }
        remove(&own).unwrap();
        assert!(!own.exists());
        remove(&own).unwrap();
    }

    #[test]
    fn a_named_group_is_never_the_containers_to_remove() {
        let (_root, resctrl) = file_system();
        assert!(
            made(&group(&resctrl, Some("new")), &["L3:0=f"], 1)
                .unwrap()
                .is_empty()
        );
        assert_eq!(read(resctrl.root.join("new/schemata")), "L3:0=f\n");
        let missing = made(&group(&resctrl, Some("none")), &[], 0)
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("clos dir not accessible (must be pre-created"),
            "{missing}"
        );
        assert!(
            made(&group(&resctrl, Some("/")), &[], 0)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn an_existing_group_must_have_what_is_asked_for() {
        let (_root, resctrl) = file_system();
        let shared = group(&resctrl, Some("shared"));
        assert!(made(&shared, &["L3:1=0FF;0=f", "MB:1=50"], 2).is_ok());
        std::fs::write(resctrl.root.join("shared/schemata"), "L3:0=f\n").unwrap();
        for line in ["L3:0=ff", "L3:2=f", "L2:0=f", "L3"] {
            assert!(made(&shared, &[line], 1).is_err(), "{line}");
        }
        assert!(
            made(&shared, &["L3:0=ff"], 0).is_ok(),
            "`schemata` are written"
        );
    }

    #[test]
    fn a_monitoring_group_is_the_containers_own() {
        let (_root, resctrl) = file_system();
        let shared = resctrl.root.join("shared");
        std::fs::create_dir(shared.join("mon_groups")).unwrap();
        let group = Group {
            monitoring: true,
            ..group(&resctrl, Some("shared"))
        };
        let own = shared.join("mon_groups/c1");
        assert_eq!(made(&group, &[], 0).unwrap(), std::slice::from_ref(&own));
        group.enter("c1", 7).unwrap();
        assert_eq!(read(own.join("tasks")), "7");
        assert_eq!(read(shared.join("tasks")), "7");
    }

    #[test]
    fn errors_have_the_file_systems_own_words() {
        let (_root, resctrl) = file_system();
        std::fs::write(
            resctrl.root.join("info/last_cmd_status"),
            "no free CLOSIDs\n",
        )
        .unwrap();
        std::fs::create_dir(resctrl.root.join("shared/tasks")).unwrap();
        let error = group(&resctrl, Some("shared"))
            .enter("c1", 1)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("is a directory") && error.contains("no free CLOSIDs"),
            "{error}"
        );
    }
}
