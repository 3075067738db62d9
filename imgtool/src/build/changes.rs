//! Instructions that change an image's configuration alone, given one by one (`commit --change`).

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::configuration;
use super::dockerfile::instruction::{Instruction, Statement};
use super::dockerfile::lines;
use super::stage::configure;
use super::variables::Scope;
use crate::layout::edit::ImageEdit;

/// Instructions of a Dockerfile that say something of the configuration.
#[derive(Debug, Clone)]
pub struct Change(Vec<Statement>);

impl Change {
    /// Reads some instructions: ENV, LABEL, CMD, ENTRYPOINT, USER, WORKDIR, EXPOSE, VOLUME, ONBUILD,
    /// SHELL, STOPSIGNAL and HEALTHCHECK.
    pub fn parse(text: &str) -> Result<Self> {
        let read = lines::read(text, "--change")?;
        if read.lines.is_empty() {
            bail!("'{}' is no instruction", text.escape_debug());
        }
        let statements = read.lines.iter().map(|line| {
            let statement = Statement::parse(line, '\\')?;
            if !says_configuration(&statement.instruction) {
                bail!(
                    "{} makes files or stages, which no change of the configuration can",
                    statement.keyword
                );
            }
            Ok(statement)
        });
        Ok(Change(statements.collect::<Result<_>>()?))
    }
}

/// Makes changes, in order; variables in them are the image's.
pub fn change(edit: &mut ImageEdit, changes: &[Change]) -> Result<()> {
    let mut cmd_is_ours = false;
    for statement in changes.iter().flat_map(|Change(statements)| statements) {
        let process = edit.process()?;
        let mut scope = Scope::new('\\', BTreeMap::new());
        scope.set_environment(&configuration::texts(process, "Env"));
        let instruction = &statement.instruction;
        let changed = if let Instruction::Workdir(path) = instruction {
            scope.word(path).map(|path| {
                let below = configuration::text(process, "WorkingDir");
                let path = std::path::Path::new("/").join(below).join(path);
                process.insert("WorkingDir".to_owned(), path.to_string_lossy().into());
            })
        } else {
            configure(process, instruction, &scope, cmd_is_ours)
        };
        changed.with_context(|| format!("--change {}", statement.keyword))?;
        cmd_is_ours |= matches!(instruction, Instruction::Cmd(_));
    }
    Ok(())
}

fn says_configuration(instruction: &Instruction) -> bool {
    !matches!(
        instruction,
        Instruction::From(_)
            | Instruction::Run(_)
            | Instruction::Copy(_)
            | Instruction::Arg(_)
            | Instruction::Maintainer(_)
    )
}
