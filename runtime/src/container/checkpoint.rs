//! `checkpoint`: has CRIU write a container's processes into images, and ends it unless it is to
//! be left running.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Mode, OFlags, open};

use super::external;
use super::state::{Container, Status};
use crate::cgroup::{Driver, Maker};
use crate::criu::{
    Features, Flag, Kind, Notice, Number, Options, Prepared, Service, Settings, Streams, Word,
    check_features, check_version,
};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::host::Host;
use crate::plan::{ContainerRequest, for_container};
use crate::rootfs::RootFd;
use crate::spec::Spec;

/// CRIU's log in the work directory, with runc's name.
const LOG: &str = "dump.log";

/// What `checkpoint` is asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it has in common with `restore`.
    pub settings: Settings<'a>,
    /// The images of the dump before, relative to these.
    pub parent: Option<&'a str>,
    /// Whether the container runs on.
    pub leave_running: bool,
    /// TCP connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// Files without a name get one for the time being.
    pub link_remap: bool,
    /// Dump the memory only, and let the container run on.
    pub pre_dump: bool,
    /// Where a page server takes the memory: address and port.
    pub page_server: Option<(&'a str, u16)>,
    /// Gets a zero byte once `lazy_pages` can be asked for.
    pub status: Option<OwnedFd>,
}

/// Checkpoints a container.
///
/// # Errors
/// When it doesn't run, when there is no CRIU, and with what CRIU says.
pub fn checkpoint(container: &Container, mut request: Request<'_>) -> Result<()> {
    let _lock = container.directory.lock()?;
    match container.status()? {
        Status::Running | Status::Paused => {}
        status => {
            return Err(Error::new(format!(
                "Container cannot be checkpointed in {} state",
                status.name()
            )));
        }
    }
    check_version()?;
    let wanted = Features {
        memory_tracking: request.pre_dump,
        lazy_pages: request.settings.lazy_pages,
    };
    if wanted != Features::default() {
        check_features(wanted)?;
    }
    let config = container.config()?;
    let spec = config.spec()?;
    let mut prepared = request
        .settings
        .prepare(LOG, external::config_file(&spec))?;
    fill(&mut prepared, container, &spec, &request)?;

    let kind = if request.pre_dump {
        Kind::PreDump
    } else {
        Kind::Dump
    };
    let status = &mut request.status;
    Service::start(Streams::None, &[])?
        .carry_out(kind, &prepared.options, &mut |notice| {
            notified(&notice, status)
        })
        .map_err(|error| prepared.explain(error))
}

fn fill(
    prepared: &mut Prepared,
    container: &Container,
    spec: &Spec<'_>,
    request: &Request<'_>,
) -> Result<()> {
    let state = container.created()?;
    let options = &mut prepared.options;
    options.number(Number::Pid, state.init_process_pid.into());
    options.word(Word::Root, &state.config.rootfs);
    for (flag, value) in [
        (Flag::LeaveRunning, request.leave_running),
        (Flag::TcpSkipInFlight, request.tcp_skip_in_flight),
        (Flag::LinkRemap, request.link_remap),
    ] {
        options.flag(flag, value);
    }
    if let Some(parent) = request.parent {
        options.word(Word::ParentImg, parent);
        options.flag(Flag::TrackMem, true);
    }
    if let Some((address, port)) = request.page_server {
        options.page_server(address, port);
    }
    if let Some(freezer) = state.cgroups.freezer() {
        options.word(Word::FreezeCgroup, &freezer.path);
    }
    name_namespaces(spec, options)?;
    if request.pre_dump {
        return Ok(()); // the memory has no mounts and no files
    }
    name_mounts(container, spec, options)?;
    let streams = external::standard_streams(state.init_process_pid, &state.cgroups, options)?;
    let streams = serde_json::to_vec(&streams)
        .map_err(|error| Error::new(format!("{}: {error}", external::DESCRIPTORS)))?;
    let path = prepared.image(external::DESCRIPTORS);
    std::fs::write(&path, streams).call(|| format!("write {path}"))
}

/// Namespaces that were there before the container stay as they are.
fn name_namespaces(spec: &Spec<'_>, options: &mut Options) -> Result<()> {
    for (kind, path, index) in external::namespaces(spec) {
        if let Some(key) = external::namespace_key(kind) {
            let inode = std::fs::metadata(path)
                .call(|| format!("stat({path})"))
                .at(|| format!("/linux/namespaces/{index}/path"))?
                .ino();
            let name = kind.proc_name();
            options.word(Word::External, &format!("{name}[{inode}]:{key}"));
        }
    }
    Ok(())
}

/// Mounts of the host's things are not dumped.
fn name_mounts(container: &Container, spec: &Spec<'_>, options: &mut Options) -> Result<()> {
    let state = container.created()?;
    let host = Host::detect(spec, None, Driver::Cgroupfs)?;
    let plan = for_container(
        spec,
        &host,
        &ContainerRequest {
            bundle: &state.bundle,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            extra_env: &[],
            wait_for_start: false,
            // Who made the cgroups is nothing to the mounts.
            cgroups: &Maker::Runtime,
        },
    )?;
    let path = format!("/proc/{}/root", state.init_process_pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(path.as_str(), flags, Mode::empty()).call(|| format!("open({path})"))?;
    let root = RootFd::of(root);
    for mount in external::mounts(&plan, &state.cgroups, &root) {
        options.external_mount(&mount.destination, &mount.destination);
    }
    for path in external::masked_files(&plan, &root) {
        options.external_mount(&path, "/dev/null");
    }
    Ok(())
}

fn notified(notice: &Notice, status: &mut Option<OwnedFd>) -> Result<()> {
    if notice.point.script != "status-ready" {
        return Ok(());
    }
    // Whoever waits reads one byte, or the end.
    match status.take() {
        Some(status) => rustix::io::write(&status, &[0])
            .map(drop)
            .call(|| format!("write(--status-fd {})", status.as_raw_fd())),
        None => Ok(()),
    }
}
