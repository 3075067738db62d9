//! Where COPY takes files from: the context, a stage, an image. Paths stay in it, links are
//! followed within it.

use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::FileType;

use crate::build::context::ignore::Ignore;
use crate::build::dockerfile::pattern::{component_matches, is_pattern};
use crate::layer::inode::Inode;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};
use crate::sys::signal;

/// `MAXSYMLINKS` of linux/namei.h.
const MOST_LINKS: usize = 40;

/// A tree of files to copy from.
#[derive(Debug)]
pub struct Tree {
    root: RootFs,
    ignore: Ignore,
    /// For messages.
    name: String,
}

/// A file or directory to copy.
#[derive(Debug)]
pub struct Found {
    /// Where it is in the tree, links resolved.
    pub path: ImagePath,
    /// How it was called, for the name of the copy.
    pub called: Vec<u8>,
    /// For `--parents`: the directories above it that are copied with it, the outermost first.
    pub parents: Vec<Parent>,
    parent: Rc<Directory>,
    name: Vec<u8>,
}

/// A directory above what is copied.
#[derive(Debug)]
pub struct Parent {
    /// How it was called.
    pub name: Vec<u8>,
    directory: Rc<Directory>,
}

impl Parent {
    /// The directory itself.
    pub fn inode(&self) -> Result<Inode> {
        Inode::open(&self.directory, b".")
    }
}

/// What a walk comes by.
#[derive(Debug)]
pub struct Visited<'a> {
    /// Where it is, seen from what is copied; the root for that itself.
    pub relative: &'a ImagePath,
    /// The file.
    pub inode: &'a Inode,
    /// Whether it is a directory that COPY itself was told to leave out, and something below it isn't.
    pub only_on_the_way: bool,
}

impl Tree {
    /// A tree without what `ignore` leaves out.
    pub fn new(root: RootFs, ignore: Ignore, name: &str) -> Self {
        Tree {
            root,
            ignore,
            name: name.to_owned(),
        }
    }

