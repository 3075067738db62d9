//! registries.conf, version 2 (containers-registries.conf(5)): where short names lead, mirrors,
//! registries without TLS, registries that are not to be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::name::{ImageName, Version, Written};
use crate::read_at_most::read_at_most;

/// Bytes of a configuration file.
const LARGEST: u64 = 4 << 20;

/// What this host's administrator says of registries.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    search: Vec<String>,
    registries: Vec<RegistryRule>,
    aliases: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    registry: Vec<RegistryRule>,
    aliases: BTreeMap<String, String>,
    /// Version 1's tables, which mean something else.
    registries: Option<toml::Table>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct RegistryRule {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    serves: String,
}

/// A place to look for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The image there.
    pub name: ImageName,
    /// Whether its certificate counts, and whether it has to have one.
    pub insecure: bool,
}

impl Configuration {
    /// Reads the file given, or those of the user and of the host.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut configuration = Configuration::default();
        let chosen = file
            .map(Path::to_owned)
            .or_else(|| set("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from));
        if let Some(chosen) = chosen {
            configuration.add_file(&chosen)?;
            return Ok(configuration);
        }
        let etc = PathBuf::from("/etc/containers");
        let config = set("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")))
            .map(|config| config.join("containers"));
        let own = config.as_ref().map(|config| config.join("registries.conf"));
        match own.filter(|own| own.exists()) {
            Some(own) => configuration.add_file(&own)?,
            None if etc.join("registries.conf").exists() => {
                configuration.add_file(&etc.join("registries.conf"))?;
            }
            None => {}
        }
        for directory in [Some(etc), config].into_iter().flatten() {
            for file in drop_ins(&directory.join("registries.conf.d"))? {
                configuration.add_file(&file)?;
            }
        }
        Ok(configuration)
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
        let bytes = read_at_most(file, LARGEST).with_context(|| path.display().to_string())?;
        let text = String::from_utf8(bytes).with_context(|| path.display().to_string())?;
        self.add(&text).with_context(|| path.display().to_string())
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let file: File = toml::from_str(text)?;
        if file.registries.is_some() {
            bail!("it is of version 1 ([registries.search] and so on), which is not supported");
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        for mut rule in file.registry {
            if rule.prefix.is_empty() {
                rule.prefix.clone_from(&rule.location);
            }
            if rule.prefix.is_empty() {
                bail!("a [[registry]] has neither 'prefix' nor 'location'");
            }
            // A later file's rule takes the place of an earlier one's.
            self.registries.retain(|known| known.prefix != rule.prefix);
            self.registries.push(rule);
        }
        self.aliases.extend(file.aliases);
        // An empty value takes an alias away.
        self.aliases.retain(|_, target| !target.is_empty());
        Ok(())
    }

    /// What a name as written stands for.
    pub fn resolve(&self, text: &str) -> Result<ImageName> {
        let (repository, version) = match Written::parse(text)? {
            Written::Full(name) => return Ok(name),
            Written::Short {
                repository,
                version,
            } => (repository, version),
        };
        if let Some(target) = self.aliases.get(&repository) {
            let Written::Full(name) = Written::parse(target)
                .with_context(|| format!("alias '{repository}' in registries.conf"))?
            else {
                bail!("alias '{repository}' in registries.conf leads to '{target}', a short name");
            };
            return Ok(ImageName { version, ..name });
        }
        match self.search.as_slice() {
            [only] => full(only, &repository, version),
            [] => bail!(
                "'{text}' names no registry, and no registries.conf has \
                 'unqualified-search-registries': write HOST/{text}"
            ),
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|host| format!("{host}/{text}"))
                    .collect();
                bail!(
                    "'{text}' names no registry and could be any of {}: write which, or add it \
                     to [aliases] in registries.conf",
                    names.join(", ")
                )
            }
        }
    }

    /// Where to get an image, the best place first.
    pub fn sources(&self, name: &ImageName) -> Result<Vec<Endpoint>> {
        let Some(rule) = self.rule_of(name)? else {
            return Ok(vec![Endpoint {
                name: name.clone(),
                insecure: false,
            }]);
        };
        let by_digest = name.version.digest.is_some();
        let mut endpoints = Vec::new();
        for mirror in &rule.mirror {
            let serves = match mirror.serves.as_str() {
                "digest-only" => by_digest,
                "tag-only" => !by_digest,
                _ => by_digest || !rule.mirror_by_digest_only,
            };
            if serves {
                endpoints.push(Endpoint {
                    name: rewritten(name, &rule.prefix, &mirror.location)?,
                    insecure: mirror.insecure,
                });
            }
        }
        endpoints.push(rule.own_endpoint(name)?);
        Ok(endpoints)
    }

    /// Where to put an image.
    pub fn destination(&self, name: &ImageName) -> Result<Endpoint> {
        match self.rule_of(name)? {
            Some(rule) => rule.own_endpoint(name),
            None => Ok(Endpoint {
                name: name.clone(),
                insecure: false,
            }),
        }
    }

    /// The rule of the longest prefix.
    fn rule_of(&self, name: &ImageName) -> Result<Option<&RegistryRule>> {
        let whole = name.to_string();
        let rule = self
            .registries
            .iter()
            .filter(|rule| matched(&whole, &rule.prefix).is_some())
            .max_by_key(|rule| rule.prefix.len());
        if let Some(rule) = rule.filter(|rule| rule.blocked) {
            bail!(
                "registries.conf blocks '{}', so {name} can't be used",
                rule.prefix
            );
        }
        Ok(rule)
    }
}

