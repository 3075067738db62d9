//! Against the real kernel: as root, in a mount namespace that each test makes for itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use rustix::mount::MountPropagationFlags;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;

/// A directory whose mounts nobody else sees.
fn stage() -> tempfile::TempDir {
    // SAFETY: each test has a process (nextest) or at least a thread of its own, which has opened
    // nothing yet; mounts are all that changes for it.
    #[allow(unsafe_code)]
    unsafe {
        unshare_unsafe(UnshareFlags::NEWNS).unwrap();
    }
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .unwrap();
    tempfile::tempdir().unwrap()
}

fn request(kind: &str, source: &Path, target: &str, options: &[&str]) -> Mount {
    Mount {
        r#type: kind.to_owned(),
        source: source.display().to_string(),
        target: target.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    }
}

/// The directory `name` in `stage`, with a file of its own name in it.
fn layer(stage: &Path, name: &str) -> PathBuf {
    let layer = stage.join(name);
    fs::create_dir_all(&layer).unwrap();
    let file = layer.file_name().unwrap();
    fs::write(layer.join(file), "").unwrap();
    layer
}

/// The line of mountinfo of the uppermost mount at `path`.
fn mounted_at(path: &Path) -> Option<String> {
    let mountinfo = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let at = format!(" {} ", path.display());
    mountinfo
        .lines()
        .rfind(|line| line.contains(&at))
        .map(str::to_owned)
}

#[test]
fn nothing_to_mount_is_nothing_to_do() {
    let rootfs = Path::new("/nonexistent/rootfs");
    mount(&[], rootfs).unwrap();
    unmount_all(rootfs).unwrap();
}

#[test]
fn a_bind_mount_takes_its_flags() {
    let stage = stage();
    let source = layer(stage.path(), "source");
    let rootfs = stage.path().join("rootfs");
    let options = ["rbind", "ro", "nosuid", "rslave"];
    mount(&[request("bind", &source, "", &options)], &rootfs).unwrap();
    assert!(rootfs.join("source").exists());
    let error = fs::write(rootfs.join("new"), "").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    let line = mounted_at(&rootfs).unwrap();
    assert!(line.contains(" ro,nosuid"), "{line}");
    fs::write(source.join("new"), "").unwrap();
    unmount_all(&rootfs).unwrap();
    assert_eq!(mounted_at(&rootfs), None);
    assert!(rootfs.exists() && !rootfs.join("new").exists());
}

#[test]
fn an_overlay_and_a_mount_inside_of_it() {
    let stage = stage();
    let at = |name: &str| layer(stage.path(), name).display().to_string();
    let overlay = request(
        "overlay",
        Path::new("overlay"),
        "",
        &[
            "index=off",
            &format!("workdir={}", at("work")),
            &format!("upperdir={}", at("upper")),
            &format!("lowerdir={}:{}", at("two"), at("one")),
        ],
    );
    fs::create_dir(stage.path().join("one/etc")).unwrap();
    symlink("/etc", stage.path().join("one/link")).unwrap();
    let data = request(
        "tmpfs",
        Path::new("tmpfs"),
        "/link",
        &["size=64k", "mode=700"],
    );
    let rootfs = stage.path().join("rootfs");
    mount(&[overlay, data], &rootfs).unwrap();
    for file in ["one", "two", "upper"] {
        assert!(rootfs.join(file).exists(), "{file}");
    }
    // The link leads to the container's /etc, not to the machine's.
    let line = mounted_at(&rootfs.join("etc")).unwrap();
    assert!(line.contains("size=64k"), "{line}");
    unmount_all(&rootfs).unwrap();
    assert_eq!(mounted_at(&rootfs.join("etc")), None);
    assert_eq!(mounted_at(&rootfs), None);
}

