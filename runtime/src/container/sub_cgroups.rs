//! Where `exec` puts its process: into the container's cgroups, or with `--cgroup` into some below
//! them.

use rustix::io::Errno;
use rustix::process::Pid;

use super::process::ProcessIdentity;
use crate::cgroup::systemd::{Manager, Unit};
use crate::cgroup::{Hierarchies, Place, Placement};
use crate::error::{Error, ErrorContext as _, Result};

/// One `--cgroup [CONTROLLERS:]PATH`.
#[derive(Debug)]
pub struct SubCgroup {
    /// The controllers; none: all.
    pub controllers: Vec<String>,
    /// The path below the container's cgroup.
    pub path: String,
}

/// Where `exec`'s process goes.
#[derive(Debug)]
pub struct Destination {
    /// The cgroups.
    pub placement: Placement,
    /// Whether `--cgroup` has chosen the one of version 2.
    chosen: bool,
}

impl Destination {
    /// The container's `cgroups`, with those asked for replaced by ones below them.
    ///
    /// # Errors
    /// For a path that leads out of the container's cgroup, a controller that it has no cgroup of,
    /// and for what contradicts itself.
    pub fn new(cgroups: &Placement, wanted: &[SubCgroup]) -> Result<Self> {
        check(wanted)?;
        let mut placement = cgroups.clone();
        let hybrid = placement.places.len() > 1;
        for sub in wanted {
            let path = sub.path.trim_matches('/');
            let mut unknown: Vec<&String> = sub.controllers.iter().collect();
            for place in &mut placement.places {
                let before = unknown.len();
                unknown.retain(|wanted| !place.hierarchy.split(',').any(|name| name == *wanted));
                let chosen = if sub.controllers.is_empty() {
                    // There are no controllers in the cgroup of version 2 beside those of version 1.
                    !(hybrid && place.hierarchy.is_empty())
                } else {
                    unknown.len() < before
                };
                if chosen && !path.is_empty() {
                    place.path = format!("{}/{path}", place.path);
                }
            }
            if let Some(controller) = unknown.first() {
                return Err(Error::new(format!(
                    "unknown controller {controller} in --cgroup"
                )));
            }
        }
        Ok(Destination {
            placement,
            chosen: !hybrid && !wanted.is_empty(),
        })
    }

    /// Puts `pid` into those of these cgroups that it doesn't get to otherwise (`by_pid`). Where the
    /// cgroup of version 2 can't be joined, because the container has moved on to cgroups below its own
    /// or elsewhere, the one of `init` is, unless another was chosen. Where we may not join it
    /// ourselves, the `unit`'s systemd does it: without root's rights a process has to be below the
    /// container's manager already (cgroup-v2.rst, "Delegation Containment").
    ///
    /// # Errors
    /// cgroups(7)'s, with the file.
    pub fn enter(
        &self,
        pid: Pid,
        by_pid: impl Fn(&Place) -> bool,
        init: Option<ProcessIdentity>,
        hierarchies: &Hierarchies,
        unit: Option<&Unit>,
    ) -> Result<()> {
        let place_of_init = |place: &Place| {
            let of_init = hierarchies.v2_cgroup_of(init?.pid)?;
            let elsewhere = place.hierarchy.is_empty() && !self.chosen && of_init != place.path;
            elsewhere.then(|| Place {
                path: of_init,
                ..place.clone()
            })
        };
        let forbidden = |error: &Error| matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM));
        let enter = |place: &Place| match (place.attach(pid), unit) {
            (Err(error), Some(unit)) if forbidden(&error) => {
                let below = place.path.rsplit_once(unit.name.as_str());
                let below = below.map_or("", |(_, below)| below);
                Manager::connect(unit.user)?.attach(unit, below, pid)
            }
            (Err(error), _) => place_of_init(place).map_or(Err(error), |other| other.attach(pid)),
            (Ok(()), _) => Ok(()),
        };
        self.placement
            .places
            .iter()
            .filter(|place| by_pid(place))
            .try_for_each(enter)
            .context(|| format!("error adding pid {} to cgroups", pid.as_raw_nonzero()))
    }
}

fn check(wanted: &[SubCgroup]) -> Result<()> {
    let mut named: Vec<&str> = Vec::new();
    for SubCgroup { controllers, path } in wanted {
        if path.split('/').any(|part| part == "..") {
            return Err(Error::new(format!("bad sub cgroup path: {path}"))
                .hint("it may lead out of the container's cgroup"));
        }
        if controllers.is_empty() && wanted.len() > 1 {
            return Err(Error::new(format!(
                "invalid --cgroup argument: {path} (missing <controller>: prefix)"
            )));
        }
        for controller in controllers {
            if controller.is_empty() {
                return Err(Error::new(format!(
                    "invalid --cgroup argument: :{path} (empty <controller> prefix)"
                )));
            }
            if named.contains(&controller.as_str()) {
                return Err(Error::new(format!(
                    "invalid --cgroup argument(s): controller {controller} specified multiple times"
                )));
            }
            named.push(controller);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(hierarchies: &[&str], wanted: &[&str]) -> Result<Vec<String>, String> {
        let place = |hierarchy: &&str| Place {
            hierarchy: (*hierarchy).to_owned(),
            path: "/c".to_owned(),
            parents_made: 0,
            found: false,
        };
        let placement = Placement {
            places: hierarchies.iter().map(place).collect(),
        };
        let wanted: Vec<_> = wanted
            .iter()
            .map(|text| {
                let (controllers, path) = text.split_once(':').unwrap_or(("", text));
                let list = controllers.split(',').map(str::to_owned).collect();
                SubCgroup {
                    controllers: if text.contains(':') { list } else { Vec::new() },
                    path: path.to_owned(),
                }
            })
            .collect();
        let destination = Destination::new(&placement, &wanted);
        let places = destination
            .map_err(|error| error.to_string())?
            .placement
            .places;
        Ok(places.into_iter().map(|place| place.path).collect())
    }

    #[test]
    fn one_path_is_for_all_and_controllers_have_their_own() {
        let v1 = ["cpu,cpuacct", "memory", ""];
        for (wanted, expected) in [
            (&[][..], ["/c", "/c", "/c"]),
            (&["/"], ["/c", "/c", "/c"]),
            (&["/a/b/"], ["/c/a/b", "/c/a/b", "/c"]),
            (&["memory:a", "cpu,cpuacct:b"], ["/c/b", "/c/a", "/c"]),
        ] {
            assert_eq!(destination(&v1, wanted).unwrap(), expected, "{wanted:?}");
        }
        assert_eq!(destination(&[""], &["a"]).unwrap(), ["/c/a"]);
    }

    #[test]
    fn what_leads_out_or_makes_no_sense_is_refused() {
        for (wanted, words) in [
            (&[".."][..], "bad sub cgroup path: .."),
            (&["a/../../b"], "bad sub cgroup path: a/../../b"),
            (&["memory:a", "b"], "(missing <controller>: prefix)"),
            (&[":a"], "(empty <controller> prefix)"),
            (&["memory:a", "memory:b"], "memory specified multiple times"),
            (&["cpu,x:a"], "unknown controller x"),
        ] {
            let refusal = destination(&["cpu", "memory"], wanted).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
