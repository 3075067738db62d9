//! Classic BPF as seccomp(2) takes it, assembled from its end to its start.
//!
//! BPF jumps only forward and, where they are conditional, by 255 instructions at most. Assembled
//! backwards, every target already has its place when a jump to it is written, so nothing is ever
//! patched: a target that has become too far is written once more (a return) or gets an
//! unconditional jump (`ja`, which has 32 bits) in between.

use super::action::Action;

/// One instruction: the kernel's `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub jump_true: u8,
    /// How many to skip if not.
    pub jump_false: u8,
    /// The constant.
    pub k: u32,
}

// The codes that the kernel can run ahead of time to see which system calls a filter always allows
// (kernel/seccomp.c, seccomp_is_const_allow): with any other it would run the filter every time.
/// `BPF_LD | BPF_W | BPF_ABS`.
pub const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub const GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub const GREATER_OR_EQUAL: u16 = 0x35;
/// `BPF_RET | BPF_K`.
pub const RETURN: u16 = 0x06;

/// The kernel takes no more instructions than these (`BPF_MAXINSNS`).
pub const MAXIMUM: usize = 4096;

/// Where `struct seccomp_data` has the number of the system call.
pub const NUMBER: u32 = 0;
/// Where it has the architecture.
pub const ARCHITECTURE: u32 = 4;
/// Where it has the arguments: 64 bits each, of which classic BPF loads 32 at a time.
pub const ARGUMENTS: u32 = 16;

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To the end of the filter, with this result.
    Return(Action),
    /// To an instruction, counted from the end of the filter.
    At(usize),
}

/// A filter in the making: the instructions from its end to its start.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    backwards: Vec<Instruction>,
    /// Where each result was last returned.
    returns: Vec<(Action, usize)>,
    /// The last jump on to an instruction: the instruction, the jump.
    jumps: Vec<(usize, usize)>,
}

impl Assembler {
    pub(super) fn with_capacity(instructions: usize) -> Self {
        Assembler {
            backwards: Vec::with_capacity(instructions),
            ..Assembler::default()
        }
    }

    /// Writes "if the accumulator compares so to `k`, go on at `holds`, else at `fails`".
    pub(super) fn branch(&mut self, code: u16, k: u32, holds: Target, fails: Target) -> Target {
        if holds == fails {
            return holds;
        }
        loop {
            // Writing a stepping stone for one may push the other out of reach: look again.
            let jump_true = self.reach(holds);
            let jump_false = self.reach(fails);
            if let (Some(jump_true), Some(jump_false)) = (jump_true, jump_false) {
                return self.push(Instruction {
                    code,
                    jump_true,
                    jump_false,
                    k,
                });
            }
            if jump_true.is_none() {
                self.bring_near(holds);
            }
            if jump_false.is_none() {
                self.bring_near(fails);
            }
        }
    }

    /// Writes an instruction that works on the accumulator before `next` does: a load or an AND.
    pub(super) fn before(&mut self, code: u16, k: u32, next: Target) -> Target {
        if next != Target::At(self.last()) {
            self.bring_near(next);
        }
        self.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            k,
        })
    }

    /// The filter, from its start at `start` on.
    pub(super) fn finish(mut self, start: Target) -> Vec<Instruction> {
        if start != Target::At(self.last()) {
            self.bring_near(start);
        }
        self.backwards.reverse();
        self.backwards
    }

    fn last(&self) -> usize {
        self.backwards.len().wrapping_sub(1)
    }

    fn push(&mut self, instruction: Instruction) -> Target {
        self.backwards.push(instruction);
        Target::At(self.last())
    }

    /// How far the next instruction would have to jump, if it can.
    fn reach(&self, target: Target) -> Option<u8> {
        let at = match target {
            Target::Return(action) => self
                .returns
                .iter()
                .find(|(result, _)| *result == action)
                .map(|(_, at)| *at)?,
            Target::At(at) => at,
        };
        let distance = |at: usize| u8::try_from(self.last().wrapping_sub(at)).ok();
        distance(at).or_else(|| {
            let (_, jump) = self.jumps.iter().rev().find(|(target, _)| *target == at)?;
            distance(*jump)
        })
    }

    /// Writes `target` again, or a jump to it.
    fn bring_near(&mut self, target: Target) {
        let place = self.backwards.len();
        let no_jumps = Instruction {
            code: RETURN,
            jump_true: 0,
            jump_false: 0,
            k: 0,
        };
        match target {
            Target::Return(action) => {
                self.backwards.push(Instruction {
                    k: action.0,
                    ..no_jumps
                });
                match self
                    .returns
                    .iter_mut()
                    .find(|(result, _)| *result == action)
                {
                    Some((_, at)) => *at = place,
                    None => self.returns.push((action, place)),
                }
            }
            Target::At(at) => {
                // The kernel takes at most 4096 instructions (BPF_MAXINSNS).
                let distance = u32::try_from(place - at - 1).unwrap_or(u32::MAX);
                self.backwards.push(Instruction {
                    code: JUMP,
                    k: distance,
                    ..no_jumps
                });
                self.jumps.push((at, place));
            }
        }
    }
}
