//! The search for a system call's number: a binary tree of comparisons over ranges of numbers.
//!
//! The tree is halved by weight rather than by count, so that a wide range of the machine's own
//! numbers, which likely holds the next system call, is found after few steps. Its leaves are not
//! single ranges but stretches of one decision with a few lone numbers in it that are decided
//! otherwise: one comparison tells a lone number, where the tree would need two.

use super::action::Action;
use super::bpf::{Assembler, EQUAL, GREATER_OR_EQUAL, Target};
use super::conditions;
use super::rules::{Chain, Decision, Range};

/// With more lone numbers in a stretch, the tree is the shorter way.
const MOST_LONE_NUMBERS: usize = 3;

/// A leaf of the tree: ranges of which the first, third, fifth … share a decision, and the others
/// are lone numbers.
#[derive(Debug)]
struct Stretch<'a> {
    ranges: &'a [Range],
    weight: u32,
}

/// Writes the search through `ranges`, which are sorted and begin at 0.
pub(super) fn assemble(
    bpf: &mut Assembler,
    ranges: &[Range],
    chains: &[Chain],
    default: Action,
) -> Target {
    Search { chains, default }.tree(bpf, &stretches(ranges))
}

struct Search<'a> {
    chains: &'a [Chain],
    default: Action,
}

impl Search<'_> {
    fn tree(&self, bpf: &mut Assembler, stretches: &[Stretch<'_>]) -> Target {
        match stretches {
            [] => Target::Return(self.default),
            [stretch] => self.leaf(bpf, stretch.ranges),
            _ => {
                let (below, from) = stretches.split_at(middle(stretches));
                let first = from[0].ranges[0].first;
                let from = self.tree(bpf, from);
                let below = self.tree(bpf, below);
                bpf.branch(GREATER_OR_EQUAL, first, from, below)
            }
        }
    }

    fn leaf(&self, bpf: &mut Assembler, ranges: &[Range]) -> Target {
        let mut next = self.decided(bpf, ranges[0].decision);
        for lone in ranges.iter().skip(1).step_by(2).rev() {
            let decided = self.decided(bpf, lone.decision);
            next = bpf.branch(EQUAL, lone.first, decided, next);
        }
        next
    }

    fn decided(&self, bpf: &mut Assembler, decision: Decision) -> Target {
        match decision {
            Decision::Always(action) => Target::Return(action),
            Decision::Chain(chain) => {
                let Chain { rules, is_64_bit } = &self.chains[usize::from(chain)];
                conditions::assemble(bpf, rules, *is_64_bit, Target::Return(self.default))
            }
        }
    }
}

fn stretches(ranges: &[Range]) -> Vec<Stretch<'_>> {
    let mut stretches = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    while let Some(first) = rest.first() {
        let goes_on = |pair: &&[Range]| {
            pair[0].first + 1 == pair[1].first && pair[1].decision == first.decision
        };
        let lone = rest[1..]
            .chunks_exact(2)
            .take(MOST_LONE_NUMBERS)
            .take_while(goes_on)
            .count();
        let (ranges, after) = rest.split_at(1 + 2 * lone);
        let weight = ranges.iter().map(|range| range.weight).sum();
        stretches.push(Stretch { ranges, weight });
        rest = after;
    }
    stretches
}

/// Where to cut so that both sides weigh about the same.
fn middle(stretches: &[Stretch<'_>]) -> usize {
    let total: u32 = stretches.iter().map(|stretch| stretch.weight).sum();
    let mut below = 0;
    let mut best = (u32::MAX, 1);
    for (index, stretch) in stretches.iter().enumerate().skip(1) {
        below += stretches[index - 1].weight;
        debug_assert!(below + stretch.weight <= total);
        best = best.min(((total - below).abs_diff(below), index));
    }
    best.1
}