/// The options of an overlay of as many layers as it takes for more than `length` bytes of names.
fn many_layers(stage: &Path, name_length: usize, length: usize) -> (usize, String) {
    let mut names = Vec::new();
    let mut total = 0;
    while total <= length {
        let name = format!("{:0>name_length$}/fs", names.len());
        let layer = layer(stage, &name);
        fs::write(layer.join(format!("of-{}", names.len())), "").unwrap();
        total += layer.as_os_str().len() + 1;
        names.push(layer.display().to_string());
    }
    (names.len(), format!("lowerdir={}", names.join(":")))
}

#[test]
fn more_names_of_layers_than_a_page_holds() {
    let stage = stage();
    let deep = stage
        .path()
        .join("io.containerd.snapshotter.v1.overlayfs/snapshots");
    let (count, lower) = many_layers(&deep, 3, 6000);
    let rootfs = stage.path().join("rootfs");
    let here = std::env::current_dir().unwrap();
    mount(
        &[request("overlay", Path::new("overlay"), "", &[&lower])],
        &rootfs,
    )
    .unwrap();
    assert_eq!(std::env::current_dir().unwrap(), here);
    for number in [0, count / 2, count - 1] {
        assert!(rootfs.join(format!("of-{number}")).exists());
    }
    unmount_all(&rootfs).unwrap();
}

#[test]
fn more_than_a_page_even_of_short_names() {
    let stage = stage();
    let (count, lower) = many_layers(stage.path(), 100, 6000);
    let rootfs = stage.path().join("rootfs");
    let upper = format!("upperdir={}", layer(stage.path(), "upper").display());
    let work = format!("workdir={}", layer(stage.path(), "work").display());
    let options = [lower.as_str(), &upper, &work, "nosuid"];
    let result = mount(
        &[request("overlay", Path::new("overlay"), "", &options)],
        &rootfs,
    );
    if let Err(error) = &result
        && format!("{error:#}").contains("of Linux 6.7")
    {
        eprintln!("SKIPPED: {error:#}");
        return;
    }
    result.unwrap();
    for number in [0, count / 2, count - 1] {
        assert!(rootfs.join(format!("of-{number}")).exists());
    }
    fs::write(rootfs.join("new"), "").unwrap();
    assert!(stage.path().join("upper/new").exists());
    let line = mounted_at(&rootfs).unwrap();
    assert!(line.contains(" rw,nosuid"), "{line}");
    unmount_all(&rootfs).unwrap();
}

#[test]
fn layers_are_shown_with_the_owners_of_a_user_namespace() {
    let stage = stage();
    let lower = layer(stage.path(), "snapshots/1");
    let base = layer(stage.path(), "snapshots/base");
    let rootfs = stage.path().join("rootfs");
    for (kind, options) in [
        (
            "overlay",
            [
                format!("lowerdir={}:{}", lower.display(), base.display()),
                String::new(),
            ],
        ),
        ("bind", ["bind".to_owned(), String::new()]),
    ] {
        let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
        options.retain(|option| !option.is_empty());
        options.extend(["uidmap=0:100000:65536", "gidmap=0:200000:65536"]);
        let result = mount(&[request(kind, &lower, "", &options)], &rootfs);
        if let Err(error) = &result
            && format!("{error:#}").contains("MOUNT_ATTR_IDMAP")
        {
            eprintln!("SKIPPED: {error:#}");
            return;
        }
        result.unwrap();
        let file = fs::metadata(rootfs.join("1")).unwrap();
        assert_eq!((file.uid(), file.gid()), (100_000, 200_000), "{kind}");
        unmount_all(&rootfs).unwrap();
        assert_eq!(mounted_at(&rootfs), None);
    }
    let left = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .flatten()
        .find(|entry| {
            let own = format!("windlass-layers-{}", std::process::id());
            entry.file_name().to_str() == Some(&own)
        });
    assert!(left.is_none());
}

