//! Manifests as they are in files: gomtree writes the keywords of every file in full, so those of a
//! large tree take more memory than anybody has to spare. What is kept of them is where each path's are.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::places::Places;
use super::vis;
use crate::layer::path::ImagePath;
use crate::memory_budget::MemoryBudget;

/// What a manifest says of a tree.
#[derive(Debug)]
pub struct Manifest {
    lines: Lines,
    keys: RandomState,
    /// Where the entries are, by their paths' hashes: 64 bits that nobody can foresee.
    entries: Places,
    /// Where `/set` and `/unset` are.
    sets: Vec<u64>,
    /// The last of them that was looked up, and what it says.
    set: (u64, Rc<str>),
    /// The names of all keywords that it uses, in their order of appearance.
    keywords: Vec<String>,
}

/// What it says of one file: its own words, and those of the last `/set`.
#[derive(Debug)]
pub(super) struct ManifestEntry {
    own: Box<str>,
    set: Rc<str>,
}

impl ManifestEntry {
    /// All keywords with their values, each once; the entry's own win.
    pub(super) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = words(&self.own);
        let set = words(&self.set)
            .filter(|(name, _)| !words(&self.own).any(|(own_name, _)| own_name == *name));
        own.chain(set)
    }

    /// The value of one keyword.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.words()
            .find(|(word, _)| *word == name)
            .map(|(_, value)| value)
    }
}

fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
}

impl Manifest {
    /// Reads a manifest to its end. What has to be remembered of it is of `memory`.
    pub fn read(file: File, memory: &MemoryBudget) -> Result<Self> {
        let mut manifest = Manifest {
            lines: Lines::of(seekable(file)?),
            keys: RandomState::new(),
            entries: Places::new(memory),
            sets: Vec::new(),
            set: (0, Rc::from("")),
            keywords: Vec::new(),
        };
        manifest.note_entries()?;
        manifest.entries.seal();
        Ok(manifest)
    }

    fn note_entries(&mut self) -> Result<()> {
        let mut walk = Walk::default();
        while let Some(line) = self.lines.next()? {
            let context = || format!("line {}", line.number);
            match walk.line(&line.text).with_context(context)? {
                Step::Nothing => {}
                Step::Set(keywords) => {
                    note_keywords(&mut self.keywords, keywords);
                    self.sets.push(line.place);
                    self.entries
                        .hold_besides(self.sets.capacity() * size_of::<u64>())?;
                }
                Step::Entry(path, keywords) => {
                    note_keywords(&mut self.keywords, keywords);
                    let key = self.keys.hash_one(&path);
                    self.entries.push(key, line.place).with_context(context)?;
                }
            }
        }
        Ok(())
    }

    /// The names of the keywords that it uses; `xattr` for all attributes.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }

    /// What it says of a path; nothing if nothing, and from the second time on.
    pub(super) fn take(&mut self, path: &ImagePath) -> Result<Option<ManifestEntry>> {
        let Some(place) = self.entries.take(self.keys.hash_one(path)) else {
            return Ok(None);
        };
        let line = self.lines.at(place)?;
        let own = Box::from(first_and_rest(&line).1);
        let set = self.set_at(place)?;
        Ok(Some(ManifestEntry { own, set }))
    }

    /// What holds at a place unless its entry says otherwise.
    fn set_at(&mut self, place: u64) -> Result<Rc<str>> {
        let before = self.sets.partition_point(|&set| set < place);
        let Some(&set) = before.checked_sub(1).and_then(|last| self.sets.get(last)) else {
            return Ok(Rc::from(""));
        };
        if self.set.0 != set || self.set.1.is_empty() {
            let line = self.lines.at(set)?;
            let (command, words) = first_and_rest(&line);
            let words = if command == "/set" { words } else { "" };
            self.set = (set, Rc::from(words));
        }
        Ok(self.set.1.clone())
    }

    /// Calls `tell` with each path that hasn't been taken.
    pub(super) fn rest(mut self, mut tell: impl FnMut(ImagePath) -> Result<()>) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.lines.rewind()?;
        let mut walk = Walk::default();
        while let Some(line) = self.lines.next()? {
            if let Step::Entry(path, _) = walk.line(&line.text)?
                && self.entries.find(self.keys.hash_one(&path)) == Some(line.place)
            {
                tell(path)?;
            }
        }
        Ok(())
    }
}

/// The file, or a copy of what comes out of a pipe.
fn seekable(mut file: File) -> Result<File> {
    match file.stream_position() {
        Err(error) if error.kind() == ErrorKind::NotSeekable => {}
        _ => return Ok(file),
    }
    let place = std::env::temp_dir();
    let context = || format!("copy it to {}", place.display());
    let mut copy = tempfile::tempfile().with_context(context)?;
    std::io::copy(&mut file, &mut copy).with_context(context)?;
    copy.rewind().with_context(context)?;
    Ok(copy)
}

fn note_keywords(known: &mut Vec<String>, text: &str) {
    for (name, _) in words(text) {
        let name = name.split('.').next().unwrap_or(name);
        if !known.iter().any(|known| known == name) {
            known.push(name.to_owned());
        }
    }
}

/// A manifest's lines, those that a backslash joins as one.
#[derive(Debug)]
struct Lines {
    source: BufReader<File>,
    position: u64,
    number: u64,
}

struct Line {
    /// Where it begins.
    place: u64,
    /// How many lines of the file there were up to its end.
    number: u64,
    text: String,
}

impl Lines {
    fn of(file: File) -> Self {
        Lines {
            source: BufReader::with_capacity(128 << 10, file),
            position: 0,
            number: 0,
        }
    }

