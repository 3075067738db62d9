//! The configuration of a network: a `.conflist`, or a `.conf` of one plugin (CNI, section 1).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// The versions of the protocol that we speak, oldest first. Results of older ones have another form.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// More than any configuration has.
const LARGEST_FILE: u64 = 1 << 20;

/// A network, as its administrator describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Its name, which is part of what plugins make.
    pub name: String,
    /// The version of the protocol: one of those that we speak.
    pub version: String,
    /// The configuration of each plugin in the order of ADD, as it stands in the file.
    pub plugins: Vec<PluginConfiguration>,
}

/// What one plugin is told.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfiguration {
    /// The name of its program.
    pub program: String,
    /// All keys of it.
    pub keys: Map<String, Value>,
}

impl Configuration {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("network configuration {}", path.display());
        let size = path.metadata().with_context(context)?.len();
        if size > LARGEST_FILE {
            return Err(anyhow::anyhow!("it has {size} bytes")).with_context(context);
        }
        let json = std::fs::read(path).with_context(context)?;
        Self::parse(&json).with_context(context)
    }

    /// Understands either form.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let mut keys: Map<String, Value> = serde_json::from_slice(json)?;
        let name = match keys.get("name") {
            Some(Value::String(name)) if is_name(name) => name.clone(),
            Some(name) => bail!("name {name} is not letters, digits, '_', '.' and '-'"),
            None => bail!("it has no name"),
        };
        let version = version(&keys)?;
        let plugins = match keys.remove("plugins") {
            Some(Value::Array(plugins)) => plugins.into_iter().map(plugin).collect(),
            Some(other) => bail!("plugins is not a list: {other}"),
            None => plugin(Value::Object(keys)).map(|plugin| vec![plugin]),
        }?;
        if plugins.is_empty() {
            bail!("it has no plugins");
        }
        Ok(Configuration {
            name,
            version,
            plugins,
        })
    }

    /// The configuration as one list.
    pub fn to_json(&self) -> Value {
        let plugins = self.plugins.iter().map(|plugin| plugin.keys.clone());
        let plugins: Vec<Value> = plugins.map(Value::Object).collect();
        serde_json::json!({ "cniVersion": self.version, "name": self.name, "plugins": plugins })
    }

    /// The network of a name in a directory such as /etc/cni/net.d: the first file in alphabetical
    /// order that has it, as for all who use such a directory.
    pub fn find(directory: &Path, name: &str) -> Result<Option<Self>> {
        let files = files(directory)?;
        for file in &files {
            // What is wrong with another network's file is not our affair.
            let named = std::fs::read(file)
                .ok()
                .and_then(|json| serde_json::from_slice::<Value>(&json).ok())
                .is_some_and(|json| json["name"] == name);
            if named {
                return Self::read(file).map(Some);
            }
        }
        Ok(None)
    }
}

/// The files with networks in a directory; none if there is no such directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("read directory {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(context)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(context)?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        if matches!(extension, Some("conf" | "conflist" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether it is a network's name (and, by the same rule, a container's id).
pub fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

/// The newest version that the configuration offers and that we speak.
fn version(keys: &Map<String, Value>) -> Result<String> {
    let offered = |version: &&&str| {
        let is_it = |value: &Value| value == **version;
        keys.get("cniVersion").is_some_and(is_it)
            || keys
                .get("cniVersions")
                .and_then(Value::as_array)
                .is_some_and(|versions| versions.iter().any(is_it))
    };
    match VERSIONS.iter().rev().find(offered) {
        Some(version) => Ok((*version).to_owned()),
        None => bail!(
            "its cniVersion is {}; {} to {} are known",
            keys.get("cniVersion").unwrap_or(&Value::Null),
            VERSIONS[0],
            VERSIONS[VERSIONS.len() - 1]
        ),
    }
}

fn plugin(value: Value) -> Result<PluginConfiguration> {
    let Value::Object(keys) = value else {
        bail!("a plugin is not an object: {value}");
    };
    let program = program(keys.get("type"))?;
    if let Some(ipam) = keys.get("ipam").and_then(|ipam| ipam.get("type")) {
        self::program(Some(ipam)).context("ipam")?;
    }
    Ok(PluginConfiguration { program, keys })
}