#[test]
fn a_file_as_a_block_device() {
    let stage = stage();
    let image = stage.path().join("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let made = std::process::Command::new("mkfs.ext4")
        .arg("-q")
        .arg(&image)
        .status();
    if !made.is_ok_and(|status| status.success()) || !Path::new("/dev/loop-control").exists() {
        eprintln!("SKIPPED: no mkfs.ext4, or no loop devices here");
        return;
    }
    let rootfs = stage.path().join("rootfs");
    mount(
        &[request("ext4", &image, "", &["loop", "noatime"])],
        &rootfs,
    )
    .unwrap();
    assert!(rootfs.join("lost+found").exists());
    let line = mounted_at(&rootfs).unwrap();
    let device = line
        .split(' ')
        .find(|word| word.starts_with("/dev/loop"))
        .unwrap();
    let backing = format!("/sys/block/{}/loop", device.trim_start_matches("/dev/"));
    assert!(Path::new(&backing).exists());
    unmount_all(&rootfs).unwrap();
    // The kernel may take its time.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while Path::new(&backing).exists() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!Path::new(&backing).exists(), "{device} is still in use");
}

#[test]
fn a_failure_leaves_nothing_mounted_and_says_why() {
    let stage = stage();
    let source = layer(stage.path(), "source");
    let rootfs = stage.path().join("rootfs");
    let good = request("bind", &source, "", &["bind"]);
    let said = |bad: Mount| {
        let error = mount(&[good.clone(), bad], &rootfs).unwrap_err();
        assert_eq!(mounted_at(&rootfs), None);
        format!("{error:#}")
    };
    let missing = said(request("bind", &stage.path().join("none"), "", &["bind"]));
    assert!(
        missing.contains("/none\"") && missing.contains("No such file"),
        "{missing}"
    );
    let elsewhere = said(request("tmpfs", Path::new("tmpfs"), "/not/there", &[]));
    assert!(elsewhere.contains("not/there"), "{elsewhere}");
    let unknown = said(request("nosuchfs", Path::new("x"), "", &[]));
    assert!(
        unknown.contains("nosuchfs") && unknown.contains("No such device"),
        "{unknown}"
    );
    let internal = said(request(
        "bind",
        &source,
        "",
        &["X-containerd.mkdir.path=/x"],
    ));
    assert!(internal.contains("mount manager"), "{internal}");
    let half = said(request("bind", &source, "", &["bind", "uidmap=0:1:2"]));
    assert!(half.contains("together"), "{half}");
    let helper = said(request("fuse3.none", Path::new("x"), "", &[]));
    assert!(helper.contains("mount.fuse3"), "{helper}");
}

#[test]
fn a_root_in_use_is_unmounted_all_the_same() {
    let stage = stage();
    let rootfs = stage.path().join("rootfs");
    let tmpfs = request("tmpfs", Path::new("tmpfs"), "", &[]);
    mount(&[tmpfs.clone(), tmpfs], &rootfs).unwrap();
    fs::write(rootfs.join("held"), "").unwrap();
    let held = fs::File::open(rootfs.join("held")).unwrap();
    unmount_all(&rootfs).unwrap();
    assert_eq!(mounted_at(&rootfs), None);
    drop(held);
}

#[test]
fn a_helper_is_given_a_place_without_links_of_the_image() {
    use std::os::unix::fs::PermissionsExt;

    let stage = tempfile::tempdir().unwrap();
    let rootfs = stage.path().join("rootfs");
    fs::create_dir_all(rootfs.join("inside")).unwrap();
    // Outside of the root there is something of that name as well.
    fs::create_dir(stage.path().join("inside")).unwrap();
    symlink("../../../../inside", rootfs.join("link")).unwrap();
    let (helper, noted) = (stage.path().join("helper"), stage.path().join("noted"));
    let script = format!("#!/bin/sh\nprintf %s \"$2\" >{}\n", noted.display());
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let target = Target::open(&rootfs, "link").unwrap();
    let request = request("fuse3.any", Path::new("source"), "link", &[]);
    fuse::mount(helper.to_str().unwrap(), "any", &request, &target).unwrap();
    let expected = fs::canonicalize(&rootfs).unwrap().join("inside");
    assert_eq!(Path::new(&fs::read_to_string(noted).unwrap()), expected);
}
