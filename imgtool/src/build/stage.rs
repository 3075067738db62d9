//! One stage while it is built: its image so far, and what each instruction does to it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Build;
use super::cache::{Key, Record, RecordedLayer};
use super::configuration::{self, Process};
use super::dockerfile::instruction::{Instruction, Statement};
use super::report::Step;
use super::steps::layer::Workplace;
use super::variables::Scope;
use crate::date;
use crate::layer::limits::Limits;
use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::layout::document::{Descriptor, History};
use crate::layout::edit::ImageEdit;
use crate::layout::media::MediaKind;
use crate::layout::platform::WantedPlatform;
use crate::layout::resolve::{Image, Layer};
use crate::store::layers::{LayerChain, chain_ids};
use crate::sys::signal;

/// A layer of a stage.
#[derive(Debug, Clone)]
pub struct StageLayer {
    /// Its blob.
    pub descriptor: Descriptor,
    /// Its uncompressed archive.
    pub diff_id: Digest,
}

/// A stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name or number.
    pub name: String,
    /// The image so far.
    pub edit: ImageEdit,
    /// Its layers, the lowest first.
    pub layers: Vec<StageLayer>,
    /// Its variables.
    pub scope: Scope,
    /// What it is for.
    pub platform: WantedPlatform,
    /// Whether CMD was said in this stage.
    cmd_is_ours: bool,
}

/// What a step did.
pub(super) enum Outcome {
    /// It changed files, as the workplace has them.
    Files(Workplace),
    /// It changed none.
    Nothing,
}

impl Stage {
    /// A stage on top of an image.
    pub fn on_image(
        name: String,
        image: &Image,
        scope: Scope,
        platform: WantedPlatform,
    ) -> Result<Self> {
        let mut edit = ImageEdit::on_top_of(image)?;
        // As docker/dockerfile has it: ENV PATH=/more:$PATH adds to what commands are searched in.
        let process = edit.process()?;
        let environment = configuration::texts(process, "Env");
        if !environment.iter().any(|known| known.starts_with("PATH=")) {
            configuration::add_path(process)?;
        }
        let layers = image.layers()?.into_iter().map(|layer| StageLayer {
            descriptor: Descriptor {
                media_type: layer.compression.layer_media_type().to_owned(),
                ..layer.descriptor.clone()
            },
            diff_id: layer.diff_id.clone(),
        });
        let layers = layers.collect();
        Stage::new(name, edit, layers, scope, platform)
    }

    /// A stage on top of nothing.
    pub fn from_scratch(name: String, scope: Scope, platform: WantedPlatform) -> Result<Self> {
        let mut edit = ImageEdit::blank(&date::now_or_epoch()?)?;
        let config = edit.config();
        config.insert("os".to_owned(), platform.os.clone().into());
        config.insert(
            "architecture".to_owned(),
            platform.architecture.clone().into(),
        );
        if let Some(variant) = &platform.variant {
            config.insert("variant".to_owned(), variant.clone().into());
        }
        configuration::add_path(edit.process()?)?;
        Stage::new(name, edit, Vec::new(), scope, platform)
    }

    /// A stage on top of another.
    pub fn on_stage(name: String, below: &Stage, scope: Scope) -> Result<Self> {
        Stage::new(
            name,
            below.edit.clone(),
            below.layers.clone(),
            scope,
            below.platform.clone(),
        )
    }

    fn new(
        name: String,
        edit: ImageEdit,
        layers: Vec<StageLayer>,
        scope: Scope,
        platform: WantedPlatform,
    ) -> Result<Self> {
        let mut stage = Stage {
            name,
            edit,
            layers,
            scope,
            platform,
            cmd_is_ours: false,
        };
        stage.refresh_scope()?;
        Ok(stage)
    }

    /// The triggers of the image below, which are taken off it.
    pub fn take_triggers(&mut self) -> Result<Vec<String>> {
        let process = self.edit.process()?;
        let triggers = configuration::texts(process, "OnBuild");
        process.remove("OnBuild");
        Ok(triggers)
    }

    /// Its layers, unpacked.
    pub fn chain(&self, build: &Build<'_>) -> Result<LayerChain> {
        let layers = self
            .layers
            .iter()
            .map(|layer| match layer.descriptor.kind() {
                MediaKind::Layer(compression) => Ok(Layer {
                    descriptor: &layer.descriptor,
                    compression,
                    diff_id: &layer.diff_id,
                }),
                _ => bail!("layer {} is of no known kind", layer.descriptor.digest),
            });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        build.store.unpacked(&layers, &Limits::default())
    }

