//! RUN.

use anyhow::{Context, Error, Result, anyhow, bail};

use super::Build;
use super::configuration;
use super::dockerfile::instruction::{Run, RunCommand, Statement};
use super::dockerfile::mount::{Bind, Cache, Mount, MountKind, Network};
use super::report::Step;
use super::run::{Command, Prepared, Sources, StepNetwork};
use super::stage::{Outcome, Stage};
use super::steps::content;
use super::steps::tree::Tree;
use crate::build::context::ignore::Ignore;
use crate::layout::platform::WantedPlatform;
use crate::network::NetworkMode;
use crate::sys::signal::Interrupted;

/// Where a here-document that is a program lies: docker/dockerfile has it there too.
const SCRIPT: &str = "/dev/pipes/script";

/// Carries it out.
pub(super) fn carry_out(
    stage: &mut Stage,
    build: &mut Build<'_>,
    run: &Run,
    statement: &Statement,
    step: &Step,
) -> Result<()> {
    let arguments = match &run.command {
        RunCommand::Command(command) => configuration::arguments(stage.edit.process()?, command),
        RunCommand::Script(_) => vec![SCRIPT.to_owned()],
    };
    let build_arguments = stage.arguments();
    let network = match run.network {
        None | Some(Network::Default) => build.options.network.clone(),
        Some(Network::None) => NetworkMode::None,
        Some(Network::Host) => NetworkMode::Host,
    };
    let mounts = resolve_mounts(stage, run)?;
    let mut key = stage.key(&statement.keyword)?;
    for argument in &arguments {
        key.add("argument", argument.as_bytes());
    }
    if let RunCommand::Script(script) = &run.command {
        key.add("script", script.as_bytes());
    }
    for (name, value) in &build_arguments {
        key.add("build argument", format!("{name}={value}").as_bytes());
    }
    key.add("network", format!("{network:?}").as_bytes());
    for host in &build.options.added_hosts {
        key.add("host", format!("{host:?}").as_bytes());
    }
    for mount in &mounts {
        key.add("mount", format!("{mount:?}").as_bytes());
        if let Some((from, source)) = copied(mount) {
            let mut tree = build.tree(from)?;
            let found = tree.find_one(if source.is_empty() { "/" } else { source })?;
            content::add(&mut key, &tree, &found, &Ignore::default(), true)?;
        }
    }
    let key = key.finish();
    let shown: Vec<String> = build_arguments
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let command = arguments.join(" ");
    // Docker's way to say which build arguments a step has seen.
    let created_by = if shown.is_empty() {
        format!("RUN {command}")
    } else {
        format!("RUN |{} {} {command}", shown.len(), shown.join(" "))
    };
    stage.with_cache(build, step, &key, created_by, |stage, build| {
        let process = stage.edit.process()?;
        let mut environment = configuration::texts(process, "Env");
        let proxies = build.inputs.arguments.proxies();
        environment.extend(proxies.map(|(name, value)| format!("{name}={value}")));
        environment.extend(shown);
        let command = Command {
            arguments,
            environment,
            directory: Some(configuration::text(process, "WorkingDir").to_owned())
                .filter(|directory| !directory.is_empty())
                .unwrap_or_else(|| "/".to_owned()),
            user: configuration::text(process, "User").to_owned(),
        };
        let chain = stage.chain(build)?;
        let workplace = build.workplace(&chain)?;
        let directory = build.runner()?.new_directory()?;
        let mut prepared = Prepared::new(directory, workplace.directory("copies"));
        if let RunCommand::Script(script) = &run.command {
            prepared.add_file("script", script.as_bytes(), SCRIPT)?;
        }
        for mount in &mounts {
            let target = target(stage, mount)?;
            let (store, secrets) = (build.store, build.inputs.secrets);
            prepared
                .add(mount, &target, store, build, secrets)
                .with_context(|| format!("--mount of {target}"))?;
        }
        let network = StepNetwork::find(&network, &build.options.added_hosts, build.store)?;
        let runner = build.runner()?;
        runner
            .run(step, &command, &prepared, &network, &workplace, &chain)
            .map_err(|error| with_platform(error, &stage.platform))?;
        runner.forget(prepared)?;
        Ok(Outcome::Files(workplace))
    })
}

/// Says of a step that is for another machine what it may have failed for.
fn with_platform(error: Error, platform: &WantedPlatform) -> Error {
    let ours = WantedPlatform::default().architecture;
    if platform.architecture == ours || error.is::<Interrupted>() {
        return error;
    }
    anyhow!(
        "{error:#} (the stage is for {platform}, the machine {ours}: is there an emulator for its \
         programs, registered with binfmt_misc?)"
    )
}

impl Sources for Build<'_> {
    fn tree(&mut self, from: Option<&str>) -> Result<Tree> {
        Build::tree(self, from)
    }
}

/// Mounts with their variables replaced.
fn resolve_mounts(stage: &Stage, run: &Run) -> Result<Vec<Mount>> {
    let word = |text: &String| stage.scope.word(text);
    let mut mounts = run.mounts.clone();
    for mount in &mut mounts {
        mount.target = mount.target.as_ref().map(word).transpose()?;
        match &mut mount.kind {
            MountKind::Bind(bind) => bind.source = word(&bind.source)?,
            MountKind::Cache(cache) => {
                cache.source = word(&cache.source)?;
                cache.id = cache.id.as_ref().map(word).transpose()?;
            }
            MountKind::Secret(secret) => secret.id = secret.id.as_ref().map(word).transpose()?,
            MountKind::Tmpfs(_) => {}
        }
    }
    Ok(mounts)
}

/// What of a mount the step's result depends on: the content of a bind, not of a cache.
fn copied(mount: &Mount) -> Option<(Option<&str>, &str)> {
    match &mount.kind {
        MountKind::Bind(Bind { source, from, .. }) => Some((from.as_deref(), source)),
        MountKind::Cache(Cache { .. }) | MountKind::Tmpfs(_) | MountKind::Secret(_) => None,
    }
}

/// Where a mount is to be, as an absolute path.
fn target(stage: &mut Stage, mount: &Mount) -> Result<String> {
    let target = match (&mount.target, &mount.kind) {
        (Some(target), _) => target.clone(),
        (None, MountKind::Secret(secret)) => {
            let id = secret.id.as_deref().unwrap_or_default();
            format!("/run/secrets/{id}")
        }
        (None, _) => bail!("a target is missing"),
    };
    let target = stage.absolute(&target)?;
    if target == "/" {
        bail!("nothing can be mounted over the root directory");
    }
    Ok(target)
}
