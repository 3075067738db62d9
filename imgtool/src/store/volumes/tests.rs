//! Volumes on the real file system.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::rc::Rc;

use super::fill;
use super::*;

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn directory(path: &Path) -> Rc<Directory> {
    RootFs::new(File::open(path).unwrap().into()).root().clone()
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What an image might have: `tree/` with owners, modes, links.
fn image(path: &Path) {
    fs::create_dir_all(path.join("sub")).unwrap();
    fs::write(path.join("file"), "of the image").unwrap();
    fs::hard_link(path.join("file"), path.join("sub/same")).unwrap();
    symlink("/etc/passwd", path.join("link")).unwrap();
    fs::set_permissions(path.join("sub"), fs::Permissions::from_mode(0o1750)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o2770)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(path, Some(70), Some(71)).unwrap();
        chown(path.join("file"), Some(72), Some(73)).unwrap();
    }
}

#[test]
fn volumes_come_and_go() {
    let store = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(store.path()).unwrap();
    let labels = ["a=b".parse().unwrap()];
    let made = volumes.find_or_create(&name("data"), &labels).unwrap();
    fs::write(made.data().join("file"), "x").unwrap();
    let found = volumes.find_or_create(&name("data"), &[]).unwrap();
    assert_eq!(found.record, made.record);
    assert_eq!(found.record.labels["a"], "b");
    assert!(!found.record.anonymous);
    let anonymous = volumes.create_anonymous(&[]).unwrap();
    assert!(anonymous.record.anonymous && anonymous.name.as_str().len() == 64);
    assert_eq!(volumes.all().unwrap().len(), 2);
    assert!(found.size().unwrap() > 0);
    volumes.remove(&found).unwrap();
    assert!(volumes.find(&name("data")).unwrap().is_none());
    assert!(!made.data().exists());
    assert_eq!(
        fs::metadata(anonymous.data()).unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(
        fs::metadata(store.path().join(VOLUMES)).unwrap().mode() & 0o7777,
        0o700
    );
}

#[test]
fn links_are_no_volumes_and_are_not_followed() {
    let store = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "").unwrap();
    fs::create_dir(outside.path().join(DATA)).unwrap();
    let record = r#"{"createdAt":"2026-01-01T00:00:00Z"}"#;
    fs::write(outside.path().join(RECORD), record).unwrap();
    let volumes = Volumes::open(store.path()).unwrap();
    symlink(outside.path(), store.path().join("volumes/data")).unwrap();
    assert!(volumes.find(&name("data")).unwrap().is_none());
    assert!(volumes.all().unwrap().is_empty());
    assert!(volumes.find_or_create(&name("data"), &[]).is_err());
    let other = volumes.find_or_create(&name("other"), &[]).unwrap();
    symlink(outside.path(), other.data().join("link")).unwrap();
    volumes.remove(&other).unwrap();
    assert!(outside.path().join("canary").exists());
    // In the place of `volumes` itself, or of a volume's data.
    let data = volumes.find_or_create(&name("swapped"), &[]).unwrap();
    fs::remove_dir(data.data()).unwrap();
    symlink(outside.path(), data.data()).unwrap();
    let image_tree = tempfile::tempdir().unwrap();
    image(image_tree.path());
    assert!(data.fill(Some(&directory(image_tree.path()))).is_err());
    assert!(!outside.path().join("file").exists());
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(outside.path(), elsewhere.path().join("volumes")).unwrap();
    assert!(Volumes::open(elsewhere.path()).is_err());
}

