//! What `create` refuses, found by its own code. It stops at the first problem; so what is wrong is
//! noted and cut out of a copy, and the rest is tried again. The rules of [`crate::spec::check_all`]
//! need no such thing: they go on by themselves.

use std::path::Path;

use serde_json::Value;

use super::{Findings, MISSING, MakePlan, Severity, rules};
use crate::error::{Error, Result};
use crate::spec::{ConfigText, check_all};

/// More than anybody wants to read; a bound on the time that a hostile file takes.
const MOST_CUTS: usize = 200;

/// Notes what `create` refuses of the config.json that `value` is, and, where it can be read, what
/// [`rules`] say of it.
pub(super) fn find(
    value: &Value,
    bundle: &Path,
    make_plan: &MakePlan<'_>,
    findings: &mut Findings<'_>,
) {
    let mut copy = Copy {
        value: value.clone(),
        cuts: Vec::new(),
    };
    // What can't be read as the type that it has to be.
    if copy.cut_until_read(&mut |error| findings.add(Severity::Error, &error)) {
        let config = copy.text();
        if let Ok(spec) = config.spec() {
            let place = |error| copy.original_place(error);
            // Nothing that is reported here comes back as an error.
            let _ = check_all(&spec, &mut |error| -> Result<()> {
                findings.add(Severity::Error, &place(error));
                Ok(())
            });
            rules::check(&spec, bundle, &mut |severity, error| {
                findings.add(severity, &place(error));
            });
        }
        refusals_of_plan(&mut copy, make_plan, findings);
    }
}

fn refusals_of_plan(copy: &mut Copy, make_plan: &MakePlan<'_>, findings: &mut Findings<'_>) {
    while copy.cuts.len() < MOST_CUTS {
        let config = copy.text();
        let Ok(spec) = config.spec() else { return };
        let made = make_plan(&spec, &mut |error| {
            findings.add(Severity::Error, &copy.original_place(error));
        });
        match made {
            Ok(warnings) => {
                for warning in warnings {
                    let is_known = findings
                        .problems
                        .iter()
                        .any(|known| known.message == warning);
                    if !is_known {
                        findings.add(Severity::Warning, &Error::new(warning));
                    }
                }
                return;
            }
            Err(error) => {
                let pointer = error.pointer().unwrap_or_default().to_owned();
                // Of a part that was cut out, that it is missing is our own doing.
                if !copy.was_cut(&pointer) {
                    findings.add(Severity::Error, &copy.original_place(error));
                }
                // What goes with the value, for lack of it, has been said.
                if !copy.cut(&pointer) || !copy.cut_until_read(&mut |_| ()) {
                    return;
                }
            }
        }
    }
}

/// A config.json from which something has been cut.
struct Copy {
    value: Value,
    /// What was cut, as pointers into what there was at that time.
    cuts: Vec<Cut>,
}

struct Cut {
    pointer: String,
    from_list: bool,
}

impl Copy {
    fn text(&self) -> ConfigText {
        ConfigText::new(Path::new("config.json"), self.value.to_string())
    }

    /// Cuts what can't be read. Gives back whether the rest can.
    fn cut_until_read(&mut self, report: &mut dyn FnMut(Error)) -> bool {
        while self.cuts.len() < MOST_CUTS {
            let Err(error) = self.text().spec().map(drop) else {
                return true;
            };
            let pointer = error.pointer().unwrap_or_default().to_owned();
            // Not the place at which the copy's text ends to make sense.
            let problem = error.problem();
            let is_ours = problem.starts_with(MISSING) && self.has_cut_within(&pointer);
            if !is_ours {
                report(self.original_place(Error::config(&*pointer, problem)));
            }
            if pointer.is_empty() {
                // The one member without which nothing can be read.
                let Value::Object(members) = &mut self.value else {
                    return false;
                };
                let version = Value::from("1.0.0");
                if members.insert("ociVersion".to_owned(), version).is_some() {
                    return false;
                }
            } else if !self.cut(&pointer) {
                return false;
            }
        }
        false
    }

    /// Cuts a value; gives back whether there was one.
    fn cut(&mut self, pointer: &str) -> bool {
        let Some((parent, name)) = pointer.rsplit_once('/') else {
            return false;
        };
        let name = name.replace("~1", "/").replace("~0", "~");
        let from_list = match self.value.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                let key = members
                    .keys()
                    .find(|key| **key == name)
                    .or_else(|| members.keys().find(|key| key.eq_ignore_ascii_case(&name)));
                let Some(key) = key.cloned() else {
                    return false;
                };
                members.remove(&key);
                false
            }
            Some(Value::Array(elements)) => match name.parse::<usize>() {
                Ok(index) if index < elements.len() => {
                    elements.remove(index);
                    true
                }
                _ => return false,
            },
            _ => return false,
        };
        self.cuts.push(Cut {
            pointer: pointer.to_owned(),
            from_list,
        });
        true
    }

    fn was_cut(&self, pointer: &str) -> bool {
        let mut members = self.cuts.iter().filter(|cut| !cut.from_list);
        members.any(|cut| cut.pointer == pointer)
    }

    fn has_cut_within(&self, parent: &str) -> bool {
        self.cuts.iter().any(|cut| {
            cut.pointer
                .rsplit_once('/')
                .is_some_and(|(of, _)| of == parent)
        })
    }

    /// The error with its place in what was there before anything was cut.
    fn original_place(&self, error: Error) -> Error {
        let mut pointer = error.pointer().unwrap_or_default().to_owned();
        for cut in self.cuts.iter().rev().filter(|cut| cut.from_list) {
            if let Some(place) = before_cut(&pointer, &cut.pointer) {
                pointer = place;
            }
        }
        error.moved_to(pointer)
    }
}

/// Where a value stood before an element of a list was cut, if it was elsewhere.
fn before_cut(pointer: &str, cut: &str) -> Option<String> {
    let (list, index) = cut.rsplit_once('/')?;
    let rest = pointer.strip_prefix(list)?.strip_prefix('/')?;
    let (here, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (here, index) = (here.parse::<usize>().ok()?, index.parse::<usize>().ok()?);
    (here >= index).then(|| format!("{list}/{}{below}", here + 1))
}