impl RegistryRule {
    fn own_endpoint(&self, name: &ImageName) -> Result<Endpoint> {
        let location = if self.location.is_empty() {
            &self.prefix
        } else {
            &self.location
        };
        Ok(Endpoint {
            name: rewritten(name, &self.prefix, location)?,
            insecure: self.insecure,
        })
    }
}

fn full(host: &str, repository: &str, version: Version) -> Result<ImageName> {
    let text = format!("{host}/{repository}");
    match Written::parse(&text) {
        Ok(Written::Full(name)) => Ok(ImageName { version, ..name }),
        _ => bail!("registries.conf: '{host}' in unqualified-search-registries is not a registry"),
    }
}

/// How much of `whole` a prefix covers, if it ends where a part of the name ends.
fn matched(whole: &str, prefix: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix("*.") {
        let host = whole.split(['/', ':', '@']).next()?;
        let below = host.strip_suffix(domain)?;
        return below.ends_with('.').then_some(host.len());
    }
    let rest = whole.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

/// A name with `location` in place of `prefix`.
fn rewritten(name: &ImageName, prefix: &str, location: &str) -> Result<ImageName> {
    let whole = name.to_string();
    if location.is_empty() || location.starts_with("*.") {
        return Ok(name.clone());
    }
    let length = matched(&whole, prefix).unwrap_or(0);
    let text = format!("{location}{}", &whole[length..]);
    match Written::parse(&text) {
        Ok(Written::Full(name)) => Ok(name),
        _ => bail!("registries.conf: location '{location}' makes '{text}' of {name}"),
    }
}

/// The `*.conf` files of a directory, by name.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>> {
    let listing = match std::fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("read directory {}", directory.display()));
        }
    };
    let mut files = Vec::new();
    for entry in listing {
        let entry = entry.with_context(|| format!("read directory {}", directory.display()))?;
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.add(text).unwrap();
        configuration
    }

    fn places(configuration: &Configuration, name: &str) -> Vec<String> {
        let name = configuration.resolve(name).unwrap();
        let endpoints = configuration.sources(&name).unwrap();
        endpoints
            .iter()
            .map(|endpoint| {
                let mark = if endpoint.insecure { "!" } else { "" };
                format!("{}{mark}", endpoint.name)
            })
            .collect()
    }

    const RULES: &str = r#"
        unqualified-search-registries = ["hub.example"]
        [[registry]]
        prefix = "hub.example"
        location = "real.example/library"
        [[registry.mirror]]
        location = "mirror.example:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "hub.example/bad"
        blocked = true
        [[registry]]
        prefix = "*.wild.example"
        insecure = true
        [aliases]
        web = "r.example/team/web"
    "#;

    #[test]
    fn names_lead_where_the_file_says() {
        let rules = configuration(RULES);
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(
            places(&rules, "debian:12"),
            [
                "mirror.example:5000/hub/debian:12!",
                "real.example/library/debian:12"
            ]
        );
        assert_eq!(
            places(&rules, &format!("hub.example/x@{digest}")),
            [
                format!("mirror.example:5000/hub/x@{digest}!"),
                format!("digests.example/x@{digest}"),
                format!("real.example/library/x@{digest}"),
            ]
        );
        assert_eq!(places(&rules, "web:2"), ["r.example/team/web:2"]);
        assert_eq!(places(&rules, "a.wild.example/x"), ["a.wild.example/x!"]);
        assert_eq!(places(&rules, "hub.example.org/x"), ["hub.example.org/x"]);
        let blocked = rules.resolve("bad/x").unwrap();
        assert!(rules.sources(&blocked).is_err());
        assert!(rules.destination(&blocked).is_err());
        assert!(rules.sources(&rules.resolve("badly").unwrap()).is_ok());
    }

    #[test]
    fn short_names_are_never_guessed() {
        let none = Configuration::default().resolve("debian:12").unwrap_err();
        assert!(none.to_string().contains("HOST/debian:12"), "{none}");
        let several = configuration("unqualified-search-registries = [\"a.b\", \"c.d\"]");
        let error = several.resolve("x").unwrap_err().to_string();
        assert!(error.contains("a.b/x, c.d/x"), "{error}");
        let mut old = Configuration::default();
        assert!(old.add("[registries.search]\nregistries = []").is_err());
    }
}
