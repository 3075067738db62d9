//! Which owners an idmapped mount shows (config.md, `uidMappings` and `gidMappings` of a mount, the
//! options `idmap` and `ridmap`).

use super::options::Options;
use super::{IdMap, IdMappings, Pointer};
use crate::error::{Error, Result};
use crate::plan::MountSource;
use crate::spec::{IdMapping, Linux, Mount};

/// The mapping of the mount, if it asks for one: its own, or without one that of the container's
/// user namespace.
pub(super) fn of<'a>(
    mount: &'a Mount<'a>,
    options: &Options<'a>,
    source: &MountSource<'a>,
    linux: &Linux<'_>,
    pointer: Pointer<'_>,
) -> Result<Option<IdMap>> {
    let own = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if options.idmap.is_none() && !own {
        return Ok(None);
    }
    if !matches!(source, MountSource::Bind { .. }) {
        return Err(Error::config(
            format!("{pointer}/options"),
            "id-mapped mounts are only supported for bind-mounts",
        ));
    }
    let (recursive, in_option) = options.idmap.unwrap_or((false, None));
    let mappings = match in_option {
        Some(text) => Some(parse(text, linux, pointer)?),
        None if own => Some(IdMappings {
            uids: mount.uid_mappings.clone(),
            gids: mount.gid_mappings.clone(),
        }),
        None if has_user_namespace(linux) => None,
        None => Some(IdMappings::default()),
    };
    match mappings {
        Some(mappings) if mappings.uids.is_empty() || mappings.gids.is_empty() => {
            Err(Error::config(
                format!("{pointer}/uidMappings"),
                "id-mapped mounts must have both uid and gid mappings specified",
            )
            .hint("or the container a user namespace, whose mapping then holds"))
        }
        mappings => Ok(Some(IdMap {
            mappings,
            recursive,
        })),
    }
}

fn has_user_namespace(linux: &Linux<'_>) -> bool {
    linux
        .namespaces
        .iter()
        .any(|namespace| &*namespace.kind == "user")
}

/// crun's `uids=FIRST-ON-DISK-FIRST-ON-HOST-SIZE#…;gids=…` (crun(1), "idmap mount options"). After
/// `@` the second number counts in the container's user namespace.
fn parse(text: &str, linux: &Linux<'_>, pointer: Pointer<'_>) -> Result<IdMappings> {
    let refusal = |what: &str, why: &str| {
        Error::config(
            format!("{pointer}/options"),
            format!("invalid mapping specified {what:?}: {why}"),
        )
    };
    let mut mappings = IdMappings::default();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (list, containers, ranges) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut mappings.uids, &linux.uid_mappings, ranges),
            Some(("gids", ranges)) => (&mut mappings.gids, &linux.gid_mappings, ranges),
            _ => return Err(refusal(part, "it is neither uids= nor gids=")),
        };
        for range in ranges.split('#').filter(|range| !range.is_empty()) {
            let (relative, numbers) = match range.strip_prefix('@') {
                Some(numbers) => (true, numbers),
                None => (false, range),
            };
            let mut mapping = triplet(numbers)
                .ok_or_else(|| refusal(range, "three numbers with - between them are wanted"))?;
            if relative {
                mapping.host_id = on_host(mapping.host_id, containers).ok_or_else(|| {
                    refusal(range, "the container's user namespace does not map that id")
                })?;
            }
            list.push(mapping);
        }
    }
    Ok(mappings)
}

fn triplet(text: &str) -> Option<IdMapping> {
    let mut numbers = text.split('-').map(|number| number.parse().ok());
    let mapping = IdMapping {
        container_id: numbers.next()??,
        host_id: numbers.next()??,
        size: numbers.next()??,
    };
    numbers.next().is_none().then_some(mapping)
}

/// What an id of the container is on the host.
fn on_host(id: u32, mappings: &[IdMapping]) -> Option<u32> {
    mappings.iter().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id)?;
        (offset < mapping.size).then(|| mapping.host_id.checked_add(offset))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: Pointer<'_> = Pointer::element("/mounts", 4);

    fn triplets(mappings: &[IdMapping]) -> Vec<(u32, u32, u32)> {
        mappings
            .iter()
            .map(|mapping| (mapping.container_id, mapping.host_id, mapping.size))
            .collect()
    }

    #[test]
    fn the_form_of_crun_is_understood() {
        let linux = Linux {
            uid_mappings: vec![
                IdMapping {
                    container_id: 0,
                    host_id: 0,
                    size: 1,
                },
                IdMapping {
                    container_id: 1,
                    host_id: 2,
                    size: 1000,
                },
            ],
            ..Linux::default()
        };
        let parsed = parse("uids=0-1-10#@10-11-10;gids=0-100-10", &linux, POINTER).unwrap();
        assert_eq!(triplets(&parsed.uids), [(0, 1, 10), (10, 12, 10)]);
        assert_eq!(triplets(&parsed.gids), [(0, 100, 10)]);
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_place() {
        for wrong in [
            "users=0-0-1",
            "uids",
            "uids=0-1",
            "uids=0-1-2-3",
            "uids=x-1-2",
            "uids=0--1-2",
            "uids=@0-1-2",
            "uids=0-4294967296-1",
        ] {
            let error = parse(wrong, &Linux::default(), POINTER).unwrap_err();
            assert!(error.to_string().contains("/mounts/4/options"), "{error}");
        }
    }
}
