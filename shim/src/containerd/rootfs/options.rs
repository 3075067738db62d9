//! The options of a mount as containerd writes them: those of fstab, each a string of its own.

use anyhow::{Result, bail};
use rustix::mount::{MountFlags, MountPropagationFlags};

/// What a mount's options ask for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// Flags of mount(2).
    pub flags: MountFlags,
    /// How mounts below it spread (`mount_namespaces(7)`); to be set when it is mounted.
    pub propagation: Option<MountPropagationFlags>,
    /// The source is a file, to be read through a loop device.
    pub loop_device: bool,
    /// The loop device is not to keep the file's pages twice.
    pub direct_io: bool,
    /// The ids of users that the mount is to show, as `CONTAINER:HOST:SIZE`, separated by commas.
    pub uid_map: Option<&'a str>,
    /// Likewise, of groups.
    pub gid_map: Option<&'a str>,
    /// What the file system itself is to be told.
    pub data: Vec<&'a str>,
}

/// The names, whether they clear the flag, and the flag.
const FLAGS: [(&str, bool, MountFlags); 25] = {
    use rustix::mount::MountFlags as F;
    [
        ("async", true, F::SYNCHRONOUS),
        ("atime", true, F::NOATIME),
        ("bind", false, F::BIND),
        ("defaults", false, F::empty()),
        ("dev", true, F::NODEV),
        ("diratime", true, F::NODIRATIME),
        ("dirsync", false, F::DIRSYNC),
        ("exec", true, F::NOEXEC),
        ("mand", false, F::PERMIT_MANDATORY_FILE_LOCKING),
        ("noatime", false, F::NOATIME),
        ("nodev", false, F::NODEV),
        ("nodiratime", false, F::NODIRATIME),
        ("noexec", false, F::NOEXEC),
        ("nomand", true, F::PERMIT_MANDATORY_FILE_LOCKING),
        ("norelatime", true, F::RELATIME),
        ("nostrictatime", true, F::STRICTATIME),
        ("nosuid", false, F::NOSUID),
        ("rbind", false, F::BIND.union(F::REC)),
        ("relatime", false, F::RELATIME),
        ("ro", false, F::RDONLY),
        ("rw", true, F::RDONLY),
        ("strictatime", false, F::STRICTATIME),
        ("suid", true, F::NOSUID),
        ("sync", false, F::SYNCHRONOUS),
        ("silent", false, F::SILENT),
    ]
};

const PROPAGATIONS: [(&str, MountPropagationFlags); 8] = {
    use rustix::mount::MountPropagationFlags as P;
    [
        ("private", P::PRIVATE),
        ("rprivate", P::PRIVATE.union(P::REC)),
        ("shared", P::SHARED),
        ("rshared", P::SHARED.union(P::REC)),
        ("slave", P::DOWNSTREAM),
        ("rslave", P::DOWNSTREAM.union(P::REC)),
        ("unbindable", P::UNBINDABLE),
        ("runbindable", P::UNBINDABLE.union(P::REC)),
    ]
};

impl<'a> Options<'a> {
    /// Understands `options`; the later of two that contradict each other counts.
    pub fn parse(options: &'a [String]) -> Result<Self> {
        let mut parsed = Options {
            flags: MountFlags::empty(),
            propagation: None,
            loop_device: false,
            direct_io: false,
            uid_map: None,
            gid_map: None,
            data: Vec::new(),
        };
        for option in options {
            parsed.add(option)?;
        }
        if parsed.loop_device {
            let given = parsed.data.len();
            parsed.data.retain(|&option| option != "direct-io");
            parsed.direct_io = parsed.data.len() < given;
        }
        Ok(parsed)
    }

    fn add(&mut self, option: &'a str) -> Result<()> {
        if option.starts_with("X-containerd.") {
            bail!(
                "the option {option:?} is for containerd's own mount manager, which should not have \
                 passed it on"
            );
        }
        if option == "remount" {
            bail!("the option \"remount\" has no sense for a root that is not mounted yet");
        }
        if let Some((_, clear, flag)) = FLAGS.iter().find(|(name, ..)| *name == option) {
            self.flags.set(*flag, !clear);
        } else if let Some((_, kind)) = PROPAGATIONS.iter().find(|(name, _)| *name == option) {
            self.propagation = Some(*kind);
        } else if option == "loop" {
            self.loop_device = true;
        } else if let Some(map) = option.strip_prefix("uidmap=") {
            self.uid_map = Some(map);
        } else if let Some(map) = option.strip_prefix("gidmap=") {
            self.gid_map = Some(map);
        } else {
            self.data.push(option);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn flags_are_told_from_what_the_file_system_is_told() {
        let options = strings(&[
            "ro",
            "nosuid",
            "suid",
            "rbind",
            "index=off",
            "lowerdir=/a:/b",
        ]);
        let parsed = Options::parse(&options).unwrap();
        let flags = MountFlags::RDONLY | MountFlags::BIND | MountFlags::REC;
        assert_eq!(parsed.flags, flags);
        assert_eq!(parsed.data, ["index=off", "lowerdir=/a:/b"]);
        assert_eq!(parsed.propagation, None);
    }

    #[test]
    fn direct_io_is_a_word_for_the_loop_device_only_where_there_is_one() {
        let options = strings(&["direct-io"]);
        let parsed = Options::parse(&options).unwrap();
        assert_eq!((parsed.direct_io, parsed.data), (false, vec!["direct-io"]));
        let options = strings(&["direct-io", "loop"]);
        let parsed = Options::parse(&options).unwrap();
        assert_eq!((parsed.direct_io, parsed.data), (true, vec![]));
    }

    #[test]
    fn what_containerd_should_have_done_itself_is_refused() {
        let options = strings(&["X-containerd.mkdir.path=/x"]);
        let error = Options::parse(&options).unwrap_err().to_string();
        assert!(error.contains("X-containerd.mkdir.path"), "{error}");
    }
}
