//! `--chmod`: permissions as chmod(1) takes them, a number or changes like `u=rwX,go=rX`.

use anyhow::{Context, Result};

/// What becomes of a file's permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// These, whatever they were.
    Number(u32),
    /// One after the other.
    Changes(Vec<Change>),
}

/// One change: of whose permissions, how, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    who: u32,
    operator: Operator,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// These bits; those of the second mask only of a directory, or of what somebody may execute already (`X`).
    Bits { always: u32, if_executable: u32 },
    /// What the user, the group or the others may: by how far their bits are from the others'.
    AsThoseOf { shift: u32 },
}

const READ: u32 = 0o444;
const WRITE: u32 = 0o222;
const EXECUTE: u32 = 0o111;
const SET_IDS: u32 = 0o6000;
const STICKY: u32 = 0o1000;

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o0007;

impl Permissions {
    /// Reads an octal number up to 7777, or chmod(1)'s `[ugoa]*([-+=]([rwxXst]*|[ugo]))+,…`. An umask counts for
    /// nothing.
    pub fn parse(text: &str) -> Result<Permissions> {
        Self::number(text)
            .map(Permissions::Number)
            .or_else(|| Self::changes(text).map(Permissions::Changes))
            .with_context(|| {
                format!(
                    "'{}' is neither an octal number up to 7777 nor like u=rwX,go=rX",
                    text.escape_debug()
                )
            })
    }

    /// What a file may that was allowed `mode`.
    pub fn of(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Permissions::Number(number) => *number,
            Permissions::Changes(changes) => {
                let executable = is_directory || mode & EXECUTE != 0;
                let change = |mode, change: &Change| change.apply(mode, executable);
                changes.iter().fold(mode & 0o7777, change)
            }
        }
    }

    fn number(text: &str) -> Option<u32> {
        let is_octal = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = u32::from_str_radix(text, 8).ok().filter(|_| is_octal)?;
        (number <= 0o7777).then_some(number)
    }

    fn changes(text: &str) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let operators = ['+', '-', '='];
            let (whose, mut actions) = clause.split_at(clause.find(operators)?);
            let who = who(whose)?;
            while let Some(operator) = actions.chars().next() {
                let rest = &actions[1..];
                let end = rest.find(operators).unwrap_or(rest.len());
                let operator = match operator {
                    '+' => Operator::Add,
                    '-' => Operator::Remove,
                    _ => Operator::Set,
                };
                changes.push(change(who, operator, &rest[..end])?);
                actions = &rest[end..];
            }
        }
        Some(changes)
    }
}

impl Change {
    fn apply(&self, mode: u32, executable: bool) -> u32 {
        let bits = match self.what {
            What::Bits { always, .. } if !executable => always,
            What::Bits {
                always,
                if_executable,
            } => always | if_executable,
            What::AsThoseOf { shift } => (mode >> shift & 0o7) * EXECUTE,
        } & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

/// Nobody named is everybody.
fn who(letters: &str) -> Option<u32> {
    if letters.is_empty() {
        return Some(USER | GROUP | OTHERS);
    }
    letters.chars().try_fold(0, |who, letter| {
        let one = match letter {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => USER | GROUP | OTHERS,
            _ => return None,
        };
        Some(who | one)
    })
}

fn change(mut who: u32, operator: Operator, letters: &str) -> Option<Change> {
    let shift = match letters {
        "u" => Some(6),
        "g" => Some(3),
        "o" => Some(0),
        _ => None,
    };
    if let Some(shift) = shift {
        let what = What::AsThoseOf { shift };
        return Some(Change {
            who,
            operator,
            what,
        });
    }
    let (mut always, mut if_executable) = (0, 0);
    for letter in letters.chars() {
        match letter {
            'r' => always |= READ,
            'w' => always |= WRITE,
            'x' => always |= EXECUTE,
            'X' if operator == Operator::Remove => always |= EXECUTE,
            'X' => if_executable |= EXECUTE,
            's' => always |= SET_IDS,
            // The others' alone, it means nothing.
            't' if who != OTHERS => {
                who |= STICKY;
                always |= STICKY;
            }
            't' => {}
            _ => return None,
        }
    }
    let what = What::Bits {
        always,
        if_executable,
    };
    Some(Change {
        who,
        operator,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_chmods() {
        for (text, mode, is_directory, expected) in [
            ("640", 0o777, false, 0o640),
            ("04755", 0, false, 0o4755),
            ("+x", 0o644, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("-X", 0o755, false, 0o644),
            ("go=", 0o777, false, 0o700),
            ("g=u", 0o750, false, 0o770),
            ("go=u-w", 0o740, false, 0o755),
            ("o+g", 0o751, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("g+s,+t", 0o755, true, 0o3755),
            ("o+st", 0o755, false, 0o755),
            ("=", 0o4755, false, 0),
            ("u=rw", 0o4755, false, 0o655),
            ("u+w-x+r", 0o100, false, 0o600),
            // As it was before this change, not as the clause before left it.
            ("a-x,a+X", 0o700, false, 0o711),
        ] {
            let permissions = Permissions::parse(text).unwrap();
            let found = permissions.of(mode, is_directory);
            assert_eq!(found, expected, "{text}: {found:o}");
        }
        for text in [
            "", "8", "10000", "+7", "u", "u=z", "x+r", "u+r,", ",", "u=rg", "é+r", "+é",
        ] {
            Permissions::parse(text).unwrap_err();
        }
    }
}
