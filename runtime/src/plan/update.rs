//! What `update` does: from the limits that a container has and those asked for, to those that it
//! has then, and to what has to be written for that. Pure.

use crate::spec::resources::{BlockIo, Cpu, Memory, Resources, ThrottleDevice, WeightDevice};

/// The limits of a container that had `before` and is asked for `change`: what isn't asked for
/// stays, and 0 asks for nothing, as everywhere in `linux.resources`. An entry for a device takes
/// the place of that for the same device.
///
/// As in runc, `change` says nothing about which devices may be used.
pub fn updated<'a>(before: Resources<'a>, change: &Resources<'a>) -> Resources<'a> {
    let mut after = before;
    if let Some(memory) = &change.memory {
        update_memory(after.memory.get_or_insert_default(), memory);
    }
    if let Some(cpu) = &change.cpu {
        update_cpu(after.cpu.get_or_insert_default(), cpu);
    }
    if let Some(pids) = &change.pids {
        replace(&mut after.pids.get_or_insert_default().limit, pids.limit);
    }
    if let Some(io) = &change.block_io {
        update_block_io(after.block_io.get_or_insert_default(), io);
    }
    for page in &change.hugepage_limits {
        put(&mut after.hugepage_limits, page.clone(), |old, new| {
            old.page_size == new.page_size
        });
    }
    replace(&mut after.network, change.network.clone());
    after.rdma.extend(change.rdma.clone());
    after.unified.extend(change.unified.clone());
    after
}

/// The limits that have to be written to come to `after`, which is [`updated`] by `change`: those
/// that `change` asks for, and what the kernel keeps together with them: a quota and its period, the
/// limit of memory and that of memory and swap.
pub fn asked<'a>(change: &Resources<'a>, after: &Resources<'a>) -> Resources<'a> {
    let mut asked = change.clone();
    asked.devices.clear();
    if let (Some(cpu), Some(after)) = (&mut asked.cpu, &after.cpu)
        && (set(cpu.quota).is_some() || set(cpu.period).is_some())
    {
        (cpu.quota, cpu.period) = (after.quota, after.period);
    }
    if let (Some(memory), Some(after)) = (&mut asked.memory, &after.memory)
        && (set(memory.limit).is_some() || set(memory.swap).is_some())
    {
        (memory.limit, memory.swap) = (after.limit, after.swap);
    }
    asked
}

fn update_memory(after: &mut Memory, change: &Memory) {
    replace(&mut after.limit, set(change.limit));
    replace(&mut after.reservation, set(change.reservation));
    // Without a limit of memory, one of memory and swap is none either.
    if change.limit == Some(-1) {
        after.swap = None;
    }
    replace(&mut after.swap, set(change.swap));
    replace(&mut after.swappiness, change.swappiness);
    replace(&mut after.disable_oom_killer, change.disable_oom_killer);
    replace(&mut after.use_hierarchy, change.use_hierarchy);
    after.check_before_update = change.check_before_update;
}

fn update_cpu<'a>(after: &mut Cpu<'a>, change: &Cpu<'a>) {
    replace(&mut after.shares, set(change.shares));
    replace(&mut after.quota, set(change.quota));
    replace(&mut after.period, set(change.period));
    replace(&mut after.burst, change.burst);
    replace(&mut after.realtime_runtime, set(change.realtime_runtime));
    replace(&mut after.realtime_period, set(change.realtime_period));
    replace(&mut after.idle, change.idle);
    for (after, change) in [
        (&mut after.cpus, &change.cpus),
        (&mut after.mems, &change.mems),
    ] {
        if !change.is_empty() {
            after.clone_from(change);
        }
    }
}

fn update_block_io(after: &mut BlockIo, change: &BlockIo) {
    replace(&mut after.weight, set(change.weight));
    replace(&mut after.leaf_weight, set(change.leaf_weight));
    for device in &change.weight_device {
        put_weight(&mut after.weight_device, device);
    }
    for (after, change) in [
        (
            &mut after.throttle_read_bps_device,
            &change.throttle_read_bps_device,
        ),
        (
            &mut after.throttle_write_bps_device,
            &change.throttle_write_bps_device,
        ),
        (
            &mut after.throttle_read_iops_device,
            &change.throttle_read_iops_device,
        ),
        (
            &mut after.throttle_write_iops_device,
            &change.throttle_write_iops_device,
        ),
    ] {
        let same = |old: &ThrottleDevice, new: &ThrottleDevice| {
            (old.major, old.minor) == (new.major, new.minor)
        };
        for device in change {
            put(after, device.clone(), same);
        }
    }
}

