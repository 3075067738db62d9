//! From an image's configuration to a runtime's config.json (image-spec conversion.md).

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::annotations::annotations;
use super::runtime_config::{Mount, Namespace, Process, RuntimeConfig};
use super::{rootless, user};
use crate::layer::ids::{IdMapping, to_host};
use crate::layer::rootfs::RootFs;
use crate::layout::document::{ImageConfig, ProcessConfig};
use crate::layout::resolve::host_architecture;
use crate::warnings::Warnings;

/// What a bundle's config.json says where the image says nothing: `runc spec`'s and umoci's
/// defaults, with a cgroup namespace and the masks that runtimes have added since.
const DEFAULT: &str = include_str!("default.json");

/// What the caller decides about config.json.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfigOptions {
    /// The process gets pipes instead of a terminal.
    pub no_terminal: bool,
}

/// Refuses an image that isn't for Linux; warns of one for another CPU.
pub fn check_platform(image: &ImageConfig) -> Result<()> {
    let platform = &image.platform;
    if platform.os != "linux" {
        bail!(
            "the image is for '{}', not for linux",
            platform.os.escape_debug()
        );
    }
    if platform.architecture != host_architecture() {
        let architecture = platform.architecture.escape_debug();
        crate::warnings::warn(|| {
            format!(
                "the image is for {architecture}, this machine is {}",
                host_architecture()
            )
        });
    }
    Ok(())
}

/// Makes config.json of an image; users with names are looked up in its root file system, if that
/// is unpacked.
pub fn convert(
    image: &ImageConfig,
    rootfs: Option<&RootFs>,
    mapping: &IdMapping,
    options: ConfigOptions,
) -> Result<Vec<u8>> {
    let mut warnings = Warnings::default();
    let mut config = from_image(image, rootfs, mapping, &mut warnings)?;
    config.process.terminal = !options.no_terminal;
    for path in image.config.volumes.keys() {
        config.mounts.push(volume(path)?);
    }
    warnings.summarize();
    to_json(&config)
}

/// What an image says of config.json, but for its volumes.
pub(super) fn from_image(
    image: &ImageConfig,
    rootfs: Option<&RootFs>,
    mapping: &IdMapping,
    warnings: &mut Warnings,
) -> Result<RuntimeConfig> {
    let mut config: RuntimeConfig = serde_json::from_str(DEFAULT).context("default config.json")?;
    set_process(&mut config.process, &image.config, rootfs, warnings)?;
    warn_of_unmapped_user(&config.process, mapping, warnings);
    config.annotations = annotations(image, warnings);
    set_user_namespace(&mut config, mapping);
    if mapping.rootless {
        rootless::convert(&mut config)?;
    }
    Ok(config)
}

/// The bytes of config.json.
pub(super) fn to_json(config: &RuntimeConfig) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(config)?;
    json.push(b'\n');
    Ok(json)
}

fn set_process(
    process: &mut Process,
    image: &ProcessConfig,
    rootfs: Option<&RootFs>,
    warnings: &mut Warnings,
) -> Result<()> {
    let args: Vec<String> = image.entrypoint.iter().chain(&image.cmd).cloned().collect();
    if args.iter().any(|argument| argument.contains('\0')) {
        bail!("an argument of Entrypoint or Cmd holds a NUL byte");
    }
    if !args.is_empty() {
        process.args = args;
    }
    if !image.working_dir.is_empty() {
        process.cwd = absolute(&image.working_dir).context("WorkingDir")?;
    }
    let mut name = image.user.as_str();
    if rootfs.is_none() && user::has_name(name)? {
        // umoci leaves root's numbers too, but doesn't say so.
        warnings.add("unknown-user", || {
            format!(
                "config.json says root (0:0), not the image's user '{}', whose numbers are only \
                 known from its root file system: give --rootfs",
                name.escape_debug()
            )
        });
        name = "";
    }
    let user = user::resolve(name, rootfs)?;
    process.user.uid = user.uid;
    process.user.gid = user.gid;
    process.user.additional_gids = user.additional_gids;
    for variable in &image.env {
        set_variable(&mut process.env, variable)?;
    }
    if let Some(home) = user.home
        && !process
            .env
            .iter()
            .any(|variable| variable.starts_with("HOME="))
    {
        process.env.push(format!("HOME={home}"));
    }
    Ok(())
}

