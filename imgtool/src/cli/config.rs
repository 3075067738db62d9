//! `config`: changes what an image says of itself.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::arguments::HistoryArguments;
use crate::date;
use crate::layout::Layout;
use crate::layout::edit::ImageEdit;
use crate::layout::reference::{ImageReference, checked_tag};
use crate::layout::resolve::Image;
use crate::warnings;

/// Changes an image's configuration: how its process runs, who made it, what it is for.
///
/// What --clear empties is emptied first. Lists and maps grow by what is given; the entrypoint and
/// the command are replaced.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img config --image images:mine --config.cmd sh --config.cmd -l \
    --config.env LANG=C.UTF-8 --config.user 1000:1000 --tag mine-2"
)]
pub struct Config {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// The tag of the changed image, in place of the old one's.
    #[arg(long, value_name = "NEW-TAG", value_parser = checked_tag)]
    tag: Option<String>,

    #[command(flatten)]
    process: ProcessArguments,

    /// When the image was made.
    #[arg(long, value_name = "RFC3339", value_parser = date::checked)]
    created: Option<String>,

    /// Who made the image.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    author: Option<String>,

    /// The operating system that it is for.
    #[arg(long = "platform.os", alias = "os", value_name = "OS")]
    os: Option<String>,

    /// The CPU that it is for, as Go names it.
    #[arg(
        long = "platform.arch",
        alias = "architecture",
        value_name = "ARCHITECTURE"
    )]
    architecture: Option<String>,

    /// The variant of the CPU.
    #[arg(long = "platform.variant", value_name = "VARIANT")]
    variant: Option<String>,

    /// Add an annotation to the manifest; may be repeated.
    #[arg(long = "manifest.annotation", value_name = "KEY=VALUE", value_parser = key_value)]
    annotations: Vec<(String, String)>,

    /// Empty a list first; may be repeated.
    #[arg(long, value_name = "WHAT")]
    clear: Vec<Clear>,

    #[command(flatten)]
    history: HistoryArguments,
}

/// How the image's process is to run.
#[derive(Debug, Args)]
struct ProcessArguments {
    /// The user: NAME, UID, NAME:GROUP and so on.
    #[arg(long = "config.user", value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// Add a port that the image listens on; may be repeated.
    #[arg(long = "config.exposedports", value_name = "PORT[/PROTOCOL]")]
    exposed_ports: Vec<String>,

    /// Set an environment variable; may be repeated.
    #[arg(long = "config.env", value_name = "NAME=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,

    /// The program and its first arguments, one each time.
    #[arg(
        long = "config.entrypoint",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    entrypoint: Option<Vec<String>>,

    /// Further arguments, or the program, one each time.
    #[arg(
        long = "config.cmd",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    cmd: Option<Vec<String>>,

    /// Add a directory that is to hold data; may be repeated.
    #[arg(long = "config.volume", value_name = "PATH")]
    volumes: Vec<String>,

    /// Add a label; may be repeated.
    #[arg(long = "config.label", value_name = "KEY=VALUE", value_parser = key_value)]
    labels: Vec<(String, String)>,

    /// The working directory.
    #[arg(long = "config.workingdir", value_name = "PATH")]
    working_dir: Option<String>,

    /// The signal that ends the process.
    #[arg(long = "config.stopsignal", value_name = "SIGNAL")]
    stop_signal: Option<String>,
}

/// What `--clear` can empty.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clear {
    #[value(name = "config.labels")]
    Labels,
    #[value(name = "config.exposedports")]
    ExposedPorts,
    #[value(name = "config.env")]
    Env,
    #[value(name = "config.volume")]
    Volumes,
    #[value(name = "config.cmd")]
    Cmd,
    #[value(name = "config.entrypoint")]
    Entrypoint,
    #[value(name = "manifest.annotations")]
    Annotations,
}

/// Reads `KEY=VALUE`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{}' is not KEY=VALUE", text.escape_debug())),
    }
}

impl Config {
    pub(super) fn run(self) -> Result<()> {
        let name = self.image.to_string();
        self.change()
            .with_context(|| format!("can't change {name}"))
    }

