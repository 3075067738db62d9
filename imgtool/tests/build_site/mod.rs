//! A store and a context to build in.
#![allow(dead_code)] // Each test binary uses its part of this.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::image_builder::{run, windlass_img};

/// A store with the image `base:1`, a busybox with two users.
pub struct Site {
    directory: TempDir,
    /// The store's path, below the directory.
    store: String,
}

impl Site {
    pub fn new() -> Self {
        Site::with_store("store")
    }

    pub fn with_store(store: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = r#"
            mkdir -p base/bin base/etc base/tmp base/root base/home/app
            cp "$(command -v busybox)" base/bin/busybox
            for program in sh ls cat echo mkdir rm chmod chown touch ln id env sleep test mv mkfifo; do
                ln -s busybox base/bin/$program
            done
            chmod 1777 base/tmp; chown 1000:1001 base/home/app
            printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' > base/etc/passwd
            printf 'root:x:0:\napp:x:1001:\nstaff:x:50:\n' > base/etc/group
            tar -C base -c . > base.tar"#;
        let site = Site {
            directory,
            store: store.to_owned(),
        };
        run(Command::new("sh")
            .args(["-euc", script])
            .current_dir(site.path("")));
        site.ours(&["import", site.path("base.tar").to_str().unwrap(), "base:1"]);
        fill_context(&site.path("context"));
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = windlass_img();
        command
            .arg(arguments[0])
            .arg("--store")
            .arg(self.path(&self.store));
        command.args(&arguments[1..]);
        command
    }

    pub fn ours(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).trim().to_owned()
    }

    /// Builds the context with this Dockerfile.
    pub fn build(&self, dockerfile: &str, arguments: &[&str]) -> Output {
        fs::write(self.path("context/Dockerfile"), dockerfile).unwrap();
        let mut command = self.command(&["build", "-t", "built"]);
        command.args(arguments).arg(self.path("context"));
        command.output().unwrap()
    }

    /// The last line of what is said of a build that fails.
    pub fn refused(&self, dockerfile: &str, arguments: &[&str]) -> String {
        let output = self.build(dockerfile, arguments);
        assert!(!output.status.success(), "{dockerfile}");
        assert_eq!(self.unfinished(), 0);
        let complaint = String::from_utf8_lossy(&output.stderr);
        complaint.lines().last().unwrap_or_default().to_owned()
    }

    pub fn built(&self, dockerfile: &str, arguments: &[&str]) -> String {
        let output = self.build(dockerfile, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{complaint}");
        complaint
    }

    /// A file of the image that was built last.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.unpacked().join(name)).unwrap()
    }

    /// The tree of the image that was built last.
    pub fn unpacked(&self) -> PathBuf {
        let bundle = self.path("bundle");
        let _ = fs::remove_dir_all(&bundle);
        let image = format!(
            "{}:localhost/built:latest",
            self.path(&self.store).display()
        );
        run(windlass_img()
            .args(["unpack", "--image", &image])
            .arg(&bundle));
        bundle.join("rootfs")
    }

    pub fn config(&self) -> Value {
        let image: Value = serde_json::from_str(&self.ours(&["inspect", "built"])).unwrap();
        image["Image"].clone()
    }

    /// What builds left in the store.
    pub fn unfinished(&self) -> usize {
        fs::read_dir(self.path(&self.store).join("build/work")).map_or(0, Iterator::count)
    }
}

fn fill_context(context: &Path) {
    fs::create_dir_all(context.join("dir/sub/deep")).unwrap();
    fs::create_dir(context.join("empty")).unwrap();
    for (name, content) in [
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        ("dir/c.md", "c"),
        ("dir/sub/d.txt", "d"),
        ("dir/sub/deep/e", "e"),
        ("x y", "space"),
    ] {
        fs::write(context.join(name), content).unwrap();
    }
    for (name, mode) in [("b.txt", 0o600), ("dir/sub", 0o711), ("x y", 0o755)] {
        fs::set_permissions(context.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(context.join("dir/c.md"), Some(1234), Some(1234)).unwrap();
    symlink("sub/d.txt", context.join("dir/link")).unwrap();
    symlink("/etc/passwd", context.join("dir/absolute")).unwrap();
    symlink("a.txt", context.join("toplink")).unwrap();
    symlink("dir", context.join("dirlink")).unwrap();
    run(Command::new("tar").current_dir(context).args([
        "--owner=55",
        "--group=66",
        "-czf",
        "archive.tar.gz",
        "dir",
        "a.txt",
    ]));
}

pub fn can_run() -> bool {
    let programs = windlass_img().get_program().to_owned();
    let beside = Path::new(&programs).parent().unwrap();
    let have = |name: &str| beside.join(name).exists() || on_path(name);
    let ok = rustix::process::geteuid().is_root()
        && on_path("busybox")
        && have("windlass")
        && have("windlass-shim");
    if !ok {
        eprintln!("SKIPPED: RUN needs root, busybox, windlass and windlass-shim");
    }
    ok
}

pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).exists())
}

pub fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "it doesn't come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