#[test]
fn an_empty_volume_begins_with_what_the_image_has() {
    let store = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    image(tree.path());
    let volumes = Volumes::open(store.path()).unwrap();
    let volume = volumes.find_or_create(&name("data"), &[]).unwrap();
    volume.fill(None).unwrap();
    assert!(names(&volume.data()).is_empty());
    volume.fill(Some(&directory(tree.path()))).unwrap();
    let data = volume.data();
    assert_eq!(names(&data), ["file", "link", "sub"]);
    assert_eq!(
        fs::read_to_string(data.join("sub/same")).unwrap(),
        "of the image"
    );
    let stat = |path: &str| fs::symlink_metadata(data.join(path)).unwrap();
    assert_eq!(stat("file").ino(), stat("sub/same").ino());
    assert_eq!(stat("sub").mode() & 0o7777, 0o1750);
    assert_eq!(stat("").mode() & 0o7777, 0o2770);
    assert_eq!(
        fs::read_link(data.join("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    if rustix::process::geteuid().is_root() {
        assert_eq!((stat("").uid(), stat("").gid()), (70, 71));
        assert_eq!((stat("file").uid(), stat("file").gid()), (72, 73));
    }
    let times = |path: &Path| fs::symlink_metadata(path).unwrap().mtime_nsec();
    assert_eq!(times(&data.join("file")), times(&tree.path().join("file")));
    // Once something is in it, it is its user's.
    fs::remove_file(data.join("file")).unwrap();
    volume.fill(Some(&directory(tree.path()))).unwrap();
    assert_eq!(names(&data), ["link", "sub"]);
    assert_eq!(names(data.parent().unwrap()), [DATA, RECORD]);
}

#[test]
fn what_was_interrupted_goes_on() {
    let store = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    image(tree.path());
    let from = directory(tree.path());
    let volumes = Volumes::open(store.path()).unwrap();

    // Killed while copying: again from the beginning.
    let volume = volumes.find_or_create(&name("copying"), &[]).unwrap();
    fs::create_dir(volume.path.join(fill::FILLING)).unwrap();
    fs::write(volume.path.join("filling/half"), "").unwrap();
    volume.fill(Some(&from)).unwrap();
    assert_eq!(names(&volume.data()), ["file", "link", "sub"]);

    // Killed while moving: the rest follows, and what is there by now stays.
    let volume = volumes.find_or_create(&name("moving"), &[]).unwrap();
    let filled = volume.path.join(fill::FILLED);
    fs::create_dir(&filled).unwrap();
    fs::write(filled.join("file"), "of the image").unwrap();
    fs::write(filled.join("mine"), "of the image").unwrap();
    fs::write(volume.data().join("mine"), "of the container").unwrap();
    volume.fill(None).unwrap();
    assert_eq!(names(&volume.data()), ["file", "mine"]);
    let mine = fs::read_to_string(volume.data().join("mine")).unwrap();
    assert_eq!(mine, "of the container");
    assert_eq!(names(&volume.path), [DATA, RECORD]);

    // Killed while making or removing: goes with the next removal.
    for left in [".new-x", ".removed-data"] {
        fs::create_dir_all(store.path().join(VOLUMES).join(left).join("deep")).unwrap();
    }
    assert_eq!(volumes.all().unwrap().len(), 2);
    drop(volumes);
    let volumes = Volumes::open_to_remove(store.path()).unwrap();
    assert_eq!(names(&volumes.path), ["copying", "moving"]);
}

#[test]
fn many_at_once_get_one_whole_volume() {
    let store = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    image(tree.path());
    for number in 0..200 {
        fs::write(tree.path().join(format!("file-{number}")), "x").unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let volumes = Volumes::open(store.path()).unwrap();
                let volume = volumes.find_or_create(&name("data"), &[]).unwrap();
                volume.fill(Some(&directory(tree.path()))).unwrap();
                assert_eq!(names(&volume.data()).len(), 203);
            });
        }
    });
    // Who removes waits for all of them, and they for him.
    let using = Volumes::open(store.path()).unwrap();
    let removing = File::open(store.path().join(VOLUMES)).unwrap();
    let try_lock = || rustix::fs::flock(&removing, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(try_lock(), Err(Errno::WOULDBLOCK));
    drop(using);
    assert_eq!(try_lock(), Ok(()));
}

#[test]
fn volumes_of_a_bundle_that_was_not_made_go_again() {
    let store = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let mut rootfs = RootFs::new(File::open(root.path()).unwrap().into());
    let begin = || Volumes::open(store.path()).unwrap().begin_use();
    let mut used = begin();
    let volumes = store.path().join(VOLUMES);
    let data = name("data");
    used.take(None, &[], &mut rootfs, None).unwrap();
    used.take(Some(&data), &[], &mut rootfs, Some("/none"))
        .unwrap();
    assert_eq!(used.names().len(), 2);
    drop(used);
    assert_eq!(names(&volumes), [""; 0]);

    let mut used = begin();
    used.take(None, &[], &mut rootfs, None).unwrap();
    let path = used.take(Some(&data), &[], &mut rootfs, None).unwrap();
    // Another bundle that makes the same one meanwhile: whose is there first, stays.
    let mut other = begin();
    let same = other.take(Some(&data), &[], &mut rootfs, None).unwrap();
    assert_eq!(path, same);
    assert!(!path.exists());
    other.keep().unwrap();
    fs::write(path.join("of the other"), "").unwrap();
    used.keep().unwrap();
    assert_eq!(names(&path), ["of the other"]);
    assert_eq!(names(&volumes).len(), 2);
    // What was there before stays, whatever becomes of the bundle.
    begin().take(Some(&data), &[], &mut rootfs, None).unwrap();
    assert_eq!(names(&path), ["of the other"]);
}
