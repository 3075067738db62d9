//! Rules with conditions on a system call's arguments: their order, and their BPF.

use std::cmp::Ordering;

use super::action::Action;
use super::bpf::{AND, ARGUMENTS, Assembler, EQUAL, GREATER, GREATER_OR_EQUAL, LOAD, Target};

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    MaskedEqual,
}

/// The words that `op` may hold.
const NAMES: &[(&str, Operator)] = &[
    ("SCMP_CMP_NE", Operator::NotEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
];

impl Operator {
    /// The words that operators of a profile may be.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The operator that a profile calls `name`.
    pub(super) fn named(name: &str) -> Option<Operator> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, operator)| *operator)
    }

    /// libseccomp looks at (in)equalities first, then at upper bounds, then at lower bounds.
    fn precedence(self) -> u8 {
        match self {
            Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => 0,
            Operator::Less | Operator::LessOrEqual => 1,
            Operator::Greater | Operator::GreaterOrEqual => 2,
        }
    }
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    operator: Operator,
    mask: u64,
    value: u64,
}

impl Condition {
    /// A condition of a profile: `value` is the mask of [`Operator::MaskedEqual`], `value_two`
    /// what it compares to then.
    pub(super) fn new(operator: Operator, value: u64, value_two: u64) -> Self {
        match operator {
            Operator::MaskedEqual => Condition {
                operator,
                mask: value,
                value: value & value_two,
            },
            _ => Condition {
                operator,
                mask: u64::MAX,
                value,
            },
        }
    }

    /// The condition on the lower 32 bits, if it says anything of them.
    fn lower_half(self) -> Option<Self> {
        let half = u64::from(u32::MAX);
        let condition = Condition {
            mask: self.mask & half,
            value: self.value & half,
            ..self
        };
        Some(condition).filter(|condition| condition.mask != 0)
    }

    /// Where libseccomp looks at it before or after another one on the same argument: narrower
    /// bounds first, and greater values first.
    fn order(self, other: Self) -> Ordering {
        let greater_first = other.value.cmp(&self.value);
        self.operator
            .precedence()
            .cmp(&other.operator.precedence())
            .then(match self.operator {
                Operator::Less | Operator::LessOrEqual => greater_first.reverse(),
                _ => greater_first,
            })
    }
}

/// A rule: the action for calls whose arguments fulfil all conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConditionalRule {
    pub(super) action: Action,
    /// At most one for each argument.
    pub(super) conditions: [Option<Condition>; 6],
}

impl ConditionalRule {
    /// The rule that holds whatever the arguments are.
    pub(super) fn unconditional(action: Action) -> Self {
        ConditionalRule {
            action,
            conditions: [None; 6],
        }
    }

    /// The rule for an architecture that has 32-bit arguments.
    pub(super) fn lower_half(self) -> Self {
        let conditions = self
            .conditions
            .map(|condition| condition.and_then(Condition::lower_half));
        ConditionalRule { conditions, ..self }
    }

    /// The rule for a call that x86 has behind socketcall(2) or ipc(2), whose first argument says
    /// which call it is. libseccomp keeps the other conditions as they stand, though what they
    /// are about is then behind a pointer.
    pub(super) fn for_call(&self, call: u64) -> Self {
        let mut rule = *self;
        rule.conditions[0] = Some(Condition::new(Operator::Equal, call, 0));
        rule
    }

    /// Whether it has no condition that can fail.
    pub(super) fn always_holds(&self) -> bool {
        self.conditions
            .iter()
            .flatten()
            .all(|condition| condition.mask == 0)
    }

    /// Whether every call that `other` matches is matched by this rule too, for the reason that
    /// this one's conditions are the first of the other's.
    pub(super) fn begins(&self, other: &ConditionalRule) -> bool {
        let mut others = other.given();
        self.given()
            .all(|condition| others.next() == Some(condition))
    }

    /// Where libseccomp looks at it before or after another one of the same system call: the rule
    /// on the later argument first; of two that start alike, the shorter one first.
    pub(super) fn order(&self, other: &ConditionalRule) -> Ordering {
        let mut others = other.given();
        for (argument, condition) in self.given() {
            let Some((other_argument, other_condition)) = others.next() else {
                return Ordering::Greater;
            };
            let order = other_argument
                .cmp(&argument)
                .then(condition.order(other_condition));
            if order.is_ne() {
                return order;
            }
        }
        if others.next().is_some() {
            Ordering::Less
        } else {
            Ordering::Equal
        }
    }

    fn given(&self) -> impl Iterator<Item = (usize, Condition)> {
        self.conditions
            .iter()
            .enumerate()
            .filter_map(|(argument, condition)| {
                condition
                    .filter(|condition| condition.mask != 0)
                    .map(|condition| (argument, condition))
            })
    }

