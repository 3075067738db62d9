//! Tables for people.

use std::io::{self, Write};

use jiff::Timestamp;

/// Writes rows, each column as wide as its widest cell.
pub(super) fn write<const N: usize>(
    output: &mut impl Write,
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
        }
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}

/// How long ago an RFC 3339 date was.
pub(super) fn age(date: &str) -> String {
    let Ok(then) = date.parse::<Timestamp>() else {
        return String::new();
    };
    let seconds = Timestamp::now().duration_since(then).as_secs();
    let (count, unit) = match seconds {
        ..0 => return "in the future".to_owned(),
        0..120 => (seconds, "seconds"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        172_800..1_209_600 => (seconds / 86_400, "days"),
        1_209_600..5_184_000 => (seconds / 604_800, "weeks"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "months"),
        _ => (seconds / 31_536_000, "years"),
    };
    format!("{count} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        let mut written = Vec::new();
        write(&mut written, &rows).unwrap();
        assert_eq!(written, b"a     bb\nccc   d\n");
    }

    #[test]
    fn ages_are_rough() {
        assert!(age("1970-01-01T00:00:00Z").ends_with(" years ago"));
        assert_eq!(age("9000-01-01T00:00:00Z"), "in the future");
        assert_eq!(age("yesterday"), "");
    }
}
