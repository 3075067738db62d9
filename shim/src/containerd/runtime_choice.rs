//! Which runtime a container gets, with which global options: what containerd's options say, or the
//! shim's own name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Name;

use super::messages::runc_options::{Options, RuntimeOptions};
use super::messages::unpack;
use super::messages::well_known::Any;
use super::settings;
use crate::supervise::{Runtime, find_runtime};
use crate::sys::argv;

/// Where the runtime's own state is, below which each namespace has a directory; the stock shim's.
const ROOT: &str = "/run/containerd/runc";
/// The files in a bundle that say how its container was made, in the stock shim's form.
const OPTIONS_FILE: &str = "options.json";
const RUNTIME_FILE: &str = "runtime";

/// A shim's name without `containerd-shim-` and the version: `windlass`, `runc`, …
pub fn shim_name(program: &str) -> &str {
    let name = program.strip_prefix("containerd-shim-").unwrap_or(program);
    name.rsplit_once('-').map_or(name, |(name, _version)| name)
}

/// The options that containerd passes on, from the message that they come in. None at all are the
/// default ones.
pub fn options(any: Option<&Any>) -> Result<Options> {
    let Some(any) = any.filter(|any| !any.type_url.is_empty()) else {
        return Ok(Options::default());
    };
    let reading = || format!("reading options of type {}", any.type_url);
    if let Some(options) = unpack::<Options>(any).with_context(reading)? {
        return Ok(options);
    }
    if let Some(other) = unpack::<RuntimeOptions>(any).with_context(reading)? {
        return from_settings(&other);
    }
    bail!("options of type {} are not understood", any.type_url)
}

/// Whether a message is one that [`options`] reads.
pub fn are_options(any: &Any) -> bool {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    name == Options::full_name() || name == RuntimeOptions::full_name()
}

/// What the CRI plugin sends to every shim that isn't called `runc`: nothing, a file's name, or the
/// settings themselves.
fn from_settings(options: &RuntimeOptions) -> Result<Options> {
    let path = options.config_path.as_str();
    if path.is_empty() {
        let text = std::str::from_utf8(&options.config_body).context("the runtime's options")?;
        return settings::read(text).context("the runtime's options");
    }
    let reading = || format!("reading the runtime's options from {path}");
    let text = std::fs::read_to_string(path).with_context(reading)?;
    settings::read(&text).with_context(reading)
}

/// The runtime for a container in `namespace` with this bundle.
pub fn runtime(
    program: &str,
    options: &Options,
    namespace: &str,
    bundle: &Path,
) -> Result<Runtime> {
    let root = match options.root.as_str() {
        "" => ROOT,
        root => root,
    };
    let mut arguments = vec![
        "--log".to_owned(),
        log_file(bundle).to_string_lossy().into_owned(),
        "--log-format".to_owned(),
        "json".to_owned(),
    ];
    if !options.criu_path.is_empty() {
        arguments.extend(["--criu".to_owned(), options.criu_path.clone()]);
    }
    if options.systemd_cgroup {
        arguments.push("--systemd-cgroup".to_owned());
    }
    Ok(Runtime {
        program: find(program, options)?,
        root: Some(Path::new(root).join(namespace)),
        arguments,
    })
}

/// The runtime's program.
pub fn find(program: &str, options: &Options) -> Result<PathBuf> {
    match (options.binary_name.as_str(), shim_name(program)) {
        ("", "windlass") => find_runtime(None),
        ("", name) | (name, _) => find_runtime(Some(Path::new(name))),
    }
}

/// Where the runtime writes its errors.
pub fn log_file(bundle: &Path) -> PathBuf {
    bundle.join("log.json")
}

/// Keeps the options in the bundle.
pub fn write_options(bundle: &Path, options: &Options) -> Result<()> {
    let json = serde_json::to_vec(options).context("writing options as JSON")?;
    let files: [(&str, &[u8]); 2] = [
        (OPTIONS_FILE, &json),
        (RUNTIME_FILE, options.binary_name.as_bytes()),
    ];
    for (name, content) in files {
        let path = bundle.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The options as kept in the bundle; the default ones if `Create` never came so far.
pub fn read_options(bundle: &Path) -> Result<Options> {
    let path = bundle.join(OPTIONS_FILE);
    match std::fs::read(&path) {
        Ok(json) => {
            serde_json::from_slice(&json).with_context(|| format!("reading {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Options::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The name of the file that this program was called by.
pub fn called_as() -> String {
    let whole = argv::words().first();
    let name = whole.and_then(|whole| Path::new(whole).file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::messages::pack;
    use super::*;

    #[test]
    fn the_shims_name_names_the_runtime() {
        assert_eq!(shim_name("containerd-shim-runc-v2"), "runc");
        assert_eq!(shim_name("containerd-shim-my-own-v2"), "my-own");
        let options = Options {
            binary_name: "/bin/sh".to_owned(),
            root: "/run/r".to_owned(),
            systemd_cgroup: true,
            ..Options::default()
        };
        let runtime = runtime("containerd-shim-x-v2", &options, "k8s.io", Path::new("/b")).unwrap();
        assert_eq!(runtime.program, Path::new("/bin/sh"));
        assert_eq!(runtime.root.as_deref(), Some(Path::new("/run/r/k8s.io")));
        let expected = [
            "--log",
            "/b/log.json",
            "--log-format",
            "json",
            "--systemd-cgroup",
        ];
        assert_eq!(runtime.arguments, expected);
    }

    #[test]
    fn options_are_kept_in_the_bundle() {
        let bundle = tempfile::tempdir().unwrap();
        assert_eq!(read_options(bundle.path()).unwrap(), Options::default());
        let options = Options {
            binary_name: "crun".to_owned(),
            io_uid: 7,
            ..Options::default()
        };
        write_options(bundle.path(), &options).unwrap();
        assert_eq!(read_options(bundle.path()).unwrap(), options);
        let json = std::fs::read_to_string(bundle.path().join("options.json")).unwrap();
        assert_eq!(json, r#"{"io_uid":7,"binary_name":"crun"}"#);
    }

    #[test]
    fn options_that_are_not_understood_are_not_ignored() {
        assert_eq!(options(None).unwrap(), Options::default());
        let mut other = RuntimeOptions::default();
        assert_eq!(options(Some(&pack(&other))).unwrap(), Options::default());
        other.config_body = b"SystemdCgroup = true".to_vec();
        assert!(options(Some(&pack(&other))).unwrap().systemd_cgroup);
        other.config_path = "/none/x.toml".to_owned();
        let error = options(Some(&pack(&other))).unwrap_err().to_string();
        assert!(error.contains("/none/x.toml"), "{error}");
        let any = Any {
            type_url: "some.Thing".to_owned(),
            value: Vec::new(),
        };
        let error = options(Some(&any)).unwrap_err().to_string();
        assert!(error.contains("some.Thing"), "{error}");
    }
}
