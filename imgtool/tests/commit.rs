//! `commit` and `diff`: what a container wrote, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod image_builder;

use std::process::{Command, Stdio};
use std::time::Duration;

use container::{Container, Site, names};
use image_builder::{run, snapshot, xattrs};
use serde_json::Value;

/// Bundles what was committed and compares it with what was committed of, the init layer aside.
fn comes_back(site: &Site, bundle: &str) {
    site.ours(&["commit", bundle, "committed"]);
    site.ours(&["bundle", "committed", "again"]);
    assert_eq!(
        snapshot(&site.path("again/rootfs")),
        snapshot(&site.path(bundle).join("rootfs"))
    );
    assert_eq!(site.ours(&["diff", "again"]), "");
    site.ours(&["unbundle", "again"]);
}

#[test]
fn everything_that_a_container_can_write() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    site.script(
        "b",
        "echo more >> dir/changed; rm dir/gone; rm -r dir/sub; mkdir dir/sub; echo new > dir/sub/new
        echo a > hard; ln hard hard-too; ln dir/kept kept-too
        mkfifo fifo; mknod null c 1 3; mknod disk b 7 200; ln -s nowhere link
        echo x > attributed; setfattr -n user.x -v y attributed; setfattr -n trusted.x -v z dir
        cp bin/sleep capable; setcap cap_net_raw+ep capable
        chown 12:34 dir/kept; chmod 6755 capable; mkdir sticky; chmod 1777 sticky
        truncate -s 64M sparse; echo end >> sparse
        touch -h -d @1.123456789 hard link fifo attributed
        touch -d @2.5 dir",
    );
    let diff = site.ours(&["diff", "b"]);
    let expected = "A /attributed
A /capable
C /dir
C /dir/changed
D /dir/gone
C /dir/kept
C /dir/sub
D /dir/sub/file
A /dir/sub/new
A /disk
A /fifo
A /hard
A /hard-too
A /kept-too
A /link
A /null
A /sparse
A /sticky";
    assert_eq!(diff, expected);
    let json: Value = serde_json::from_str(&site.ours(&["diff", "--json", "b"])).unwrap();
    let deleted = serde_json::json!(["/dir/gone", "/dir/sub/file"]);
    assert_eq!(json["deleted"], deleted);
    comes_back(&site, "b");
    let blocks = |path: &str| {
        let metadata = std::fs::metadata(site.path(path)).unwrap();
        std::os::unix::fs::MetadataExt::blocks(&metadata) * 512
    };
    site.ours(&["bundle", "committed", "again"]);
    assert!(xattrs(&site.path("again/rootfs/capable")).contains_key("security.capability"));
    // 64 MiB of zeros shrink to next to nothing in the layer.
    let layers = names(&site.store().join("blobs/sha256"));
    let sizes = layers.iter().map(|name| {
        let path = site.store().join("blobs/sha256").join(name);
        std::fs::metadata(path).unwrap().len()
    });
    assert!(sizes.sum::<u64>() < 20 << 20);
    assert!(blocks("b/rootfs/sparse") < 1 << 20);
}

