//! The kernel's list of mounts (`proc_pid_mountinfo(5)`).

/// A path without the kernel's escapes: space, tab, newline and backslash stand there as a backslash
/// and three octal digits.
pub fn unescape(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            text.push(code.into());
            text.push_str(&piece[3..]);
        } else {
            text.push('\\');
            text.push_str(piece);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        for (escaped, plain) in [
            ("/a\\040b", "/a b"),
            ("/a\\134040", "/a\\040"),
            ("/\\011\\012", "/\t\n"),
            ("/odd\\9", "/odd\\9"),
        ] {
            assert_eq!(unescape(escaped), plain);
        }
    }
}
