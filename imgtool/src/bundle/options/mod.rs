//! What the caller says of a container, and config.json made of that and of what the image says:
//! one file an idea. Where neither says anything, it is as Docker has it.
//!
//! Rule 5 of the design: the image's words come in as `ProcessConfig` and are checked here; paths
//! of the host, devices and rights are the caller's words only.

mod capabilities;
mod command;
mod device;
mod environment;
mod hostname;
mod label;
mod limits;
mod mounts;
mod privileged;
mod process;
mod seccomp;
mod sysctl;
mod ulimit;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::annotations::annotations;
use super::config::{absolute, set_user_namespace, set_variable, warn_of_unmapped_user};
use super::in_making::BundleInMaking;
use super::rootless;
use super::runtime_config::{Namespace, RuntimeConfig};
use crate::layer::ids::IdMapping;
use crate::layer::rootfs::RootFs;
use crate::layout::document::{ImageConfig, ProcessConfig};
use crate::store::volumes::UsedVolumes;
use crate::warnings::Warnings;
pub use label::Label;

/// What config.json says where neither the image nor the caller says anything: Docker's
/// (moby, `daemon/pkg/oci/defaults.go`), with a cgroup namespace in every case.
const DEFAULT: &str = include_str!("default.json");

/// What the caller says of a container.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container")]
pub struct BundleOptions {
    #[command(flatten)]
    command: command::CommandOptions,
    #[command(flatten)]
    environment: environment::EnvironmentOptions,
    #[command(flatten)]
    process: process::ProcessOptions,
    #[command(flatten)]
    hostname: hostname::HostnameOptions,
    #[command(flatten)]
    mounts: mounts::MountOptions,
    #[command(flatten)]
    limits: limits::LimitOptions,
    #[command(flatten)]
    ulimits: ulimit::UlimitOptions,
    #[command(flatten)]
    capabilities: capabilities::CapabilityOptions,
    #[command(flatten)]
    seccomp: seccomp::SeccompOptions,
    #[command(flatten)]
    devices: device::DeviceOptions,
    #[command(flatten)]
    sysctls: sysctl::SysctlOptions,
    #[command(flatten)]
    labels: label::LabelOptions,

    /// Everything that its caller may do: all capabilities and devices, no filter, no masks.
    #[arg(long)]
    privileged: bool,
}

fn of_docker() -> Result<RuntimeConfig> {
    serde_json::from_str(DEFAULT).context("default config.json")
}

/// The config.json of a container of which nobody says anything: what Docker's may.
pub(crate) fn default_config() -> Result<RuntimeConfig> {
    let mut config = of_docker()?;
    capabilities::CapabilityOptions::default().apply(&mut config, false);
    seccomp::SeccompOptions::default().apply(&mut config, false)?;
    Ok(config)
}

/// The container that config.json is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    /// What the image says.
    pub(super) image: &'a ImageConfig,
    /// The unpacked image.
    pub(super) rootfs: &'a RootFs,
    /// The host name unless the caller says.
    pub(super) hostname: &'a str,
    /// Whose its files are on the host.
    pub(super) mapping: &'a IdMapping,
}

impl BundleOptions {
    /// Makes config.json, but for what is mounted ([`BundleOptions::mount`]) and the network
    /// ([`settle_network`]).
    pub(super) fn config(
        &self,
        container: Container<'_>,
        warnings: &mut Warnings,
    ) -> Result<RuntimeConfig> {
        let mut config = of_docker()?;
        let image = &container.image.config;
        config.annotations = annotations(container.image, warnings);
        self.labels.apply(&mut config);
        config.process.args = self.arguments(image)?;
        let home = self.process.apply(&mut config, image, container.rootfs)?;
        let hostname = self.hostname.name().unwrap_or(container.hostname);
        hostname.clone_into(&mut config.hostname);
        self.set_environment(&mut config, image, home)?;

        config.linux.masked_paths.extend(thermal_throttle()?);
        if !container.mapping.rootless {
            device::allow_usual(&mut config);
        }
        set_user_namespace(&mut config, container.mapping);
        if container.mapping.rootless {
            rootless::convert(&mut config)?;
        }
        if self.privileged {
            privileged::apply(&mut config)?;
        }
        self.capabilities.apply(&mut config, self.privileged);
        self.seccomp.apply(&mut config, self.privileged)?;
        self.devices.apply(&mut config)?;
        self.limits.apply(&mut config)?;
        self.ulimits.apply(&mut config);
        self.sysctls.apply(&mut config);
        warn_of_unmapped_user(&config.process, container.mapping, warnings);
        Ok(config)
    }

