//! Which variables a Dockerfile's line sees: `--build-arg`, ARG, ENV, and those that are always
//! there (docs.docker.com/reference/dockerfile, "Using ARG variables").

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::dockerfile::words::{Lexer, Variables};
use crate::layout::platform::WantedPlatform;

/// Build arguments that need no ARG: they say how to get out, and change no result.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What the caller gave by `--build-arg`, and which of it was asked for.
#[derive(Debug, Default)]
pub struct BuildArguments {
    given: BTreeMap<String, String>,
    asked_for: RefCell<BTreeSet<String>>,
}

impl BuildArguments {
    /// As given.
    pub fn new(given: BTreeMap<String, String>) -> Self {
        BuildArguments {
            given,
            asked_for: RefCell::default(),
        }
    }

    /// The value given for a variable.
    pub fn get(&self, name: &str) -> Option<&String> {
        let value = self.given.get(name)?;
        self.asked_for.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    /// Those that say how to get out.
    pub fn proxies(&self) -> impl Iterator<Item = (&String, &String)> {
        let is_proxy = |(name, _): &(&String, &String)| PROXIES.contains(&name.as_str());
        self.given.iter().filter(is_proxy)
    }

    /// Those that no ARG asked for.
    pub fn unused(&self) -> Vec<&str> {
        let asked_for = self.asked_for.borrow();
        let unused = |name: &&str| !asked_for.contains(*name) && !PROXIES.contains(name);
        self.given
            .keys()
            .map(String::as_str)
            .filter(unused)
            .collect()
    }
}

/// The platforms' variables: `TARGETARCH` and so on.
pub fn platform_variables(target: &WantedPlatform) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", &WantedPlatform::default())] {
        let parts = [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone().unwrap_or_default()),
        ];
        for (name, value) in parts {
            variables.insert(format!("{prefix}{name}"), value);
        }
    }
    variables
}

/// The variables at one place of a Dockerfile.
#[derive(Debug, Clone)]
pub struct Scope {
    escape: char,
    /// By ARG.
    arguments: BTreeMap<String, String>,
    /// By ENV, which win.
    environment: Vec<(String, String)>,
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<String> {
        let of_image = self
            .environment
            .iter()
            .rev()
            .find(|(known, _)| known == name);
        of_image
            .map(|(_, value)| value)
            .or_else(|| self.arguments.get(name))
            .cloned()
    }
}

impl Scope {
    /// One in which only `arguments` are set.
    pub fn new(escape: char, arguments: BTreeMap<String, String>) -> Self {
        Scope {
            escape,
            arguments,
            environment: Vec::new(),
        }
    }

    /// The image's variables, `NAME=value`.
    pub fn set_environment(&mut self, environment: &[String]) {
        let pairs = environment
            .iter()
            .filter_map(|variable| variable.split_once('='));
        self.environment = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }

    /// Carries out an ARG: what the caller gave, what was said before the first FROM or is always
    /// there (`inherited`), or the default.
    pub fn declare(
        &mut self,
        arguments: &[(String, Option<String>)],
        given: &BuildArguments,
        inherited: &BTreeMap<String, String>,
    ) -> Result<()> {
        for (name, default) in arguments {
            let name = self.word(name)?;
            let default = default.as_deref().map(|text| self.word(text)).transpose()?;
            let value = given
                .get(&name)
                .cloned()
                .or(default)
                .or_else(|| inherited.get(&name).cloned());
            if let Some(value) = value {
                self.arguments.insert(name, value);
            }
        }
        Ok(())
    }

    /// ARGs that no ENV hides: what a RUN gets beside the image's environment.
    pub fn arguments(&self) -> impl Iterator<Item = (&String, &String)> {
        let hidden = |name: &String| self.environment.iter().any(|(known, _)| known == name);
        self.arguments.iter().filter(move |(name, _)| !hidden(name))
    }

    /// A text with its variables replaced and its quotes removed.
    pub fn word(&self, text: &str) -> Result<String> {
        Lexer::new(self.escape)
            .word(text, self)
            .with_context(|| format!("'{}'", text.escape_debug()))
    }

    /// The same, split into words.
    pub fn words(&self, text: &str) -> Result<Vec<String>> {
        Lexer::new(self.escape)
            .words(text, self)
            .with_context(|| format!("'{}'", text.escape_debug()))
    }

    /// A here-document with its variables replaced.
    pub fn document(&self, text: &str) -> Result<String> {
        let lexer = Lexer {
            ignores_quotes: true,
            ..Lexer::new(self.escape)
        };
        lexer.word(text, self).context("in the here-document")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_wins_over_defaults_and_the_image_over_both() {
        let given = [("a", "given"), ("never", "x"), ("http_proxy", "p")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let given = BuildArguments::new(given.into());
        let inherited = BTreeMap::from([("g".to_owned(), "global".to_owned())]);
        let mut scope = Scope::new('\\', BTreeMap::new());
        let declare = |scope: &mut Scope, name: &str, default: Option<&str>| {
            let argument = (name.to_owned(), default.map(str::to_owned));
            scope.declare(&[argument], &given, &inherited).unwrap();
        };
        assert_eq!(scope.word("$a$g").unwrap(), "");
        declare(&mut scope, "a", Some("default"));
        declare(&mut scope, "g", None);
        declare(&mut scope, "b", Some("$a-$g"));
        declare(&mut scope, "e", Some("argument"));
        scope.set_environment(&["e=image".to_owned()]);
        assert_eq!(
            scope.word("$a $g $b $e").unwrap(),
            "given global given-global image"
        );
        let names: Vec<_> = scope.arguments().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "g"]);
        assert_eq!(given.unused(), ["never"]);
        assert_eq!(given.proxies().count(), 1);
    }
}