    /// What the tree is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a source of COPY names: a path, or a pattern of several.
    pub fn find(&mut self, source: &str) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for path in self.expand(vec![ImagePath::root()], &inside(source)?)? {
            found.extend(self.resolve_unless_left_out(&path)?);
        }
        self.not_nothing(source, found)
    }

    /// The same for `--parents`: what is found knows the directories above it, those behind a `/./`
    /// if there is one. `**` stands for any directories.
    pub fn find_with_parents(&mut self, source: &str) -> Result<Vec<Found>> {
        let (base, rest) = source.split_once("/./").unwrap_or(("", source));
        let rest = inside(rest)?;
        let mut found = Vec::new();
        for base in self.expand(vec![ImagePath::root()], &inside(base)?)? {
            let depth = base.components().count();
            let mut paths = vec![base];
            for component in rest.components() {
                paths = if component == b"**" {
                    self.directories_below(&paths)?
                } else {
                    self.expand_component(&paths, component)?
                };
            }
            paths.sort();
            paths.dedup();
            for path in paths {
                if let Some(mut file) = self.resolve_unless_left_out(&path)? {
                    file.parents = self.parents(&path, depth)?;
                    found.push(file);
                }
            }
        }
        self.not_nothing(source, found)
    }

    /// The directories above a path of which `depth` others don't count.
    fn parents(&mut self, path: &ImagePath, depth: usize) -> Result<Vec<Parent>> {
        let mut parents = Vec::new();
        let mut path = path.clone();
        while let Some((above, _)) = path.split_last() {
            let Some((_, name)) = above.split_last() else {
                break;
            };
            if above.components().count() <= depth {
                break;
            }
            let directory = self.root.directory(&above)?;
            parents.push(Parent {
                name: name.to_vec(),
                directory: directory.with_context(|| format!("{above} went away"))?,
            });
            path = above;
        }
        parents.reverse();
        Ok(parents)
    }

    fn not_nothing(&self, source: &str, found: Vec<Found>) -> Result<Vec<Found>> {
        if !found.is_empty() {
            return Ok(found);
        }
        let ignored = if self.ignore == Ignore::default() {
            ""
        } else {
            ", or .dockerignore leaves it out"
        };
        let what = if source.split('/').any(|part| is_pattern(part.as_bytes())) {
            "nothing matches"
        } else {
            "there is no"
        };
        bail!(
            "{what} '{}' in {}{ignored}",
            source.escape_debug(),
            self.name
        )
    }

    /// The paths that a pattern names below others.
    fn expand(&mut self, mut paths: Vec<ImagePath>, pattern: &ImagePath) -> Result<Vec<ImagePath>> {
        for component in pattern.components() {
            paths = self.expand_component(&paths, component)?;
        }
        Ok(paths)
    }

    fn expand_component(&mut self, paths: &[ImagePath], pattern: &[u8]) -> Result<Vec<ImagePath>> {
        if is_pattern(pattern) {
            return self.matching(paths, pattern);
        }
        Ok(paths.iter().map(|path| path.join(pattern)).collect())
    }

    /// These directories and all below them; links to some aren't followed.
    fn directories_below(&mut self, paths: &[ImagePath]) -> Result<Vec<ImagePath>> {
        let mut found = Vec::new();
        let mut to_do = paths.to_vec();
        while let Some(path) = to_do.pop() {
            let Some(directory) = self.root.directory(&path)? else {
                continue;
            };
            for name in directory.names()? {
                let name = name?;
                signal::check()?;
                if directory.subdirectory(&name)?.is_some() {
                    to_do.push(path.join(&name));
                }
            }
            found.push(path);
        }
        Ok(found)
    }

    /// The one thing that a path names.
    pub fn find_one(&mut self, path: &str) -> Result<Found> {
        let found = self.resolve_unless_left_out(&inside(path)?)?;
        found.with_context(|| format!("there is no '{}' in {}", path.escape_debug(), self.name))
    }

    fn resolve_unless_left_out(&mut self, path: &ImagePath) -> Result<Option<Found>> {
        let found = self.resolve(path)?;
        let is_left_out =
            |found: &Found| !self.ignore.may_bring_back() && self.ignore.leaves_out(&found.path);
        Ok(found.filter(|found| !is_left_out(found)))
    }

    /// The names below directories that match one component of a pattern.
    fn matching(&mut self, directories: &[ImagePath], pattern: &[u8]) -> Result<Vec<ImagePath>> {
        let mut paths = Vec::new();
        for path in directories {
            let Some(directory) = self.root.directory(path)? else {
                continue;
            };
            for name in directory.names()? {
                let name = name?;
                if component_matches(pattern, &name)? {
                    paths.push(path.join(&name));
                }
            }
        }
        Ok(paths)
    }

    /// The file that a path leads to, links followed.
    fn resolve(&mut self, asked: &ImagePath) -> Result<Option<Found>> {
        let called = asked
            .split_last()
            .map_or(Vec::new(), |(_, name)| name.to_vec());
        let mut path = asked.clone();
        for _ in 0..MOST_LINKS {
            let found = |path, parent, name| Found {
                path,
                called: called.clone(),
                parents: Vec::new(),
                parent,
                name,
            };
            if let Some(directory) = self.root.directory(&path)? {
                let path = directory.path().clone();
                return Ok(Some(found(path, directory, b".".to_vec())));
            }
            let Some((above, name)) = path.split_last() else {
                return Ok(None);
            };
            let Some(parent) = self.root.directory(&above)? else {
                return Ok(None);
            };
            let Some(stat) = parent.stat(name)? else {
                return Ok(None);
            };
            let real = parent.path().join(name);
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                return Ok(Some(found(real, parent, name.to_vec())));
            }
            let target = Inode::open(&parent, name)?.link_target()?;
            path = followed(parent.path(), &target)?;
        }
        bail!(
            "too many symbolic links on the way to {asked} in {}",
            self.name
        )
    }

    /// Goes through a file or tree, directories before what is in them, sorted by name.
    pub fn walk(
        &self,
        found: &Found,
        visit: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk {
            ignore: &self.ignore,
            skip: &Ignore::default(),
            above: ImagePath::root(),
            on_the_way: Vec::new(),
            visit,
        };
        walk.begin(found)
    }

    /// The same without what `skip` leaves out, too: its patterns are about paths in what is found
    /// (a file's is its name), with the parents that are copied with it.
    pub fn walk_without(
        &self,
        found: &Found,
        skip: &Ignore,
        visit: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk {
            ignore: &self.ignore,
            skip,
            above: ImagePath::root(),
            on_the_way: Vec::new(),
            visit,
        };
        walk.begin(found)
    }
}

