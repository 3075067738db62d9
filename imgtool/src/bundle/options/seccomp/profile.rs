//! A profile as Docker has them, and what runtime-spec has of it on this machine.
//!
//! Docker's form is runtime-spec's with conditions: rules for some capabilities, processors and
//! kernels only, and a map from the machine's architecture to those that it runs as well
//! (docs.docker.com/engine/security/seccomp; moby/profiles, seccomp/seccomp_linux.go).

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    /// podman's profiles have its name beside it (containers/common, pkg/seccomp).
    #[serde(default, rename = "defaultErrno")]
    _default_errno_name: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureMap>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchitectureMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    names: Option<Vec<String>>,
    /// Older profiles have one name.
    #[serde(default)]
    name: Option<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Value>>,
    #[serde(default)]
    includes: Option<Conditions>,
    #[serde(default)]
    excludes: Option<Conditions>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
    /// The same for `errnoRet`.
    #[serde(default, rename = "errno")]
    _errno_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Conditions {
    arches: Option<Vec<String>>,
    caps: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What conditions are about.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// The bounding set, `CAP_…`.
    pub(super) capabilities: Vec<String>,
    /// The processor's name in Go, as image-spec has it.
    pub(super) architecture: &'static str,
    /// Major and minor number of the kernel's release.
    pub(super) kernel: (u32, u32),
}

/// `linux.seccomp` of config.json (runtime-spec config-linux.md, "Seccomp").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    default_action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_metadata: Option<String>,
    syscalls: Vec<FilterRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FilterRule {
    names: Vec<String>,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Value>,
}

impl Profile {
    /// What remains of it in the given circumstances.
    pub(super) fn filter(self, circumstances: &Circumstances) -> Result<Value> {
        let own = native(circumstances.architecture);
        let mut architectures = self.architectures.unwrap_or_default();
        let maps = self.arch_map.unwrap_or_default();
        if !architectures.is_empty() && !maps.is_empty() {
            bail!("it has both 'architectures' and 'archMap'");
        }
        if let Some(map) = maps.into_iter().find(|map| Some(&*map.architecture) == own) {
            architectures.push(map.architecture);
            architectures.extend(map.sub_architectures.unwrap_or_default());
        }
        let mut syscalls = Vec::new();
        for (index, rule) in self.syscalls.unwrap_or_default().into_iter().enumerate() {
            let of_rule = || format!("rule {index} of 'syscalls'");
            if rule.holds(circumstances).with_context(of_rule)? {
                syscalls.push(rule.filter_rule().with_context(of_rule)?);
            }
        }
        Ok(serde_json::to_value(Filter {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags,
            listener_path: self.listener_path,
            listener_metadata: self.listener_metadata,
            syscalls,
        })?)
    }
}

impl Rule {
    /// Any exclusion takes it away; each kind of inclusion has to be met.
    fn holds(&self, now: &Circumstances) -> Result<bool> {
        let is_native = |arches: &Vec<String>| arches.iter().any(|arch| arch == now.architecture);
        let has = |capability: &String| now.capabilities.contains(capability);
        if let Some(excludes) = &self.excludes
            && (excludes.arches.as_ref().is_some_and(is_native)
                || excludes.caps.iter().flatten().any(has)
                || excludes.has_kernel(now)? == Some(true))
        {
            return Ok(false);
        }
        let Some(includes) = &self.includes else {
            return Ok(true);
        };
        let named = includes.arches.as_ref().filter(|arches| !arches.is_empty());
        Ok(named.is_none_or(is_native)
            && includes.caps.iter().flatten().all(has)
            && includes.has_kernel(now)? != Some(false))
    }

    fn filter_rule(self) -> Result<FilterRule> {
        let names = match (self.names.unwrap_or_default(), self.name) {
            (names, None) if !names.is_empty() => names,
            (names, Some(name)) if names.is_empty() => vec![name],
            (_, None) => bail!("it names no system call"),
            (_, Some(_)) => bail!("it has both 'name' and 'names'"),
        };
        Ok(FilterRule {
            names,
            action: self.action,
            errno_ret: self.errno_ret,
            args: self.args.unwrap_or_default(),
        })
    }
}

impl Conditions {
    /// Whether the kernel is as new as asked for; nothing if it may be any.
    fn has_kernel(&self, now: &Circumstances) -> Result<Option<bool>> {
        let Some(text) = &self.min_kernel else {
            return Ok(None);
        };
        let least = release(text).with_context(|| format!("minKernel '{text}'"))?;
        Ok(Some(now.kernel >= least))
    }
}

/// Major and minor number of a kernel's release, such as `6.1.0-18-amd64`.
pub(super) fn release(text: &str) -> Result<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => bail!("not a kernel's release, such as 4.8"),
    }
}

/// The machine's architecture in libseccomp's words.
fn native(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "386" => "SCMP_ARCH_X86",
        "amd64" => "SCMP_ARCH_X86_64",
        "arm" => "SCMP_ARCH_ARM",
        "arm64" => "SCMP_ARCH_AARCH64",
        "loong64" => "SCMP_ARCH_LOONGARCH64",
        "mips64" => "SCMP_ARCH_MIPS64",
        "mips64le" => "SCMP_ARCH_MIPSEL64",
        "mipsle" => "SCMP_ARCH_MIPSEL",
        "ppc64" => "SCMP_ARCH_PPC64",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        _ => return None,
    })
}
