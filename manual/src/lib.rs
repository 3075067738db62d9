//! Man pages and completions, generated from what the programs' command lines are parsed with, and
//! kept in `docs/`.
//!
//! Only the programs' tests use this: nothing of it is in a program. Each program's test calls
//! [`keep`], which fails where `docs/` says something else than the program does; `scripts/manual`
//! runs these tests so that they write instead.

mod man_page;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// Set by `scripts/manual`.
const WRITE: &str = "WINDLASS_WRITE_MANUAL";

/// Checks that `docs/man/PROGRAM` and the program's files in `docs/completions` are what its command
/// line gives, or writes them.
pub fn keep(mut program: Command) -> Result<(), String> {
    // Else the version of the test's own package would be everybody's.
    program.build();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
    let name = program.get_name().to_owned();
    let pages = docs.join("man").join(&name);
    let mut files = completions(&mut program, &docs.join("completions"));
    files.extend(man_pages(program, &pages).map_err(|error| error.to_string())?);
    if std::env::var_os(WRITE).is_some() {
        return write(&files, &pages).map_err(|error| format!("docs of {name}: {error}"));
    }
    let outdated: Vec<String> = outdated(&files, &pages)
        .iter()
        .map(|path| {
            path.strip_prefix(&docs)
                .unwrap_or(path)
                .display()
                .to_string()
        })
        .collect();
    if outdated.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not what {name} --help says any more: docs/{} (run scripts/manual)",
        outdated.join(", docs/")
    ))
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A page for the program and one for each of its verbs, verbs of verbs too.
fn man_pages(program: Command, directory: &Path) -> io::Result<Files> {
    let version = program.get_version().unwrap_or_default().to_owned();
    let mut files = Files::new();
    let mut waiting = vec![program];
    while let Some(command) = waiting.pop() {
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        waiting.extend(verbs.filter(|verb| verb.get_name() != "help").cloned());
        let path = directory.join(format!("{}.1", name_of(&command)));
        files.insert(path, man_page::man_page(command, &version)?);
    }
    Ok(files)
}

/// `windlass-img`, `windlass-img-volume-create`.
fn name_of(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn completions(program: &mut Command, directory: &Path) -> Files {
    let name = program.get_name().to_owned();
    let shells = [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ];
    shells
        .into_iter()
        .map(|(shell, file)| {
            let mut text = Vec::new();
            clap_complete::generate(shell, program, &name, &mut text);
            (directory.join(file), text)
        })
        .collect()
}

fn write(files: &Files, pages: &Path) -> io::Result<()> {
    for path in stale(files, pages) {
        fs::remove_file(path)?;
    }
    for (path, content) in files {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

/// Files that are there, or not, or otherwise than the program's command line wants them.
fn outdated(files: &Files, pages: &Path) -> Vec<PathBuf> {
    let differs = |(path, content): &(&PathBuf, &Vec<u8>)| {
        fs::read(path).map_or(true, |there| there != **content)
    };
    let mut outdated: Vec<PathBuf> = files
        .iter()
        .filter(differs)
        .map(|(path, _)| path.clone())
        .collect();
    outdated.extend(stale(files, pages));
    outdated
}

/// Pages of verbs that are no more.
fn stale(files: &Files, pages: &Path) -> Vec<PathBuf> {
    let there = fs::read_dir(pages).into_iter().flatten().flatten();
    there
        .map(|entry| entry.path())
        .filter(|path| !files.contains_key(path))
        .collect()
}
