//! The options of a mount (config.md, "Linux mount options"): one table, and what an entry's list of
//! them comes to.

use super::Pointer;
use crate::error::{Error, Result};
use crate::spec::Mount;
use crate::sys::mount::Attributes;

/// `MS_*` as mount_setattr(2) takes them for propagation.
const SHARED: u64 = libc::MS_SHARED;
const SLAVE: u64 = libc::MS_SLAVE;
const PRIVATE: u64 = libc::MS_PRIVATE;
const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
const RECURSIVE: u64 = libc::MS_REC;

/// libc lacks it (include/uapi/linux/mount.h).
const MS_NOSYMFOLLOW: u64 = 256;
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// What one option does.
#[derive(Clone, Copy)]
enum Effect {
    /// Sets a flag of the mount, `MS_*` of mount(2).
    Set(u64),
    /// Clears one.
    Clear(u64),
    /// Sets these attributes of the mount and of all below it, clearing the second first (for the
    /// atime group).
    SetRecursive(u64, u64),
    /// Clears these attributes of the mount and of all below it.
    ClearRecursive(u64),
    /// A change of propagation.
    Propagation(u64),
    /// A flag of the file system itself (its superblock).
    Superblock(&'static str),
    /// A bind mount.
    Bind {
        recursive: bool,
    },
    /// Owners are mapped.
    Idmap {
        recursive: bool,
    },
    CopyUp,
    Remount,
    /// How symbolic links at either end of a bind mount are taken (crun(1)).
    CopySymlink,
    SourceNofollow,
    DestinationNofollow,
    /// Says what is so without it, or what no current kernel distinguishes.
    Default,
}

/// Every option that is not the file system's own, sorted by name.
const OPTIONS: [(&str, Effect); 65] = {
    use Effect::{
        Bind, Clear, ClearRecursive, CopySymlink, CopyUp, Default, DestinationNofollow, Idmap,
        Propagation, Remount, Set, SetRecursive, SourceNofollow, Superblock,
    };
    use libc::{
        MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV,
        MOUNT_ATTR_NODIRATIME as NODIRATIME, MOUNT_ATTR_NOEXEC as NOEXEC,
        MOUNT_ATTR_NOSUID as NOSUID, MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW,
        MOUNT_ATTR_RDONLY as RDONLY, MOUNT_ATTR_RELATIME as RELATIME,
        MOUNT_ATTR_STRICTATIME as STRICTATIME, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC,
        MS_NOSUID, MS_RDONLY, MS_RELATIME, MS_STRICTATIME,
    };
    [
        ("async", Superblock("async")),
        ("atime", Clear(MS_NOATIME)),
        ("bind", Bind { recursive: false }),
        ("copy-symlink", CopySymlink),
        ("defaults", Default),
        ("dest-nofollow", DestinationNofollow),
        ("dev", Clear(MS_NODEV)),
        ("diratime", Clear(MS_NODIRATIME)),
        ("dirsync", Superblock("dirsync")),
        ("exec", Clear(MS_NOEXEC)),
        ("idmap", Idmap { recursive: false }),
        ("iversion", Default),
        ("lazytime", Superblock("lazytime")),
        ("loud", Default),
        ("mand", Superblock("mand")),
        ("noatime", Set(MS_NOATIME)),
        ("nodev", Set(MS_NODEV)),
        ("nodiratime", Set(MS_NODIRATIME)),
        ("noexec", Set(MS_NOEXEC)),
        ("noiversion", Default),
        ("nolazytime", Superblock("nolazytime")),
        ("nomand", Superblock("nomand")),
        ("norelatime", Clear(MS_RELATIME)),
        ("nostrictatime", Clear(MS_STRICTATIME)),
        ("nosuid", Set(MS_NOSUID)),
        ("nosymfollow", Set(MS_NOSYMFOLLOW)),
        ("private", Propagation(PRIVATE)),
        ("ratime", SetRecursive(RELATIME, ATIME)),
        ("rbind", Bind { recursive: true }),
        ("rdev", ClearRecursive(NODEV)),
        ("rdiratime", ClearRecursive(NODIRATIME)),
        ("relatime", Set(MS_RELATIME)),
        ("remount", Remount),
        ("rexec", ClearRecursive(NOEXEC)),
        ("ridmap", Idmap { recursive: true }),
        ("rnoatime", SetRecursive(NOATIME, ATIME)),
        ("rnodev", SetRecursive(NODEV, 0)),
        ("rnodiratime", SetRecursive(NODIRATIME, 0)),
        ("rnoexec", SetRecursive(NOEXEC, 0)),
        ("rnorelatime", SetRecursive(RELATIME, ATIME)),
        ("rnostrictatime", SetRecursive(RELATIME, ATIME)),
        ("rnosuid", SetRecursive(NOSUID, 0)),
        ("rnosymfollow", SetRecursive(NOSYMFOLLOW, 0)),
        ("ro", Set(MS_RDONLY)),
        ("rprivate", Propagation(PRIVATE | RECURSIVE)),
        ("rrelatime", SetRecursive(RELATIME, ATIME)),
        ("rro", SetRecursive(RDONLY, 0)),
        ("rrw", ClearRecursive(RDONLY)),
        ("rshared", Propagation(SHARED | RECURSIVE)),
        ("rslave", Propagation(SLAVE | RECURSIVE)),
        ("rstrictatime", SetRecursive(STRICTATIME, ATIME)),
        ("rsuid", ClearRecursive(NOSUID)),
        ("rsymfollow", ClearRecursive(NOSYMFOLLOW)),
        ("runbindable", Propagation(UNBINDABLE | RECURSIVE)),
        ("rw", Clear(MS_RDONLY)),
        ("shared", Propagation(SHARED)),
        ("silent", Default),
        ("slave", Propagation(SLAVE)),
        ("src-nofollow", SourceNofollow),
        ("strictatime", Set(MS_STRICTATIME)),
        ("suid", Clear(MS_NOSUID)),
        ("symfollow", Clear(MS_NOSYMFOLLOW)),
        ("sync", Superblock("sync")),
        ("tmpcopyup", CopyUp),
        ("unbindable", Propagation(UNBINDABLE)),
    ]
};

/// The names, for `features`.
pub const OPTION_NAMES: [&str; OPTIONS.len()] = {
    let mut names = [""; OPTIONS.len()];
    let mut at = 0;
    while at < OPTIONS.len() {
        names[at] = OPTIONS[at].0;
        at += 1;
    }
    names
};

/// The parsed options of one mount.
#[derive(Default)]
pub(super) struct Options<'a> {
    /// Flags of the mount, `MS_*`.
    set: u64,
    /// Flags that are cleared by name, `MS_*`.
    cleared: u64,
    /// Whether any flag is named: a bind mount then loses those that are not.
    names_flags: bool,
    pub(super) recursive: Attributes,
    pub(super) propagation: Vec<u64>,
    pub(super) superblock: Vec<&'static str>,
    pub(super) data: Vec<(&'a str, Option<&'a str>)>,
    pub(super) bind: Option<bool>,
    /// `idmap` or `ridmap` (true), with what follows `=` in crun's form.
    pub(super) idmap: Option<(bool, Option<&'a str>)>,
    pub(super) copy_up: bool,
    pub(super) remount: bool,
    pub(super) copy_symlink: bool,
    pub(super) source_nofollow: bool,
    pub(super) destination_nofollow: bool,
}

/// `MS_*` of mount(2) and the same flag for mount_setattr(2), but for the atime group.
const FLAGS: [(u64, u64); 6] = [
    (libc::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
    (libc::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
    (libc::MS_NODEV, libc::MOUNT_ATTR_NODEV),
    (libc::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    (libc::MS_NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
    (MS_NOSYMFOLLOW, libc::MOUNT_ATTR_NOSYMFOLLOW),
];

impl<'a> Options<'a> {
    pub(super) fn parse(mount: &'a Mount<'a>) -> Self {
        let mut parsed = Options::default();
        for option in &mount.options {
            if !option.is_empty() {
                parsed.add(option);
            }
        }
        parsed
    }

    fn add(&mut self, option: &'a str) {
        match effect(option) {
            Some(Effect::Set(flag)) => {
                self.set |= flag;
                self.cleared &= !flag;
                self.names_flags = true;
            }
            Some(Effect::Clear(flag)) => {
                self.set &= !flag;
                self.cleared |= flag;
                self.names_flags = true;
            }
            Some(Effect::SetRecursive(set, group)) => change(&mut self.recursive, set, group),
            Some(Effect::ClearRecursive(clear)) => {
                self.recursive.set &= !clear;
                self.recursive.clear |= clear;
            }
            Some(Effect::Propagation(flags)) => self.propagation.push(flags),
            Some(Effect::Superblock(name)) => {
                self.superblock.push(name);
                self.names_flags = true;
            }
            Some(Effect::Bind { recursive }) => self.bind = Some(recursive),
            Some(Effect::Idmap { recursive }) => self.idmap = Some((recursive, None)),
            Some(Effect::CopyUp) => self.copy_up = true,
            Some(Effect::Remount) => self.remount = true,
            Some(Effect::CopySymlink) => self.copy_symlink = true,
            Some(Effect::SourceNofollow) => self.source_nofollow = true,
            Some(Effect::DestinationNofollow) => self.destination_nofollow = true,
            Some(Effect::Default) => {}
            None => self.add_data(option),
        }
    }

    fn add_data(&mut self, option: &'a str) {
        match option.split_once('=') {
            Some(("idmap", mapping)) => self.idmap = Some((false, Some(mapping))),
            Some(("ridmap", mapping)) => self.idmap = Some((true, Some(mapping))),
            Some((name, value)) => self.data.push((name, Some(value))),
            // Since Linux 4.7 every devpts is a new instance, asked for or not.
            None if option == "newinstance" => {}
            None => self.data.push((option, None)),
        }
    }

    /// The flags of the mount as mount_setattr(2) takes them: what is named, and nothing else.
    pub(super) fn attributes(&self) -> Attributes {
        let of = |flags: u64| {
            let named = FLAGS.iter().filter(|(flag, _)| flags & flag != 0);
            named.fold(0, |bits, (_, attribute)| bits | attribute)
        };
        let mut attributes = Attributes {
            set: of(self.set),
            clear: of(self.cleared & !libc::MS_NODIRATIME),
            propagation: 0,
        };
        if let Some(atime) = self.atime() {
            attributes.set |= atime;
            attributes.clear |= (ATIME | libc::MOUNT_ATTR_NODIRATIME) & !attributes.set;
            // mount_setattr(2) wants the whole group cleared when one of it is set.
            attributes.clear |= ATIME;
        }
        attributes
    }

    /// The same for a bind mount: any flag clears those that are not named, as mount(8) does by
    /// remounting (runc also when a flag is only cleared). The atime group stays unless one of it
    /// is set.
    pub(super) fn bind_attributes(&self) -> Attributes {
        let mut attributes = self.attributes();
        if self.names_flags {
            let settable = FLAGS
                .iter()
                .fold(0, |bits, (_, attribute)| bits | attribute);
            attributes.clear |= settable & !libc::MOUNT_ATTR_NODIRATIME & !attributes.set;
        }
        attributes
    }

    /// What is cleared by name, `MOUNT_ATTR_*`.
    pub(super) fn cleared_by_name(&self) -> u64 {
        let cleared = FLAGS.iter().filter(|(flag, _)| self.cleared & flag != 0);
        let bits = cleared.fold(0, |bits, (_, attribute)| bits | attribute);
        let noatime = self.cleared & libc::MS_NOATIME != 0;
        let strictatime = self.cleared & libc::MS_STRICTATIME != 0;
        bits | if noatime { libc::MOUNT_ATTR_NOATIME } else { 0 }
            | if strictatime {
                libc::MOUNT_ATTR_STRICTATIME
            } else {
                0
            }
    }

    /// The one of the atime group that mount(2) would make of the flags (`path_mount` in
    /// fs/namespace.c): none of them set, it stays as it is; strictatime wins over noatime, and both
    /// over relatime, which nodiratime alone implies.
    fn atime(&self) -> Option<u64> {
        let group =
            libc::MS_NOATIME | libc::MS_NODIRATIME | libc::MS_RELATIME | libc::MS_STRICTATIME;
        if self.set & group == 0 {
            None
        } else if self.set & libc::MS_STRICTATIME != 0 {
            Some(libc::MOUNT_ATTR_STRICTATIME)
        } else if self.set & libc::MS_NOATIME != 0 {
            Some(libc::MOUNT_ATTR_NOATIME)
        } else {
            Some(libc::MOUNT_ATTR_RELATIME)
        }
    }

    /// Takes the options with a value (`size=1k`) from a bind mount, and tells one of them: mount(2)
    /// ignores them there. An unknown word stays, to be refused: it may be a protection misspelt.
    pub(super) fn take_values(&mut self) -> Option<&'a str> {
        let first = self.data.iter().find(|(_, value)| value.is_some())?.0;
        self.data.retain(|(_, value)| value.is_none());
        Some(first)
    }

    /// A bind mount, a remount and the cgroups are other mounts of a file system that is there
    /// already: its own options can't be theirs. Those that say what is so anyway do no harm.
    pub(super) fn refuse_those_of_a_filesystem(
        &self,
        what: &str,
        pointer: Pointer<'_>,
    ) -> Result<()> {
        let superblock = self.superblock.iter().copied();
        let changes = superblock.filter(|name| !matches!(*name, "async" | "nolazytime" | "nomand"));
        let data = self.data.iter().map(|(name, _)| *name);
        let Some(name) = data.chain(changes).next() else {
            return Ok(());
        };
        Err(Error::config(
            format!("{pointer}/options"),
            format!("{what} mounts cannot have any filesystem-specific options applied: {name}"),
        ))
    }
}

fn effect(name: &str) -> Option<Effect> {
    OPTIONS
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()
        .map(|at| OPTIONS[at].1)
}

/// mount_setattr(2) wants the whole atime group cleared when one of it is set.
fn change(attributes: &mut Attributes, set: u64, group: u64) {
    attributes.set = (attributes.set & !group) | set;
    attributes.clear = (attributes.clear & !set) | group;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Text;

    fn mount(options: &[&'static str]) -> Mount<'static> {
        Mount {
            destination: Text::from("/somewhere"),
            kind: Some(Text::from("bind")),
            source: Some(Text::from("source")),
            options: options.iter().map(|option| Text::from(*option)).collect(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        }
    }

    #[test]
    fn the_table_is_sorted_for_binary_search() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn the_atime_group_is_what_mount_2_makes_of_it() {
        const NODIR: u64 = libc::MOUNT_ATTR_NODIRATIME;
        const STRICT: u64 = libc::MOUNT_ATTR_STRICTATIME;
        const NO: u64 = libc::MOUNT_ATTR_NOATIME;
        let cases: [(&[&'static str], Option<u64>); 10] = [
            (&["norelatime"], None),
            (&["atime", "diratime", "nostrictatime"], None),
            (&["relatime"], Some(0)),
            (&["nodiratime"], Some(NODIR)),
            (&["nodiratime", "norelatime"], Some(NODIR)),
            (&["nodiratime", "strictatime"], Some(NODIR | STRICT)),
            (&["noatime"], Some(NO)),
            (&["noatime", "nodiratime"], Some(NO | NODIR)),
            (&["noatime", "strictatime"], Some(STRICT)),
            (&["noatime", "atime", "relatime"], Some(0)),
        ];
        for (options, wanted) in cases {
            let mount = mount(options);
            let attributes = Options::parse(&mount).bind_attributes();
            let group = ATIME | NODIR;
            assert_eq!(attributes.set, wanted.unwrap_or(0), "{options:?}");
            let cleared = wanted.map_or(0, |set| (group & !set) | ATIME);
            assert_eq!(attributes.clear & group, cleared, "{options:?}");
        }
    }

    #[test]
    fn any_flag_of_a_bind_mount_clears_those_that_are_not_named() {
        let plain = mount(&["rbind", "rprivate"]);
        assert!(Options::parse(&plain).bind_attributes().is_empty());
        let named = mount(&["bind", "nosuid", "dev"]);
        let options = Options::parse(&named);
        let attributes = options.bind_attributes();
        assert_eq!(attributes.set, libc::MOUNT_ATTR_NOSUID);
        for cleared in [
            libc::MOUNT_ATTR_RDONLY,
            libc::MOUNT_ATTR_NODEV,
            libc::MOUNT_ATTR_NOEXEC,
            libc::MOUNT_ATTR_NOSYMFOLLOW,
        ] {
            assert_eq!(attributes.clear & cleared, cleared);
        }
        assert_eq!(options.cleared_by_name(), libc::MOUNT_ATTR_NODEV);
    }
}