    /// Carries out one instruction.
    pub fn carry_out(
        &mut self,
        build: &mut Build<'_>,
        statement: &Statement,
        step: &Step,
    ) -> Result<()> {
        signal::check()?;
        let keyword = &statement.keyword;
        build.report.begin(step);
        let context = |error| statement.place.error(keyword, &error);
        self.instruct(build, statement, step).map_err(context)
    }

    fn instruct(
        &mut self,
        build: &mut Build<'_>,
        statement: &Statement,
        step: &Step,
    ) -> Result<()> {
        match &statement.instruction {
            Instruction::From(_) => bail!("FROM can't be here"),
            Instruction::Run(run) => super::run_step::carry_out(self, build, run, statement, step),
            Instruction::Copy(copy) => {
                super::copy_step::carry_out(self, build, copy, statement, step)
            }
            Instruction::Workdir(path) => {
                super::copy_step::workdir(self, build, path, statement, step)
            }
            Instruction::Arg(arguments) => {
                self.scope
                    .declare(arguments, build.inputs.arguments, build.inherited)?;
                self.change(build, statement, step, |_| Ok(()))
            }
            instruction => {
                let scope = self.scope.clone();
                let cmd_is_ours = self.cmd_is_ours;
                self.cmd_is_ours |= matches!(instruction, Instruction::Cmd(_));
                if let Instruction::Maintainer(name) = instruction {
                    let author = name.clone().into();
                    self.edit.config().insert("author".to_owned(), author);
                }
                self.change(build, statement, step, |process| {
                    configure(process, instruction, &scope, cmd_is_ours)
                })
            }
        }
    }

    /// Carries out an instruction that changes only the configuration.
    pub(super) fn change(
        &mut self,
        build: &mut Build<'_>,
        statement: &Statement,
        step: &Step,
        change: impl FnOnce(&mut Process) -> Result<()>,
    ) -> Result<()> {
        change(self.edit.process()?)?;
        let mut key = self.key(&statement.keyword)?;
        key.add("text", statement.text.as_bytes());
        let key = key.finish();
        self.refresh_scope()?;
        let created_by = format!("{} {}", statement.keyword, statement.text);
        self.with_cache(build, step, &key, created_by, |_, _| Ok(Outcome::Nothing))
    }

    /// A key that knows the layers and configuration so far.
    pub(super) fn key(&mut self, keyword: &str) -> Result<Key> {
        let mut key = Key::new(keyword);
        for layer in &self.layers {
            key.add("layer", layer.diff_id.to_string().as_bytes());
        }
        let process = serde_json::to_vec(self.edit.process()?)?;
        let digest = Hasher::digest(Algorithm::Sha256, &process);
        key.add("configuration", digest.to_string().as_bytes());
        key.add("platform", self.platform.to_string().as_bytes());
        if let Some(epoch) = date::source_date_epoch()? {
            key.add("epoch", epoch.to_string().as_bytes());
        }
        Ok(key)
    }