impl Found {
    /// The file itself.
    pub fn inode(&self) -> Result<Inode> {
        Inode::open(&self.parent, &self.name)
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&Rc<Directory>> {
        Some(&self.parent).filter(|_| self.name == b".")
    }
}

struct Walk<'a> {
    ignore: &'a Ignore,
    skip: &'a Ignore,
    /// What `skip` sees of the path above.
    above: ImagePath,
    /// Directories that are left out themselves, each in the one before, and whether `skip` does that.
    /// They are visited once something in them is.
    on_the_way: Vec<(ImagePath, Inode, bool)>,
    visit: &'a mut dyn FnMut(Visited<'_>) -> Result<()>,
}

impl Walk<'_> {
    fn begin(&mut self, found: &Found) -> Result<()> {
        let parents = found.parents.iter();
        self.above = parents.fold(ImagePath::root(), |path, parent| path.join(&parent.name));
        if found.directory().is_none() || !found.parents.is_empty() {
            self.above = self.above.join(&found.called);
        }
        let left_out = !self.above.is_root() && self.skip.leaves_out(&self.above);
        if left_out && !(found.directory().is_some() && self.may_bring_back()) {
            return Ok(());
        }
        let relative = ImagePath::root();
        if left_out {
            self.on_the_way.push((relative, found.inode()?, true));
        } else {
            self.visit(&relative, &found.inode()?)?;
        }
        match found.directory() {
            Some(directory) => self.directory(directory, &ImagePath::root()),
            None => Ok(()),
        }
    }

    fn directory(&mut self, directory: &Directory, relative: &ImagePath) -> Result<()> {
        for name in directory.names()? {
            let name = name?;
            signal::check()?;
            let relative = relative.join(&name);
            let path = directory.path().join(&name);
            let skipped = self.skips(&relative);
            let left_out = skipped || self.ignore.leaves_out(&path);
            let below = directory.subdirectory(&name)?;
            let may_hold = below.is_some() && self.may_bring_back();
            if left_out && !may_hold {
                continue;
            }
            let inode = Inode::open(directory, &name)?;
            if left_out {
                self.on_the_way.push((relative.clone(), inode, skipped));
            } else {
                self.visit(&relative, &inode)?;
            }
            if let Some(below) = below {
                self.directory(&below, &relative)?;
            }
            self.on_the_way.pop_if(|(way, ..)| *way == relative);
        }
        Ok(())
    }

    /// Visits a file, after the directories above it that are left out themselves.
    fn visit(&mut self, relative: &ImagePath, inode: &Inode) -> Result<()> {
        for (relative, inode, skipped) in std::mem::take(&mut self.on_the_way) {
            (self.visit)(Visited {
                relative: &relative,
                inode: &inode,
                only_on_the_way: skipped,
            })?;
        }
        (self.visit)(Visited {
            relative,
            inode,
            only_on_the_way: false,
        })
    }

    fn skips(&self, relative: &ImagePath) -> bool {
        let parts = relative.components();
        let relative = parts.fold(self.above.clone(), |path, name| path.join(name));
        self.skip.leaves_out(&relative)
    }

    fn may_bring_back(&self) -> bool {
        self.ignore.may_bring_back() || self.skip.may_bring_back()
    }
}

