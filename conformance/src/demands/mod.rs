//! Every demand of the runtime-spec (1.3) that binds a runtime on Linux, and the cases that test it:
//! each sentence with MUST, MUST NOT, SHALL or REQUIRED of the specification's files, one table a file.
//!
//! Left out are sentences about other platforms, and about those who write specifications.

mod bundle;
mod config;
mod config_linux;
mod coverage;
mod features;
mod runtime;

pub use self::coverage::{markdown, table};

/// A sentence that demands something.
#[derive(Debug)]
pub struct Demand {
    /// `FILE/NAME`.
    pub id: &'static str,
    /// The heading below which it stands.
    pub heading: &'static str,
    /// At most a line of it.
    pub quote: &'static str,
    /// What shows that it is met.
    pub proof: Proof,
}

/// What shows that a demand is met.
#[derive(Debug)]
pub enum Proof {
    /// These cases.
    Cases(&'static [&'static str]),
    /// Nothing can, for this reason.
    Untestable(&'static str),
}

/// All demands of one file.
#[derive(Debug)]
pub struct File {
    /// The file's name in the specification.
    pub name: &'static str,
    /// Its demands, in their order.
    pub demands: &'static [Demand],
}

/// The specification's files, in the order in which one reads them.
pub const FILES: &[File] = &[
    File {
        name: "bundle.md",
        demands: bundle::DEMANDS,
    },
    File {
        name: "runtime.md",
        demands: runtime::DEMANDS,
    },
    File {
        name: "runtime-linux.md",
        demands: runtime::LINUX_DEMANDS,
    },
    File {
        name: "config.md",
        demands: config::DEMANDS,
    },
    File {
        name: "config-linux.md",
        demands: config_linux::DEMANDS,
    },
    File {
        name: "features.md",
        demands: features::DEMANDS,
    },
    File {
        name: "features-linux.md",
        demands: features::LINUX_DEMANDS,
    },
];

/// A demand that cases test.
const fn tested(
    id: &'static str,
    heading: &'static str,
    quote: &'static str,
    cases: &'static [&'static str],
) -> Demand {
    Demand {
        id,
        heading,
        quote,
        proof: Proof::Cases(cases),
    }
}

/// A demand that no case can test.
const fn untestable(
    id: &'static str,
    heading: &'static str,
    quote: &'static str,
    why: &'static str,
) -> Demand {
    Demand {
        id,
        heading,
        quote,
        proof: Proof::Untestable(why),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::case::Level;
    use crate::cases;

    fn all() -> impl Iterator<Item = (&'static File, &'static Demand)> {
        FILES
            .iter()
            .flat_map(|file| file.demands.iter().map(move |demand| (file, demand)))
    }

    #[test]
    fn a_demand_is_found_by_its_id() {
        let mut ids = BTreeSet::new();
        for (file, demand) in all() {
            let stem = file.name.trim_end_matches(".md");
            assert!(ids.insert(demand.id), "{} twice", demand.id);
            assert_eq!(demand.id.split_once('/').map(|(of, _)| of), Some(stem));
            for text in [demand.heading, demand.quote] {
                assert!(
                    !text.is_empty() && text.len() <= 100,
                    "{}: {text}",
                    demand.id
                );
            }
        }
    }

    #[test]
    fn cases_that_are_named_exist() {
        let cases: BTreeSet<&str> = cases::all().map(|case| case.id).collect();
        for (_, demand) in all() {
            if let Proof::Cases(named) = demand.proof {
                assert!(!named.is_empty(), "{}", demand.id);
                for case in named {
                    assert!(cases.contains(case), "{}: no case {case}", demand.id);
                }
            }
        }
    }

    #[test]
    fn a_case_that_claims_a_must_is_named_by_a_demand() {
        let named: BTreeSet<&str> = all()
            .filter_map(|(_, demand)| match demand.proof {
                Proof::Cases(cases) => Some(cases),
                Proof::Untestable(_) => None,
            })
            .flatten()
            .copied()
            .collect();
        let unnamed: Vec<&str> = cases::all()
            .filter(|case| case.level == Level::Must && !named.contains(case.id))
            .map(|case| case.id)
            .collect();
        assert!(unnamed.is_empty(), "{unnamed:#?}");
    }

    #[test]
    fn the_published_table_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == markdown(),
            "docs/conformance.md is old: windlass-conformance coverage --markdown > {path}"
        );
    }
}