    /// Adds the caller's mounts and the image's volumes; the former take the place of mounts that
    /// are there already. Volumes that were made for it go again unless they are kept.
    pub(super) fn mount(
        &self,
        config: &mut RuntimeConfig,
        making: &mut BundleInMaking<'_>,
    ) -> Result<UsedVolumes> {
        let store = making.store.layout().path();
        let used = self.mount_in(config, &making.image.config, making.rootfs, store)?;
        making.record.volumes = used.names().to_vec();
        Ok(used)
    }

    fn mount_in(
        &self,
        config: &mut RuntimeConfig,
        image: &ProcessConfig,
        rootfs: &mut RootFs,
        store: &Path,
    ) -> Result<UsedVolumes> {
        let volumes = image_volumes(image)?;
        self.mounts.apply(config, &volumes, rootfs, store)
    }

    fn arguments(&self, image: &ProcessConfig) -> Result<Vec<String>> {
        let said = image.entrypoint.iter().chain(&image.cmd);
        if said.clone().any(|argument| argument.contains('\0')) {
            bail!("an argument of the image's Entrypoint or Cmd holds a NUL byte");
        }
        self.command.arguments(&image.entrypoint, &image.cmd)
    }

    /// Docker's order: its own variables, the image's, the caller's; a later one replaces an
    /// earlier one.
    fn set_environment(
        &self,
        config: &mut RuntimeConfig,
        image: &ProcessConfig,
        home: Option<String>,
    ) -> Result<()> {
        let process = &mut config.process;
        let hostname = &config.hostname;
        process.env.push(format!("HOSTNAME={hostname}"));
        if process.terminal {
            process.env.push("TERM=xterm".to_owned());
        }
        // Runtimes look it up too, but not all of them, and not from the outside.
        process.env.extend(home.map(|home| format!("HOME={home}")));
        for variable in &image.env {
            set_variable(&mut process.env, variable)?;
        }
        self.environment.apply(&mut process.env)
    }
}

/// Does what depends on which network namespace the container has, once that is in config.json.
pub(super) fn settle_network(config: &mut RuntimeConfig) -> Result<()> {
    let mut namespaces = config.linux.namespaces.iter();
    match namespaces.find(|namespace| namespace.kind == "network") {
        Some(Namespace { path: None, .. }) => sysctl::open_own_network(config),
        Some(_) => {}
        None => sysctl::spare_host_network(config)?,
    }
    Ok(())
}

