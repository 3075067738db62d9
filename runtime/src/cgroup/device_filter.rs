//! The device filter of cgroup v2: a program of type `BPF_PROG_TYPE_CGROUP_DEVICE` (Linux 4.15)
//! that decides by an ordered list of rules.

use super::device_rule::{Kind, Rule};

/// One instruction (`struct bpf_insn` of linux/bpf.h, RFC 9669 section 3.1).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A device filter, ready for bpf(2).
///
/// The rules are tried from the last to the first, and the last word counts. The access asked for
/// may be more than one of `r`, `w` and `m`: a rule that denies any of it denies it all; one that
/// allows takes what it allows off, and the access is granted when nothing is left. What no rule
/// speaks of is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

// Registers. The kernel passes struct bpf_cgroup_dev_ctx in the first; the verdict is in RESULT.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Operations: class | source (immediate or register) | operation.
const LOAD_WORD: u8 = 0x61;
const MOVE_IMMEDIATE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

impl Program {
    /// The program that decides by `rules`.
    pub fn new(rules: &[Rule]) -> Self {
        let mut program = vec![
            load(KIND, 0),
            immediate(AND_IMMEDIATE, KIND, 0xffff),
            load(ACCESS, 0),
            immediate(SHIFT_RIGHT, ACCESS, 16),
            load(MAJOR, 4),
            load(MINOR, 8),
        ];
        for rule in rules.iter().rev() {
            program.extend(block(rule));
        }
        program.extend(verdict(false));
        Program(program)
    }

    /// The instructions, for `BPF_PROG_LOAD`.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

/// The instructions for one rule; they fall through to the next rule where it has no verdict.
fn block(rule: &Rule) -> Vec<Instruction> {
    let access = i32::from(rule.access.bits());
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        // BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
        tests.push((KIND, if kind == Kind::Block { 1 } else { 2 }));
    }
    tests.extend(rule.major.map(|major| (MAJOR, major.cast_signed())));
    tests.extend(rule.minor.map(|minor| (MINOR, minor.cast_signed())));
    let action = if rule.allow {
        let mut action = vec![
            immediate(AND_IMMEDIATE, ACCESS, !access),
            jump(JUMP_IF_NOT_EQUAL, ACCESS, 0, 2),
        ];
        action.extend(verdict(true));
        action
    } else {
        let mut action = vec![
            Instruction {
                code: MOVE_REGISTER,
                registers: ACCESS << 4 | SCRATCH,
                offset: 0,
                immediate: 0,
            },
            immediate(AND_IMMEDIATE, SCRATCH, access),
            jump(JUMP_IF_EQUAL, SCRATCH, 0, 2),
        ];
        action.extend(verdict(false));
        action
    };
    let count = tests.len();
    let mut block: Vec<_> = tests
        .into_iter()
        .zip(1..)
        .map(|((register, value), done)| {
            jump(
                JUMP_IF_NOT_EQUAL,
                register,
                value,
                count - done + action.len(),
            )
        })
        .collect();
    block.extend(action);
    block
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD_WORD,
        registers: CONTEXT << 4 | register,
        offset,
        immediate: 0,
    }
}

fn immediate(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

/// Jumps over `distance` instructions: a block's length, far below the limit of the field.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "at most 8"
)]
fn jump(code: u8, register: u8, value: i32, distance: usize) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: distance as i16,
        immediate: value,
    }
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        immediate(MOVE_IMMEDIATE, RESULT, allow.into()),
        immediate(EXIT, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::device_rule::Access;
    use super::super::devices::default_rules;
    use super::*;

    /// What the kernel's interpreter would say.
    fn run(program: &Program, kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 8];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: names,
                offset,
                immediate,
            } = program.0[at];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            let value = immediate.cast_unsigned();
            let jump = match code {
                JUMP_IF_EQUAL => registers[to] == value,
                JUMP_IF_NOT_EQUAL => registers[to] != value,
                _ => false,
            };
            match code {
                LOAD_WORD => registers[to] = context[usize::try_from(offset).unwrap() / 4],
                MOVE_IMMEDIATE => registers[to] = value,
                MOVE_REGISTER => registers[to] = registers[from],
                AND_IMMEDIATE => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                EXIT => return registers[0] == 1,
                JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL => {}
                other => panic!("instruction {other:#x}"),
            }
            at += 1 + if jump {
                usize::try_from(offset).unwrap()
            } else {
                0
            };
        }
    }

    /// The spec's words: for each letter of the access, the last rule that speaks of it decides.
    fn last_rule_decides(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        [1, 2, 4]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| {
                let speaks = |rule: &&Rule| {
                    rule.kind.is_none_or(|k| {
                        if k == Kind::Block {
                            kind == 1
                        } else {
                            kind == 2
                        }
                    }) && rule.major.is_none_or(|number| number == major)
                        && rule.minor.is_none_or(|number| number == minor)
                        && u32::from(rule.access.bits()) & bit != 0
                };
                rules
                    .iter()
                    .rev()
                    .find(speaks)
                    .is_some_and(|rule| rule.allow)
            })
    }

    #[test]
    fn the_program_decides_as_the_list_of_rules_does() {
        let rule = |allow, kind, major, minor, access| Rule {
            allow,
            kind,
            major,
            minor,
            access,
            entry: None,
        };
        let mut kinds = [None, Some(Kind::Block), Some(Kind::Character)]
            .into_iter()
            .cycle();
        let mut numbers = [None, Some(0), Some(1), Some(u32::MAX), Some(3)]
            .into_iter()
            .cycle();
        let accesses = [Access::READ, Access::WRITE, Access::ALL, Access::MKNOD];
        let mut accesses = accesses.into_iter().cycle();
        let mut lists = vec![Vec::new(), default_rules().to_vec()];
        for length in 1..40_usize {
            lists.push(
                (0..length)
                    .map(|index| {
                        let numbers = (numbers.next().unwrap(), numbers.nth(index % 3).unwrap());
                        let access = accesses.nth(index % 2).unwrap();
                        rule(
                            index % 3 != 1,
                            kinds.next().unwrap(),
                            numbers.0,
                            numbers.1,
                            access,
                        )
                    })
                    .collect(),
            );
        }
        for rules in lists {
            let program = Program::new(&rules);
            for kind in [1, 2] {
                for access in 1..8 {
                    for major in [0, 1, 3, u32::MAX] {
                        for minor in [0, 1, 3, u32::MAX] {
                            assert_eq!(
                                run(&program, kind, access, major, minor),
                                last_rule_decides(&rules, kind, access, major, minor),
                                "{kind} {major}:{minor} {access} {rules:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
