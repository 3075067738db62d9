//! One instruction: its options and arguments, variables not yet replaced.

use anyhow::{Context, Result, bail};

use super::Place;
use super::duration::nanoseconds;
use super::flags::Flags;
use super::heredoc::{self, Heredoc};
use super::lines::Line;
use super::mount::{Mount, Network};
use super::words;

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it begins.
    pub place: Place,
    /// Its name, in capitals.
    pub keyword: String,
    /// What follows its name, as written, for people.
    pub text: String,
    /// What it is.
    pub instruction: Instruction,
}

/// What a Dockerfile can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Begins a stage.
    From(From),
    /// Runs a command.
    Run(Run),
    /// COPY and ADD.
    Copy(Box<Copy>),
    /// Variables for this stage, with defaults.
    Arg(Vec<(String, Option<String>)>),
    /// Variables for this stage and the image.
    Env(Vec<(String, String)>),
    /// Notes about the image.
    Label(Vec<(String, String)>),
    /// Where commands run.
    Workdir(String),
    /// As whom.
    User(String),
    /// Ports that the image listens on.
    Expose(String),
    /// Directories that hold data.
    Volume(Vec<String>),
    /// What the image runs, or arguments to it.
    Cmd(Command),
    /// What the image runs.
    Entrypoint(Command),
    /// What runs commands in shell form.
    Shell(Vec<String>),
    /// What ends the image's process.
    StopSignal(String),
    /// How to find out whether the image's process is well.
    Healthcheck(Healthcheck),
    /// An instruction for images built from this one, as it is written.
    Onbuild(String),
    /// Who made the image.
    Maintainer(String),
}

/// FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The image, or an earlier stage.
    pub image: String,
    /// The stage's name.
    pub name: Option<String>,
    /// Which image of an index.
    pub platform: Option<String>,
}

/// A command: of a shell, or a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: RunCommand,
    /// What is there only while it runs.
    pub mounts: Vec<Mount>,
    /// Its network; the build's unless said.
    pub network: Option<Network>,
}

/// What RUN runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    /// A command.
    Command(Command),
    /// A here-document that begins with `#!`: a program of its own.
    Script(String),
}

/// COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// ADD: archives are unpacked, URLs fetched.
    pub is_add: bool,
    /// What to copy.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// The stage or image to copy from, instead of the context.
    pub from: Option<String>,
    /// `USER[:GROUP]`.
    pub chown: Option<String>,
    /// Permissions.
    pub chmod: Option<String>,
    /// The layer stands on its own.
    pub link: bool,
    /// The sources' directories come too.
    pub parents: bool,
    /// What not to copy.
    pub excludes: Vec<String>,
    /// What a URL's content has to be.
    pub checksum: Option<String>,
    /// Whether ADD unpacks archives: local ones unless said, fetched ones if said.
    pub unpack: Option<bool>,
}

/// Something to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, a URL.
    Path(String),
    /// A here-document.
    Document(Heredoc),
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healthcheck {
    /// The command; nothing for `NONE`.
    pub command: Option<Command>,
    /// Nanoseconds.
    pub interval: Option<i64>,
    /// Nanoseconds.
    pub timeout: Option<i64>,
    /// Nanoseconds.
    pub start_period: Option<i64>,
    /// Nanoseconds.
    pub start_interval: Option<i64>,
    /// How many failures in a row mean something.
    pub retries: Option<u32>,
}

impl Statement {
    /// Reads an instruction.
    pub fn parse(line: &Line, escape: char) -> Result<Self> {
        let instruction = parse(line, escape).map_err(|error| {
            let known = KEYWORDS.contains(&line.keyword.as_str());
            line.place
                .error(if known { &line.keyword } else { "" }, &error)
        })?;
        Ok(Statement {
            place: line.place.clone(),
            keyword: line.keyword.clone(),
            text: line.rest.trim_end().to_owned(),
            instruction,
        })
    }
}

const KEYWORDS: [&str; 18] = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ARG",
    "ENV",
    "LABEL",
    "WORKDIR",
    "USER",
    "EXPOSE",
    "VOLUME",
    "CMD",
    "ENTRYPOINT",
    "SHELL",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "ONBUILD",
    "MAINTAINER",
];

