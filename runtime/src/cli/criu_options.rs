//! Options that `checkpoint` and `restore` share.

use std::path::Path;

use super::log::Log;
use super::parse::Arguments;
use super::syntax::Flag;
use crate::criu::{CgroupMode, Settings};
use crate::error::{Error, Result};
use crate::report::Listener;

pub(super) static IMAGE_PATH: Flag =
    Flag::path("image-path", "dir", "where CRIU's images are").by_default("checkpoint");
pub(super) static WORK_PATH: Flag = Flag::path(
    "work-path",
    "dir",
    "where CRIU writes its log; default: where the images are",
);
pub(super) static TCP_ESTABLISHED: Flag =
    Flag::switch("tcp-established", "allow open TCP connections");
pub(super) static EXT_UNIX_SK: Flag =
    Flag::switch("ext-unix-sk", "allow unix sockets with one end outside");
pub(super) static SHELL_JOB: Flag =
    Flag::switch("shell-job", "allow a session leader or a terminal outside");
pub(super) static LAZY_PAGES: Flag = Flag::switch(
    "lazy-pages",
    "bring memory when it is touched (userfaultfd(2))",
);
pub(super) static FILE_LOCKS: Flag = Flag::switch("file-locks", "allow file locks");
pub(super) static MANAGE_CGROUPS_MODE: Flag = Flag::text(
    "manage-cgroups-mode",
    "mode",
    "what is done about cgroups: soft, full, strict or ignore; default: soft",
);
pub(super) static EMPTY_NS: Flag = Flag::texts(
    "empty-ns",
    "namespace",
    "a namespace that is made and left empty; always so for network, the only one known",
);
pub(super) static AUTO_DEDUP: Flag = Flag::switch(
    "auto-dedup",
    "take what is dumped anew out of the parent's images",
);

/// What both are told.
///
/// # Errors
/// For a namespace or a mode that there isn't.
pub(super) fn settings<'w>(arguments: &Arguments<'w>) -> Result<Settings<'w>> {
    if let Some(other) = arguments.texts(&EMPTY_NS).find(|name| *name != "network") {
        return Err(Error::new(format!("namespace {other:?} is not supported")));
    }
    Ok(Settings {
        images: arguments
            .path(&IMAGE_PATH)
            .unwrap_or(Path::new(IMAGE_PATH.default)),
        work: arguments.path(&WORK_PATH),
        tcp_established: arguments.switch(&TCP_ESTABLISHED),
        ext_unix_sk: arguments.switch(&EXT_UNIX_SK),
        shell_job: arguments.switch(&SHELL_JOB),
        file_locks: arguments.switch(&FILE_LOCKS),
        auto_dedup: arguments.switch(&AUTO_DEDUP),
        lazy_pages: arguments.switch(&LAZY_PAGES),
        manage_cgroups: CgroupMode::from_name(
            arguments.text(&MANAGE_CGROUPS_MODE).unwrap_or_default(),
        )?,
    })
}

/// In runc's words.
pub(super) fn warn_without_root(log: &Log) {
    if !rustix::process::geteuid().is_root() {
        log.warn("checkpoint and restore are untested with rootless containers");
    }
}