fn image_volumes(image: &ProcessConfig) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for path in image.volumes.keys() {
        let path = absolute(path).context("the image's Volumes")?;
        // What the runtime mounts is not the image's to hide (CVE-2019-16884).
        let components = Path::new(&path);
        if ["/proc", "/sys", "/dev"]
            .iter()
            .any(|own| components.starts_with(own))
        {
            bail!(
                "the image's Volumes: '{}' would hide what the runtime mounts",
                path.escape_debug()
            );
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Files that tell of the processors' temperature, from which other containers' secrets can be
/// guessed (GHSA-6fw5-f8r9-fgfm); there is one for each processor, on real machines.
fn thermal_throttle() -> Result<Vec<String>> {
    let processors = Path::new("/sys/devices/system/cpu");
    let Ok(entries) = std::fs::read_dir(processors) else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.context("read /sys/devices/system/cpu")?.path();
        let throttle = path.join("thermal_throttle");
        if throttle.exists()
            && let Some(path) = throttle.to_str()
        {
            paths.push(path.to_owned());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use clap::{Args as _, FromArgMatches};
    use serde_json::{Value, json};

    use super::super::runtime_config::Mount;
    use super::*;

    /// An image that says a little of everything.
    fn image() -> ImageConfig {
        serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [] },
            "config": {
                "Entrypoint": ["/entry"], "Cmd": ["argument"], "WorkingDir": "/work",
                "Env": ["PATH=/image/bin", "LANG=C"], "Volumes": { "/var/lib/data": {} },
                "Labels": { "from": "image" },
            },
        }))
        .unwrap()
    }

    fn made(flags: &[&str]) -> Result<Value> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("rootfs");
        fs::create_dir_all(root.join("etc"))?;
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:\napp:x:1000:1001::/home/app:\n",
        )?;
        fs::write(root.join("etc/group"), "root:x:0:\nvideo:x:44:app\n")?;
        fs::create_dir_all(root.join("var/lib/data"))?;
        fs::write(root.join("var/lib/data/file"), "of the image")?;
        let command = BundleOptions::augment_args(clap::Command::new("test").no_binary_name(true));
        let options = BundleOptions::from_arg_matches(&command.try_get_matches_from(flags)?)?;
        let mut rootfs = RootFs::new(File::open(&root)?.into());
        let image = image();
        let container = Container {
            image: &image,
            rootfs: &rootfs,
            hostname: "default",
            mapping: &IdMapping::default(),
        };
        let mut config = options.config(container, &mut Warnings::default())?;
        let hosts = Mount::new("/etc/hosts", "bind", "/bundle/hosts", &["rbind"]);
        config.mounts.push(hosts);
        let used = options.mount_in(&mut config, &image.config, &mut rootfs, directory.path())?;
        used.keep()?;
        let mut config = serde_json::to_value(config)?;
        let inside = directory.path().to_str().unwrap();
        for mount in config["mounts"].as_array_mut().unwrap() {
            let source = mount["source"].as_str().unwrap().replace(inside, "STORE");
            mount["source"] = source.into();
        }
        Ok(config)
    }

    /// config.json for these flags.
    pub(super) fn applied(flags: &[&str]) -> Value {
        made(flags).unwrap()
    }

    /// These flags are refused, for that reason.
    pub(super) fn refused(flags: &[&str], reason: &str) {
        let error = match made(flags) {
            Ok(_) => panic!("{flags:?} are taken"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(reason), "{flags:?}: {error}");
    }

    fn mount<'a>(config: &'a Value, destination: &str) -> Option<&'a Value> {
        let mounts = config["mounts"].as_array().unwrap();
        mounts
            .iter()
            .find(|mount| mount["destination"] == destination)
    }

    #[test]
    fn the_image_says_and_the_caller_has_the_last_word() {
        let config = applied(&[]);
        assert_eq!(config["process"]["args"], json!(["/entry", "argument"]));
        assert_eq!(
            config["process"]["env"],
            json!([
                "PATH=/image/bin",
                "HOSTNAME=default",
                "HOME=/root",
                "LANG=C"
            ])
        );
        assert_eq!(config["annotations"]["from"], "image");
        let config = applied(&[
            "--env=LANG=de",
            "-e",
            "A=1",
            "--label=from=caller",
            "-t",
            "--",
            "-x",
        ]);
        assert_eq!(config["process"]["args"], json!(["/entry", "-x"]));
        assert_eq!(
            config["process"]["env"],
            json!([
                "PATH=/image/bin",
                "HOSTNAME=default",
                "TERM=xterm",
                "HOME=/root",
                "LANG=de",
                "A=1"
            ])
        );
        assert_eq!(config["annotations"]["from"], "caller");
    }

    #[test]
    fn an_image_s_volume_is_one_of_the_store_s() {
        let config = applied(&[]);
        let volume = mount(&config, "/var/lib/data").unwrap();
        let source = volume["source"].as_str().unwrap();
        assert!(
            source.starts_with("STORE/volumes/") && source.ends_with("/_data"),
            "{source}"
        );
        assert_eq!(volume["options"], json!(["rbind", "rprivate"]));
        for other in [
            "data:/var/lib/data:ro",
            "/srv:/var/lib/data",
            "/var/lib/data",
        ] {
            let config = applied(&["-v", other]);
            let mounts = config["mounts"].as_array().unwrap();
            let there = mounts
                .iter()
                .filter(|mount| mount["destination"] == "/var/lib/data");
            assert_eq!(there.count(), 1, "{other}");
        }
        let tmpfs = applied(&["--tmpfs=/var/lib/data"]);
        let tmpfs = mount(&tmpfs, "/var/lib/data").unwrap();
        assert_eq!(tmpfs["type"], "tmpfs");
        // The image's directory says of which mode it is.
        assert_eq!(tmpfs["options"], json!(["noexec", "nosuid", "nodev"]));
        let options = &mount(&applied(&["--tmpfs=/new"]), "/new").unwrap()["options"].clone();
        assert_eq!(options[3], "mode=1777");
    }

    #[test]
    fn mounts_stand_in_order_and_replace_the_usual_ones() {
        let config = applied(&[
            "-v",
            "/srv:/a/b/c",
            "-v",
            "/srv:/a",
            "--tmpfs=/dev/shm",
            "-v",
            "/srv:/etc",
        ]);
        let mounts = config["mounts"].as_array().unwrap();
        let place = |destination: &str| {
            let mut places = mounts.iter().enumerate();
            let same = |(_, mount): &(usize, &Value)| mount["destination"] == destination;
            let (place, _) = places.find(same).unwrap();
            assert!(!places.any(|other| same(&other)), "{destination} twice");
            place
        };
        assert!(place("/a") < place("/a/b/c"));
        assert!(place("/etc") < place("/etc/hosts"));
        assert!(place("/dev") < place("/dev/shm"));
        assert_eq!(mounts[place("/dev/shm")]["source"], "tmpfs");
        let dev = applied(&["-v", "/dev:/dev"]);
        assert!(mount(&dev, "/dev/pts").is_none());
        let hosts = applied(&["-v", "/etc/passwd:/etc/hosts"]);
        assert_eq!(
            mount(&hosts, "/etc/hosts").unwrap()["source"],
            "/etc/passwd"
        );
        refused(
            &["-v", "/srv:/a", "--tmpfs=/a/"],
            "/a is to be mounted on twice",
        );
        refused(&["-v", "/not-there:/a"], "/not-there");
        refused(&["--mount=type=nfs,target=/a"], "--mount");
    }

    #[test]
    fn read_only_and_propagation() {
        let config = applied(&[
            "--read-only",
            "-v",
            "/srv:/a:ro",
            "-v",
            "/srv:/b:rslave",
            "-v",
            "/srv:/c:shared",
        ]);
        assert_eq!(config["root"]["readonly"], true);
        let options = |at: &str| mount(&config, at).unwrap()["options"].clone();
        assert_eq!(options("/a"), json!(["rbind", "rprivate", "rro"]));
        assert_eq!(options("/b"), json!(["rbind", "rslave"]));
        assert_eq!(config["linux"]["rootfsPropagation"], "rshared");
        let shm =
            |flags: &[&str]| mount(&applied(flags), "/dev/shm").unwrap()["options"][4].clone();
        assert_eq!(shm(&[]), "size=67108864");
        assert_eq!(shm(&["--shm-size=1g"]), "size=1073741824");
        refused(&["--shm-size=0"], "above 0");
    }
}