    /// Does `work`, or finds what came of it before; notes it in the history.
    pub(super) fn with_cache(
        &mut self,
        build: &mut Build<'_>,
        step: &Step,
        key: &Digest,
        created_by: String,
        work: impl FnOnce(&mut Stage, &mut Build<'_>) -> Result<Outcome>,
    ) -> Result<()> {
        let known = if build.options.no_cache {
            None
        } else {
            build.cache.find(build.store, key)?
        };
        let record = if let Some(record) = known {
            build.report.cached(step);
            record
        } else {
            let outcome = work(self, build)?;
            let record = self.record(build, step, outcome)?;
            build.cache.note(key, &record)?;
            record
        };
        let history = History {
            created: Some(record.created.clone()),
            created_by: Some(created_by),
            comment: Some("windlass-img build".to_owned()),
            ..History::default()
        };
        self.edit
            .config()
            .insert("created".to_owned(), record.created.clone().into());
        match record.layer {
            Some(RecordedLayer {
                descriptor,
                diff_id,
                ..
            }) => {
                self.edit.add_stored_layer(&descriptor, &diff_id, history)?;
                self.layers.push(StageLayer {
                    descriptor,
                    diff_id,
                });
            }
            None => self.edit.add_change(&history)?,
        }
        Ok(())
    }

    fn record(&self, build: &Build<'_>, step: &Step, outcome: Outcome) -> Result<Record> {
        let created = date::now_or_epoch()?;
        let Outcome::Files(workplace) = outcome else {
            return Ok(Record {
                created,
                layer: None,
            });
        };
        let diff_ids = self.layers.iter().map(|layer| &layer.diff_id);
        let below = build.store.chain_of(&diff_ids.cloned().collect::<Vec<_>>());
        let compression = build
            .options
            .compression
            .unwrap_or_else(|| self.edit.usual_compression());
        let latest = date::source_date_epoch()?;
        let layer = workplace.seal(build.store, &below, compression, latest)?;
        let layer = layer.map(|layer| {
            let descriptor = layer.descriptor();
            build
                .report
                .layer(step, &descriptor.digest.to_string(), descriptor.size);
            let below = self.layers.iter().map(|layer| &layer.diff_id);
            let chain = chain_ids(below.chain([&layer.diff_id]));
            RecordedLayer {
                descriptor,
                chain_id: chain
                    .last()
                    .cloned()
                    .unwrap_or_else(|| layer.diff_id.clone()),
                diff_id: layer.diff_id,
            }
        });
        Ok(Record { created, layer })
    }

    fn refresh_scope(&mut self) -> Result<()> {
        let environment = configuration::texts(self.edit.process()?, "Env");
        self.scope.set_environment(&environment);
        Ok(())
    }

    /// A path as WORKDIR and COPY mean it: from the working directory on.
    pub(super) fn absolute(&mut self, path: &str) -> Result<String> {
        let mut components: Vec<String> = Vec::new();
        let start = if path.starts_with('/') {
            String::new()
        } else {
            configuration::text(self.edit.process()?, "WorkingDir").to_owned()
        };
        for component in start.split('/').chain(path.split('/')) {
            match component {
                "" | "." => {}
                ".." => drop(components.pop()),
                component => components.push(component.to_owned()),
            }
        }
        Ok(format!("/{}", components.join("/")))
    }

    /// The arguments that a RUN sees, `NAME=value`.
    pub(super) fn arguments(&self) -> BTreeMap<String, String> {
        let arguments = self.scope.arguments();
        arguments
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// What an instruction says of the configuration.
pub(super) fn configure(
    process: &mut Process,
    instruction: &Instruction,
    scope: &Scope,
    cmd_is_ours: bool,
) -> Result<()> {
    match instruction {
        Instruction::Env(pairs) => {
            // All of one ENV see what was before it.
            for (name, value) in pairs {
                configuration::set_variable(process, &scope.word(name)?, &scope.word(value)?)?;
            }
        }
        Instruction::Label(pairs) => {
            for (name, value) in pairs {
                configuration::set_label(process, scope.word(name)?, scope.word(value)?)?;
            }
        }
        Instruction::User(user) => {
            process.insert("User".to_owned(), scope.word(user)?.into());
        }
        Instruction::Expose(text) => {
            for word in scope.words(text)? {
                for port in configuration::ports(&word)? {
                    configuration::add_name(process, "ExposedPorts", port)?;
                }
            }
        }
        Instruction::Volume(paths) => {
            for path in paths {
                let path = scope.word(path)?;
                if path.trim().is_empty() {
                    bail!("a volume needs a path");
                }
                configuration::add_name(process, "Volumes", path)?;
            }
        }
        Instruction::Cmd(command) => configuration::set_cmd(process, command),
        Instruction::Entrypoint(command) => {
            configuration::set_entrypoint(process, command, cmd_is_ours);
        }
        Instruction::Shell(shell) => {
            process.insert("Shell".to_owned(), shell.clone().into());
        }
        Instruction::StopSignal(text) => {
            let signal = configuration::signal(scope.word(text)?)?;
            process.insert("StopSignal".to_owned(), signal.into());
        }
        Instruction::Healthcheck(check) => configuration::set_healthcheck(process, check),
        Instruction::Onbuild(text) => configuration::add_trigger(process, text)?,
        // Nothing of theirs is in the process's configuration.
        Instruction::From(_)
        | Instruction::Run(_)
        | Instruction::Copy(_)
        | Instruction::Arg(_)
        | Instruction::Workdir(_)
        | Instruction::Maintainer(_) => {}
    }
    Ok(())
}
