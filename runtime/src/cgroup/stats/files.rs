//! The forms in which cgroup files have numbers.

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::files;
use super::UNLIMITED;
use crate::error::{CallContext as _, Error, Result};

/// A cgroup's directory.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a>(pub(super) &'a str);

impl Directory<'_> {
    /// The text of a file; none where this kernel has no such file.
    pub(super) fn text(self, file: &str) -> Result<Option<String>> {
        let path = self.path(file);
        let text = files::open(&path, OFlags::RDONLY).and_then(files::read_from);
        match text {
            Ok(text) => Ok(Some(text)),
            // Pressure is not kept without psi=1 on some kernels (EOPNOTSUPP).
            Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(errno).call(|| format!("read({path:?})")),
        }
    }

    /// The number that is all of a file, `max` being [`UNLIMITED`].
    pub(super) fn number(self, file: &str) -> Result<Option<u64>> {
        self.text(file)?
            .map(|text| number(text.trim_end()).ok_or_else(|| self.strange(file, &text)))
            .transpose()
    }

    /// The lines `KEY NUMBER` of a file.
    pub(super) fn numbers(self, file: &str) -> Result<Option<Vec<(String, u64)>>> {
        let Some(text) = self.text(file)? else {
            return Ok(None);
        };
        let line = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), number(value.trim())?))
        };
        text.lines()
            .map(|text| line(text).ok_or_else(|| self.strange(file, text)))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The number of one line `KEY NUMBER` of a file; 0 where there is no such line.
    pub(super) fn keyed_number(self, file: &str, key: &str) -> Result<Option<u64>> {
        let numbers = self.numbers(file)?;
        let of_key = |numbers: Vec<(String, u64)>| {
            let found = numbers.into_iter().find(|(known, _)| known == key);
            found.map_or(0, |(_, number)| number)
        };
        Ok(numbers.map(of_key))
    }

    pub(super) fn path(self, file: &str) -> String {
        format!("{}/{file}", self.0)
    }

    pub(super) fn strange(self, file: &str, text: &str) -> Error {
        Error::new(format!("{}: unexpected {text:?}", self.path(file)))
    }
}

/// A number as cgroup files have it; the kernel's negative ones are none to be counted with.
pub(super) fn number(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(UNLIMITED);
    }
    text.parse()
        .ok()
        .or_else(|| text.parse::<i64>().ok().map(|_| 0))
}

/// The sizes of huge pages that this kernel has, as in the names of the controller's files.
pub(super) fn huge_page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let size = name.to_str()?.strip_prefix("hugepages-")?;
            size.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(huge_page_size).collect()
}

/// `hugetlb_cgroup.c`'s `mem_fmt`.
fn huge_page_size(kilobytes: u64) -> String {
    match kilobytes {
        ..1024 => format!("{kilobytes}KB"),
        1024..0x10_0000 => format!("{}MB", kilobytes >> 10),
        _ => format!("{}GB", kilobytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_kernel() {
        for (text, expected) in [("7", Some(7)), ("max", Some(u64::MAX)), ("-1", Some(0))] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!((number(""), number("1 2"), number("x")), (None, None, None));
    }

    #[test]
    fn sizes_of_huge_pages() {
        let sizes = [64, 2048, 32_768, 1_048_576].map(huge_page_size);
        assert_eq!(sizes, ["64KB", "2MB", "32MB", "1GB"]);
    }
}
