//! Which logs `--log-path` asks for, and what the options beside it may be.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::options::Options;
use crate::supervise::Log;
use crate::supervise::log::{
    AtLimit, FileOptions, JournalOptions, LogOptions, OutletOptions, SOCKET, SizeLimit,
};

/// What is to become of the container's output, besides going to whoever is attached.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogDrivers {
    /// A file in the kubelet's form; the last one named.
    pub k8s_file: Option<PathBuf>,
    /// The journal.
    pub journald: bool,
    /// The container gets our own standard streams, and nobody can attach.
    pub passthrough: bool,
}

impl LogDrivers {
    /// Reads all `--log-path`s, in conmon's grammar: `[DRIVER:]PATH`, or `DRIVER`, with or without
    /// a colon, where it needs no path.
    pub fn read(options: &Options) -> Result<Self, String> {
        if options.log_paths.is_empty() {
            return Err("Log driver not provided. Use --log-path".to_owned());
        }
        let mut drivers = LogDrivers::default();
        for argument in &options.log_paths {
            drivers.add(argument)?;
        }
        drivers.check(options)?;
        Ok(drivers)
    }

    /// Opens the logs; none if nothing is to be logged.
    pub fn open(&self, options: &Options) -> Result<Option<Log>> {
        let mut outlets = Vec::new();
        if let Some(path) = &self.k8s_file {
            let path = std::path::absolute(path)
                .with_context(|| format!("Failed to open log file {}", path.display()))?;
            outlets.push(OutletOptions::File(FileOptions {
                mode: 0o640,
                limit: size_limit(options),
                total: options.log_global_size_max,
                ..FileOptions::new(path)
            }));
        }
        if self.journald {
            outlets.push(OutletOptions::Journal(JournalOptions {
                id: options.cid.clone(),
                name: options.name.clone(),
                tag: options.log_tag.clone(),
                labels: options.log_labels.clone(),
                mark_partial: !options.no_container_partial_message,
                priorities: true,
                socket: PathBuf::from(SOCKET),
            }));
        }
        if self.passthrough || outlets.is_empty() {
            return Ok(None);
        }
        let log = LogOptions {
            outlets,
            rate: None,
        };
        Log::open(&log).map(Some).context("Failed to open log file")
    }

    fn add(&mut self, argument: &str) -> Result<(), String> {
        let (driver, path) = match argument.split_once(':') {
            Some((driver, path)) => (driver, path.trim_start_matches(':')),
            None => (argument, ""),
        };
        let has_colon = argument.contains(':');
        match driver {
            "" if path.is_empty() => return Err("log-path must not be empty".to_owned()),
            "off" | "null" | "none" => {}
            // podman's name for a passthrough that may be a terminal, which ours may always be.
            "passthrough" | "passthrough-tty" => self.passthrough = true,
            "journald" => self.journald = true,
            "k8s-file" if path.is_empty() => {
                return Err("k8s-file requires a filename".to_owned());
            }
            "" | "k8s-file" => self.k8s_file = Some(PathBuf::from(path)),
            path if !has_colon => self.k8s_file = Some(PathBuf::from(path)),
            driver => return Err(format!("No such log driver {driver}")),
        }
        Ok(())
    }

    fn check(&self, options: &Options) -> Result<(), String> {
        if let Some(path) = &self.k8s_file {
            if !self.journald && options.log_tag.is_some() {
                return Err("k8s-file doesn't support --log-tag".to_owned());
            }
            if !self.journald && !options.log_labels.is_empty() {
                return Err("k8s-file doesn't support --log-label".to_owned());
            }
            check_directory(path, &options.log_allowlist_dirs)?;
        }
        if self.journald {
            if options.cid.len() <= 12 {
                return Err("Container ID must be longer than 12 characters".to_owned());
            }
            options
                .log_labels
                .iter()
                .try_for_each(|label| check_label(label))?;
        }
        Ok(())
    }
}

fn size_limit(options: &Options) -> Option<SizeLimit> {
    if options.log_rotate {
        // Without a size it is rotated when the caller says so, through `ctl`.
        return Some(SizeLimit {
            size: options.log_size_max.unwrap_or(u64::MAX),
            then: AtLimit::Rotate {
                files: options.log_max_files,
                compress: false,
            },
        });
    }
    options.log_size_max.map(|size| SizeLimit {
        size,
        then: AtLimit::StartOver,
    })
}

