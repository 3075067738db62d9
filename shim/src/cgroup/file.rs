//! The few formats that the files of a cgroup have. What isn't there, or isn't a number, is `None`:
//! which files exist depends on the kernel's version and how it was built.

use std::fs;
use std::path::Path;

/// The text of file `name`.
pub fn text(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok()
}

/// A file that holds one number, or `max` where nothing is limited. A number below zero is the
/// kernel's rounding of a counter, and nothing.
pub fn number(directory: &Path, name: &str) -> Option<Limit> {
    let text = text(directory, name)?;
    match text.trim() {
        "max" => Some(Limit::Unlimited),
        text => count(text).map(Limit::At),
    }
}

/// What a file with one number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `max`.
    Unlimited,
    /// A number.
    At(u64),
}

impl Limit {
    /// The number, with `unlimited` in the place of `max`.
    pub fn or(self, unlimited: u64) -> u64 {
        match self {
            Limit::Unlimited => unlimited,
            Limit::At(number) => number,
        }
    }
}

/// A file with a name and a number in each line, such as `memory.stat`.
#[derive(Debug, Default)]
pub struct Table(String);

impl Table {
    /// Reads file `name`; `None` if it isn't there.
    pub fn read(directory: &Path, name: &str) -> Option<Self> {
        text(directory, name).map(Table)
    }

    /// The number beside `key`; 0 if there is none, as of what has never happened.
    pub fn get(&self, key: &str) -> u64 {
        let mut pairs = self.0.lines().filter_map(|line| line.split_once(' '));
        pairs
            .find(|(name, _)| *name == key)
            .and_then(|(_, number)| count(number.trim()))
            .unwrap_or(0)
    }

    /// There is not a single line in it.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

/// A number, or 0 in the place of one below zero.
fn count(text: &str) -> Option<u64> {
    let below_zero = text.starts_with('-') && text.parse::<i128>().is_ok();
    if below_zero {
        return Some(0);
    }
    text.parse().ok()
}

/// The sizes of huge pages that this kernel has, as the names of cgroup files spell them (`2MB`):
/// from the smallest to the largest.
pub fn huge_page_sizes() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(huge_page_name).collect()
}

/// As the kernel's `hugetlb_cgroup.c` (`mem_fmt`) writes a size of so many kB.
fn huge_page_name(kilobytes: u64) -> String {
    match kilobytes {
        size if size >= 1 << 20 => format!("{}GB", size >> 20),
        size if size >= 1 << 10 => format!("{}MB", size >> 10),
        size => format!("{size}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_limits_and_tables_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("current", "17\n");
        write("max", "max\n");
        write("below", "-1\n");
        write("words", "some words\n");
        write("stat", "nr_a 3\nnr_ab 4\nbelow -5\n");
        let read = |name| number(directory.path(), name);
        assert_eq!(read("current"), Some(Limit::At(17)));
        assert_eq!(read("max").map(|limit| limit.or(7)), Some(7));
        assert_eq!(read("below"), Some(Limit::At(0)));
        assert_eq!(read("words"), None);
        assert_eq!(read("none"), None);
        let table = Table::read(directory.path(), "stat").unwrap();
        assert_eq!(
            [
                table.get("nr_a"),
                table.get("nr_ab"),
                table.get("below"),
                table.get("nr")
            ],
            [3, 4, 0, 0]
        );
    }

    #[test]
    fn huge_pages_are_named_as_the_kernel_names_them() {
        let names = [64, 2048, 32 << 10, 1 << 20, 16 << 20].map(huge_page_name);
        assert_eq!(names, ["64KB", "2MB", "32MB", "1GB", "16GB"]);
    }
}