    /// The argument and the value, if the rule is nothing but "this argument is this value".
    fn single_equality(&self) -> Option<(usize, u64)> {
        let mut given = self.given();
        match (given.next(), given.next()) {
            (Some((argument, condition)), None) if condition.operator == Operator::Equal => {
                Some((argument, condition.value))
            }
            _ => None,
        }
    }
}

/// Writes a test of `rules` (in the order in which they are tried), which goes on at `otherwise`
/// if none matches.
pub(super) fn assemble(
    bpf: &mut Assembler,
    rules: &[ConditionalRule],
    is_64_bit: bool,
    otherwise: Target,
) -> Target {
    let mut next = otherwise;
    let mut rest = rules;
    while let Some((last, before)) = rest.split_last() {
        if let Some((argument, value)) = last.single_equality() {
            let alike = |rule: &&ConditionalRule| {
                rule.single_equality()
                    .is_some_and(|(other, with)| other == argument && high(with) == high(value))
            };
            let count = 1 + before.iter().rev().take_while(alike).count();
            let equalities = &rest[rest.len() - count..];
            next = assemble_equalities(bpf, argument, equalities, is_64_bit, next);
            rest = &rest[..rest.len() - count];
        } else {
            next = assemble_rule(bpf, last, is_64_bit, next);
            rest = before;
        }
    }
    next
}

/// Rules that compare one argument to values whose upper halves are the same: the halves are
/// loaded once for all of them.
fn assemble_equalities(
    bpf: &mut Assembler,
    argument: usize,
    rules: &[ConditionalRule],
    is_64_bit: bool,
    otherwise: Target,
) -> Target {
    let mut next = otherwise;
    let mut value = 0;
    for rule in rules.iter().rev() {
        value = rule.single_equality().map_or(0, |(_, value)| value);
        next = bpf.branch(EQUAL, low(value), Target::Return(rule.action), next);
    }
    let lower = bpf.before(LOAD, lower_half_of(argument), next);
    if !is_64_bit {
        return lower;
    }
    let upper = bpf.branch(EQUAL, high(value), lower, otherwise);
    bpf.before(LOAD, upper_half_of(argument), upper)
}

fn assemble_rule(
    bpf: &mut Assembler,
    rule: &ConditionalRule,
    is_64_bit: bool,
    otherwise: Target,
) -> Target {
    let mut next = Target::Return(rule.action);
    for (argument, condition) in rule.given().collect::<Vec<_>>().into_iter().rev() {
        next = assemble_condition(bpf, argument, condition, is_64_bit, next, otherwise);
    }
    next
}

/// One comparison: of the upper halves first, and of the lower ones where those don't decide.
fn assemble_condition(
    bpf: &mut Assembler,
    argument: usize,
    condition: Condition,
    is_64_bit: bool,
    holds: Target,
    fails: Target,
) -> Target {
    let (comparison, yes, no) = match condition.operator {
        Operator::Equal | Operator::MaskedEqual => (EQUAL, holds, fails),
        Operator::NotEqual => (EQUAL, fails, holds),
        Operator::Greater => (GREATER, holds, fails),
        Operator::LessOrEqual => (GREATER, fails, holds),
        Operator::GreaterOrEqual => (GREATER_OR_EQUAL, holds, fails),
        Operator::Less => (GREATER_OR_EQUAL, fails, holds),
    };
    let Condition { mask, value, .. } = condition;

    let lower = if low(mask) == 0 {
        yes
    } else {
        let lower = bpf.branch(comparison, low(value), yes, no);
        assemble_load(bpf, lower_half_of(argument), low(mask), lower)
    };
    if !is_64_bit || high(mask) == 0 {
        return lower;
    }
    let upper = bpf.branch(EQUAL, high(value), lower, no);
    let upper = if comparison == EQUAL {
        upper
    } else {
        bpf.branch(GREATER, high(value), yes, upper)
    };
    assemble_load(bpf, upper_half_of(argument), high(mask), upper)
}

fn assemble_load(bpf: &mut Assembler, offset: u32, mask: u32, next: Target) -> Target {
    let masked = if mask == u32::MAX {
        next
    } else {
        bpf.before(AND, mask, next)
    };
    bpf.before(LOAD, offset, masked)
}

// Every architecture that we know is little-endian.

fn lower_half_of(argument: usize) -> u32 {
    ARGUMENTS + u32::try_from(argument).unwrap_or_default() * 8
}

fn upper_half_of(argument: usize) -> u32 {
    lower_half_of(argument) + 4
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is asked for"
)]
fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    low(value >> 32)
}
