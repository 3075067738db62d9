//! Becoming the user: groups, uid, capabilities, umask, working directory.

use rustix::fs::{FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::process::{chdir, getcwd, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::error::{CallContext, Error, Result};
use crate::plan::{CapabilityStep, CredentialsStep};
use crate::sys::identity::started_as_root;

/// Gives up what the app is not to have. The order matters: the bounding set and the groups need
/// capabilities that the uid change takes away.
///
/// # Errors
/// With the call.
pub(crate) fn become_user(step: &CredentialsStep) -> Result<()> {
    own_standard_streams(step.uid)?;
    let entered = enter_directory(&step.cwd);
    drop_from_bounding_set(step.capabilities.bounding)?;

    if let Some(groups) = &step.groups {
        set_groups(groups)?;
    }
    if step.uid != 0 || step.gid != 0 || !started_as_root() {
        change_ids(step)?;
    }

    apply_capabilities(&step.capabilities)?;
    if step.no_new_privileges {
        set_no_new_privs(true).call(|| "prctl(PR_SET_NO_NEW_PRIVS, 1)")?;
    }
    umask(Mode::from_raw_mode(step.umask));
    // What root may not enter, on a network file system say, the user perhaps may.
    entered.or_else(|_| enter_directory(&step.cwd))
}

/// Gives the standard streams to the user, who may want to open them anew by /dev/stdout. /dev/null
/// is everybody's.
fn own_standard_streams(uid: u32) -> Result<()> {
    let null = rustix::fs::makedev(1, 3);
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        let Ok(found) = rustix::fs::fstat(stream) else {
            continue; // closed by our caller
        };
        let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
        if found.st_uid == uid || (is_device && found.st_rdev == null) {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
            // Not all files have an owner to change, nor may we change all.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(Error::call(format!("fchown(stdio, {uid})"), errno)),
        }
    }
    Ok(())
}

fn set_groups(groups: &[u32]) -> Result<()> {
    let raw: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match set_thread_groups(&raw) {
        // A user namespace in which setgroups(2) is denied, that nobody asks for any groups in.
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        result => result.call(|| format!("setgroups({groups:?})")),
    }
}

fn change_ids(step: &CredentialsStep) -> Result<()> {
    let unmapped = |errno, call: &'static str, kind: &'static str, id: u32| match errno {
        Errno::INVAL => Error::new(format!(
            "cannot {call} to unmapped {kind} {id} in user namespace"
        ))
        .at(format!("/process/user/{kind}")),
        errno => Error::call(format!("{call}({id})"), errno),
    };
    let gid = Gid::from_raw(step.gid);
    set_thread_res_gid(gid, gid, gid)
        .map_err(|errno| unmapped(errno, "setgid", "gid", step.gid))?;
    // The permitted set outlives the change: what is to stay of it is said afterwards.
    set_keep_capabilities(true).call(|| "prctl(PR_SET_KEEPCAPS, 1)")?;
    let uid = Uid::from_raw(step.uid);
    set_thread_res_uid(uid, uid, uid).map_err(|errno| unmapped(errno, "setuid", "uid", step.uid))
}

/// chdir(2), and a look at where that led: a working directory outside the root is how
/// CVE-2024-21626 reached the host.
fn enter_directory(path: &str) -> Result<()> {
    if path == "/" {
        // Where we are since the root has changed, or the container was joined.
        return Ok(());
    }
    chdir(path).map_err(|errno| {
        Error::call(
            format!("chdir to cwd ({path:?}) set in config.json failed"),
            errno,
        )
        .at("/process/cwd")
    })?;
    if getcwd(Vec::new()).is_ok_and(|cwd| cwd.to_bytes().starts_with(b"/")) {
        return Ok(());
    }
    Err(
        Error::new("current working directory is outside of container mount namespace root")
            .at("/process/cwd"),
    )
}

fn drop_from_bounding_set(keep: CapabilitySet) -> Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel's last capability was the one before.
            Err(Errno::INVAL) => break,
            Err(errno) => {
                return Err(Error::call(
                    format!("prctl(PR_CAPBSET_DROP, {number})"),
                    errno,
                ));
            }
        }
    }
    Ok(())
}

fn apply_capabilities(step: &CapabilityStep) -> Result<()> {
    let sets = CapabilitySets {
        effective: step.effective,
        permitted: step.permitted,
        inheritable: step.inheritable,
    };
    set_capabilities(None, sets).call(|| "capset()")?;
    // The kernel keeps ambient within inheritable (capabilities(7)): where that is empty, so is it.
    if !step.inheritable.is_empty() {
        clear_ambient_capability_set().call(|| "prctl(PR_CAP_AMBIENT_CLEAR_ALL)")?;
    }
    for capability in step.ambient.iter() {
        configure_capability_in_ambient_set(capability, true)
            .call(|| format!("prctl(PR_CAP_AMBIENT_RAISE, {capability:?})"))?;
    }
    Ok(())
}
