//! The messages that CRIU's service understands. Names and numbers are those of CRIU's
//! `images/rpc.proto` (MIT licence), as it stands in CRIU 4.2; a field keeps its number for ever.

use super::wire::{Message, Value, fields};
use crate::error::Result;

/// `criu_req_type`: what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Dump a tree of processes, and end it unless it is to be left running.
    Dump = 1,
    /// Restore one.
    Restore = 2,
    /// Dump its memory only, and leave it running.
    PreDump = 4,
    /// CRIU's own request: a point has been reached.
    Notify = 6,
    /// Whether features are there.
    FeatureCheck = 9,
    /// CRIU's version.
    Version = 10,
}

impl Kind {
    /// Its name in rpc.proto.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dump => "DUMP",
            Kind::Restore => "RESTORE",
            Kind::PreDump => "PRE_DUMP",
            Kind::Notify => "NOTIFY",
            Kind::FeatureCheck => "FEATURE_CHECK",
            Kind::Version => "VERSION",
        }
    }
}

/// `bool` fields of `criu_opts`.
#[derive(Clone, Copy, Debug)]
pub enum Flag {
    /// Let the processes run on after a dump.
    LeaveRunning = 3,
    /// Allow unix sockets with one end outside.
    ExtUnixSk = 4,
    /// Allow open TCP connections.
    TcpEstablished = 5,
    /// Take any path to a device that is of the same number.
    EvasiveDevices = 6,
    /// Allow a session leader or a terminal outside.
    ShellJob = 7,
    /// Allow file locks.
    FileLocks = 8,
    /// Tell the points of the work (`NOTIFY`).
    NotifyScripts = 12,
    /// Use the kernel's tracking of changed memory.
    TrackMem = 15,
    /// Take out of the parent's images what this dump has anew.
    AutoDedup = 16,
    /// Give files without a name one for the time being.
    LinkRemap = 18,
    /// Dump and restore cgroups; what is done is said by `manage_cgroups_mode`.
    ManageCgroups = 24,
    /// Make the restored process a child of CRIU's caller.
    RstSibling = 26,
    /// Leave out TCP connections that are being made.
    TcpSkipInFlight = 46,
    /// Bring memory when it is touched.
    LazyPages = 48,
    /// Terminals whose other end is outside are handed over (`orphan-pts-master`).
    OrphanPtsMaster = 50,
}

/// Integer fields of `criu_opts`.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A descriptor of the caller's: the directory of the images.
    ImagesDirFd = 1,
    /// The pid of the tree's root.
    Pid = 2,
    /// How much is logged: 4 is everything.
    LogLevel = 9,
    /// A descriptor of the caller's: the directory of the log.
    WorkDirFd = 17,
    /// `criu_cg_mode`.
    ManageCgroupsMode = 34,
    /// `CLONE_NEW*`: namespaces that are made, and left empty.
    EmptyNs = 38,
}

/// `string` fields of `criu_opts`.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// The log's name.
    LogFile = 10,
    /// The root file system.
    Root = 13,
    /// The images of the dump before, relative to these.
    ParentImg = 14,
    /// A thing outside that is not dumped: `net[INODE]:KEY`, `file[MOUNT:INODE]`. Can be repeated.
    External = 37,
    /// The cgroup by whose freezer the processes are stopped.
    FreezeCgroup = 44,
    /// A file of options that win over these.
    ConfigFile = 51,
    /// `TYPE:NAME`.
    LsmProfile = 53,
    /// What tmpfs and others are mounted with as `context=`.
    LsmMountContext = 63,
}

/// `criu_opts`.
#[derive(Clone, Debug, Default)]
pub struct Options(Message);

impl Options {
    /// Sets a flag.
    pub fn flag(&mut self, flag: Flag, value: bool) {
        self.0.flag(flag as u32, value);
    }

    /// Sets a number.
    pub fn number(&mut self, number: Number, value: i64) {
        self.0.number(number as u32, value);
    }

    /// Sets a text.
    pub fn word(&mut self, word: Word, value: &str) {
        self.0.text(word as u32, value);
    }

    /// Adds an `ext_mnt`: in a dump, the mount at `key` is not dumped, and is called `value`; in a
    /// restore, the mount called `key` is made from the host's path `value`.
    pub fn external_mount(&mut self, key: &str, value: &str) {
        let mut mount = Message::default();
        mount.text(1, key);
        mount.text(2, value);
        self.0.message(23, &mount);
    }

    /// Adds an `inherit_fd`: what the images call `key` is CRIU's own descriptor `fd`.
    pub fn inherit_fd(&mut self, key: &str, fd: i32) {
        let mut inherited = Message::default();
        inherited.text(1, key);
        inherited.number(2, fd.into());
        self.0.message(27, &inherited);
    }

