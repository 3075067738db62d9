//! Where the plugins are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::Access;

use super::configuration::Configuration;

/// Where distributions (Debian, Fedora) and the plugins' own project put them.
const USUAL: [&str; 3] = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"];

/// The directories that are searched for plugins, in order; all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPath(Vec<PathBuf>);

impl PluginPath {
    /// The caller's directories; without any, those of `$CNI_PATH`; without those, the usual ones.
    pub fn new(directories: &[PathBuf]) -> Result<Self> {
        let mut directories = directories.to_vec();
        if directories.is_empty()
            && let Some(path) = std::env::var_os("CNI_PATH")
        {
            directories.extend(std::env::split_paths(&path));
            directories.retain(|directory| !directory.as_os_str().is_empty());
        }
        if directories.is_empty() {
            directories.extend(USUAL.map(PathBuf::from));
        }
        let absolute = directories.into_iter().map(|directory| {
            // CNI_PATH is a list with ':' between, and has no way to quote one.
            if directory.as_os_str().as_encoded_bytes().contains(&b':') {
                let shown = directory.display();
                bail!("a directory of CNI plugins can't have ':' in its name: {shown}");
            }
            std::path::absolute(&directory).with_context(|| format!("{}", directory.display()))
        });
        absolute.collect::<Result<_>>().map(PluginPath)
    }

    /// The directories.
    pub fn directories(&self) -> &[PathBuf] {
        &self.0
    }

    /// As `CNI_PATH` has it.
    pub fn to_variable(&self) -> String {
        self.shown(":")
    }

    /// A plugin's program.
    pub fn find(&self, program: &str) -> Result<PathBuf> {
        let candidates = self.0.iter().map(|directory| directory.join(program));
        let mut found = candidates.filter(|path| path.is_file() && is_executable(path));
        found.next().with_context(|| {
            format!(
                "there is no CNI plugin '{program}' in {}: install the package \
                 containernetworking-plugins, or say where it is with --cni-bin",
                self.shown(", ")
            )
        })
    }

    /// An error unless everything that a network needs is installed.
    pub fn check(&self, network: &Configuration) -> Result<()> {
        for plugin in &network.plugins {
            self.find(&plugin.program)?;
            if let Some(program) = plugin.address_program() {
                self.find(program)?;
            }
            let path = std::env::split_paths(PROGRAMS);
            if plugin.calls_iptables()
                && !path
                    .map(|directory| directory.join("iptables"))
                    .any(|path| is_executable(&path))
            {
                bail!(
                    "the CNI plugin '{}' calls iptables, which is not in {PROGRAMS}: install the \
                     package iptables, or choose a network that needs none",
                    plugin.program
                );
            }
        }
        Ok(())
    }

    fn shown(&self, separator: &str) -> String {
        let shown: Vec<_> = self
            .0
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        shown.join(separator)
    }
}

/// Where plugins find the programs that they call: a hook has no `PATH` but what is set for it.
pub const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXEC_OK).is_ok()
}
