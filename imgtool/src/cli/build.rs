//! `build`: an image out of a Dockerfile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::arguments::{Access, CompressArguments, Connection, MemoryArguments, StoreArguments};
use crate::build::base::{BaseImages, Pull};
use crate::build::dockerfile::lines::LARGEST_FILE;
use crate::build::dockerfile::stages::Dockerfile;
use crate::build::report::{self, Report};
use crate::build::run::{SecretSource, Secrets, guard};
use crate::build::variables::BuildArguments;
use crate::build::{self, Inputs, Options};
use crate::layout::platform::WantedPlatform;
use crate::network::NetworkMode;
use crate::network::hosts::AddedHost;
use crate::progress;
use crate::read_at_most::read_at_most;
use crate::store::name::stored_name;
use crate::sys::signal;
use crate::warnings;

/// Builds an image from a Dockerfile, and keeps it in the store.
///
/// Prints the image's digest on standard output; what steps print, and which of them come from the
/// cache, goes to standard error. Every instruction that changes files makes a layer. Steps are
/// found again by what they are made from (content, not times), until gc --build-cache.
///
/// RUN runs in a container of windlass under windlass-shim, with Docker's default capabilities and
/// seccomp profile, and needs root. Its network is the host's, the services on its loopback included, unless
/// --network says otherwise: bridge needs CNI plugins.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples: windlass-img build -t app .
          windlass-img build -t app:1 -f docker/Dockerfile --build-arg VERSION=1.2 --target test .
          windlass-img build -t app --secret id=token,src=token.txt .
          SOURCE_DATE_EPOCH=0 windlass-img build -t app --no-cache .   (the same bytes each time)
          windlass-img build -t app - < Dockerfile                    (without a context)")]
pub struct Build {
    /// The image's name; may be repeated. Without one, the image is called by its digest, until gc
    /// --nameless.
    #[arg(long = "tag", short = 't', value_name = "NAME", value_parser = stored_name_argument)]
    names: Vec<String>,

    /// The Dockerfile [default: CONTEXT/Dockerfile, or else CONTEXT/Containerfile]; '-' for standard
    /// input.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Set a variable that an ARG declares; without a value, to what it is in our environment. May
    /// be repeated.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    arguments: Vec<String>,

    /// Build this stage instead of the last.
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Carry out every step, whatever the cache has.
    #[arg(long)]
    no_cache: bool,

    /// The network of RUN: 'host' is this host's, also called default; 'none' has only a loopback;
    /// 'bridge' is the standard network of containers, or NAME's of the CNI configuration. A RUN's own
    /// --network comes first.
    #[arg(long, value_name = "host|none|bridge[=NAME]", default_value = "host", value_parser = network_argument)]
    network: NetworkMode,

    /// Give an address a name in the /etc/hosts of RUN; 'host-gateway' is the address at which it reaches
    /// this host. May be repeated.
    #[arg(long = "add-host", value_name = "NAME:IP")]
    added_hosts: Vec<AddedHost>,

    /// What to build for, where a FROM doesn't say [default: this machine].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = platform_argument)]
    platform: Option<WantedPlatform>,

    /// A secret for RUN --mount=type=secret: from a file, or a variable of our environment. May be
    /// repeated.
    #[arg(long = "secret", value_name = "id=ID,src=FILE|env=NAME")]
    secrets: Vec<String>,

    /// Add a label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,

    /// When to fetch the images of FROM from their registry; alone, always.
    #[arg(long, value_name = "WHEN", default_value = "missing", num_args = 0..=1, require_equals = true,
        default_missing_value = "always")]
    pull: Pull,

    /// The runtime for RUN: a path, or a name on PATH [default: the windlass beside this program, or
    /// else on PATH].
    #[arg(long, value_name = "PATH")]
    runtime: Option<PathBuf>,

    /// Write the image's digest into a file, too.
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,

    /// How to show what is going on.
    #[arg(long, value_name = "STYLE", default_value = "plain")]
    progress: Style,

    /// Show nothing but the digest, not even what steps print: --progress none.
    #[arg(long, short, conflicts_with = "progress")]
    quiet: bool,

    #[command(flatten)]
    compress: CompressArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The directory whose files COPY can have; '-' for none, and the Dockerfile from standard input.
    context: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Style {
    /// A line for each step, and what it prints.
    Plain,
    /// A JSON object a line, for programs.
    Json,
    /// Nothing, not even what steps print.
    None,
}

fn stored_name_argument(text: &str) -> Result<String, String> {
    stored_name(text).map_err(|error| format!("{error:#}"))
}

fn network_argument(text: &str) -> Result<NetworkMode, String> {
    if text == "default" {
        return Ok(NetworkMode::Host);
    }
    match text.parse() {
        Ok(NetworkMode::Container(_) | NetworkMode::Namespace(_)) => {
            Err("a build shares no container's network".to_owned())
        }
        mode => mode.map_err(|error: anyhow::Error| format!("{error:#}")),
    }
}

fn platform_argument(text: &str) -> Result<WantedPlatform, String> {
    build::platform(text).map_err(|error| format!("{error:#}"))
}

