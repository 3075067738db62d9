//! The search for a system call's number: a binary tree of comparisons over ranges of numbers.
//!
//! The tree is halved by weight rather than by count, so that a wide range of the machine's own
//! numbers, which likely holds the next system call, is found after few steps.

use super::action::Action;
use super::bpf::{Assembler, EQUAL, GREATER_OR_EQUAL, Target};
use super::conditions;
use super::rules::{Chain, Decision, Range};

/// Writes the search through `ranges`, which begin at 0 and are sorted.
pub(super) fn assemble(
    bpf: &mut Assembler,
    ranges: &[Range],
    chains: &[Chain],
    default: Action,
) -> Target {
    let decided = |bpf: &mut Assembler, decision| match decision {
        Decision::Always(action) => Target::Return(action),
        Decision::Chain(chain) => {
            let Chain { rules, is_64_bit } = &chains[chain];
            conditions::assemble(bpf, rules, *is_64_bit, Target::Return(default))
        }
    };
    match ranges {
        [] => return Target::Return(default),
        [range] => return decided(bpf, range.decision),
        _ => {}
    }
    if let Some(islands) = islands(ranges) {
        let mut next = decided(bpf, ranges[0].decision);
        for island in islands.rev() {
            let on_it = decided(bpf, island.decision);
            next = bpf.branch(EQUAL, island.first, on_it, next);
        }
        return next;
    }
    let (below, from) = ranges.split_at(middle(ranges));
    let at_or_above = assemble(bpf, from, chains, default);
    let under = assemble(bpf, below, chains, default);
    bpf.branch(GREATER_OR_EQUAL, from[0].first, at_or_above, under)
}

/// The lone numbers in a run of otherwise equal decisions, if `ranges` is such a run and short:
/// one comparison tells a lone number, where the search would need two.
fn islands(ranges: &[Range]) -> Option<impl DoubleEndedIterator<Item = &Range>> {
    let lone = |pair: &[Range]| pair[1].first == pair[0].first + 1;
    let is_run = ranges.len() % 2 == 1
        && ranges.len() <= 7
        && ranges
            .iter()
            .step_by(2)
            .all(|range| range.decision == ranges[0].decision)
        && ranges[1..].chunks_exact(2).all(lone);
    is_run.then(|| ranges.iter().skip(1).step_by(2))
}

/// Where to cut so that both sides weigh about the same.
fn middle(ranges: &[Range]) -> usize {
    let total: u32 = ranges.iter().map(|range| range.weight).sum();
    let mut below = 0;
    let mut best = (u32::MAX, 1);
    for (index, pair) in ranges.windows(2).enumerate() {
        below += pair[0].weight;
        let imbalance = (total - below).abs_diff(below);
        best = best.min((imbalance, index + 1));
    }
    best.1
}
