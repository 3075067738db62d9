//! Control groups on the real kernel: version 1 or 2, whichever this host has, and version 2 in a
//! throw-away machine.
//!
//! Needs root and a writable `/sys/fs/cgroup`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cgroup_container;
mod machine;

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cgroup_container::{Container, read_until};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use windlass::cgroup::{Hierarchies, Hierarchy, Layout, Place, Placement, Version};

fn open_directory(at: impl AsFd, path: &Path) -> OwnedFd {
    rustix::fs::openat(at, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn a_process_is_in_every_hierarchy() {
    let container = Container::new("attach", "{}");
    let name = container.directories()[0].file_name().unwrap().to_owned();
    let memberships = container.output("cat /proc/self/cgroup");
    // The kernel lists hierarchies that are mounted nowhere here, too: those are no places.
    for place in &container.placement.places {
        let is_of_place = |line: &&str| line.split(':').nth(1) == Some(&place.hierarchy);
        let line = memberships.lines().find(is_of_place);
        let line = line.unwrap_or_else(|| panic!("nothing of {place:?} in {memberships}"));
        assert_eq!(
            line.splitn(3, ':').last().unwrap(),
            format!("/{}", name.display())
        );
    }
}

#[test]
fn parents_are_made_and_removed_but_shared_ones_stay() {
    let mut first = Container::planned("parents/a/one");
    let mut asked = Vec::new();
    let entrance = first
        .placement
        .create(&first.hierarchies, &[], &mut |placement| {
            asked.push(placement.clone());
            Ok(())
        });
    first.entrance = Some(entrance.unwrap());
    assert_eq!(asked.len(), 1, "asked once, before the first parent");
    assert_eq!(asked[0], first.placement);
    assert!(
        first
            .placement
            .places
            .iter()
            .all(|place| place.parents_made == 2)
    );
    let second = Container::new("parents/a/two", "{}");
    assert!(
        second
            .placement
            .places
            .iter()
            .all(|place| place.parents_made == 0)
    );
    let shared: Vec<PathBuf> = first
        .directories()
        .iter()
        .map(|d| d.parent().unwrap().to_owned())
        .collect();
    drop(second);
    assert!(
        shared.iter().all(|directory| directory.exists()),
        "the first needs them"
    );
    drop(first);
    assert!(
        shared
            .iter()
            .all(|directory| !directory.exists() && !directory.parent().unwrap().exists())
    );
}

#[test]
fn containers_that_come_and_go_under_one_parent_do_not_disturb_each_other() {
    let come_and_go = |name: &'static str| {
        move || (0..50).for_each(|_| drop(Container::new(&format!("busy/a/{name}"), "{}")))
    };
    let others = ["one", "two", "three"].map(|name| std::thread::spawn(come_and_go(name)));
    for other in others {
        other.join().unwrap();
    }
    // Who made the parents last may have gone first, and left them to those who were still there.
    for directory in Container::planned("busy/a/one").directories() {
        for parent in directory
            .ancestors()
            .skip(1)
            .take(2)
            .filter(|parent| parent.exists())
        {
            fs::remove_dir(parent).unwrap();
        }
    }
}

#[test]
fn a_journal_that_cannot_be_written_stops_before_parents_are_made() {
    let mut container = Container::planned("journal/a");
    let refusal = container
        .placement
        .create(&container.hierarchies, &[], &mut |_| {
            Err(windlass::error::Error::new("disk full"))
        })
        .unwrap_err();
    assert!(refusal.to_string().contains("disk full"));
    assert!(
        container
            .directories()
            .iter()
            .all(|directory| !directory.parent().unwrap().exists())
    );
}

#[test]
fn a_cgroup_in_use_is_refused_and_left_alone() {
    let first = Container::new("used", "{}");
    let (pid, _output) = first.spawn("exec sleep 100");
    let mut second = Container::planned("used");
    let refusal = second.create("{}").unwrap_err();
    assert!(
        refusal.contains("container's cgroup is not empty: 1 process(es) found"),
        "{refusal}"
    );
    second.placement.abandon();
    assert_eq!(first.placement.processes().unwrap(), [pid]);
    assert!(
        first
            .directories()
            .iter()
            .all(|directory| directory.exists())
    );
    drop(first);
}

#[test]
fn a_frozen_cgroup_is_refused_and_left_alone() {
    let first = Container::new("frozen", "{}");
    first.placement.freeze().unwrap();
    let mut journal = Vec::new();
    let refusal = first
        .hierarchies
        .place(Some(&first.path()), "id")
        .unwrap()
        .create(&first.hierarchies, &[], &mut |placement| {
            journal.push(placement.clone());
            Ok(())
        });
    let refusal = refusal.unwrap_err().to_string();
    assert!(
        refusal.contains("container's cgroup unexpectedly frozen"),
        "{refusal}"
    );
    // The undo of a create that never came back, from what the journal knows.
    journal.iter().for_each(Placement::abandon);
    assert!(journal.len() == 1 && first.placement.is_frozen().unwrap());
    first.placement.thaw().unwrap();
}

#[test]
fn an_empty_cgroup_made_by_someone_else_is_taken() {
    let mut container = Container::planned("premade");
    container
        .directories()
        .iter()
        .for_each(|directory| fs::create_dir(directory).unwrap());
    container.create(r#"{"pids": {"limit": 5}}"#).unwrap();
    assert!(container.placement.places.iter().all(|place| place.found));
    let (pid, _output) = container.spawn("exec sleep 100");
    assert_eq!(container.placement.processes().unwrap(), [pid]);
}

#[test]
fn strings_alone_find_and_remove_everything() {
    let mut container = Container::new("strings/a", "{}");
    container.spawn("exec sleep 100");
    let state = serde_json::to_string(&container.placement).unwrap();
    container.entrance = None;
    let found: Placement = serde_json::from_str(&state).unwrap();
    assert_eq!(found, container.placement);
    assert_eq!(found.processes().unwrap().len(), 1);
    found.signal_all(Signal::KILL).unwrap();
    container
        .children
        .borrow_mut()
        .iter_mut()
        .for_each(|child| drop(child.wait()));
    found.remove().unwrap();
    // What is gone already is no error.
    found.remove().unwrap();
    found.abandon();
    found.signal_all(Signal::KILL).unwrap();
    found.signal_all(Signal::TERM).unwrap();
    found.thaw().unwrap();
    assert!(!found.is_frozen().unwrap());
    assert_eq!(found.processes().unwrap(), []);
}

#[test]
fn freezing_stops_and_thawing_resumes() {
    let container = Container::new("freeze", "{}");
    let (_, mut output) = container.spawn("while :; do echo x; done");
    read_until(&mut output, "x\n");
    container.placement.freeze().unwrap();
    assert!(container.placement.is_frozen().unwrap());
    // What it wrote before is read to the end: then the pipe stays empty.
    rustix::io::ioctl_fionbio(&output, true).unwrap();
    let mut rest = Vec::new();
    assert_eq!(
        output.read_to_end(&mut rest).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    rustix::io::ioctl_fionbio(&output, false).unwrap();
    container.placement.thaw().unwrap();
    assert!(!container.placement.is_frozen().unwrap());
    read_until(&mut output, "x\n");
}

#[test]
fn a_frozen_container_can_be_killed() {
    let container = Container::new("frozen-kill", "{}");
    container.spawn("exec sleep 100");
    container.placement.freeze().unwrap();
    container.placement.signal_all(Signal::KILL).unwrap();
    let status = container.children.borrow_mut()[0].wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
}

#[test]
fn a_signal_reaches_all_and_leaves_a_frozen_container_frozen() {
    let container = Container::new("signal", "{}");
    let script = "trap 'echo got; exit 0' USR1; sleep 100 & echo ready; while :; do wait; done";
    let (_, mut output) = container.spawn(script);
    read_until(&mut output, "ready\n");
    container.placement.freeze().unwrap();
    container.placement.signal_all(Signal::USR1).unwrap();
    assert!(container.placement.is_frozen().unwrap());
    container.placement.thaw().unwrap();
    read_until(&mut output, "got\n");
    assert!(container.children.borrow_mut()[0].wait().unwrap().success());
}

#[test]
fn forking_does_not_help_against_kill() {
    let container = Container::new("forks", r#"{"pids": {"limit": 60}}"#);
    let script = "echo go; while :; do (sleep 100 & sleep 100) & done";
    let (_, mut output) = container.spawn(script);
    read_until(&mut output, "go\n");
    container.placement.signal_all(Signal::KILL).unwrap();
    container.placement.remove().unwrap();
    assert!(
        container
            .directories()
            .iter()
            .all(|directory| !directory.exists())
    );
}

#[test]
fn cgroups_of_the_containers_own_go_with_it() {
    let container = Container::new("below", "{}");
    let (pid, _output) = container.spawn("exec sleep 100");
    for directory in container.directories() {
        // A container may give them any name.
        let evil = directory.join(OsStr::from_bytes(b"\xff \\n"));
        fs::create_dir(&evil).unwrap();
        // Nested so deep that no path reaches it.
        let name = "a".repeat(250);
        let mut deep = open_directory(rustix::fs::CWD, directory);
        for _ in 0..20 {
            rustix::fs::mkdirat(&deep, &name, Mode::from_raw_mode(0o755)).unwrap();
            deep = open_directory(&deep, Path::new(&name));
        }
        // On v1 a new cpuset takes no process.
        if !directory.starts_with("/sys/fs/cgroup/cpuset/") {
            let procs =
                rustix::fs::openat(&deep, "cgroup.procs", OFlags::WRONLY, Mode::empty()).unwrap();
            rustix::io::write(procs, pid.as_raw_nonzero().to_string().as_bytes()).unwrap();
        }
    }
    assert_eq!(container.placement.processes().unwrap(), [pid]);
}

#[test]
fn a_delegated_cgroup_belongs_to_its_user_but_not_its_limits() {
    use std::os::unix::fs::MetadataExt as _;

    let container = Container::new("delegated", r#"{"pids": {"limit": 20}}"#);
    container.placement.delegate(1234).unwrap();
    let expected = if container.is_v2() { 1234 } else { 0 };
    let directory = Path::new(&container.place("pids").path);
    let owner = |file: &str| fs::metadata(directory.join(file)).unwrap().uid();
    assert_eq!(owner(""), expected);
    assert_eq!(owner("cgroup.procs"), expected);
    assert_eq!(owner("pids.max"), 0);
}

#[test]
fn a_directory_that_is_no_cgroup_is_not_taken_for_one() {
    let scratch = tempfile::tempdir().unwrap();
    let mount_point = scratch
        .path()
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for version in [Version::V1, Version::V2] {
        // No container goes without its device rules.
        let name = if version == Version::V1 {
            "devices"
        } else {
            ""
        };
        let hierarchy = Hierarchy {
            version,
            name: name.to_owned(),
            controllers: vec![name.to_owned()],
            mount_point: mount_point.clone(),
            own: "/".to_owned(),
        };
        let hierarchies = Hierarchies {
            layout: Layout::Hybrid,
            list: vec![hierarchy],
        };
        let mut placement = hierarchies.place(Some("/a"), "id").unwrap();
        // One that is there already, with a file that looks right.
        for forged in [false, true] {
            if forged {
                fs::create_dir(scratch.path().join("a")).unwrap();
                for file in ["a/cgroup.procs", "a/tasks"] {
                    fs::write(scratch.path().join(file), "").unwrap();
                }
            }
            let refusal = placement
                .create(&hierarchies, &[], &mut |_| Ok(()))
                .unwrap_err();
            assert!(
                refusal.to_string().contains("not on a cgroup file system"),
                "{refusal}"
            );
        }
        fs::remove_dir_all(scratch.path().join("a")).unwrap();
    }
}

#[test]
fn a_leftover_directory_without_its_hierarchy_is_passed_over() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().canonicalize().unwrap();
    let mount_point = root.join("cpuset");
    for (path, left) in [("/a", false), ("/b/c/d", false), ("/e", true)] {
        fs::create_dir(&mount_point).unwrap();
        if left {
            fs::create_dir(mount_point.join("e")).unwrap();
        }
        let hierarchies = Hierarchies {
            layout: Layout::V1,
            list: vec![Hierarchy {
                version: Version::V1,
                name: "cpuset".to_owned(),
                controllers: vec!["cpuset".to_owned()],
                mount_point: mount_point.to_str().unwrap().to_owned(),
                own: "/".to_owned(),
            }],
        };
        let mut placement = hierarchies.place(Some(path), "id").unwrap();
        placement
            .create(&hierarchies, &[], &mut |_| Ok(()))
            .unwrap();
        assert!(placement.places.is_empty(), "{path}");
        if left {
            fs::remove_dir(mount_point.join("e")).unwrap();
        }
        // Nothing of ours is left in it.
        fs::remove_dir(&mount_point).unwrap();
    }
}

#[test]
fn symlinks_on_the_way_are_refused() {
    let container = Container::new("symlink", "{}");
    let scratch = tempfile::tempdir().unwrap();
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(container.directories()[0], &link).unwrap();
    let place = &container.placement.places[0];
    let placement = Placement {
        places: vec![Place {
            path: link.to_str().unwrap().to_owned(),
            ..place.clone()
        }],
    };
    let refusal = placement.places[0]
        .attach(rustix::process::getpid())
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("too many levels of symbolic links"),
        "{refusal}"
    );
}

#[test]
fn all_of_this_holds_on_cgroup_v2() {
    if machine::run_in_machine_as("root") {
        assert_eq!(Hierarchies::detect().unwrap().layout, Layout::V2);
    }
}
