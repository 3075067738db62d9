//! `coverage`: which demand is tested by which case, as a table.

use std::fmt::Write;

use super::{Demand, FILES, File, Proof};

/// How the demands of one file, or of all, stand.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    tested: usize,
    untestable: usize,
}

impl Count {
    fn of(demands: &[Demand]) -> Self {
        let mut count = Count::default();
        for demand in demands {
            match demand.proof {
                Proof::Cases(_) => count.tested += 1,
                Proof::Untestable(_) => count.untestable += 1,
            }
        }
        count
    }

    fn of_all() -> Self {
        FILES
            .iter()
            .map(|file| Count::of(file.demands))
            .fold(Count::default(), |all, of_file| Count {
                tested: all.tested + of_file.tested,
                untestable: all.untestable + of_file.untestable,
            })
    }
}

fn summary(count: Count) -> String {
    format!(
        "{} demands: {} have a case, {} can't be tested",
        count.tested + count.untestable,
        count.tested,
        count.untestable
    )
}

fn proof(demand: &Demand) -> String {
    match demand.proof {
        Proof::Cases(cases) => cases.join(", "),
        Proof::Untestable(why) => format!("can't be tested: {why}"),
    }
}

/// For a terminal: a line for each demand, a summary at the end.
pub fn table() -> String {
    let mut text = String::new();
    for File { name, demands } in FILES {
        let _ = writeln!(text, "{name}: {}", summary(Count::of(demands)));
        for demand in *demands {
            let _ = writeln!(text, "  {:<44}{}", demand.id, proof(demand));
        }
    }
    let _ = writeln!(text, "{}", summary(Count::of_all()));
    text
}

/// For `docs/conformance.md`.
pub fn markdown() -> String {
    let mut text = format!(
        "# What of the runtime-spec the conformance suite tests\n\n\
         Every sentence of runtime-spec 1.3 with MUST, MUST NOT, SHALL or REQUIRED that binds a\n\
         runtime on Linux, and the cases that test it. Written by `windlass-conformance coverage\n\
         --markdown`; `windlass-conformance --explain CASE` tells what a case does.\n\n{}.\n",
        summary(Count::of_all())
    );
    for File { name, demands } in FILES {
        let _ = writeln!(text, "\n## {name}\n\n{}.\n", summary(Count::of(demands)));
        let _ = writeln!(
            text,
            "| demand | heading | sentence | tested by |\n|---|---|---|---|"
        );
        for demand in *demands {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                demand.id,
                demand.heading,
                demand.quote.replace('|', "\\|"),
                proof(demand)
            );
        }
    }
    text
}
