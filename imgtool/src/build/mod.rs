//! Images out of Dockerfiles.
//!
//! [`dockerfile`] reads the text. [`Build`] carries it out, stage by stage, only those that the wanted
//! one needs: a [`stage::Stage`] is an image in the making, and each instruction a step on it, which
//! changes its configuration ([`configuration`]), or files ([`steps`], [`run`]). What a step changes
//! of the files is the upper directory of an overlay on the layers so far; it becomes a blob, and
//! itself the unpacked layer that the next step stands on. [`cache`] finds steps that were carried
//! out before.

pub mod base;
pub mod cache;
pub mod changes;
pub mod configuration;
pub mod context;
mod copy_step;
pub mod dockerfile;
pub mod report;
pub mod run;
mod run_step;
pub mod stage;
pub mod steps;
pub mod variables;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layout::digest::Digest;
use crate::layout::media::Compression;
use crate::layout::platform::WantedPlatform;
use crate::network::NetworkMode;
use crate::network::hosts::AddedHost;
use crate::store::Store;
use crate::store::layers::LayerChain;
use base::BaseImages;
use cache::{BUILD, Cache};
use dockerfile::stages::{Dockerfile, triggers};
use dockerfile::{Instruction, Statement};
use report::{Report, Step};
use run::{Programs, Runner, Secrets};
use stage::Stage;
use steps::layer::{Workplace, remove_tree};
use steps::tree::Tree;
use variables::{BuildArguments, Scope, platform_variables};

/// In the store's directory for builds: where running builds work.
const WORK: &str = "work";

/// What the caller decides about a build.
#[derive(Debug, Clone)]
pub struct Options {
    /// The stage to build; the last unless given.
    pub target: Option<String>,
    /// Carry every step out anew.
    pub no_cache: bool,
    /// What stages are for that don't say.
    pub platform: WantedPlatform,
    /// What RUN has that doesn't say.
    pub network: NetworkMode,
    /// Names and their addresses that RUN finds in /etc/hosts, whatever its network.
    pub added_hosts: Vec<AddedHost>,
    /// How layers are compressed; as the base image's unless given.
    pub compression: Option<Compression>,
    /// Notes for the image.
    pub labels: Vec<(String, String)>,
    /// The runtime that RUN uses.
    pub runtime: Option<PathBuf>,
}

/// What a build works with.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The Dockerfile.
    pub dockerfile: &'a Dockerfile,
    /// The context's directory; none if there is no context.
    pub context: Option<&'a Path>,
    /// The Dockerfile's own path, for its ignore file.
    pub dockerfile_path: Option<&'a Path>,
    /// Where images come from.
    pub images: &'a BaseImages<'a>,
    /// `--build-arg`.
    pub arguments: &'a BuildArguments,
    /// `--secret`.
    pub secrets: &'a Secrets,
}

/// A build at work.
#[derive(Debug)]
pub struct Build<'a> {
    inputs: &'a Inputs<'a>,
    store: &'a Store,
    /// What ARGs of a stage may take over: platforms, and ARGs before the first FROM.
    inherited: &'a BTreeMap<String, String>,
    options: &'a Options,
    cache: Cache,
    report: Report,
    /// Where this build works.
    work: PathBuf,
    workplaces: usize,
    /// Workplaces of trees that are being read.
    borrowed: Vec<Workplace>,
    runner: Option<Runner>,
    stages: BTreeMap<usize, Stage>,
}