fn parse(line: &Line, escape: char) -> Result<Instruction> {
    let (mut flags, rest) = match line.keyword.as_str() {
        "FROM" | "RUN" | "COPY" | "ADD" | "HEALTHCHECK" => Flags::take(&line.rest),
        _ => Flags::none(&line.rest),
    };
    let rest = rest.trim();
    if rest.is_empty() && KEYWORDS.contains(&line.keyword.as_str()) {
        bail!("it needs an argument");
    }
    let words = || words::split(rest, escape);
    let instruction = match line.keyword.as_str() {
        "FROM" => Instruction::From(from(&mut flags, rest)?),
        "RUN" => Instruction::Run(run(&mut flags, rest, &line.heredocs)?),
        "COPY" | "ADD" => Instruction::Copy(Box::new(copy(&mut flags, line, rest, escape)?)),
        "ARG" => Instruction::Arg(
            words()
                .iter()
                .map(|word| arg(word))
                .collect::<Result<_>>()?,
        ),
        "ENV" => Instruction::Env(pairs(rest, escape)?),
        "LABEL" => Instruction::Label(pairs(rest, escape)?),
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        "USER" => Instruction::User(rest.to_owned()),
        "EXPOSE" => Instruction::Expose(rest.to_owned()),
        "VOLUME" => Instruction::Volume(match json_list(rest)? {
            Some(list) => list,
            None => words(),
        }),
        "CMD" => Instruction::Cmd(command(rest)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)?),
        "SHELL" => match json_list(rest)? {
            Some(shell) if !shell.is_empty() => Instruction::Shell(shell),
            _ => bail!("it takes a list in JSON: [\"/bin/sh\", \"-c\"]"),
        },
        "STOPSIGNAL" => Instruction::StopSignal(rest.to_owned()),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(&mut flags, rest)?),
        "ONBUILD" => Instruction::Onbuild(onbuild(line, rest, escape)?),
        "MAINTAINER" => Instruction::Maintainer(rest.to_owned()),
        other => bail!("there is no instruction '{}'", other.escape_debug()),
    };
    flags.end()?;
    Ok(instruction)
}

fn from(flags: &mut Flags<'_>, rest: &str) -> Result<From> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, r#as, name] if r#as.eq_ignore_ascii_case("as") => (image, Some(name)),
        _ => bail!("it takes IMAGE, or IMAGE AS NAME"),
    };
    // docker/dockerfile: a letter, then letters, digits and -_. ; capitals mean the same.
    let name = name.map(str::to_ascii_lowercase);
    if let Some(name) = &name {
        let rest_is_fine =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(rest_is_fine) {
            bail!("'{}' is no name for a stage", name.escape_debug());
        }
    }
    Ok(From {
        image: image.to_owned(),
        name,
        platform: flags.value("platform")?,
    })
}

fn run(flags: &mut Flags<'_>, rest: &str, heredocs: &[Heredoc]) -> Result<Run> {
    let mounts = flags.values("mount")?;
    let mounts = mounts
        .iter()
        .map(|text| Mount::parse(text).with_context(|| format!("--mount={}", text.escape_debug())));
    if let Some(security) = flags.value("security")?
        && security != "sandbox"
    {
        bail!("--security={security}: a build step has no more rights than a container (sandbox)");
    }
    Ok(Run {
        mounts: mounts.collect::<Result<_>>()?,
        network: flags
            .value("network")?
            .as_deref()
            .map(Network::parse)
            .transpose()?,
        command: run_command(rest, heredocs)?,
    })
}

fn run_command(rest: &str, heredocs: &[Heredoc]) -> Result<RunCommand> {
    if heredocs.is_empty() {
        return Ok(RunCommand::Command(command(rest)?));
    }
    if let [document] = heredocs
        && heredoc::announcement(rest).is_some()
    {
        let content = document.content.clone();
        return Ok(if content.starts_with("#!") {
            RunCommand::Script(content)
        } else {
            RunCommand::Command(Command::Shell(content))
        });
    }
    Ok(RunCommand::Command(Command::Shell(with_documents(
        rest, heredocs,
    ))))
}

/// A line with its documents behind it, as a shell reads them.
fn with_documents(rest: &str, heredocs: &[Heredoc]) -> String {
    let mut text = rest.to_owned();
    for document in heredocs {
        text.push('\n');
        text.push_str(&document.content);
        text.push_str(&document.name);
    }
    text
}

fn command(rest: &str) -> Result<Command> {
    Ok(match json_list(rest)? {
        Some(list) => Command::Exec(list),
        None => Command::Shell(rest.to_owned()),
    })
}

/// A list of texts in JSON; nothing if it is something else, which then is a shell's.
fn json_list(rest: &str) -> Result<Option<Vec<String>>> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(rest) {
        Ok(values) => {
            let texts = values.into_iter().map(|value| match value {
                serde_json::Value::String(text) => Ok(text),
                other => bail!("{other} in the list is not a text in double quotes"),
            });
            Ok(Some(texts.collect::<Result<_>>()?))
        }
        Err(_) => Ok(None),
    }
}

