//! From the rules of a profile to one decision for each number of a system call.

use super::action::Action;
use super::architecture::{Architecture, X32_BIT};
use super::conditions::ConditionalRule;
use super::syscalls::{ARM_PRIVATE, Multiplexed, Syscall, TABLE_END};

/// What is decided for a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Always the same.
    Always(Action),
    /// It depends on the arguments: which chain of rules to try.
    Chain(u16),
}

/// The rules of one system call on one architecture that have conditions.
#[derive(Debug)]
pub(super) struct Chain {
    /// In the order in which they are tried.
    pub(super) rules: Vec<ConditionalRule>,
    /// Whether the arguments have 64 bits.
    pub(super) is_64_bit: bool,
}

/// Numbers that follow each other and share a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// The first of them; the next range begins after the last.
    pub(super) first: u32,
    pub(super) decision: Decision,
    /// How much a short way to this decision matters.
    pub(super) weight: u32,
}

/// Two rules of one system call that contradict each other.
#[derive(Debug)]
pub(super) struct Contradiction;

/// The rules of one architecture.
#[derive(Debug)]
pub(super) struct Rules {
    architecture: Architecture,
    /// By number; arm's private calls follow those of the table.
    decisions: Vec<Option<Decision>>,
    /// The greatest number among the system calls that the profile names at all.
    greatest_named: Option<u32>,
}

/// The numbers of a table, and of arm's private calls behind them (the last is of none).
const PLACES: u32 = TABLE_END + 0x10;

/// What a number of the machine's own architecture weighs: the others' are hardly ever called.
const NATIVE_WEIGHT: u32 = 16;

impl Rules {
    pub(super) fn new(architecture: Architecture) -> Self {
        Rules {
            architecture,
            decisions: vec![None; PLACES as usize],
            greatest_named: None,
        }
    }

    /// The architecture that these rules are about.
    pub(super) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Notes that the profile names a system call, if only to say of it what holds anyway.
    pub(super) fn name(&mut self, syscall: Syscall) {
        // libseccomp does not count x86's calls that are behind socketcall(2) or ipc(2) too.
        if self.multiplexed(syscall).is_none() {
            self.greatest_named = self.greatest_named.max(syscall.number(self.architecture));
        }
    }

    /// Adds a rule without conditions. It beats all rules that have some, before and after it; of
    /// two without conditions the first holds.
    pub(super) fn add(
        &mut self,
        syscall: Syscall,
        action: Action,
        chains: &mut Vec<Chain>,
    ) -> Result<(), Contradiction> {
        if self.multiplexed(syscall).is_some() {
            return self.add_if(syscall, &ConditionalRule::unconditional(action), chains);
        }
        if let Some(number) = syscall.number(self.architecture) {
            let decision = self.decision(number);
            if !matches!(decision, Some(Decision::Always(_))) {
                *decision = Some(Decision::Always(action));
            }
        }
        Ok(())
    }

    /// Adds a rule with conditions.
    pub(super) fn add_if(
        &mut self,
        syscall: Syscall,
        rule: &ConditionalRule,
        chains: &mut Vec<Chain>,
    ) -> Result<(), Contradiction> {
        if let Some(Multiplexed { number, call }) = self.multiplexed(syscall) {
            self.add_number_if(number, &rule.for_call(call), chains)?;
        }
        match syscall.number(self.architecture) {
            Some(number) => self.add_number_if(number, rule, chains),
            None => Ok(()),
        }
    }

    fn add_number_if(
        &mut self,
        number: u32,
        rule: &ConditionalRule,
        chains: &mut Vec<Chain>,
    ) -> Result<(), Contradiction> {
        let is_64_bit = self.architecture.is_64_bit();
        let rule = if is_64_bit { *rule } else { rule.lower_half() };
        let decision = self.decision(number);
        match *decision {
            Some(Decision::Always(_)) => {}
            _ if rule.always_holds() => *decision = Some(Decision::Always(rule.action)),
            Some(Decision::Chain(chain)) => {
                if let Some(chain) = chains.get_mut(usize::from(chain)) {
                    chain.add(rule)?;
                }
            }
            None => {
                #[allow(clippy::cast_possible_truncation, reason = "one for a number at most")]
                let chain = chains.len() as u16;
                *decision = Some(Decision::Chain(chain));
                chains.push(Chain {
                    rules: vec![rule],
                    is_64_bit,
                });
            }
        }
        Ok(())
    }

    fn multiplexed(&self, syscall: Syscall) -> Option<Multiplexed> {
        (self.architecture == Architecture::X86)
            .then(|| syscall.multiplexed())
            .flatten()
    }

    fn decision(&mut self, number: u32) -> &mut Option<Decision> {
        let number = number & !X32_BIT;
        let place = if number < ARM_PRIVATE {
            number
        } else {
            number - ARM_PRIVATE + TABLE_END
        };
        &mut self.decisions[place as usize]
    }

    /// The numbers beyond the greatest that the profile names: they belong to system calls that
    /// its author did not know. None if it names none at all, or for runc: none but number 0.
    pub(super) fn first_newer(&self) -> Option<u32> {
        let greatest = self.greatest_named.filter(|greatest| *greatest > 0)?;
        Some((greatest & !X32_BIT) + 1)
    }

    /// Lists the decisions for all numbers that this architecture can have. Those of
    /// [`Self::first_newer`] on are `newer`'s, if that is given.
    pub(super) fn ranges(
        &self,
        default: Action,
        newer: Option<Action>,
        native: Architecture,
        ranges: &mut Vec<Range>,
    ) {
        let weight = if self.architecture == native {
            NATIVE_WEIGHT
        } else {
            1
        };
        let bit = self.architecture.number_bit();
        let newer = newer.zip(self.first_newer());
        let end = newer.map_or(u32::MAX, |(_, first)| first);
        let mut add = |first: u32, decision, weight| {
            Range {
                first: first | bit,
                decision,
                weight,
            }
            .append_to(ranges);
        };

        let default = Decision::Always(default);
        let decision = |place: u32| self.decisions[place as usize].unwrap_or(default);
        for number in 0..TABLE_END.min(end) {
            add(number, decision(number), weight);
        }
        if TABLE_END < end {
            add(TABLE_END, default, 1);
        }
        if self.architecture == Architecture::Arm {
            for private in 0..PLACES - TABLE_END {
                if ARM_PRIVATE + private < end {
                    add(ARM_PRIVATE + private, decision(TABLE_END + private), 1);
                }
            }
        }
        if let Some((newer, first)) = newer {
            add(first, Decision::Always(newer), 1);
        }
    }
}

impl Range {
    /// Adds it to `ranges`, or to the last of them if that has the same decision.
    pub(super) fn append_to(self, ranges: &mut Vec<Range>) {
        match ranges.last_mut() {
            Some(last) if last.decision == self.decision => last.weight += self.weight,
            _ => ranges.push(self),
        }
    }
}

impl Chain {
    /// Puts a rule where libseccomp would look at it.
    fn add(&mut self, rule: ConditionalRule) -> Result<(), Contradiction> {
        for other in &self.rules {
            let is_covered = other.begins(&rule);
            if rule.begins(other) && rule.action != other.action {
                return Err(Contradiction);
            }
            if is_covered {
                return Ok(());
            }
        }
        self.rules.retain(|other| !rule.begins(other));
        let place = self
            .rules
            .partition_point(|other| other.order(&rule).is_le());
        self.rules.insert(place, rule);
        Ok(())
    }
}
