//! A container's cgroups, made by the library itself, with processes in them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use windlass::cgroup::device_rule::Rule;
use windlass::cgroup::{Entrance, Hierarchies, Layout, Place, Placement, devices, writes};
use windlass::spec::resources::Resources;

/// A cgroup of this test, gone with all its processes when it is dropped.
pub struct Container {
    pub hierarchies: Hierarchies,
    pub placement: Placement,
    pub entrance: Option<Entrance>,
    pub children: RefCell<Vec<Child>>,
}

impl Container {
    /// A new cgroup named after the test, with the limits of `resources`.
    pub fn new(path: &str, resources: &str) -> Container {
        let mut container = Container::planned(path);
        container.create(resources).unwrap();
        container
    }

    pub fn planned(path: &str) -> Container {
        let hierarchies = Hierarchies::detect().unwrap();
        let path = format!("/cg-test-{}-{path}", std::process::id());
        let placement = hierarchies.place(Some(&path), "id").unwrap();
        Container {
            hierarchies,
            placement,
            entrance: None,
            children: RefCell::default(),
        }
    }

    pub fn create(&mut self, resources: &str) -> Result<(), String> {
        let resources: Resources<'_> = serde_json::from_str(resources).unwrap();
        let writes = writes(&resources, &self.hierarchies).map_err(|error| error.to_string())?;
        let entrance = self
            .placement
            .create(&self.hierarchies, &writes, &mut |_| Ok(()))
            .map_err(|error| error.to_string())?;
        self.entrance = Some(entrance);
        self.placement
            .apply(&writes)
            .map_err(|error| error.to_string())
    }

    /// Runs `script` with sh(1) in the container; it starts when it is in all cgroups.
    pub fn spawn(&self, script: &str) -> (Pid, std::process::ChildStdout) {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        self.entrance.as_ref().unwrap().attach(pid).unwrap();
        let output = child.stdout.take().unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.children.borrow_mut().push(child);
        (pid, output)
    }

    /// What `script` prints.
    pub fn output(&self, script: &str) -> String {
        let (_, mut output) = self.spawn(script);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    }

    pub fn place(&self, controller: &str) -> &Place {
        let all = &self.placement.places;
        all.iter()
            .find(|p| p.hierarchy.split(',').any(|c| c == controller))
            .unwrap_or(&all[0])
    }

    pub fn read(&self, controller: &str, file: &str) -> String {
        let path = Path::new(&self.place(controller).path).join(file);
        fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .trim_end()
            .to_owned()
    }

    /// Its `linux.cgroupsPath`.
    pub fn path(&self) -> String {
        let Place {
            path, hierarchy, ..
        } = &self.placement.places[0];
        let mut all = self.hierarchies.list.iter();
        let mount_point = &all.find(|h| h.name == *hierarchy).unwrap().mount_point;
        path.strip_prefix(mount_point.as_str()).unwrap().to_owned()
    }

    pub fn is_v2(&self) -> bool {
        self.hierarchies.layout == Layout::V2
    }

    pub fn directories(&self) -> Vec<&Path> {
        self.placement
            .places
            .iter()
            .map(|place| Path::new(&place.path))
            .collect()
    }

    pub fn enforce(&self, rules: &[Rule]) {
        match devices::enforcement(rules, &self.hierarchies).unwrap() {
            devices::Enforcement::Writes(writes) => self.placement.apply(&writes).unwrap(),
            devices::Enforcement::Filter(program) => {
                self.placement.apply_device_filter(&program).unwrap();
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.entrance.is_some() {
            self.placement.signal_all(Signal::KILL).unwrap();
            self.children
                .borrow_mut()
                .iter_mut()
                .for_each(|child| drop(child.wait()));
            self.placement.remove().unwrap();
        }
        if !std::thread::panicking() {
            assert!(
                self.directories()
                    .iter()
                    .all(|directory| !directory.exists())
            );
        }
    }
}

/// Reads until `end` has come.
pub fn read_until(output: &mut impl std::io::Read, end: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}
