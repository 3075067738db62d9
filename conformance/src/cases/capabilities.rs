//! `process.capabilities`: the five sets, exactly.

use serde_json::{Value, json};

use crate::case::{Case, Known, Need, OLD_CRUN, RUNC, Verdict, check, equal};
use crate::harness::Context;
use crate::probe::{CAPABILITIES, Observation};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "capabilities/five-sets",
        "each of the five sets holds exactly what config.json lists",
        "gives the five sets different capabilities and reads them in /proc/self/status",
        five_sets,
    )
    .clause(
        "config.md",
        "Linux Process",
        "specifies the sets of capabilities for the process",
    ),
    Case::must(
        "capabilities/none",
        "root without process.capabilities' entries has none",
        "empties all five lists for uid 0",
        none,
    )
    .clause(
        "config.md",
        "Linux Process",
        "effective capabilities that are kept for the process",
    ),
    Case::must(
        "capabilities/bounding-only",
        "a bounding set alone gives root nothing beyond it",
        "lists CAP_CHOWN and CAP_KILL as bounding, permitted and effective for root",
        bounding,
    )
    .clause(
        "config.md",
        "Linux Process",
        "bounding capabilities that are kept for the process",
    ),
    Case::contract(
        "capabilities/inheritable-empty",
        "the inheritable set is empty when config.json does not list it",
        "uses Docker's default lists, which have no inheritable one",
        inheritable_empty,
    )
    .clause("security", "CVE-2022-29162", "non-empty inheritable set"),
    Case::must(
        "capabilities/ambient-for-a-user",
        "an ambient capability reaches a program that runs as a plain user",
        "runs as 1000 with CAP_NET_BIND_SERVICE in all five lists",
        ambient,
    )
    .clause(
        "config.md",
        "Linux Process",
        "ambient capabilities that are kept for the process",
    ),
    Case::must(
        "capabilities/none-for-a-user",
        "without ambient capabilities a plain user's program has none in effect",
        "runs as 1000 with Docker's default lists",
        plain_user,
    )
    .clause(
        "config.md",
        "Linux Process",
        "effective capabilities that are kept for the process",
    ),
    Case::should(
        "capabilities/unknown-name",
        "an unknown capability is a warning and no error",
        "lists CAP_NO_SUCH_THING beside CAP_CHOWN",
        unknown_name,
    )
    .clause(
        "config.md",
        "Linux Process",
        "Any value which cannot be mapped [...] MUST be logged as a warning",
    ),
    Case::should(
        "capabilities/out-of-reach",
        "a capability that the host can't grant is a warning and no error",
        "lists one that is not in the caller's bounding set beside CAP_CHOWN",
        out_of_reach,
    )
    .clause(
        "config.md",
        "Linux Process",
        "Runtimes SHOULD NOT fail if the container configuration requests",
    )
    .needs(&[Need::CapabilityOutOfReach])
    .known(&[
        Known {
            runtimes: RUNC,
            why: "older than the sentence: capset(2) fails with EPERM, and so does the container",
        },
        Known {
            runtimes: OLD_CRUN,
            why: "older than the sentence: capset(2) fails with EPERM, and so does the container",
        },
    ]),
];

fn bits(names: &[&str]) -> u64 {
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(_, name)| names.contains(name))
        .fold(0, |bits, (number, _)| bits | 1 << number)
}

fn all_sets(names: &[&str]) -> Value {
    json!({
        "bounding": names, "permitted": names, "inheritable": names,
        "effective": names, "ambient": names,
    })
}

fn has(seen: &Observation, set: &str, names: &[&str]) -> Verdict {
    let (seen, wanted) = (
        seen.capabilities.get(set).copied().unwrap_or_default(),
        bits(names),
    );
    check(
        seen == wanted,
        format_args!(
            "{set}: wanted {wanted:#x} ({}), saw {seen:#x}",
            names.join(" ")
        ),
    )
}

fn five_sets(context: &Context) -> Verdict {
    let bounding = [
        "CAP_CHOWN",
        "CAP_KILL",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_NET_RAW",
    ];
    let permitted = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"];
    let effective = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"];
    let inheritable = ["CAP_CHOWN", "CAP_KILL"];
    let ambient = ["CAP_CHOWN"];
    let seen = context.see_with(&[], |config| {
        // As a plain user, since for root execve(2) fills permitted and effective itself.
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        config["process"]["capabilities"] = json!({
            "bounding": bounding, "permitted": permitted, "inheritable": inheritable,
            "effective": effective, "ambient": ambient,
        });
    })?;
    has(&seen, "Bnd", &bounding)?;
    has(&seen, "Inh", &inheritable)?;
    has(&seen, "Amb", &ambient)?;
    // P'(permitted) = ambient and P'(effective) = ambient for a file without capabilities
    // (capabilities(7), "Transformation of capabilities during execve()").
    has(&seen, "Prm", &ambient)?;
    has(&seen, "Eff", &ambient)
}

fn none(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["capabilities"] = all_sets(&[]);
    })?;
    for set in ["Bnd", "Prm", "Eff", "Inh", "Amb"] {
        has(&seen, set, &[])?;
    }
    Ok(())
}

fn bounding(context: &Context) -> Verdict {
    let names = ["CAP_CHOWN", "CAP_KILL"];
    let seen = context.see_with(&[], |config| {
        config["process"]["capabilities"] =
            json!({ "bounding": names, "permitted": names, "effective": names });
    })?;
    for set in ["Bnd", "Prm", "Eff"] {
        has(&seen, set, &names)?;
    }
    Ok(())
}

fn inheritable_empty(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |_| {})?;
    has(&seen, "Inh", &[])?;
    has(&seen, "Amb", &[])?;
    for set in ["Bnd", "Prm", "Eff"] {
        has(&seen, set, crate::harness::bundle::DEFAULT_CAPABILITIES)?;
    }
    Ok(())
}

fn ambient(context: &Context) -> Verdict {
    let names = ["CAP_NET_BIND_SERVICE"];
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        config["process"]["capabilities"] = all_sets(&names);
    })?;
    for set in ["Bnd", "Prm", "Eff", "Inh", "Amb"] {
        has(&seen, set, &names)?;
    }
    Ok(())
}

fn plain_user(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    })?;
    has(&seen, "Eff", &[])?;
    has(&seen, "Prm", &[])?;
    has(&seen, "Bnd", crate::harness::bundle::DEFAULT_CAPABILITIES)
}

fn unknown_name(context: &Context) -> Verdict {
    let names = ["CAP_CHOWN", "CAP_NO_SUCH_THING"];
    let seen = context.see_with(&[], |config| {
        config["process"]["capabilities"] =
            json!({ "bounding": names, "permitted": names, "effective": names });
    })?;
    for set in ["Bnd", "Prm", "Eff"] {
        has(&seen, set, &["CAP_CHOWN"])?;
    }
    Ok(())
}

fn out_of_reach(context: &Context) -> Verdict {
    let missing = context.host.out_of_reach.first().map_or("", String::as_str);
    let names = ["CAP_CHOWN", missing];
    let seen = context.see_with(&[], |config| {
        config["process"]["capabilities"] =
            json!({ "bounding": names, "permitted": names, "effective": names });
    })?;
    let effective = seen.capabilities.get("Eff").copied();
    equal("effective set", effective, Some(bits(&["CAP_CHOWN"])))
}
