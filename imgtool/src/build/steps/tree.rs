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
    /// The path as called, for `--parents`.
    pub asked: ImagePath,
    parent: Rc<Directory>,
    name: Vec<u8>,
}

/// What a walk comes by.
#[derive(Debug)]
pub struct Visited<'a> {
    /// Where it is, seen from what is copied; the root for that itself.
    pub relative: &'a ImagePath,
    /// The file.
    pub inode: &'a Inode,
    /// Whether it is left out itself, and only something below it isn't.
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
        let path = inside(source)?;
        let components: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut paths = vec![ImagePath::root()];
        let mut has_pattern = false;
        for component in &components {
            if !is_pattern(component) {
                paths = paths.iter().map(|path| path.join(component)).collect();
                continue;
            }
            has_pattern = true;
            paths = self.matching(&paths, component)?;
        }
        let mut found = Vec::new();
        for path in paths {
            found.extend(
                self.resolve(&path)?
                    .filter(|found| !self.is_left_out(found)),
            );
        }
        if found.is_empty() {
            let ignored = if self.ignore == Ignore::default() {
                ""
            } else {
                ", or .dockerignore leaves it out"
            };
            let what = if has_pattern {
                "nothing matches"
            } else {
                "there is no"
            };
            bail!(
                "{what} '{}' in {}{ignored}",
                source.escape_debug(),
                self.name
            );
        }
        Ok(found)
    }

    /// The one thing that a path names.
    pub fn find_one(&mut self, path: &str) -> Result<Found> {
        let found = self
            .resolve(&inside(path)?)?
            .filter(|found| !self.is_left_out(found));
        found.with_context(|| format!("there is no '{}' in {}", path.escape_debug(), self.name))
    }

    fn is_left_out(&self, found: &Found) -> bool {
        !self.ignore.may_bring_back() && self.ignore.leaves_out(&found.path)
    }

    /// The names below directories that match one component of a pattern.
    fn matching(&mut self, directories: &[ImagePath], pattern: &[u8]) -> Result<Vec<ImagePath>> {
        let mut paths = Vec::new();
        for path in directories {
            let Some(directory) = self.root.directory(path)? else {
                continue;
            };
            let mut names = directory.names()?;
            names.sort();
            for name in names {
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
                asked: asked.clone(),
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
            visit,
        };
        walk.begin(found)
    }

    /// The same without what `skip` leaves out, too.
    pub fn walk_without(
        &self,
        found: &Found,
        skip: &Ignore,
        visit: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk {
            ignore: &self.ignore,
            skip,
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
    visit: &'a mut dyn FnMut(Visited<'_>) -> Result<()>,
}

impl Walk<'_> {
    fn begin(&mut self, found: &Found) -> Result<()> {
        let inode = found.inode()?;
        (self.visit)(Visited {
            relative: &ImagePath::root(),
            inode: &inode,
            only_on_the_way: false,
        })?;
        match found.directory() {
            Some(directory) => self.directory(directory, &ImagePath::root()),
            None => Ok(()),
        }
    }

    fn directory(&mut self, directory: &Directory, relative: &ImagePath) -> Result<()> {
        let mut names = directory.names()?;
        names.sort();
        for name in names {
            signal::check()?;
            let relative = relative.join(&name);
            let path = directory.path().join(&name);
            let left_out = self.leaves_out(&path);
            let below = directory.subdirectory(&name)?;
            let may_hold = below.is_some() && self.may_bring_back();
            if left_out && !may_hold {
                continue;
            }
            let inode = Inode::open(directory, &name)?;
            (self.visit)(Visited {
                relative: &relative,
                inode: &inode,
                only_on_the_way: left_out,
            })?;
            if let Some(below) = below {
                self.directory(&below, &relative)?;
            }
        }
        Ok(())
    }

    fn leaves_out(&self, path: &ImagePath) -> bool {
        self.ignore.leaves_out(path) || self.skip.leaves_out(path)
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
        assert_eq!(names(&mut tree, "*/f*").unwrap(), ["/d/file", "/d/file"]);
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let context = tempfile::tempdir().unwrap();
        fs::create_dir_all(context.path().join("a/b")).unwrap();
        for name in ["x.md", "a/y.md", "a/b/keep", "a/b/drop"] {
            fs::write(context.path().join(name), "").unwrap();
        }
        let walked = |ignore: &str| {
            let mut tree = tree(context.path(), ignore);
            let found = tree.find_one(".").unwrap();
            let mut seen = Vec::new();
            tree.walk(&found, &mut |visited| {
                let way = if visited.only_on_the_way { "?" } else { "" };
                seen.push(format!("{}{way}", visited.relative));
                Ok(())
            })
            .unwrap();
            seen
        };
        assert_eq!(
            walked("**/*.md\na/b/drop"),
            ["/", "/a", "/a/b", "/a/b/keep"]
        );
        assert_eq!(
            walked("a\n!a/b/keep"),
            ["/", "/a?", "/a/b?", "/a/b/keep", "/x.md"]
        );
        assert!(names(&mut tree(context.path(), "x.md"), "x.md").is_err());
    }
}
