//! A container as a list of system calls, and its text form: one call a line, fields separated
//! by tabs, the first field naming the call.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Everything that the floor program does for one container.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The namespaces to be made: `CLONE_NEW*` of clone(2).
    pub namespaces: u64,
    /// The cgroups to be made, one in each hierarchy.
    pub cgroups: Vec<Cgroup>,
    /// What is written before the container exists: limits.
    pub limits: Vec<Write>,
    /// The directory that becomes the container's root.
    pub rootfs: PathBuf,
    /// What the container's first process does before it becomes its program, in order.
    pub steps: Vec<Step>,
    /// The program to become, as a path in the container.
    pub program: PathBuf,
}

/// A cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
    /// Whether the container is started inside it (v2, `CLONE_INTO_CGROUP`) rather than moved.
    pub unified: bool,
}

/// A value to be written to a file of cgroupfs or `/proc/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The file.
    pub path: PathBuf,
    /// The value.
    pub value: String,
}

/// One system call of the container's first process. Paths are relative to the root file system
/// before [`Step::EnterRoot`] and absolute after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// mount(2); the flags are `MS_*`.
    Mount {
        /// What is mounted.
        source: String,
        /// Where.
        target: String,
        /// The file system type; empty for a bind or a change of flags.
        kind: String,
        /// `MS_*`.
        flags: u32,
        /// The file system's own options, separated by commas.
        data: String,
    },
    /// mkdir(2) with mode 0755.
    Mkdir(String),
    /// mknod(2) of a character device.
    Device {
        /// The new file.
        path: String,
        /// Its permissions.
        mode: u32,
        /// The device's major number.
        major: u32,
        /// The device's minor number.
        minor: u32,
    },
    /// symlink(2).
    Symlink {
        /// What the link says.
        target: String,
        /// The new file.
        path: String,
    },
    /// open, write, close.
    Write(Write),
    /// sethostname(2).
    Hostname(String),
    /// `pivot_root(".", ".")` and the detaching of the old root.
    EnterRoot,
}

impl Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "namespaces\t{}", self.namespaces)?;
        for Cgroup { path, unified } in &self.cgroups {
            let name = if *unified { "cgroup2" } else { "cgroup" };
            writeln!(formatter, "{name}\t{}", path.display())?;
        }
        for Write { path, value } in &self.limits {
            writeln!(formatter, "limit\t{}\t{value}", path.display())?;
        }
        writeln!(formatter, "rootfs\t{}", self.rootfs.display())?;
        for step in &self.steps {
            writeln!(formatter, "{step}")?;
        }
        writeln!(formatter, "program\t{}", self.program.display())
    }
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount {
                source,
                target,
                kind,
                flags,
                data,
            } => {
                write!(
                    formatter,
                    "mount\t{source}\t{target}\t{kind}\t{flags}\t{data}"
                )
            }
            Self::Mkdir(path) => write!(formatter, "mkdir\t{path}"),
            Self::Device {
                path,
                mode,
                major,
                minor,
            } => {
                write!(formatter, "device\t{path}\t{mode}\t{major}\t{minor}")
            }
            Self::Symlink { target, path } => write!(formatter, "symlink\t{target}\t{path}"),
            Self::Write(Write { path, value }) => {
                write!(formatter, "write\t{}\t{value}", path.display())
            }
            Self::Hostname(name) => write!(formatter, "hostname\t{name}"),
            Self::EnterRoot => formatter.write_str("enter-root"),
        }
    }
}

impl Plan {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self> {
        let mut plan = Self::default();
        for line in text.lines() {
            plan.add(line)
                .with_context(|| format!("the plan's line {line:?}"))?;
        }
        Ok(plan)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["namespaces", flags] => self.namespaces = flags.parse()?,
            ["cgroup", path] => self.cgroups.push(Cgroup {
                path: path.into(),
                unified: false,
            }),
            ["cgroup2", path] => self.cgroups.push(Cgroup {
                path: path.into(),
                unified: true,
            }),
            ["limit", path, value] => {
                self.limits.push(Write {
                    path: path.into(),
                    value: value.into(),
                });
            }
            ["rootfs", path] => self.rootfs = path.into(),
            ["program", path] => self.program = path.into(),
            _ => self.steps.push(Step::parse(&fields)?),
        }
        Ok(())
    }
}

impl Step {
    fn parse(fields: &[&str]) -> Result<Self> {
        Ok(match *fields {
            ["mount", source, target, kind, flags, data] => Self::Mount {
                source: source.into(),
                target: target.into(),
                kind: kind.into(),
                flags: flags.parse()?,
                data: data.into(),
            },
            ["mkdir", path] => Self::Mkdir(path.into()),
            ["device", path, mode, major, minor] => Self::Device {
                path: path.into(),
                mode: mode.parse()?,
                major: major.parse()?,
                minor: minor.parse()?,
            },
            ["symlink", target, path] => Self::Symlink {
                target: target.into(),
                path: path.into(),
            },
            ["write", path, value] => Self::Write(Write {
                path: path.into(),
                value: value.into(),
            }),
            ["hostname", name] => Self::Hostname(name.into()),
            ["enter-root"] => Self::EnterRoot,
            _ => bail!("no such step, or not its number of fields"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cgroup, Plan, Step, Write};

    #[test]
    fn text_form_is_read_back_as_it_was() {
        let plan = Plan {
            namespaces: 0x2c02_0000,
            cgroups: vec![
                Cgroup {
                    path: "/sys/fs/cgroup/pids/x".into(),
                    unified: false,
                },
                Cgroup {
                    path: "/sys/fs/cgroup/unified/x".into(),
                    unified: true,
                },
            ],
            limits: vec![Write {
                path: "/sys/fs/cgroup/pids/x/pids.max".into(),
                value: "9".into(),
            }],
            rootfs: "/bundle/root fs".into(),
            steps: vec![
                Step::Mount {
                    source: "proc".into(),
                    target: "proc".into(),
                    kind: "proc".into(),
                    flags: 14,
                    data: String::new(),
                },
                Step::Mkdir("dev/pts".into()),
                Step::Device {
                    path: "dev/null".into(),
                    mode: 0o666,
                    major: 1,
                    minor: 3,
                },
                Step::Symlink {
                    target: "/proc/self/fd".into(),
                    path: "dev/fd".into(),
                },
                Step::EnterRoot,
                Step::Write(Write {
                    path: "/proc/sys/a".into(),
                    value: "0 9".into(),
                }),
                Step::Hostname("box".into()),
            ],
            program: "/true".into(),
        };
        assert_eq!(Plan::parse(&plan.to_string()).unwrap(), plan);
    }

    #[test]
    fn unknown_step_is_refused() {
        assert!(Plan::parse("mount\tonly\ttwo").is_err());
    }
}