/// A path of a tree, cleaned as Go's `path.Clean` does. One that leads out is refused.
pub fn inside(text: &str) -> Result<ImagePath> {
    clean(text.as_bytes()).with_context(|| format!("'{}'", text.escape_debug()))
}

fn clean(path: &[u8]) -> Result<ImagePath> {
    let mut components: VecDeque<&[u8]> = VecDeque::new();
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if components.pop_back().is_none() {
                    bail!("it leads out of where files are copied from");
                }
            }
            component => components.push_back(component),
        }
    }
    let path = Vec::from(components).join(&b'/');
    Ok(if path.is_empty() {
        ImagePath::root()
    } else {
        ImagePath::parse(&path)?
    })
}

/// Where a link in `directory` leads; `..` goes no higher than the root.
fn followed(directory: &ImagePath, target: &[u8]) -> Result<ImagePath> {
    let mut components: Vec<&[u8]> = if target.starts_with(b"/") {
        Vec::new()
    } else {
        directory.components().collect()
    };
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    let path = components.join(&b'/');
    Ok(if path.is_empty() {
        ImagePath::root()
    } else {
        ImagePath::parse(&path)?
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn tree(path: &Path, ignore: &str) -> Tree {
        let root = RootFs::new(File::open(path).unwrap().into());
        Tree::new(root, Ignore::parse(ignore).unwrap(), "the context")
    }

    fn names(tree: &mut Tree, source: &str) -> Result<Vec<String>> {
        let found = tree.find(source)?;
        Ok(found.iter().map(|found| found.path.to_string()).collect())
    }

    #[test]
    fn nothing_outside_is_found() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let context = outside.path().join("context");
        fs::create_dir_all(context.join("d")).unwrap();
        fs::write(context.join("d/file"), "f").unwrap();
        symlink("../../secret", context.join("d/up")).unwrap();
        symlink(outside.path().join("secret"), context.join("absolute")).unwrap();
        symlink("..", context.join("parent")).unwrap();
        symlink("/d/file", context.join("rooted")).unwrap();
        symlink("loop", context.join("loop")).unwrap();
        let mut tree = tree(&context, "");
        for source in [
            "../secret",
            "d/../../secret",
            "d/up",
            "absolute",
            "parent/secret",
            "loop",
        ] {
            assert!(names(&mut tree, source).is_err(), "{source}");
        }
        assert_eq!(names(&mut tree, "rooted").unwrap(), ["/d/file"]);
        assert_eq!(names(&mut tree, "parent").unwrap(), ["/"]);
        assert_eq!(names(&mut tree, "*/f*").unwrap(), ["/d/file"]);
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let context = tempfile::tempdir().unwrap();
        fs::create_dir_all(context.path().join("a/b")).unwrap();
        fs::create_dir(context.path().join("a/empty")).unwrap();
        for name in ["x.md", "a/y.md", "a/b/keep", "a/b/drop"] {
            fs::write(context.path().join(name), "").unwrap();
        }
        let walked = |ignore: &str| {
            let mut tree = tree(context.path(), ignore);
            let found = tree.find_one(".").unwrap();
            let mut seen = Vec::new();
            tree.walk(&found, &mut |visited| {
                assert!(!visited.only_on_the_way);
                seen.push(visited.relative.to_string());
                Ok(())
            })
            .unwrap();
            seen
        };
        assert_eq!(
            walked("**/*.md\na/b/drop\na/empty"),
            ["/", "/a", "/a/b", "/a/b/keep"]
        );
        assert_eq!(
            walked("a\n!a/b/keep"),
            ["/", "/a", "/a/b", "/a/b/keep", "/x.md"]
        );
        assert_eq!(walked("a\n!a/b/none"), ["/", "/x.md"]);
        assert!(names(&mut tree(context.path(), "x.md"), "x.md").is_err());
    }
}