    fn next(&mut self) -> Result<Option<Line>> {
        let place = self.position;
        let mut text = String::new();
        loop {
            let context = || format!("line {}", self.number + 1);
            let count = self.source.read_line(&mut text).with_context(context)?;
            self.position += count as u64;
            self.number += 1;
            let end = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(end);
            // A backslash at its end joins a line to the next; names have none there (vis(3)).
            if count > 0 && text.ends_with('\\') {
                text.pop();
                continue;
            }
            let line = Line {
                place,
                number: self.number,
                text,
            };
            return Ok((self.position > place).then_some(line));
        }
    }

    /// The line that begins at a place. Those of a walk are near one another.
    fn at(&mut self, place: u64) -> Result<String> {
        let offset = place.cast_signed() - self.position.cast_signed();
        self.source.seek_relative(offset).context("lseek")?;
        self.position = place;
        let line = self.next()?;
        Ok(line.context("it was cut while it was read")?.text)
    }

    fn rewind(&mut self) -> Result<()> {
        self.source.seek(SeekFrom::Start(0)).context("lseek")?;
        (self.position, self.number) = (0, 0);
        Ok(())
    }
}

/// Where in the tree its lines are about, one after the other.
#[derive(Default)]
struct Walk {
    /// Where names without a slash are.
    directory: Option<ImagePath>,
}

/// What a line says.
enum Step<'a> {
    Nothing,
    Set(&'a str),
    Entry(ImagePath, &'a str),
}

impl Walk {
    fn line<'a>(&mut self, line: &'a str) -> Result<Step<'a>> {
        let (first, rest) = first_and_rest(line);
        Ok(match first {
            "" => Step::Nothing,
            _ if first.starts_with('#') => Step::Nothing,
            "/set" => Step::Set(rest),
            "/unset" => Step::Set(""),
            _ if first.starts_with('/') => bail!("unknown command '{}'", first.escape_debug()),
            ".." => {
                let above = self
                    .directory
                    .take()
                    .and_then(|directory| directory.split_last().map(|(above, _)| above));
                self.directory = above;
                Step::Nothing
            }
            _ => Step::Entry(self.entry(first, rest)?, rest),
        })
    }

    fn entry(&mut self, name: &str, keywords: &str) -> Result<ImagePath> {
        let bad = || format!("bad name '{}'", name.escape_debug());
        let decoded = vis::decode(name.as_bytes()).with_context(bad)?;
        let own = ImagePath::parse(&decoded).with_context(bad)?;
        let is_full = name.contains('/');
        let path = match &self.directory {
            Some(directory) if !is_full && !own.is_root() => directory.join(own.as_bytes()),
            _ => own,
        };
        let is_directory = words(keywords).any(|word| word == ("type", "dir"));
        if !is_full && is_directory {
            self.directory = Some(path.clone());
        }
        Ok(path)
    }
}

/// A line's first word, and what follows it.
fn first_and_rest(line: &str) -> (&str, &str) {
    let line = line.trim_ascii();
    line.split_once([' ', '\t']).unwrap_or((line, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest> {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.rewind().unwrap();
        Manifest::read(file, &MemoryBudget::default())
    }

    #[test]
    fn manifests_are_read() {
        let text = "#mtree\n\n# .\n/set type=file uid=0 gid=5\n. type=dir mode=0755\n\
            \x20   a\\040b size=3 uid=7\n\
            sub type=dir \\\n    nlink=2\n    file xattr.user.a=YQ==\n..\nlast\n..\nfull/path size=1\n";
        let read = || read(text).unwrap();
        let entry = |name: &[u8]| {
            let path = ImagePath::parse(name).unwrap();
            read().take(&path).unwrap().unwrap()
        };
        let mut manifest = read();
        let taken = ImagePath::parse(b"sub").unwrap();
        assert!(manifest.take(&taken).unwrap().is_some());
        assert!(manifest.take(&taken).unwrap().is_none());
        let mut rest = Vec::new();
        let noted = manifest.rest(|path| {
            rest.push(path.to_string());
            Ok(())
        });
        noted.unwrap();
        assert_eq!(rest, ["/", "/a b", "/sub/file", "/last", "/full/path"]);
        assert_eq!(entry(b".").value("type"), Some("dir"));
        assert_eq!(entry(b"a b").value("uid"), Some("7"));
        assert_eq!(entry(b"a b").value("gid"), Some("5"));
        assert_eq!(
            entry(b"a b")
                .words()
                .filter(|(name, _)| *name == "uid")
                .count(),
            1
        );
        assert_eq!(entry(b"sub").value("nlink"), Some("2"));
        assert_eq!(entry(b"sub/file").value("xattr.user.a"), Some("YQ=="));
        assert_eq!(entry(b"last").value("type"), Some("file"));
        assert_eq!(entry(b"full/path").value("size"), Some("1"));
        let keywords = ["type", "uid", "gid", "mode", "size", "nlink", "xattr"];
        assert_eq!(read().keywords(), keywords);
    }

    #[test]
    fn a_manifest_may_come_out_of_a_pipe() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b". type=dir mode=0755\n").unwrap();
        drop(writer);
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut manifest = Manifest::read(file, &MemoryBudget::default()).unwrap();
        let root = manifest.take(&ImagePath::root()).unwrap().unwrap();
        assert_eq!(root.value("mode"), Some("0755"));
    }

    #[test]
    fn bad_lines_are_named() {
        for bad in ["/include x", ".\n\\q type=file", "../x type=file"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