#[test]
fn sockets_are_left_out_with_a_warning() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let path = site.path("b/rootfs/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let output = site
        .command(&["commit", "b", "committed"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("/socket: a socket, left out"), "{stderr}");
    site.ours(&["bundle", "committed", "again"]);
    assert!(!site.path("again/rootfs/socket").exists());
}

/// What is mounted into a container is not the image's: neither files nor what was below.
#[test]
fn mounts_stay_out() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let config = site.path("b/config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    std::fs::create_dir(site.path("volume")).unwrap();
    let mount = serde_json::json!({
        "destination": "/data", "type": "bind", "source": site.path("volume"),
        "options": ["rbind", "rw"],
    });
    json["mounts"].as_array_mut().unwrap().push(mount);
    // The file is the user's: it may say what bundle never does.
    json["domainname"] = "example.com".into();
    std::fs::write(&config, json.to_string()).unwrap();
    // What was in the mount's place before, as some runtimes leave it.
    site.script("b", "echo covered > data/covered");
    let script =
        "echo secret > /data/secret; echo mine > /etc/hosts; echo x > /dev/shm/x; echo y > /new";
    let container = Container::start(&site, "b", script);
    for _ in 0..500 {
        if container.status() == "stopped" {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(container);
    assert!(site.path("volume/secret").exists());
    assert_eq!(site.ours(&["diff", "b"]), "A /new");
    site.ours(&["commit", "b", "committed"]);
    site.ours(&["unbundle", "b"]);
    let flat = site.path("flat");
    site.ours(&["bundle", "--flat", "committed", "flat"]);
    assert_eq!(names(&flat.join("rootfs/data")), Vec::<String>::new());
    assert_eq!(names(&flat.join("rootfs/etc")), ["passwd"]);
    assert!(flat.join("rootfs/new").exists());
    for name in ["proc", "sys", "dev"] {
        assert!(!flat.join("rootfs").join(name).exists(), "{name}");
    }
}

#[test]
fn the_same_tree_gives_the_same_image() {
    let site = Site::with_shell();
    let commit = |bundle: &str, name: &str| {
        let mut command = site.command(&["commit", "--author", "me", bundle, name]);
        run(command.env("SOURCE_DATE_EPOCH", "1700000000"))
    };
    let mut digests = Vec::new();
    for bundle in ["one", "other"] {
        site.ours(&["bundle", "demo", bundle]);
        let order = if bundle == "one" { "a b c" } else { "c b a" };
        let write = format!("for f in {order}; do echo $f > $f; done; rm dir/gone; ln a l");
        site.script(bundle, &write);
        std::thread::sleep(Duration::from_millis(20));
        digests.push(commit(bundle, bundle));
    }
    assert_eq!(digests[0], digests[1]);
    // Nothing written: a note in the history, and no layer.
    site.ours(&["bundle", "one", "same"]);
    commit("same", "same");
    let layers = |name: &str| {
        let image: Value = serde_json::from_str(&site.ours(&["inspect", name])).unwrap();
        let image = if image.is_array() {
            image[0].clone()
        } else {
            image
        };
        image["Layers"].as_array().unwrap().len()
    };
    assert_eq!((layers("one"), layers("same")), (2, 2));
}

#[test]
fn the_configuration_is_changed_by_instructions() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let changes = [
        "--change=ENV A=1 B=\"two words\"",
        "--change=ENV PATH=/opt:$A",
        "--change=CMD [\"x\", \"y\"]",
        "--change=ENTRYPOINT run it",
        "--change=WORKDIR /srv",
        "--change=WORKDIR below",
        "--change=EXPOSE 80 53/udp",
        "--change=LABEL a=b",
        "--change=USER 5:6",
        "--change=VOLUME [\"/data\"]",
    ];
    let mut arguments = vec!["commit", "--author=me", "--message=why"];
    arguments.extend(changes);
    arguments.extend(["b", "changed"]);
    site.ours(&arguments);
    let image: Value = serde_json::from_str(&site.ours(&["inspect", "changed"])).unwrap();
    let image = if image.is_array() {
        image[0].clone()
    } else {
        image
    };
    let config = &image["Image"]["config"];
    assert_eq!(image["Image"]["author"], "me");
    assert_eq!(
        config["Env"],
        serde_json::json!(["A=1", "B=two words", "PATH=/opt:1"])
    );
    assert_eq!(config["Cmd"], serde_json::json!(["x", "y"]));
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/bin/sh", "-c", "run it"])
    );
    assert_eq!(config["WorkingDir"], "/srv/below");
    assert_eq!(
        config["ExposedPorts"],
        serde_json::json!({"80/tcp": {}, "53/udp": {}})
    );
    assert_eq!(config["Labels"], serde_json::json!({"a": "b"}));
    assert_eq!(config["User"], "5:6");
    assert_eq!(config["Volumes"], serde_json::json!({"/data": {}}));
    let refused = site
        .command(&["commit", "--change=RUN x", "b", "y"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

/// A container is held still while it is read, and goes on afterwards, whatever happened.
#[test]
fn a_running_container_is_paused() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let script = "i=0; while :; do i=$((i+1)); echo $i > /one; echo $i > /two; done";
    let container = Container::start(&site, "b", script);
    let [runtime, root] = container.flags();
    for round in 0..3 {
        let name = format!("round{round}");
        site.ours(&["commit", &runtime, &root, "b", &name]);
        assert_eq!(container.status(), "running");
        site.ours(&["bundle", &name, "seen"]);
        let read = |file: &str| -> i64 {
            let text = std::fs::read_to_string(site.path("seen/rootfs").join(file)).unwrap();
            text.trim().parse().unwrap_or(0)
        };
        let (one, two) = (read("one"), read("two"));
        assert!(one == 0 || two == 0 || one - two <= 1, "{one} {two}");
        site.ours(&["unbundle", "seen"]);
    }
    site.refused(
        &["commit", "--runtime=/bin/false", "b", "x"],
        "/bin/false list --format json",
    );
    site.ours(&["commit", "--pause=false", "b", "x"]);
}

/// Somebody swaps directories, links and files all the time; nothing of the host gets into a layer, and
/// what gets into it can be unpacked.
#[test]
fn a_swapper_gets_nothing() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    let outside = site.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "the host's secret").unwrap();
    site.script(
        "b",
        "mkdir swap other; echo inside > swap/secret; echo x > other/secret",
    );
    let script = format!(
        "cd {}; i=0
        while :; do
            mv swap away; ln -s {} swap; rm swap; mkdir swap; rmdir swap; echo f > swap; rm swap; mv away swap
        done",
        site.path("b/rootfs").display(),
        outside.display()
    );
    let mut swapper = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut outcomes = (0, 0);
    for round in 0..15 {
        let name = format!("round{round}");
        let output = site
            .command(&["commit", "--pause=false", "b", &name])
            .output()
            .unwrap();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            outcomes.1 += 1;
            continue;
        }
        outcomes.0 += 1;
        site.ours(&["bundle", "--flat", &name, "seen"]);
        let found = Command::new("grep")
            .args(["-r", "the host's secret"])
            .arg(site.path("seen/rootfs"))
            .status()
            .unwrap();
        assert_eq!(found.code(), Some(1));
        site.ours(&["unbundle", "seen"]);
        site.ours(&["rm", &name]);
    }
    swapper.kill().unwrap();
    swapper.wait().unwrap();
    eprintln!("{} commits, {} refusals", outcomes.0, outcomes.1);
    assert!(outcomes.0 > 0);
}