    fn change(self) -> Result<()> {
        let layout = Layout::open_to_change(&self.image.layout)?;
        let image = Image::find(&layout, &self.image.tag)?;
        let mut edit = ImageEdit::of_tagged(&image, &self.image.tag)?;
        for what in &self.clear {
            clear(&mut edit, *what)?;
        }
        let config = edit.config();
        set(config, "created", self.created);
        set(config, "author", self.author);
        set(config, "variant", self.variant);
        // These two are there even if they are empty (image-spec config.md, REQUIRED).
        for (field, value) in [("os", self.os), ("architecture", self.architecture)] {
            if let Some(value) = value {
                config.insert(field.to_owned(), Value::from(value));
            }
        }
        self.process.apply(edit.process()?)?;
        if !self.annotations.is_empty() {
            extend(edit.annotations()?, self.annotations);
        }
        let author = edit.current_config()?.author;
        if let Some(history) = self.history.entry(author, "windlass-img config")? {
            edit.add_change(&history)?;
        }
        let mut incoming = layout.incoming()?;
        let tag = self.tag.unwrap_or(self.image.tag);
        let way = edit.commit(&layout, &mut incoming, &[], Some(&tag))?;
        warnings::note(|| format!("'{tag}' is {}", way[0].digest));
        Ok(())
    }
}

impl ProcessArguments {
    fn apply(self, process: &mut Map<String, Value>) -> Result<()> {
        set(process, "User", self.user);
        set(process, "StopSignal", self.stop_signal);
        set(process, "WorkingDir", self.working_dir);
        add_to_set(process, "ExposedPorts", self.exposed_ports)?;
        add_to_set(process, "Volumes", self.volumes)?;
        for (name, value) in self.env {
            set_variable(process, &name, &value)?;
        }
        for (field, arguments) in [("Entrypoint", self.entrypoint), ("Cmd", self.cmd)] {
            if let Some(arguments) = arguments {
                process.insert(field.to_owned(), json!(arguments));
            }
        }
        if !self.labels.is_empty() {
            extend(map_in(process, "Labels")?, self.labels);
        }
        Ok(())
    }
}

/// Sets a text; an empty one is as good as none, and isn't written.
fn set(map: &mut Map<String, Value>, field: &str, value: Option<String>) {
    match value {
        None => {}
        Some(value) if value.is_empty() => drop(map.remove(field)),
        Some(value) => drop(map.insert(field.to_owned(), Value::from(value))),
    }
}

fn extend(map: &mut Map<String, Value>, pairs: Vec<(String, String)>) {
    map.extend(
        pairs
            .into_iter()
            .map(|(key, value)| (key, Value::from(value))),
    );
}

/// Go's sets are maps to empty objects.
fn add_to_set(map: &mut Map<String, Value>, field: &str, names: Vec<String>) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let set = map_in(map, field)?;
    set.extend(names.into_iter().map(|name| (name, json!({}))));
    Ok(())
}

fn map_in<'a>(map: &'a mut Map<String, Value>, field: &str) -> Result<&'a mut Map<String, Value>> {
    let value = map.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value
        .as_object_mut()
        .with_context(|| format!("the image's '{field}' is not an object"))
}

/// Sets a variable in its old place, or behind the others.
fn set_variable(process: &mut Map<String, Value>, name: &str, value: &str) -> Result<()> {
    let env = process.entry("Env").or_insert(Value::Null);
    if env.is_null() {
        *env = json!([]);
    }
    let Some(env) = env.as_array_mut() else {
        bail!("the image's 'Env' is not a list");
    };
    let prefix = format!("{name}=");
    let variable = Value::from(format!("{prefix}{value}"));
    let known = env.iter_mut().find(|known| {
        known
            .as_str()
            .is_some_and(|known| known.starts_with(&prefix))
    });
    match known {
        Some(known) => *known = variable,
        None => env.push(variable),
    }
    Ok(())
}

fn clear(edit: &mut ImageEdit, what: Clear) -> Result<()> {
    let field = match what {
        Clear::Annotations => {
            edit.clear_annotations();
            return Ok(());
        }
        Clear::Labels => "Labels",
        Clear::ExposedPorts => "ExposedPorts",
        Clear::Env => "Env",
        Clear::Volumes => "Volumes",
        Clear::Cmd => "Cmd",
        Clear::Entrypoint => "Entrypoint",
    };
    edit.process()?.remove(field);
    Ok(())
}
