//! The options of `run` that say where the output is kept.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::supervise::absolute;
use crate::supervise::log::{
    AtLimit, Excess, FileOptions, Form, JournalOptions, LogOptions, OutletOptions, Rate, SOCKET,
    SizeLimit, Unit,
};

/// Where the output is kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArguments {
    /// Append the output to this file. With -d the default is a file in the state directory, in
    /// the foreground there is no log by default
    #[arg(long, value_name = "PATH")]
    log: Option<PathBuf>,
    /// Where the output goes: k8s-file (the default) is one record a line, TIME STREAM F|P LINE, as
    /// the kubelet and conmon have it; json-file is Docker's, for text only; journald is systemd's
    /// journal; none is nothing
    #[arg(long, value_enum, value_name = "DRIVER")]
    log_driver: Option<Driver>,
    /// Rotate the file before it becomes larger than this: bytes, or with k, m or g behind it (1024
    /// each). LOG becomes LOG.1, LOG.1 becomes LOG.2 …
    #[arg(long, value_name = "SIZE", value_parser = size)]
    log_max_size: Option<u64>,
    /// How many rotated files are kept; 0: the file is begun anew
    #[arg(long, value_name = "N", default_value = "1", requires = "log_max_size")]
    log_max_files: u32,
    /// Compress rotated files: LOG.1.gz …
    #[arg(long, requires = "log_max_size")]
    log_compress: bool,
    /// How much the container may write a second: 2m (bytes), 500lines. It is held back if it
    /// writes faster
    #[arg(long, value_name = "RATE", value_parser = amount)]
    log_rate: Option<(u64, Unit)>,
    /// How much it may write at once before the rate counts [default: as much as in a second]
    #[arg(long, value_name = "AMOUNT", value_parser = amount, requires = "log_rate")]
    log_burst: Option<(u64, Unit)>,
    /// Drop lines above the rate from the log, which says how many, instead of holding the container
    /// back
    #[arg(long, requires = "log_rate")]
    log_drop: bool,
    /// For journald: CONTAINER_TAG and SYSLOG_IDENTIFIER
    #[arg(long, value_name = "TAG")]
    log_tag: Option<String>,
    /// For journald: a further field, in capital letters, digits and _; may be repeated
    #[arg(long = "log-label", value_name = "NAME=VALUE")]
    log_labels: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Driver {
    K8sFile,
    JsonFile,
    Journald,
    None,
}

impl LogArguments {
    /// What is to be opened for the container `id`; none if no log was asked for. `default_path` is
    /// where a log file goes that was given no place.
    pub fn options(&self, id: &str, default_path: Option<&Path>) -> Result<Option<LogOptions>> {
        let form = match self.log_driver {
            None | Some(Driver::K8sFile) => Form::K8sFile,
            Some(Driver::JsonFile) => Form::JsonFile,
            Some(Driver::Journald) => return self.journal(id).map(Some),
            Some(Driver::None) => {
                ensure!(
                    self.log.is_none() && !self.asks_for_more(),
                    "--log-driver none leaves nothing for the other --log options"
                );
                return Ok(None);
            }
        };
        ensure!(
            self.log_tag.is_none() && self.log_labels.is_empty(),
            "a log file has no place for --log-tag and --log-label; they need --log-driver journald"
        );
        let path = match (&self.log, default_path) {
            (Some(path), _) => absolute(path)?,
            (None, Some(path)) => path.to_owned(),
            (None, None) => {
                ensure!(
                    self.log_driver.is_none() && !self.asks_for_more(),
                    "in the foreground there is no log unless --log gives it a place"
                );
                return Ok(None);
            }
        };
        let limit = self.log_max_size.map(|size| SizeLimit {
            size,
            then: match self.log_max_files {
                0 => AtLimit::StartOver,
                files => AtLimit::Rotate {
                    files,
                    compress: self.log_compress,
                },
            },
        });
        let file = FileOptions {
            form,
            limit,
            ..FileOptions::new(path)
        };
        self.with_rate(OutletOptions::File(file)).map(Some)
    }

    fn asks_for_more(&self) -> bool {
        let journal = self.log_tag.is_some() || !self.log_labels.is_empty();
        journal || self.log_max_size.is_some() || self.log_rate.is_some()
    }

    fn journal(&self, id: &str) -> Result<LogOptions> {
        ensure!(
            self.log.is_none() && self.log_max_size.is_none(),
            "--log and --log-max-size are for files; the journal has its own place and limits"
        );
        self.with_rate(OutletOptions::Journal(JournalOptions {
            id: id.to_owned(),
            name: Some(id.to_owned()),
            tag: self.log_tag.clone(),
            labels: self.log_labels.clone(),
            mark_partial: true,
            priorities: true,
            socket: SOCKET.into(),
        }))
    }

    fn with_rate(&self, outlet: OutletOptions) -> Result<LogOptions> {
        let rate = match (self.log_rate, self.log_burst) {
            (None, _) => None,
            (Some((_, unit)), Some((_, other))) if unit != other => {
                bail!("--log-rate and --log-burst must both count bytes, or both lines")
            }
            (Some((per_second, unit)), burst) => Some(Rate {
                unit,
                per_second,
                burst: burst.map_or(per_second, |(burst, _)| burst),
                excess: if self.log_drop {
                    Excess::Drop
                } else {
                    Excess::Hold
                },
            }),
        };
        Ok(LogOptions {
            outlets: vec![outlet],
            rate,
        })
    }
}

/// A number of bytes: `4096`, `64k`, `10m`, `1g`.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches("ib").trim_end_matches('b');
    let (digits, shift) = match number.char_indices().last() {
        Some((end, 'k')) => (&number[..end], 10),
        Some((end, 'm')) => (&number[..end], 20),
        Some((end, 'g')) => (&number[..end], 30),
        _ => (number, 0),
    };
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|size| size.checked_mul(1 << shift));
    size.filter(|size| *size > 0)
        .ok_or_else(|| format!("{text:?} is no size: 4096, 64k, 10m, 1g"))
}

/// A number of bytes or of lines.
fn amount(text: &str) -> Result<(u64, Unit), String> {
    let text = text.trim_end_matches("/s");
    match text.strip_suffix("lines") {
        None => size(text).map(|bytes| (bytes, Unit::Bytes)),
        Some(lines) => match lines.trim_end().parse() {
            Ok(lines) if lines > 0 => Ok((lines, Unit::Lines)),
            _ => Err(format!("{text:?} is no number of lines: 500lines")),
        },
    }
}