/// Adds `NAME=value`; a later one replaces an earlier one. An entry without `=` is refused:
/// engines take it for "copy the host's value" (CVE-2026-57231).
pub(super) fn set_variable(env: &mut Vec<String>, variable: &str) -> Result<()> {
    let shown = variable.chars().take(100).collect::<String>();
    let Some((name, _)) = variable.split_once('=') else {
        bail!("Env entry '{}' has no '='", shown.escape_debug());
    };
    if name.is_empty() || variable.contains('\0') {
        bail!("Env entry '{}' is not NAME=value", shown.escape_debug());
    }
    let prefix = format!("{name}=");
    match env.iter_mut().find(|known| known.starts_with(&prefix)) {
        Some(known) => variable.clone_into(known),
        None => env.push(variable.to_owned()),
    }
    Ok(())
}

/// A path in the container that an image names: absolute, and without a way up (CVE-2022-23648).
pub(super) fn absolute(path: &str) -> Result<String> {
    let bad = |problem: &str| format!("'{}' {problem}", path.escape_debug());
    if !path.starts_with('/') {
        bail!(bad("is not an absolute path"));
    }
    if path.contains('\0') || path.split('/').any(|component| component == "..") {
        bail!(bad("holds '..' or a NUL byte"));
    }
    Ok(path.to_owned())
}

/// A volume is an empty tmpfs, as umoci has it. One over what the runtime itself mounts would
/// give the container its own idea of /proc (CVE-2019-16884).
pub(super) fn volume(path: &str) -> Result<Mount> {
    let destination = absolute(path).context("Volumes")?;
    // A Path compares by components, so `//proc/./x` is `/proc/x` here.
    let components = Path::new(&destination);
    let own = ["/proc", "/sys", "/dev"]
        .iter()
        .any(|own| components.starts_with(own));
    if own || components == Path::new("/") {
        bail!(
            "Volumes: '{}' would hide what the runtime mounts",
            path.escape_debug()
        );
    }
    let options = ["rw", "nosuid", "nodev", "noexec", "relatime"];
    Ok(Mount::new(&destination, "tmpfs", "none", &options))
}

pub(super) fn set_user_namespace(config: &mut RuntimeConfig, mapping: &IdMapping) {
    if mapping.users.is_empty() && mapping.groups.is_empty() {
        return;
    }
    config.linux.uid_mappings.clone_from(&mapping.users);
    config.linux.gid_mappings.clone_from(&mapping.groups);
    config.linux.namespaces.push(Namespace {
        kind: "user".to_owned(),
        path: None,
    });
}

pub(super) fn warn_of_unmapped_user(
    process: &Process,
    mapping: &IdMapping,
    warnings: &mut Warnings,
) {
    let (uid, gid) = (process.user.uid, process.user.gid);
    if to_host(&mapping.users, uid).is_none() || to_host(&mapping.groups, gid).is_none() {
        warnings.add("unmapped-user", || {
            format!("the image's user {uid}:{gid} is in no mapping, so a runtime can't start it")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_replace_and_never_come_from_the_host() {
        let mut env = vec!["PATH=/bin".to_owned(), "TERM=xterm".to_owned()];
        for variable in ["PATH=/usr/bin", "A=b=c", "EMPTY="] {
            set_variable(&mut env, variable).unwrap();
        }
        assert_eq!(env, ["PATH=/usr/bin", "TERM=xterm", "A=b=c", "EMPTY="]);
        for bad in ["PATH", "", "=x", "A=\0"] {
            assert!(set_variable(&mut env, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes_can_not_hide_what_the_runtime_mounts() {
        assert!(volume("/var/lib/data").is_ok());
        for bad in [
            "/proc",
            "//proc/./sys",
            "/sys/fs",
            "/dev",
            "/",
            "/.",
            "/../../etc",
            "relative",
            "",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_is_a_valid_config() {
        let config: RuntimeConfig = serde_json::from_str(DEFAULT).unwrap();
        assert_eq!(config.root["path"], "rootfs");
    }
}