/// Builds an image, and gives it these names, if any. Returns its digest.
pub fn build(
    inputs: &Inputs<'_>,
    options: &Options,
    report: Report,
    names: &[String],
) -> Result<Digest> {
    let store = inputs.images.store;
    let mut inherited = platform_variables(&options.platform);
    let mut scope = Scope::new(inputs.dockerfile.escape, inherited.clone());
    for statement in &inputs.dockerfile.arguments {
        if let Instruction::Arg(arguments) = &statement.instruction {
            scope
                .declare(arguments, inputs.arguments, &inherited)
                .map_err(|error| statement.place.error(&statement.keyword, &error))?;
        }
    }
    inherited.extend(
        scope
            .arguments()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let work = make_work_directory(store)?;
    let mut build = Build {
        inputs,
        store,
        inherited: &inherited,
        options,
        cache: Cache::of(store),
        report,
        work: work.clone(),
        workplaces: 0,
        borrowed: Vec::new(),
        runner: None,
        stages: BTreeMap::new(),
    };
    let result = build.target(names);
    let ended = build.end();
    let digest = result?;
    ended?;
    Ok(digest)
}

impl Build<'_> {
    fn target(&mut self, names: &[String]) -> Result<Digest> {
        let target = self
            .inputs
            .dockerfile
            .target(self.options.target.as_deref())?;
        let mut stage = self.stage(target)?;
        for (name, value) in &self.options.labels {
            configuration::set_label(stage.edit.process()?, name.clone(), value.clone())?;
        }
        let mut incoming = self.store.layout().incoming()?;
        let mut put = |name: Option<&str>| -> Result<Digest> {
            let edit = stage.edit.clone();
            let way = edit.commit(self.store.layout(), &mut incoming, &[], name)?;
            let manifest = way.last().context("the way to an image is empty")?;
            Ok(manifest.digest.clone())
        };
        let Some((first, others)) = names.split_first() else {
            return put(None);
        };
        for name in others {
            put(Some(name))?;
        }
        put(Some(first))
    }

    /// Removes what the build needed, however it went.
    fn end(&mut self) -> Result<()> {
        self.borrowed.clear();
        self.stages.clear();
        if let Some(runner) = self.runner.take() {
            runner.finish()?;
        }
        remove_tree(&self.work)
    }

    /// A stage of the Dockerfile, built now unless it was.
    fn stage(&mut self, number: usize) -> Result<Stage> {
        if let Some(stage) = self.stages.get(&number) {
            return Ok(stage.clone());
        }
        let stage = &self.inputs.dockerfile.stages[number];
        // First what it needs, so that what is told of the steps comes in their order.
        for needed in self.needed(number) {
            self.stage(needed)?;
        }
        let place = &stage.place;
        let (mut built, from) = self
            .begin_stage(number)
            .map_err(|error| place.error("FROM", &error))?;
        let triggered = triggers(&built.take_triggers()?, &from)?;
        let statements: Vec<&Statement> = triggered.iter().chain(&stage.statements).collect();
        for (index, statement) in statements.iter().enumerate() {
            let step = Step {
                stage: built.name.clone(),
                number: index + 2,
                of: statements.len() + 1,
                place: statement.place.clone(),
                text: one_line(&statement.keyword, &statement.text),
            };
            built.carry_out(self, statement, &step)?;
        }
        self.stages.insert(number, built.clone());
        Ok(built)
    }

    /// The stages that a stage copies from, mounts, or builds on.
    fn needed(&self, number: usize) -> Vec<usize> {
        let stage = &self.inputs.dockerfile.stages[number];
        let mut names: Vec<&str> = Vec::new();
        for statement in &stage.statements {
            match &statement.instruction {
                Instruction::Copy(copy) => names.extend(copy.from.as_deref()),
                Instruction::Run(run) => {
                    names.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                        dockerfile::mount::MountKind::Bind(bind) => bind.from.as_deref(),
                        dockerfile::mount::MountKind::Cache(cache) => cache.from.as_deref(),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
        let mut needed: Vec<usize> = names
            .into_iter()
            .filter_map(|name| self.inputs.dockerfile.stage(name, number))
            .collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// FROM: the stage without its instructions, and what it stands on.
    fn begin_stage(&mut self, number: usize) -> Result<(Stage, String)> {
        let stage = &self.inputs.dockerfile.stages[number];
        let from = &stage.from;
        let mut globals = Scope::new(self.inputs.dockerfile.escape, self.inherited.clone());
        globals.set_environment(&[]);
        let image = globals.word(&from.image)?;
        if image.is_empty() {
            bail!(
                "'{}' is empty: is an ARG missing before the first FROM?",
                from.image
            );
        }
        let platform = match &from.platform {
            Some(text) => platform(&globals.word(text)?)?,
            None => self.options.platform.clone(),
        };
        let name = from
            .name
            .clone()
            .unwrap_or_else(|| format!("stage-{number}"));
        let step = Step {
            stage: name.clone(),
            number: 1,
            of: stage.statements.len() + 1,
            place: stage.place.clone(),
            text: format!("FROM {image}"),
        };
        let scope = Scope::new(self.inputs.dockerfile.escape, BTreeMap::new());
        if let Some(below) = self.inputs.dockerfile.stage(&image, number)
            // A number is an image's name here.
            && self.inputs.dockerfile.stages[below].from.name.as_deref()
                == Some(image.to_ascii_lowercase().as_str())
        {
            let below = self.stage(below)?;
            self.report.begin(&step);
            return Ok((Stage::on_stage(name, &below, scope)?, image));
        }
        self.report.begin(&step);
        if image == "scratch" {
            return Ok((Stage::from_scratch(name, scope, platform)?, image));
        }
        let base = self.inputs.images.get(&image, &platform)?;
        Ok((Stage::on_image(name, &base, scope, platform)?, image))
    }

    /// Where COPY takes files from: a stage, an image, or the context.
    fn tree(&mut self, from: Option<&str>) -> Result<Tree> {
        let Some(from) = from else {
            let Some(path) = self.inputs.context else {
                bail!("there is no context to copy from: the Dockerfile came alone");
            };
            return context::open(path, self.inputs.dockerfile_path);
        };
        if from.contains('$') {
            bail!("--from can't hold variables: name a stage (FROM $image AS name), and that here");
        }
        let before = self.inputs.dockerfile.stages.len();
        if let Some(number) = self.inputs.dockerfile.stage(from, before) {
            if let Some(stage) = self.stages.get(&number).cloned() {
                return copy_step::tree_of(&stage, self, &format!("stage '{from}'"));
            }
            bail!(
                "stage '{}' comes later (at {}): a stage can copy only from those before it",
                from.escape_debug(),
                self.inputs.dockerfile.stages[number].place
            );
        }
        let scope = Scope::new(self.inputs.dockerfile.escape, BTreeMap::new());
        if from == "scratch" {
            bail!("there is nothing in 'scratch' to copy");
        }
        let platform = self.options.platform.clone();
        let image = self.inputs.images.get(from, &platform)?;
        let stage = Stage::on_image(from.to_owned(), &image, scope, platform)?;
        copy_step::tree_of(&stage, self, &format!("image '{from}'"))
    }

    /// A new place for a step on top of layers.
    fn workplace(&mut self, below: &LayerChain) -> Result<Workplace> {
        self.workplaces += 1;
        Workplace::make(self.work.join(format!("step-{}", self.workplaces)), below)
    }

    /// What RUNs run with, got ready when the first needs it.
    fn runner(&mut self) -> Result<&mut Runner> {
        if self.runner.is_none() {
            let programs = Programs::find(self.options.runtime.as_deref())?;
            self.runner = Some(Runner::start(programs, &self.work, self.report)?);
        }
        self.runner.as_mut().context("no runner")
    }
}

/// The directory of one build.
fn make_work_directory(store: &Store) -> Result<PathBuf> {
    let store = std::fs::canonicalize(store.layout().path()).context("the store's path")?;
    let parent = store.join(BUILD).join(WORK);
    let context = || format!("mkdir {}", parent.display());
    // What builds leave unfinished is nobody else's to see.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&parent)
        .with_context(context)?;
    let work = tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(&parent)
        .with_context(context)?;
    Ok(work.keep())
}

/// `OS/ARCHITECTURE[/VARIANT]`.
pub fn platform(text: &str) -> Result<WantedPlatform> {
    let parts: Vec<&str> = text.split('/').collect();
    let (os, architecture, variant) = match parts[..] {
        [os, architecture] => (os, architecture, None),
        [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
        _ => bail!(
            "'{}' is no platform such as linux/arm64",
            text.escape_debug()
        ),
    };
    Ok(WantedPlatform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant,
    })
}

/// An instruction for people: the first line, and whether there are more.
fn one_line(keyword: &str, text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { " …" } else { "" };
    format!("{keyword} {first}{more}")
}

/// Removes what killed builds left, and ends containers that go on. Only for who has the store alone.
pub fn remove_unfinished(store: &Store) -> Result<()> {
    let store = std::fs::canonicalize(store.layout().path()).context("the store's path")?;
    for work in paths_in(&store.join(BUILD).join(WORK))? {
        run::abandoned::end(&work)?;
        if work.exists() {
            remove_tree(&work)?;
        }
    }
    Ok(())
}

/// Forgets all steps, and the directories that RUN mounted with `type=cache`; how many. Only for who
/// has the store alone.
pub fn forget_steps(store: &Store) -> Result<u64> {
    let caches = store.layout().path().join(BUILD).join(cache::CACHES);
    let caches = paths_in(&caches)?;
    caches.iter().try_for_each(|cache| remove_tree(cache))?;
    Ok(Cache::of(store).clear()? + caches.len() as u64)
}

/// What is in a directory; nothing if it isn't there.
fn paths_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("read directory {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(context),
    };
    entries
        .map(|entry| Ok(entry.with_context(context)?.path()))
        .collect()
}