/// A `type`: it becomes the name of a program, so it must not be a path.
fn program(value: Option<&Value>) -> Result<String> {
    match value {
        Some(Value::String(program))
            if !program.is_empty()
                && !program.contains(['/', '\\', '\0'])
                && !matches!(program.as_str(), "." | "..") =>
        {
            Ok(program.clone())
        }
        Some(other) => bail!("the type of a plugin is the name of a program, not {other}"),
        None => bail!("a plugin has no type"),
    }
}

impl PluginConfiguration {
    /// The program that it has give out addresses.
    pub fn address_program(&self) -> Option<&str> {
        self.keys.get("ipam")?.get("type")?.as_str()
    }

    /// Whether it says that it takes this capability's argument.
    pub fn is_capable_of(&self, capability: &str) -> bool {
        let capabilities = self.keys.get("capabilities");
        capabilities.and_then(|all| all.get(capability)) == Some(&Value::Bool(true))
    }

    /// Whether it calls `iptables`.
    pub fn calls_iptables(&self) -> bool {
        let other_backend = |key: &str| self.keys.get(key).is_some_and(|name| name != "iptables");
        match self.program.as_str() {
            "portmap" | "firewall" => !other_backend("backend"),
            "bridge" | "ptp" => {
                self.keys.get("ipMasq") == Some(&Value::Bool(true))
                    && !other_backend("ipMasqBackend")
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_plugins_are_understood() {
        let list = br#"{"cniVersion":"0.4.0","cniVersions":["1.0.0","9.0.0"],"name":"n","plugins":[
            {"type":"bridge","ipMasq":true,"ipam":{"type":"host-local"}},
            {"type":"portmap","capabilities":{"portMappings":true}}]}"#;
        let network = Configuration::parse(list).unwrap();
        assert_eq!(
            network.version, "1.0.0",
            "the newest of both that is known to us"
        );
        assert_eq!(network.plugins[0].address_program(), Some("host-local"));
        assert!(network.plugins[1].is_capable_of("portMappings"));
        assert!(!network.plugins[0].is_capable_of("portMappings"));
        assert!(
            network
                .plugins
                .iter()
                .all(PluginConfiguration::calls_iptables)
        );
        let again = serde_json::to_vec(&network.to_json()).unwrap();
        assert_eq!(Configuration::parse(&again).unwrap(), network);

        let single = br#"{"cniVersion":"0.3.1","name":"n","type":"ptp","mtu":1400}"#;
        let network = Configuration::parse(single).unwrap();
        assert_eq!(network.plugins.len(), 1);
        assert_eq!(network.plugins[0].keys["mtu"], 1400);
        assert!(!network.plugins[0].calls_iptables());
    }

    #[test]
    fn what_could_be_misunderstood_is_refused() {
        for (json, why) in [
            (r#"{"cniVersion":"1.0.0","type":"x"}"#, "no name"),
            (r#"{"cniVersion":"1.0.0","name":"../x","type":"x"}"#, "name"),
            (r#"{"cniVersion":"0.2.0","name":"n","type":"x"}"#, "0.2.0"),
            (r#"{"name":"n","type":"x"}"#, "cniVersion is null"),
            (r#"{"cniVersion":"1.0.0","name":"n"}"#, "no type"),
            (
                r#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#,
                "no plugins",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"n","type":"../sh"}"#,
                "the name of a program",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"n","type":"x","ipam":{"type":"/bin/sh"}}"#,
                "the name of a program",
            ),
        ] {
            let error = Configuration::parse(json.as_bytes()).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{json}: {error:#}");
        }
    }

    #[test]
    fn a_directory_is_searched_in_order_and_past_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("00-broken.conf", "{");
        write(
            "20-b.conflist",
            r#"{"cniVersion":"1.0.0","name":"n","type":"second"}"#,
        );
        write(
            "10-a.conf",
            r#"{"cniVersion":"1.0.0","name":"n","type":"first"}"#,
        );
        write(
            "05-not-a-network.txt",
            r#"{"cniVersion":"1.0.0","name":"n","type":"text"}"#,
        );
        let found = Configuration::find(directory.path(), "n").unwrap().unwrap();
        assert_eq!(found.plugins[0].program, "first");
        assert_eq!(
            Configuration::find(directory.path(), "other").unwrap(),
            None
        );
        let missing = directory.path().join("missing");
        assert_eq!(Configuration::find(&missing, "n").unwrap(), None);
    }
}