/// The log's directory must be one of those allowed, or below one.
fn check_directory(log: &Path, allowed: &[String]) -> Result<(), String> {
    let allowed: Vec<&String> = allowed.iter().filter(|path| !path.is_empty()).collect();
    if allowed.is_empty() {
        return Ok(());
    }
    let directory = match log.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let is_allowed = std::fs::canonicalize(directory).is_ok_and(|directory| {
        allowed
            .iter()
            .filter_map(|path| std::fs::canonicalize(path).ok())
            .any(|path| directory.starts_with(path))
    });
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "Failed to open log file: {} is in no directory of --log-allowlist-dir",
            log.display()
        ))
    }
}

fn check_label(label: &str) -> Result<(), String> {
    let format = "Container labels must be in format LABEL=VALUE";
    match label.split_once('=') {
        Some(("", _)) => Err(format!("{format} (no LABEL present in '{label}')")),
        Some((name, value)) if !value.contains('=') => {
            let fits =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if name.bytes().all(fits) {
                Ok(())
            } else {
                Err(format!(
                    "Container label names must contain only uppercase letters, numbers and \
                     underscore (in '{label}')"
                ))
            }
        }
        _ => Err(format!(
            "{format} (none or more than one '=' present in '{label}')"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(paths: &[&str]) -> Options {
        Options {
            cid: "0123456789abcdef".to_owned(),
            log_paths: paths.iter().map(ToString::to_string).collect(),
            ..Options::default()
        }
    }

    fn file(paths: &[&str]) -> Option<String> {
        let drivers = LogDrivers::read(&options(paths)).expect("understood");
        assert!(!drivers.journald && !drivers.passthrough);
        drivers.k8s_file.map(|path| path.display().to_string())
    }

    /// The cases of conmon's own tests (`01-basic.bats`), and a path with a colon, which it cuts.
    #[test]
    fn drivers_and_paths_are_told_apart_as_by_conmon() {
        for argument in ["/log", ":/log", "k8s-file:/log"] {
            assert_eq!(file(&[argument]).as_deref(), Some("/log"), "{argument}");
        }
        assert_eq!(file(&[":journald"]).as_deref(), Some("journald"));
        assert_eq!(file(&["k8s-file:/a:b"]).as_deref(), Some("/a:b"));
        for argument in ["none", "none:", "off:", "null:x"] {
            assert_eq!(file(&[argument]), None, "{argument}");
        }
        let both = LogDrivers::read(&options(&["k8s-file:/l", "journald:"])).expect("both");
        assert!(both.journald && both.k8s_file.is_some());
        let wrong = |paths: &[&str]| LogDrivers::read(&options(paths)).expect_err("wrong");
        assert_eq!(wrong(&[]), "Log driver not provided. Use --log-path");
        assert_eq!(wrong(&[""]), "log-path must not be empty");
        assert_eq!(wrong(&[":"]), "log-path must not be empty");
        assert_eq!(wrong(&["k8s-file"]), "k8s-file requires a filename");
        assert_eq!(wrong(&["k8s-file:"]), "k8s-file requires a filename");
        assert_eq!(
            wrong(&["/l", "json-file:/l"]),
            "No such log driver json-file"
        );
    }

    #[test]
    fn tags_labels_and_ids_are_checked_by_the_driver_that_uses_them() {
        let mut asked = options(&["journald:"]);
        for (label, fits) in [
            ("A_1=b", true),
            ("=b", false),
            ("A", false),
            ("A=b=c", false),
            ("a=b", false),
        ] {
            asked.log_labels = vec![label.to_owned()];
            assert_eq!(LogDrivers::read(&asked).is_ok(), fits, "{label}");
        }
        asked.cid = "0123456789ab".to_owned();
        assert!(LogDrivers::read(&asked).is_err_and(|why| why.contains("longer than 12")));
        let mut asked = options(&["/log"]);
        asked.log_tag = Some("tag".to_owned());
        assert!(LogDrivers::read(&asked).is_err_and(|why| why.contains("--log-tag")));
    }

    #[test]
    fn a_log_outside_of_the_allowed_directories_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let log = place.path().join("log").display().to_string();
        let mut asked = options(&[&log]);
        asked.log_allowlist_dirs = vec!["/proc".to_owned(), place.path().display().to_string()];
        assert!(LogDrivers::read(&asked).is_ok());
        asked.log_allowlist_dirs.pop();
        assert!(LogDrivers::read(&asked).is_err_and(|why| why.contains("--log-allowlist-dir")));
    }
}
