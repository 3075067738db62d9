//! `-info` and `-v`: what this shim and its runtime are.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use prost::Message;

use super::messages::introspection::{RuntimeInfo, RuntimeVersion};
use super::messages::well_known::Any;
use super::runtime_choice;

/// The type of the runtime's features, as containerd's typeurl package names it.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";
/// What standard input may hold, in bytes.
const INPUT_LIMIT: u64 = 10 << 20;

/// What `-v` prints.
pub fn version(program: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("{program}:\n  Version:  {version}\n")
}

/// Prints `RuntimeInfo` for the options on standard input.
pub fn info(program: &str) -> Result<()> {
    let mut input = Vec::new();
    std::io::stdin()
        .take(INPUT_LIMIT)
        .read_to_end(&mut input)
        .context("reading standard input")?;
    let asked_with = match input.as_slice() {
        [] => None,
        input => Some(Any::decode(input).context("standard input holds no runtime options")?),
    };
    let options = runtime_choice::options(asked_with.as_ref())?;
    let runtime = runtime_choice::find(program, &options)?;
    // Not every runtime knows this verb (it came with runc 1.1, and containerd can do without).
    let features = features(&runtime)
        .inspect_err(|error| {
            let _ = writeln!(std::io::stderr(), "{program}: {error:#}");
        })
        .ok();
    let info = RuntimeInfo {
        name: format!("io.containerd.{}.v2", runtime_choice::shim_name(program)),
        version: Some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
        }),
        options: asked_with,
        features,
        annotations: BTreeMap::new(),
    };
    std::io::stdout()
        .write_all(&info.encode_to_vec())
        .context("writing to standard output")
}

/// What the runtime says that it can do.
fn features(runtime: &Path) -> Result<Any> {
    let asking = || format!("{} features", runtime.display());
    let output = Command::new(runtime)
        .arg("features")
        .stdin(Stdio::null())
        .output()
        .with_context(asking)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", asking(), output.status, said.trim());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(&output.stdout)
        .with_context(|| format!("what {} printed", asking()))?;
    Ok(Any {
        type_url: FEATURES.to_owned(),
        value: output.stdout,
    })
}
