//! Roots that a helper mounts.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::harness::{eventually, is_alive, new_id};
use crate::messages::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteResponse, Mount, WaitResponse,
};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd};
use crate::{DEADLINE_EXCEEDED, UNKNOWN, delete, end, kill, running, state, wait};

/// What `mount.fuse3` does: the source and the place are `$1` and `$2`.
fn helper(containerd: &Containerd, script: &str) {
    let path = containerd.shim.place.path().join("mount.fuse3");
    // Nobody executes one that is being written.
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn a_root_that_is_long_in_coming_keeps_nobody_else_waiting() {
    let containerd = Containerd::new();
    let place = containerd.shim.place.path();
    let (one, mut client) = running(&containerd, "sleep 600");
    let bundle = containerd.another_bundle("slow", |_| ());
    let id = new_id();
    let create = CreateTaskRequest {
        rootfs: vec![Mount {
            r#type: "fuse3.slow".to_owned(),
            source: place.to_str().unwrap().to_owned(),
            ..Mount::default()
        }],
        ..containerd.create_request(&bundle, &id)
    };
    let mounted = || {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let root = bundle.join("rootfs");
        mounts.contains(&format!(" {} ", root.display()))
    };
    let address = fs::read_to_string(containerd.shim.bundle().join("address")).unwrap();
    let mut other = Client::new(&address);

    let word = place.join("helper");
    helper(
        &containerd,
        &format!("echo $$ >{}; exec sleep 1000", word.display()),
    );
    other.ask_within(Duration::from_secs(6), "Create", &create);
    let mut pid = None;
    eventually("the helper runs", || {
        let text = fs::read_to_string(&word).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|pid| pid.parse().ok());
        pid.is_some()
    });
    assert_eq!(state(&mut client, &one, "").id, one);
    assert!(is_alive(pid.unwrap()));
    let status = other.hear::<CreateTaskResponse>().unwrap_err();
    assert_eq!(status.code, DEADLINE_EXCEEDED);
    eventually("the helper is ended", || !is_alive(pid.unwrap()));

    helper(&containerd, "echo no such luck >&2; exit 1");
    let mut refusal = (0, String::new());
    // The one that was given up is known until its process has ended.
    eventually("it is refused by the helper", || {
        refusal = other.refused("Create", &create);
        refusal.0 == UNKNOWN
    });
    assert!(refusal.1.contains("no such luck"), "{}", refusal.1);
    assert!(!mounted());

    helper(&containerd, "mount --bind \"$1\" \"$2\"");
    other
        .call::<CreateTaskResponse>("Create", &create)
        .expect("Create");
    assert!(mounted());
    other.call::<Empty>("Kill", &kill(&id, 9)).expect("Kill");
    other
        .call::<WaitResponse>("Wait", &wait(&id))
        .expect("Wait");
    other
        .call::<DeleteResponse>("Delete", &delete(&id))
        .expect("Delete");
    assert!(!mounted());
    end(&mut client, &one);
}

/// A file system whose server no longer answers: whoever looks into it waits until he is killed.
struct Hung {
    place: PathBuf,
    _server: fs::File,
}

impl Hung {
    /// None where the kernel has no FUSE.
    fn mount(place: PathBuf) -> Option<Self> {
        let server = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .ok()?;
        fs::create_dir(&place).unwrap();
        let fd = server.as_raw_fd();
        let options = CString::new(format!("fd={fd},rootmode=40000,user_id=0,group_id=0")).unwrap();
        mount(
            "hung",
            &place,
            "fuse",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .unwrap();
        Some(Hung {
            place,
            _server: server,
        })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

#[test]
fn a_root_that_answers_no_more_keeps_nobody_else_waiting_and_goes() {
    let containerd = Containerd::new();
    let Some(hung) = Hung::mount(containerd.shim.place.path().join("hung")) else {
        println!("skipped: this kernel has no FUSE");
        return;
    };
    let (one, mut client) = running(&containerd, "sleep 600");
    let bundle = containerd.another_bundle("hung-bundle", |config| {
        config["root"]["path"] = "rootfs".into();
    });
    fs::create_dir(bundle.join("rootfs")).unwrap();
    let id = new_id();
    let create = CreateTaskRequest {
        rootfs: vec![Mount {
            r#type: "bind".to_owned(),
            source: hung.place.to_str().unwrap().to_owned(),
            options: vec!["rbind".to_owned()],
            ..Mount::default()
        }],
        ..containerd.create_request(&bundle, &id)
    };
    let address = fs::read_to_string(containerd.shim.bundle().join("address")).unwrap();
    let mut other = Client::new(&address);
    other.ask_within(Duration::from_secs(5), "Create", &create);
    let is_mounted = |path: &Path| {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(&format!(" {} ", path.display()))
    };
    eventually("it is mounted", || is_mounted(&bundle.join("rootfs")));
    assert_eq!(state(&mut client, &one, "").id, one);
    let status = other.hear::<CreateTaskResponse>().unwrap_err();
    assert_eq!(status.code, DEADLINE_EXCEEDED);
    eventually("nothing of it is left", || {
        !is_mounted(&bundle.join("rootfs"))
    });
    assert_eq!(state(&mut client, &one, "").id, one);
    end(&mut client, &one);
}