impl Build {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let (dockerfile, path) = self.dockerfile()?;
        for warning in &dockerfile.warnings {
            warnings::warn(|| warning.clone());
        }
        let configuration = self.connection.configuration()?;
        let session = self.access.options(&self.connection)?;
        let store = self.store.open()?;
        let arguments = BuildArguments::new(self.build_arguments());
        let secrets = self.secrets()?;
        let images = BaseImages {
            store: &store,
            configuration: &configuration,
            session: &session,
            pull: self.pull,
            progress: match style {
                Style::Plain => progress::Style::Auto,
                Style::Json => progress::Style::Json,
                Style::None => progress::Style::None,
            },
        };
        let has_context = self.context.as_os_str() != "-";
        let inputs = Inputs {
            dockerfile: &dockerfile,
            context: has_context.then_some(self.context.as_path()),
            dockerfile_path: path.as_deref(),
            images: &images,
            arguments: &arguments,
            secrets: &secrets,
        };
        let report = Report::new(match style {
            Style::Plain => report::Style::Plain,
            Style::Json => report::Style::Json,
            Style::None => report::Style::Quiet,
        });
        let digest = build::build(&inputs, &self.options()?, report, &self.names)?;
        let unused = arguments.unused();
        if !unused.is_empty() {
            warnings::warn(|| format!("no ARG asks for --build-arg {}", unused.join(", ")));
        }
        if let Some(path) = &self.iidfile {
            std::fs::write(path, digest.to_string())
                .with_context(|| format!("write {}", path.display()))?;
        }
        writeln!(io::stdout(), "{digest}")?;
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        let labels = self.labels.iter().map(|label| match label.split_once('=') {
            Some(("", _)) => bail!("--label {}: a name is missing", label.escape_debug()),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Ok((label.clone(), String::new())),
        });
        Ok(Options {
            target: self.target.clone(),
            no_cache: self.no_cache,
            platform: self.platform.clone().unwrap_or_default(),
            network: self.network.clone(),
            added_hosts: self.added_hosts.clone(),
            compression: self.compress.chosen(),
            labels: labels.collect::<Result<_>>()?,
            runtime: self.runtime.clone(),
        })
    }

    /// The Dockerfile, and where it is.
    fn dockerfile(&self) -> Result<(Dockerfile, Option<PathBuf>)> {
        let from_input = |path: &Path| path.as_os_str() == "-";
        let path = match &self.file {
            Some(file) if from_input(file) => None,
            Some(file) => Some(file.clone()),
            None if from_input(&self.context) => None,
            None => {
                let names = ["Dockerfile", "Containerfile"].map(|name| self.context.join(name));
                let found = names.iter().find(|path| path.exists());
                Some(found.unwrap_or(&names[0]).clone())
            }
        };
        let Some(path) = path else {
            let mut text = String::new();
            let mut input = io::stdin().take(LARGEST_FILE);
            input
                .read_to_string(&mut text)
                .context("read the Dockerfile from standard input")?;
            return Ok((Dockerfile::parse(&text, "Dockerfile")?, None));
        };
        let context = || format!("read {}", path.display());
        let file = File::open(&path).with_context(context)?;
        let bytes = read_at_most(file, LARGEST_FILE).with_context(context)?;
        let text = String::from_utf8(bytes)
            .context("it is not UTF-8")
            .with_context(context)?;
        let dockerfile = Dockerfile::parse(&text, &path.display().to_string())?;
        Ok((dockerfile, Some(path)))
    }

    fn build_arguments(&self) -> BTreeMap<String, String> {
        let pairs = self
            .arguments
            .iter()
            .filter_map(|argument| match argument.split_once('=') {
                Some((name, value)) => Some((name.to_owned(), value.to_owned())),
                // Docker: one that isn't in the environment is as good as not given.
                None => Some((argument.clone(), std::env::var(argument).ok()?)),
            });
        pairs.collect()
    }

    fn secrets(&self) -> Result<Secrets> {
        let mut secrets = Secrets::new();
        for text in &self.secrets {
            let (id, source) =
                secret(text).with_context(|| format!("--secret {}", text.escape_debug()))?;
            secrets.insert(id, source);
        }
        Ok(secrets)
    }
}

fn secret(text: &str) -> Result<(String, SecretSource)> {
    let (mut id, mut source, mut kind) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => {
                source = Some(SecretSource::File(PathBuf::from(value)));
            }
            Some(("env", value)) => source = Some(SecretSource::Variable(value.to_owned())),
            Some(("type", value @ ("file" | "env"))) => kind = Some(value),
            _ => bail!(
                "'{}' is none of id=, src=, env=, type=file|env",
                field.escape_debug()
            ),
        }
    }
    let id = id.filter(|id| !id.is_empty()).context("an id is missing")?;
    let source = match (source, kind) {
        (Some(SecretSource::File(path)), Some("env")) => {
            SecretSource::Variable(path.to_string_lossy().into_owned())
        }
        (Some(source), _) => source,
        (None, Some("file")) => bail!("src= is missing"),
        // Docker: the variable of that name.
        (None, _) => SecretSource::Variable(id.clone()),
    };
    Ok((id, source))
}

/// Watches over a build: not for people.
#[derive(Debug, Args)]
#[command(name = guard::VERB, hide = true)]
pub struct BuildGuard {
    shim: PathBuf,
    work: PathBuf,
}

impl BuildGuard {
    pub(super) fn run(self) -> Result<()> {
        guard::watch(&self.shim, &self.work)
    }
}
