//! Runs classic BPF as the kernel would over one system call.

use windlass::seccomp::bpf::{
    AND, ARCHITECTURE, ARGUMENTS, EQUAL, GREATER, GREATER_OR_EQUAL, Instruction, JUMP, LOAD,
    NUMBER, RETURN,
};

/// The kernel's `struct seccomp_data`, but for the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The number.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub architecture: u32,
    /// The arguments.
    pub arguments: [u64; 6],
}

/// libseccomp's mask test may be written with JSET too.
const BITS_SET: u16 = 0x45;

/// What the filter returns, and how many instructions that took.
pub fn run(filter: &[Instruction], call: &Call) -> (u32, u32) {
    let mut accumulator = 0;
    let mut at = 0;
    let mut steps = 0;
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = filter[at];
        at += 1;
        steps += 1;
        let holds = match code {
            LOAD => {
                accumulator = load(call, k);
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                at += usize::try_from(k).unwrap();
                continue;
            }
            RETURN => return (k, steps),
            EQUAL => accumulator == k,
            GREATER => accumulator > k,
            GREATER_OR_EQUAL => accumulator >= k,
            BITS_SET => accumulator & k != 0,
            _ => panic!("no such instruction: {code:#x}"),
        };
        at += usize::from(if holds { jump_true } else { jump_false });
    }
}

fn load(call: &Call, offset: u32) -> u32 {
    match offset {
        NUMBER => call.number,
        ARCHITECTURE => call.architecture,
        ARGUMENTS..64 if offset.is_multiple_of(4) => {
            let argument = call.arguments[((offset - ARGUMENTS) / 8) as usize];
            let half = argument >> (offset % 8 * 8);
            u32::try_from(half & u64::from(u32::MAX)).unwrap()
        }
        _ => panic!("nothing is at {offset}"),
    }
}
