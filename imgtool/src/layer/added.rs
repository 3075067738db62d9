//! What a layer has added so far: its whiteouts are about the layers below it, and leave that alone.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::hash_set::HashSet;
use super::path::ImagePath;

/// Paths, each as 64 bits that nobody can foresee: a layer can have millions.
#[derive(Debug, Default)]
pub(super) struct Added {
    keys: RandomState,
    /// Directories that the layers below don't have: all that is in them is new. Those inside others
    /// aren't here.
    new_directories: HashSet,
    /// What else was added, and every directory above it.
    others: HashSet,
}

impl Added {
    /// Notes a directory that was made where nothing was, or something else.
    pub(super) fn insert_new_directory(&mut self, path: &ImagePath) {
        if self.is_below_new(path) {
            return;
        }
        self.insert(path);
        let key = self.key(path.as_bytes());
        self.new_directories.insert(key);
    }

    /// Notes a file of any kind.
    pub(super) fn insert(&mut self, path: &ImagePath) {
        if self.is_below_new(path) {
            return;
        }
        let path = path.as_bytes();
        let mut key = self.key(path);
        let mut ends = path.iter().enumerate().rev();
        // Where a path is known, all above it is.
        while self.others.insert(key)
            && let Some((end, _)) = ends.by_ref().find(|(_, byte)| **byte == b'/')
        {
            key = self.key(&path[..end]);
        }
    }

    /// Whether a path is a new directory, or in one.
    pub(super) fn is_below_new(&self, path: &ImagePath) -> bool {
        if self.new_directories.is_empty() {
            return false;
        }
        let path = path.as_bytes();
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(end, _)| end).chain([path.len()]);
        ends.into_iter()
            .any(|end| self.new_directories.contains(self.key(&path[..end])))
    }

    /// Whether something was added at a path, or below it.
    pub(super) fn contains(&self, path: &ImagePath) -> bool {
        self.others.contains(self.key(path.as_bytes())) || self.is_below_new(path)
    }

    /// Roughly the bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.others.memory() + self.new_directories.memory()
    }

    fn key(&self, path: &[u8]) -> u64 {
        self.keys.hash_one(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_in_a_new_directory_is_added() {
        let mut added = Added::default();
        added.insert(&path("old/dir/file"));
        added.insert_new_directory(&path("old/new"));
        added.insert_new_directory(&path("old/new/deeper"));
        added.insert(&path("old/new/deeper/file"));
        for known in [
            "old",
            "old/dir",
            "old/dir/file",
            "old/new",
            "old/new/any/thing",
        ] {
            assert!(added.contains(&path(known)), "{known}");
        }
        for unknown in ["old/dir/other", "old/ne", "old/newer", "other"] {
            assert!(!added.contains(&path(unknown)), "{unknown}");
        }
        assert!(added.is_below_new(&path("old/new/x")));
        assert!(!added.is_below_new(&path("old/dir/file")));
        assert_eq!((added.new_directories.len(), added.others.len()), (1, 4));
    }

    #[test]
    fn a_million_files_take_a_few_bytes_each() {
        let mut added = Added::default();
        for number in 0..1_000_000 {
            added.insert(&path(&format!("old/{number}")));
        }
        assert!(added.memory() < 11 << 20, "{}", added.memory());
        let mut added = Added::default();
        added.insert_new_directory(&path("new"));
        for number in 0..1_000_000 {
            added.insert(&path(&format!("new/{number}")));
        }
        assert!(added.memory() < 1 << 18, "{}", added.memory());
    }
}
