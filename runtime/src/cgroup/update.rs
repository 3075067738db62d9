//! New limits for a container that has some: all of them, or none.

use super::files;
use super::limits::{Absent, Write};
use super::placement::Placement;
use crate::error::{Error, Result};

impl Placement {
    /// Carries out `writes` as [`Placement::apply`] does; where one fails, those before it are
    /// taken back: what the files had is written again.
    pub fn update(&self, writes: &[Write<'_>]) -> Result<()> {
        let mut before = Vec::with_capacity(writes.len());
        for write in writes {
            before.extend(self.value_before(write)?);
        }
        let result = self.apply(writes);
        if result.is_ok() {
            return result;
        }
        before.reverse();
        // Again what fits only after another one: twice is enough for pairs.
        for _ in 0..2 {
            before.retain(|before| {
                let changed = files::read(&before.path).is_ok_and(|now| now != before.text);
                changed && files::write_to(&before.path, &before.way_back).is_err()
            });
        }
        let Some(Before { path, way_back, .. }) = before.first() else {
            return result;
        };
        result.map_err(|error: Error| {
            error.hint(format!("{path} could not be set back to {way_back:?}"))
        })
    }

    /// What there is where `write` goes; none where there is no such file or no way back.
    fn value_before(&self, write: &Write<'_>) -> Result<Option<Before>> {
        let directory = &self.place_of(write)?.path;
        let mut path = format!("{directory}/{}", write.file);
        let mut text = files::read(&path);
        if let (Err(_), Absent::Instead { file, .. }) = (&text, &write.absent) {
            path = format!("{directory}/{file}");
            text = files::read(&path);
        }
        let Ok(text) = text else { return Ok(None) };
        Ok(way_back(&text, &write.value).map(|way_back| Before {
            path,
            text,
            way_back,
        }))
    }
}

/// A file before a write.
struct Before {
    path: String,
    text: String,
    /// What to write to have the text again.
    way_back: String,
}

/// What to write to a file that has `text` and gets `value`, to have `text` again.
///
/// Most files hold one value. Those for devices hold a line for each that has another value than
/// all the others, and for a file such as `io.weight` one for the rest.
fn way_back(text: &str, value: &str) -> Option<String> {
    let key = match value.split_once(' ') {
        Some((key, _)) if key.contains(':') => key,
        _ => "default",
    };
    let line_of_key = text
        .lines()
        .find(|line| line.split(' ').next() == Some(key));
    if let Some(line) = line_of_key {
        return Some(line.to_owned());
    }
    if key == "default" {
        return (text.lines().count() <= 1).then(|| text.trim_end().to_owned());
    }
    // The device had no limit. The files of cgroup v1 take 0 for that, io.max a word for each key.
    match value.split_once('=') {
        Some(_) => Some(format!("{key} rbps=max wbps=max riops=max wiops=max")),
        None => Some(format!("{key} 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::way_back;

    #[test]
    fn what_a_file_had_is_written_again() {
        for (text, value, expected) in [
            ("max\n", "20", "max"),
            ("max 100000\n", "5000 100000", "max 100000"),
            ("\n", "0-1", ""),
            ("default 100\n8:0 50\n", "200", "default 100"),
            ("default 100\n8:0 50\n", "8:0 70", "8:0 50"),
            ("8:0 1000\n7:0 5\n", "7:0 6", "7:0 5"),
            ("", "7:0 6", "7:0 0"),
            ("8:0 rbps=9 wbps=max\n", "8:0 rbps=1", "8:0 rbps=9 wbps=max"),
            (
                "",
                "8:0 rbps=1",
                "8:0 rbps=max wbps=max riops=max wiops=max",
            ),
        ] {
            assert_eq!(way_back(text, value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(way_back("lo 0\neth0 0\n", "eth0 5"), None);
    }
}