fn copy(flags: &mut Flags<'_>, line: &Line, rest: &str, escape: char) -> Result<Copy> {
    let is_add = line.keyword == "ADD";
    let mut documents = line.heredocs.iter();
    let mut sources = match json_list(rest)? {
        Some(list) => list.into_iter().map(Source::Path).collect::<Vec<_>>(),
        None => copy_words(rest, escape)
            .into_iter()
            .map(|word| match heredoc::announcement(&word) {
                Some(_) => Ok(Source::Document(
                    documents.next().context("a document is missing")?.clone(),
                )),
                None => Ok(Source::Path(word)),
            })
            .collect::<Result<_>>()?,
    };
    let Some(Source::Path(destination)) = sources.pop() else {
        bail!("a here-document can't be the destination");
    };
    if sources.is_empty() {
        bail!("it takes one or more sources, and a destination");
    }
    let mut copy = Copy {
        is_add,
        sources,
        destination,
        from: None,
        chown: flags.value("chown")?,
        chmod: flags.value("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        parents: false,
        excludes: flags.values("exclude")?,
        checksum: None,
        unpack: None,
    };
    if is_add {
        copy.checksum = flags.value("checksum")?;
        copy.unpack = flags.switch("unpack")?;
    } else {
        copy.from = flags.value("from")?;
        copy.parents = flags.switch("parents")?.unwrap_or(false);
    }
    Ok(copy)
}

/// Words of COPY: `<< NAME` is one.
fn copy_words(rest: &str, escape: char) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in words::split(rest, escape) {
        match words.last_mut() {
            Some(last) if matches!(last.as_str(), "<<" | "<<-") => last.push_str(&word),
            _ => words.push(word),
        }
    }
    words
}

fn arg(word: &str) -> Result<(String, Option<String>)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if name.is_empty() {
        bail!("'{}' has no name", word.escape_debug());
    }
    Ok((name.to_owned(), value))
}

/// `NAME=VALUE …`, or, from the old days, `NAME VALUE`.
fn pairs(rest: &str, escape: char) -> Result<Vec<(String, String)>> {
    let words = words::split(rest, escape);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let Some((name, value)) = rest.split_once(char::is_whitespace) else {
            bail!("it takes NAME=VALUE …");
        };
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    let pairs = words.iter().map(|word| match word.split_once('=') {
        Some(("", _)) => bail!("'{}' has no name", word.escape_debug()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("'{}' is not NAME=VALUE", word.escape_debug()),
    });
    pairs.collect()
}

fn healthcheck(flags: &mut Flags<'_>, rest: &str) -> Result<Healthcheck> {
    let (kind, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let text = text.trim();
    let duration = |name: &str, flags: &mut Flags<'_>| -> Result<Option<i64>> {
        let Some(text) = flags.value(name)? else {
            return Ok(None);
        };
        let nanoseconds = nanoseconds(&text).with_context(|| format!("--{name}"))?;
        // Docker: 0 is the default, and what is shorter than a millisecond no time.
        if nanoseconds != 0 && nanoseconds < 1_000_000 {
            bail!("--{name} is shorter than 1ms");
        }
        Ok(Some(nanoseconds).filter(|nanoseconds| *nanoseconds != 0))
    };
    let check = Healthcheck {
        interval: duration("interval", flags)?,
        timeout: duration("timeout", flags)?,
        start_period: duration("start-period", flags)?,
        start_interval: duration("start-interval", flags)?,
        retries: match flags.value("retries")? {
            None => None,
            Some(text) => Some(
                text.parse()
                    .ok()
                    .context("--retries is a number, 0 or more")?,
            ),
        }
        .filter(|retries| *retries != 0),
        command: None,
    };
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if text.is_empty() && check == Healthcheck::default() => Ok(check),
        "NONE" => bail!("NONE takes neither options nor arguments"),
        "CMD" if text.is_empty() => bail!("a command is missing behind CMD"),
        "CMD" => Ok(Healthcheck {
            command: Some(command(text)?),
            ..check
        }),
        other => bail!(
            "it takes NONE, or CMD and a command, not '{}'",
            other.escape_debug()
        ),
    }
}

