//! The stages of a Dockerfile, and the variables that stand before the first.

use anyhow::{Result, bail};

use super::instruction::{From, Instruction, Statement};
use super::{Place, lines};

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What escapes a character.
    pub escape: char,
    /// ARGs before the first FROM: for FROMs.
    pub arguments: Vec<Statement>,
    /// The stages, one at least.
    pub stages: Vec<Stage>,
    /// What was read other than its writer may have meant it.
    pub warnings: Vec<String>,
}

/// FROM and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where FROM stands.
    pub place: Place,
    /// FROM's arguments as written.
    pub text: String,
    /// What it builds on, its name.
    pub from: From,
    /// What it does.
    pub statements: Vec<Statement>,
}

impl Dockerfile {
    /// Reads a Dockerfile. `file` is its name for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let read = lines::read(text, file)?;
        let mut dockerfile = Dockerfile {
            escape: read.escape,
            arguments: Vec::new(),
            stages: Vec::new(),
            warnings: read.warnings,
        };
        for line in &read.lines {
            dockerfile.add(Statement::parse(line, read.escape)?)?;
        }
        if dockerfile.stages.is_empty() {
            bail!("{file}: there is no FROM in it");
        }
        Ok(dockerfile)
    }

    fn add(&mut self, statement: Statement) -> Result<()> {
        if let Instruction::From(from) = statement.instruction {
            let taken = |stage: &Stage| from.name.is_some() && stage.from.name == from.name;
            if let Some(stage) = self.stages.iter().find(|stage| taken(stage)) {
                let name = from.name.unwrap_or_default();
                bail!(
                    "{}: FROM: there is a stage '{name}' already, at {}",
                    statement.place,
                    stage.place
                );
            }
            self.stages.push(Stage {
                place: statement.place,
                text: statement.text,
                from,
                statements: Vec::new(),
            });
            return Ok(());
        }
        match (self.stages.last_mut(), &statement.instruction) {
            (Some(stage), _) => stage.statements.push(statement),
            (None, Instruction::Arg(_)) => self.arguments.push(statement),
            (None, _) => bail!(
                "{}: {}: only ARG can stand before the first FROM",
                statement.place,
                statement.keyword
            ),
        }
        Ok(())
    }

    /// The stage that `name` names, by name or number, of those before `before`.
    pub fn stage(&self, name: &str, before: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let named = |stage: &Stage| stage.from.name.as_ref() == Some(&lower);
        let number = name.parse().ok().filter(|number| *number < before);
        self.stages[..before.min(self.stages.len())]
            .iter()
            .position(named)
            .or(number)
    }

    /// The stage to build: the last unless `target` says another.
    pub fn target(&self, target: Option<&str>) -> Result<usize> {
        let Some(target) = target else {
            return Ok(self.stages.len() - 1);
        };
        if let Some(stage) = self.stage(target, self.stages.len()) {
            return Ok(stage);
        }
        let names: Vec<&str> = self
            .stages
            .iter()
            .filter_map(|stage| stage.from.name.as_deref())
            .collect();
        bail!(
            "there is no stage '{}' (there are: {})",
            target.escape_debug(),
            names.join(", ")
        );
    }
}

/// The statements that an image wants carried out by who builds on it. `image` is its name.
pub fn triggers(texts: &[String], image: &str) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let file = format!("ONBUILD of {image}");
        let mut read = lines::read(text, &file)?;
        let [line] = &mut read.lines[..] else {
            bail!("{file}: trigger {} is not one instruction", number + 1);
        };
        line.place.line = number + 1;
        let statement = Statement::parse(line, '\\')?;
        if matches!(
            statement.instruction,
            Instruction::From(_) | Instruction::Onbuild(_)
        ) {
            bail!(
                "{}: {} can't be triggered",
                statement.place,
                statement.keyword
            );
        }
        statements.push(statement);
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_names_and_numbers() {
        let text = "ARG v=1\nFROM a:$v AS One\nRUN x\nFROM b\nFROM one AS three\nCMD y\n";
        let file = Dockerfile::parse(text, "Dockerfile").unwrap();
        assert_eq!((file.arguments.len(), file.stages.len()), (1, 3));
        assert_eq!(file.stage("ONE", 3), Some(0));
        assert_eq!(file.stage("1", 2), Some(1));
        assert_eq!(file.stage("three", 2), None);
        assert_eq!(file.stage("2", 2), None);
        assert_eq!(file.target(None).unwrap(), 2);
        assert_eq!(file.target(Some("one")).unwrap(), 0);
        assert!(file.target(Some("four")).is_err());
        for text in [
            "",
            "RUN x\nFROM a",
            "FROM a AS b\nFROM c AS B",
            "# only a comment",
        ] {
            assert!(Dockerfile::parse(text, "Dockerfile").is_err(), "{text}");
        }
    }

    #[test]
    fn triggers_are_instructions() {
        let texts = ["RUN a".to_owned(), "COPY <<E /x\nb\nE".to_owned()];
        assert_eq!(triggers(&texts, "base").unwrap().len(), 2);
        assert!(triggers(&["FROM x".to_owned()], "base").is_err());
        assert!(triggers(&["RUN a\nRUN b".to_owned()], "base").is_err());
    }
}
