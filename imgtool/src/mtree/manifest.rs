//! Reads a manifest.

use std::collections::HashMap;
use std::io::BufRead;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::vis;
use crate::layer::path::ImagePath;

/// What a manifest says of a tree.
#[derive(Debug, Default)]
pub struct Manifest {
    pub(super) entries: HashMap<ImagePath, ManifestEntry>,
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
    /// Reads a manifest to its end.
    pub fn read(source: impl BufRead) -> Result<Self> {
        let mut reader = Reader {
            manifest: Manifest::default(),
            directory: None,
            set: Rc::from(""),
        };
        let mut logical = String::new();
        for (number, line) in source.lines().enumerate() {
            let line = line.with_context(|| format!("line {}", number + 1))?;
            // A backslash at its end joins a line to the next; names have none there (vis(3)).
            if let Some(start) = line.strip_suffix('\\') {
                logical.push_str(start);
                continue;
            }
            logical.push_str(&line);
            reader
                .line(&logical)
                .with_context(|| format!("line {}", number + 1))?;
            logical.clear();
        }
        Ok(reader.manifest)
    }

    /// The names of the keywords that it uses; `xattr` for all attributes.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }
}

struct Reader {
    manifest: Manifest,
    /// Where names without a slash are.
    directory: Option<ImagePath>,
    set: Rc<str>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        let line = line.trim_ascii();
        let (first, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        match first {
            "" => {}
            _ if first.starts_with('#') => {}
            "/set" => {
                self.note_keywords(rest);
                self.set = Rc::from(rest);
            }
            "/unset" => self.set = Rc::from(""),
            _ if first.starts_with('/') => bail!("unknown command '{}'", first.escape_debug()),
            ".." => {
                let above = self
                    .directory
                    .take()
                    .and_then(|directory| directory.split_last().map(|(above, _)| above));
                self.directory = above;
            }
            _ => self.entry(first, rest)?,
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, keywords: &str) -> Result<()> {
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
        self.note_keywords(keywords);
        let entry = ManifestEntry {
            own: Box::from(keywords),
            set: self.set.clone(),
        };
        self.manifest.entries.insert(path, entry);
        Ok(())
    }

    fn note_keywords(&mut self, text: &str) {
        for (name, _) in words(text) {
            let name = name.split('.').next().unwrap_or(name);
            if !self.manifest.keywords.iter().any(|known| known == name) {
                self.manifest.keywords.push(name.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_read() {
        let text = "#mtree\n\n# .\n/set type=file uid=0 gid=5\n. type=dir mode=0755\n\
            \x20   a\\040b size=3 uid=7\n\
            sub type=dir \\\n    nlink=2\n    file xattr.user.a=YQ==\n..\nlast\n..\nfull/path size=1\n";
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        let entry = |name: &[u8]| &manifest.entries[&ImagePath::parse(name).unwrap()];
        assert_eq!(manifest.entries.len(), 6);
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
        assert_eq!(manifest.keywords(), keywords);
    }

    #[test]
    fn bad_lines_are_named() {
        for bad in ["/include x", ".\n\\q type=file", "../x type=file"] {
            assert!(Manifest::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