    /// Adds a `join_ns`: the restored processes join this namespace.
    pub fn join_namespace(&mut self, kind: &str, path: &str) {
        let mut namespace = Message::default();
        namespace.text(1, kind);
        namespace.text(2, path);
        self.0.message(39, &namespace);
    }

    /// Adds a `cg_root`: where a controller's cgroups are restored to.
    pub fn cgroup_root(&mut self, controller: &str, path: &str) {
        let mut root = Message::default();
        root.text(1, controller);
        root.text(2, path);
        self.0.message(25, &root);
    }

    /// Sets `ps`: the page server that gets the memory.
    pub fn page_server(&mut self, address: &str, port: u16) {
        let mut server = Message::default();
        server.text(1, address);
        server.number(2, port.into());
        self.0.message(11, &server);
    }
}

/// A `criu_req` of this kind.
pub fn request(kind: Kind, options: Option<&Options>) -> Message {
    let mut request = Message::default();
    request.number(1, kind as i64);
    if let Some(Options(options)) = options {
        request.message(2, options);
    }
    request
}

/// The answer to a notification.
pub fn notified() -> Message {
    let mut request = request(Kind::Notify, None);
    request.flag(3, true);
    request
}

/// A `criu_req` that asks for features.
pub fn feature_request(wanted: Features) -> Message {
    let mut features = Message::default();
    features.flag(1, wanted.memory_tracking);
    features.flag(2, wanted.lazy_pages);
    let mut request = request(Kind::FeatureCheck, None);
    request.message(5, &features);
    request
}

/// `criu_features`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `mem_track`.
    pub memory_tracking: bool,
    /// `lazy_pages`.
    pub lazy_pages: bool,
}

/// `criu_notify`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The point that has been reached.
    pub script: String,
    /// The pid of the tree's root, where there is one.
    pub pid: i32,
}

/// `criu_resp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The number of its kind.
    pub kind: i32,
    /// Whether the request has been carried out.
    pub success: bool,
    /// Why not: an errno.
    pub errno: i32,
    /// What is notified.
    pub notification: Option<Notification>,
    /// The features that are there.
    pub features: Features,
    /// The version, as `major * 10000 + minor * 100 + sublevel`.
    pub version: i32,
}

impl Response {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut response = Response::default();
        for (field, value) in fields(bytes)? {
            match field {
                1 => response.kind = value.number(),
                2 => response.success = value.flag(),
                5 => response.notification = Some(read_notification(value)?),
                7 => response.errno = value.number(),
                8 => response.features = read_features(value)?,
                10 => response.version = read_version(value)?,
                _ => {}
            }
        }
        Ok(response)
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind as i32
    }
}

fn read_notification(message: Value<'_>) -> Result<Notification> {
    let mut notification = Notification::default();
    for (field, value) in fields(message.bytes())? {
        match field {
            1 => notification.script = value.text(),
            2 => notification.pid = value.number(),
            _ => {}
        }
    }
    Ok(notification)
}

fn read_features(message: Value<'_>) -> Result<Features> {
    let mut features = Features::default();
    for (field, value) in fields(message.bytes())? {
        match field {
            1 => features.memory_tracking = value.flag(),
            2 => features.lazy_pages = value.flag(),
            _ => {}
        }
    }
    Ok(features)
}

fn read_version(message: Value<'_>) -> Result<i32> {
    let mut version = 0;
    for (field, value) in fields(message.bytes())? {
        let weight = match field {
            1 => 10_000,
            2 => 100,
            4 => 1,
            _ => 0,
        };
        version += weight * value.number().clamp(0, 99);
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_rpc_proto_says() {
        let mut options = Options::default();
        options.number(Number::ImagesDirFd, 5);
        options.external_mount("/a", "b");
        let expected = b"\x08\x02\x12\x0c\x08\x05\xba\x01\x07\x0a\x02/a\x12\x01b";
        assert_eq!(
            request(Kind::Restore, Some(&options)).as_bytes(),
            expected.as_slice()
        );
        assert_eq!(notified().as_bytes(), [8, 6, 0x18, 1]);
    }

    #[test]
    fn a_response_is_read() {
        let response = Response::read(b"\x08\x06\x10\x01\x2a\x0b\x0a\x07network\x10\x2a").unwrap();
        assert!(response.is(Kind::Notify) && response.success);
        let notification = response.notification.unwrap();
        assert_eq!(
            (notification.script.as_str(), notification.pid),
            ("network", 42)
        );
        let version = Response::read(b"\x08\x0a\x10\x01\x52\x06\x08\x04\x10\x02\x20\x01").unwrap();
        assert_eq!(version.version, 40_201);
        let failure = Response::read(b"\x08\x01\x10\x00\x38\x34").unwrap();
        assert_eq!((failure.success, failure.errno), (false, 52));
    }
}