/// The two weights of a device are two requests.
fn put_weight(after: &mut Vec<WeightDevice>, change: &WeightDevice) {
    let same = |old: &&mut WeightDevice| (old.major, old.minor) == (change.major, change.minor);
    if let Some(old) = after.iter_mut().rev().find(same) {
        replace(&mut old.weight, change.weight);
        replace(&mut old.leaf_weight, change.leaf_weight);
    } else {
        after.push(change.clone());
    }
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

/// Puts `new` in the place of the last one that is `same`, which is the one that counts, or at the
/// end.
fn put<T>(list: &mut Vec<T>, new: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().rev().find(|old| same(old, &new)) {
        Some(old) => *old = new,
        None => list.push(new),
    }
}

fn set<N: Default + PartialEq>(number: Option<N>) -> Option<N> {
    number.filter(|number| *number != N::default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The limits that come of `change` on `before`, and what is asked for, without what is unset.
    fn update(before: &Value, change: &Value) -> (Value, Value) {
        let (before, change) = (before.to_string(), change.to_string());
        let before: Resources<'_> = serde_json::from_str(&before).unwrap();
        let change: Resources<'_> = serde_json::from_str(&change).unwrap();
        let after = updated(before, &change);
        let asked = asked(&change, &after);
        (what_is_set(&after), what_is_set(&asked))
    }

    fn what_is_set(resources: &Resources<'_>) -> Value {
        fn prune(value: Value) -> Option<Value> {
            match value {
                Value::Object(map) => {
                    let kept = map.into_iter();
                    let kept: serde_json::Map<_, _> = kept
                        .filter_map(|(key, value)| Some((key, prune(value)?)))
                        .collect();
                    (!kept.is_empty()).then_some(Value::Object(kept))
                }
                Value::Array(list) if list.is_empty() => None,
                Value::Array(list) => Some(list.into_iter().filter_map(prune).collect()),
                Value::Null => None,
                Value::String(text) if text.is_empty() => None,
                other => Some(other),
            }
        }
        prune(serde_json::to_value(resources).unwrap()).unwrap_or(Value::Null)
    }

    #[test]
    fn what_is_not_asked_for_stays_and_is_not_written() {
        let before = json!({"memory": {"limit": 100, "reservation": 50}, "pids": {"limit": 20},
            "cpu": {"shares": 100, "cpus": "0"}, "unified": {"a.b": "1"}});
        let change = json!({"memory": {"limit": 0, "reservation": 60}, "cpu": {"shares": 0},
            "pids": {}, "unified": {"c.d": "2"}, "devices": [{"allow": true, "access": "rwm"}]});
        let (after, asked) = update(&before, &change);
        assert_eq!(
            after,
            json!({"memory": {"limit": 100, "reservation": 60}, "pids": {"limit": 20},
                "cpu": {"shares": 100, "cpus": "0"}, "unified": {"a.b": "1", "c.d": "2"}})
        );
        let expected = json!({"memory": {"limit": 0, "reservation": 60}, "cpu": {"shares": 0},
            "unified": {"c.d": "2"}});
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_quota_and_its_period_go_together() {
        let before = json!({"cpu": {"quota": 500_000, "period": 1_000_000}});
        for (change, expected) in [
            (json!({"period": 900_000}), (500_000, 900_000)),
            (json!({"quota": 600_000}), (600_000, 1_000_000)),
            (json!({"quota": -1, "period": 0}), (-1, 1_000_000)),
        ] {
            let (after, asked) = update(&before, &json!({"cpu": change}));
            let expected = json!({"cpu": {"quota": expected.0, "period": expected.1}});
            assert_eq!((&after, &asked), (&expected, &expected));
        }
        let (_, asked) = update(&before, &json!({"cpu": {"burst": 5}}));
        assert_eq!(asked, json!({"cpu": {"burst": 5}}));
    }

    #[test]
    fn memory_and_swap_go_together() {
        let before = json!({"memory": {"limit": 100, "swap": 300}});
        for (change, expected) in [
            (json!({"limit": 200}), json!({"limit": 200, "swap": 300})),
            (json!({"swap": 400}), json!({"limit": 100, "swap": 400})),
            (json!({"limit": -1}), json!({"limit": -1})),
            (
                json!({"limit": -1, "swap": -1}),
                json!({"limit": -1, "swap": -1}),
            ),
        ] {
            let (after, asked) = update(&before, &json!({"memory": change}));
            let expected = json!({"memory": expected});
            assert_eq!((&after, &asked), (&expected, &expected));
        }
    }

    #[test]
    fn a_device_has_one_entry() {
        let before = json!({"blockIO": {
            "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 20}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1},
                {"major": 8, "minor": 0, "rate": 2}]}});
        let change = json!({"blockIO": {
            "weightDevice": [{"major": 8, "minor": 0, "weight": 30},
                {"major": 8, "minor": 1, "weight": 40}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 3}]}});
        let (after, asked) = update(&before, &change);
        assert_eq!(
            after,
            json!({"blockIO": {
                "weightDevice": [{"major": 8, "minor": 0, "weight": 30, "leafWeight": 20},
                    {"major": 8, "minor": 1, "weight": 40}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1},
                    {"major": 8, "minor": 0, "rate": 3}]}})
        );
        assert_eq!(asked, change);
    }
}