/// A trigger is checked now, so that whoever writes it learns of a slip, and kept as text.
fn onbuild(line: &Line, rest: &str, escape: char) -> Result<String> {
    let (keyword, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let keyword = keyword.to_ascii_uppercase();
    if matches!(keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        bail!("{keyword} can't be triggered");
    }
    let inner = Line {
        keyword: keyword.clone(),
        rest: arguments.trim_start().to_owned(),
        ..line.clone()
    };
    parse(&inner, escape).with_context(|| keyword)?;
    Ok(with_documents(rest, &line.heredocs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::lines;

    fn parsed(text: &str) -> Result<Instruction> {
        let lines = lines::read(text, "Dockerfile")?;
        Ok(Statement::parse(&lines.lines[0], lines.escape)?.instruction)
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn from_has_three_forms() {
        let Instruction::From(from) =
            parsed("FROM --platform=$BUILDPLATFORM a/b:${T:-1} As Build-1").unwrap()
        else {
            panic!("not FROM");
        };
        assert_eq!(from.image, "a/b:${T:-1}");
        assert_eq!(from.name.as_deref(), Some("build-1"));
        assert_eq!(from.platform.as_deref(), Some("$BUILDPLATFORM"));
        for text in [
            "FROM",
            "FROM a b",
            "FROM a AS",
            "FROM a AS 1x",
            "FROM --x=1 a",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exec_form_is_json() {
        let run = |text: &str| match parsed(text).unwrap() {
            Instruction::Run(run) => run.command,
            other => panic!("{other:?}"),
        };
        let exec = |list: &[&str]| RunCommand::Command(Command::Exec(strings(list)));
        let shell = |text: &str| RunCommand::Command(Command::Shell(text.to_owned()));
        assert_eq!(run("RUN [\"a\", \"b\\\"c\"]"), exec(&["a", "b\"c"]));
        assert_eq!(run("RUN ['a']"), shell("['a']"));
        assert_eq!(run("RUN [ -d /x ] && y"), shell("[ -d /x ] && y"));
        assert!(parsed("RUN [\"a\", 1]").is_err());
        assert_eq!(run("RUN <<EOF\na\nb\nEOF"), shell("a\nb\n"));
        assert_eq!(
            run("RUN <<EOF\n#!/bin/x\nEOF"),
            RunCommand::Script("#!/bin/x\n".into())
        );
        assert_eq!(
            run("RUN sh <<A 3<<B\na\nA\nb\nB"),
            shell("sh <<A 3<<B\na\nA\nb\nB")
        );
        assert_eq!(run("RUN -- --x"), shell("--x"));
    }

    #[test]
    fn pairs_have_two_forms() {
        assert_eq!(
            parsed("ENV a=b\\ c d=\"e f\" g='h i'").unwrap(),
            Instruction::Env(vec![
                pair("a", "b\\ c"),
                pair("d", "\"e f\""),
                pair("g", "'h i'")
            ])
        );
        assert_eq!(
            parsed("ENV old  style value").unwrap(),
            Instruction::Env(vec![pair("old", "style value")])
        );
        assert_eq!(
            parsed("LABEL \"com.x y\"=z multi=\"a \\\nb\"").unwrap(),
            Instruction::Label(vec![pair("\"com.x y\"", "z"), pair("multi", "\"a b\"")])
        );
        for text in ["ENV", "ENV a", "ENV a=b c", "ENV =b", "ARG =b"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn copies() {
        let copy = |text: &str| match parsed(text).unwrap() {
            Instruction::Copy(copy) => *copy,
            other => panic!("{other:?}"),
        };
        let found = copy("COPY --from=b --chown=1:2 --chmod=755 --link [\"a b\", \"c\"]");
        assert_eq!(found.sources, [Source::Path("a b".into())]);
        assert_eq!((found.destination.as_str(), found.link), ("c", true));
        assert_eq!(found.from.as_deref(), Some("b"));
        let found = copy("COPY <<A x <<-B /d/\na\nA\n\tb\nB");
        assert!(matches!(&found.sources[0], Source::Document(d) if d.content == "a\n"));
        assert!(matches!(&found.sources[2], Source::Document(d) if d.content == "b\n"));
        for text in [
            "COPY a",
            "COPY",
            "COPY --link=maybe a b",
            "ADD --from=x a b",
            "COPY a <<E\nE",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn healthchecks() {
        let check = |text: &str| match parsed(text).unwrap() {
            Instruction::Healthcheck(check) => check,
            other => panic!("{other:?}"),
        };
        assert_eq!(check("HEALTHCHECK NONE"), Healthcheck::default());
        let found = check("HEALTHCHECK --interval=5s --retries=3 CMD [\"a\"]");
        assert_eq!(
            (found.interval, found.retries),
            (Some(5_000_000_000), Some(3))
        );
        assert_eq!(found.command, Some(Command::Exec(strings(&["a"]))));
        for text in [
            "HEALTHCHECK",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --retries=x CMD a",
            "HEALTHCHECK a",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn triggers_are_text() {
        assert_eq!(
            parsed("ONBUILD copy <<E /x\na\nE").unwrap(),
            Instruction::Onbuild("copy <<E /x\na\nE".into())
        );
        for text in [
            "ONBUILD FROM a",
            "ONBUILD ONBUILD RUN a",
            "ONBUILD FOO",
            "ONBUILD COPY a",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        let error = parsed("\n\nCOPY a").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "Dockerfile:3: COPY: it takes one or more sources, and a destination"
        );
        let error = parsed("FOO a").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "Dockerfile:1: there is no instruction 'FOO'"
        );
    }
}