#[test]
fn a_killed_commit_leaves_the_store_as_it_was() {
    let site = Site::with_shell();
    site.ours(&["bundle", "demo", "b"]);
    site.script("b", "head -c 12000000 /dev/urandom > noise");
    for round in 0..8 {
        let mut child = site
            .command(&["commit", "b", "killed"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1 + 6 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        if site.ours(&["images"]).contains("killed") {
            site.ours(&["rm", "killed"]);
        }
        site.ours(&["gc"]);
        assert_eq!(names(&site.store().join("blobs/sha256")).len(), 3);
        site.ours(&["verify"]);
    }
    comes_back(&site, "b");
}

#[test]
fn a_commit_on_a_full_disk_leaves_the_store_as_it_was() {
    let site = Site::with_shell();
    let disk = site.path("disk");
    std::fs::create_dir(&disk).unwrap();
    run(Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&disk));
    let store = disk.join("store");
    run(Command::new("cp").arg("-a").arg(site.store()).arg(&store));
    let with_store = |arguments: &[&str]| {
        let mut command = image_builder::windlass_img();
        command.args(arguments).arg("--store").arg(&store);
        run(command.current_dir(&disk))
    };
    with_store(&["bundle", "localhost/demo:latest", "b"]);
    site.script("disk/b", "head -c 3000000 /dev/urandom > noise");
    // A MiB is left, and what is compressed ahead of the writing is less than the rest.
    let used = run(Command::new("df").args(["--output=used", "-k"]).arg(&disk));
    let used: u64 = used.lines().last().unwrap().trim().parse().unwrap();
    let resize = |kib: u64| {
        let options = format!("remount,size={kib}k");
        run(Command::new("mount").args(["-o", &options]).arg(&disk));
    };
    resize(used + 1024);
    let blobs = || names(&store.join("blobs/sha256"));
    let before = blobs();
    site.refused(&["commit", "disk/b", "full"], "No space left on device");
    with_store(&["gc"]);
    assert_eq!(blobs(), before);
    assert!(!with_store(&["images"]).contains("full"));
    with_store(&["verify"]);
    resize(used + 16384);
    site.ours(&["commit", "disk/b", "full"]);
    with_store(&["verify"]);
    site.ours(&["unbundle", "disk/b"]);
}
