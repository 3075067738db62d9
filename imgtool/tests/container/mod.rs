//! Bundles out of a store, and containers in them.
#![allow(dead_code)] // Each test binary uses its part of this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::image_builder::{Workshop, run, windlass_img};

/// A store of its own, and everything that has to be unmounted at the end.
pub struct Site {
    pub workshop: Workshop,
}

impl Site {
    /// A site with an empty store.
    pub fn new() -> Self {
        Site {
            workshop: Workshop::new(),
        }
    }

    /// A site whose store has an image `demo` that can be run: a shell and what it needs.
    pub fn with_shell() -> Self {
        let site = Site::new();
        let script = r#"
            mkdir -p tree/etc tree/tmp tree/data tree/bin tree/dir/sub
            for program in sh ls cat sleep rm mkdir mv ln chmod touch; do
                path=$(readlink -f "$(command -v $program)")
                cp "$path" tree/bin/$program
                for library in $(ldd "$path" | grep -o '/[^ ]*'); do
                    mkdir -p "tree$(dirname "$library")"; cp -L "$library" "tree$library"
                done
            done
            echo 'root:x:0:0::/root:/bin/sh' > tree/etc/passwd
            echo kept > tree/dir/kept; echo old > tree/dir/changed; echo gone > tree/dir/gone
            echo below > tree/dir/sub/file
            tar -C tree -c . > tree.tar"#;
        run(Command::new("sh")
            .args(["-euc", script])
            .current_dir(site.path("")));
        let archive = site.path("tree.tar");
        site.ours(&["import", archive.to_str().unwrap(), "demo"]);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.workshop.path(name)
    }

    pub fn store(&self) -> PathBuf {
        self.workshop.layout()
    }

    /// windlass-img on the site's store, where the verb takes one.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = windlass_img();
        command.args(arguments);
        if !matches!(arguments[0], "unbundle" | "mount" | "diff" | "commit") {
            command.arg("--store").arg(self.store());
        }
        command.current_dir(self.path(""));
        command
    }

    /// Expects success; returns what it printed.
    pub fn ours(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).trim_end().to_owned()
    }

    /// Expects a refusal of one line with `why` in it.
    pub fn refused(&self, arguments: &[&str], why: &str) {
        let output = self.command(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "not one line: {stderr}");
    }

    /// Writes to a bundle's root file system as a container would.
    pub fn script(&self, bundle: &str, script: &str) {
        run(Command::new("sh")
            .args(["-euc", script])
            .current_dir(self.path(bundle).join("rootfs")));
    }

    /// Mounts below the site.
    pub fn mounts(&self) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = std::fs::canonicalize(self.path("")).unwrap();
        let ours = ours.to_str().unwrap();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        points
            .filter(|point| point.starts_with(ours))
            .map(str::to_owned)
            .collect()
    }

    /// The unpacked layers, and what else is beside them.
    pub fn layers(&self) -> Vec<String> {
        names(&self.store().join("layers/sha256"))
    }

    /// The store's references to bundles.
    pub fn references(&self) -> Vec<String> {
        names(&self.store().join("bundles"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for point in self.mounts().iter().rev() {
            let unmounted = Command::new("umount").args(["-l", point]).status();
            assert!(unmounted.is_ok_and(|status| status.success()), "{point}");
        }
    }
}

/// The names in a directory, sorted; none if it isn't there.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The runtime to run containers with: ours where it lies beside us, else runc.
pub fn runtime() -> PathBuf {
    let ours = Path::new(env!("CARGO_BIN_EXE_windlass-img")).with_file_name("windlass");
    if ours.exists() {
        return ours;
    }
    eprintln!("windlass is not beside windlass-img: runc in its place");
    PathBuf::from("runc")
}

/// A container that runs until this is dropped.
pub struct Container {
    id: String,
    root: PathBuf,
}

impl Container {
    /// Runs `script` in a bundle's container, until it ends or the result is dropped.
    pub fn start(site: &Site, bundle: &str, script: &str) -> Self {
        let config = site.path(bundle).join("config.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        json["process"]["args"] = serde_json::json!(["sh", "-c", script]);
        json["process"]["terminal"] = false.into();
        std::fs::write(&config, json.to_string()).unwrap();
        let id = format!("bundle-test-{}-{bundle}", std::process::id());
        let root = site.path("runtime-root");
        let container = Container { id, root };
        // A file: the container holds it open as long as it lives.
        let errors = site.path("errors");
        let status = container
            .runtime(&["run", "--detach", "--bundle"])
            .arg(site.path(bundle))
            .arg(&container.id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&errors).unwrap())
            .status()
            .unwrap();
        let stderr = std::fs::read_to_string(errors).unwrap();
        assert!(status.success(), "{stderr}");
        container
    }

    pub fn runtime(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(runtime());
        command.arg("--root").arg(&self.root).args(arguments);
        command
    }

    pub fn status(&self) -> String {
        let state = self.runtime(&["state", &self.id]).output().unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// The arguments that tell windlass-img of the runtime.
    pub fn flags(&self) -> [String; 2] {
        [
            format!("--runtime={}", runtime().display()),
            format!("--runtime-root={}", self.root.display()),
        ]
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let deleted = self.runtime(&["delete", "--force", &self.id]).status();
        assert!(deleted.is_ok_and(|status| status.success()));
    }
}

/// Waits for a child's end with its output.
pub fn finished(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
