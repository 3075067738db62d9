//! `linux.netDevices`: devices that the container takes along, with what makes them what they are.
//!
//! A case makes its devices in a network namespace of its own, from which it calls the runtime.

use std::process::Command;

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, RUNC, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Context};
use crate::probe::Observation;
use crate::sys;

const CAME_LATER: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.4; ignored before",
    },
    Known {
        runtimes: CRUN,
        why: "came with crun 1.22; ignored before",
    },
];

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "net-devices/moved",
        "a device comes up in the container, and is gone from the host",
        "moves one end of a veth pair",
        moved,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "MUST set the network device state to \"up\" after moving it",
    )
    .known(CAME_LATER),
    Case::must(
        "net-devices/attributes",
        "a device keeps its MTU, its hardware address and its lasting addresses of global scope",
        "moves a device that is up, with an IPv4 and an IPv6 address and one of host scope",
        attributes,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "MUST preserve existing network interface attributes",
    )
    .known(CAME_LATER),
    Case::must(
        "net-devices/renamed",
        "a device gets the name that config.json gives it",
        "gives one a fixed name, and another one with %d in it",
        renamed,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "the name of the network device inside the container namespace",
    )
    .known(CAME_LATER),
    Case::must(
        "net-devices/name-taken",
        "a name that is taken in the container is an error, and the device stays",
        "asks for the name lo",
        name_taken,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "If a network device with the specified name already exists [...] error",
    )
    .known(CAME_LATER),
    Case::must(
        "net-devices/refused",
        "a device that can't be moved is an error",
        "asks for one that is not there, for one without a network namespace, and for bad names",
        refused,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "MUST check if moving the network interface [...] is possible",
    )
    .known(CAME_LATER),
    Case::must(
        "net-devices/not-moved-back",
        "a device stays in the namespace when the container goes",
        "joins a network namespace that outlives the container",
        not_moved_back,
    )
    .clause(
        "config-linux.md",
        "Network Devices",
        "MUST NOT attempt to move the interface out of the namespace",
    )
    .known(CAME_LATER),
    Case::contract(
        "net-devices/back-after-failure",
        "when create fails, the device is what and where it was",
        "lets a createRuntime hook fail",
        back_after_failure,
    )
    .clause(
        "runtime.md",
        "Errors",
        "the state of the environment MUST remain unchanged",
    )
    .known(CAME_LATER),
];

fn ip(words: &str) -> Result<String, Stop> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| Stop::Skipped(format!("needs ip(8): {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Stop::Broken(format!("ip {words}: {why}")))
}

/// A network namespace with a veth pair, `one` and `two`, for this process and the runtime.
fn devices() -> Verdict {
    sys::unshare(libc::CLONE_NEWNET)?;
    ip("link add one type veth peer name two")
        .map(drop)
        .map_err(|_| Stop::Skipped("needs a kernel with veth devices and ip(8)".to_owned()))
}

fn is_here(name: &str) -> bool {
    ip(&format!("link show dev {name}")).is_ok()
}

const FLAGS: &str = "read:/sys/class/net/one/flags";

fn is_up(seen: &Observation, question: &str) -> Verdict {
    let text = seen.answer(question).text;
    let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16);
    check(
        flags.is_ok_and(|flags| flags & 1 == 1),
        format_args!("{question}: wanted a device that is up, saw {text:?}"),
    )
}

fn with(devices: Value) -> impl FnOnce(&mut Value) {
    move |config| config["linux"]["netDevices"] = devices
}

fn moved(context: &Context) -> Verdict {
    devices()?;
    let mut bundle = context.bundle()?;
    with(json!({ "one": {} }))(&mut bundle.config);
    bundle.set_probe(&["see-into", "/tmp/seen", FLAGS]);
    let container = context.create(&bundle)?;
    check(!is_here("one"), "the device is still on the host")?;
    let pid = container.pid()?;
    container.start()?;
    container.wait(pid)?;
    let text = std::fs::read_to_string(bundle.rootfs().join("tmp/seen"))?;
    is_up(&serde_json::from_str(&text)?, FLAGS)
}

fn attributes(context: &Context) -> Verdict {
    const MTU: &str = "read:/sys/class/net/one/mtu";
    const ADDRESS: &str = "read:/sys/class/net/one/address";
    const IPV4: &str = "read:/proc/net/fib_trie";
    const IPV6: &str = "read:/proc/net/if_inet6";
    devices()?;
    ip("link set dev one mtu 1789 address 02:00:00:00:00:07")?;
    ip("link set dev one up")?;
    ip("address add 192.0.2.7/24 dev one")?;
    ip("address add 127.7.7.7/32 scope host dev one")?;
    let has_ipv6 = ip("address add 2001:db8::7/64 dev one nodad").is_ok();
    let questions = [FLAGS, MTU, ADDRESS, IPV4, IPV6];
    let seen = context.see_with(&questions, with(json!({ "one": {} })))?;
    is_up(&seen, FLAGS)?;
    equal("MTU", seen.answer(MTU).text.trim(), "1789")?;
    equal(
        "address",
        seen.answer(ADDRESS).text.trim(),
        "02:00:00:00:00:07",
    )?;
    let routes = seen.answer(IPV4).text;
    check(
        routes.contains("192.0.2.7"),
        format_args!("wanted the address 192.0.2.7, saw {routes}"),
    )?;
    check(
        !routes.contains("127.7.7.7"),
        "an address of host scope came along",
    )?;
    let addresses = seen.answer(IPV6).text;
    check(
        !has_ipv6 || addresses.contains("20010db8000000000000000000000007"),
        format_args!("wanted the address 2001:db8::7, saw {addresses}"),
    )
}

fn renamed(context: &Context) -> Verdict {
    const LIST: &str = "list:/sys/class/net";
    devices()?;
    let devices = json!({ "one": { "name": "inside" }, "two": { "name": "net%d" } });
    let seen = context.see_with(&[LIST], with(devices))?;
    let names = seen.answer(LIST).text;
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.retain(|name| ["inside", "net0", "one", "two"].contains(name));
    names.sort_unstable();
    equal("devices", names, vec!["inside", "net0"])
}

fn name_taken(context: &Context) -> Verdict {
    devices()?;
    context.must_refuse_with(with(json!({ "one": { "name": "lo" } })))?;
    check(is_here("one"), "the device is gone from the host")
}

fn refused(context: &Context) -> Verdict {
    devices()?;
    context.must_refuse_with(with(json!({ "three": {} })))?;
    context.must_refuse_with(with(json!({ "one": { "name": "a/b" } })))?;
    context.must_refuse_with(with(json!({ "one": { "name": "longer-than-fifteen" } })))?;
    let mut bundle = context.bundle()?;
    bundle.drop_namespace("network");
    with(json!({ "one": {} }))(&mut bundle.config);
    context.must_refuse(&bundle)?;
    check(is_here("one"), "the device is gone from the host")
}

fn not_moved_back(context: &Context) -> Verdict {
    devices()?;
    let mut holder = Command::new("/proc/self/exe");
    holder.args(["probe", "wait"]);
    sys::in_new_network(&mut holder);
    let mut holder = holder.spawn()?;
    let verdict = moved_into(context, holder.id());
    holder.kill()?;
    holder.wait()?;
    verdict
}

/// Moves a device to the network namespace of a process and deletes the container.
fn moved_into(context: &Context, process: u32) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.drop_namespace("network");
    bundle.add_namespace(json!({ "type": "network", "path": format!("/proc/{process}/ns/net") }));
    bundle.set_probe(&["wait"]);
    with(json!({ "one": { "name": "inside" } }))(&mut bundle.config);
    let mut container = context.create(&bundle)?;
    let devices = format!("/proc/{process}/net/dev");
    let is_there =
        || -> Result<bool, Stop> { Ok(std::fs::read_to_string(&devices)?.contains("inside:")) };
    check(is_there()?, "the device is not in the namespace")?;
    container.delete(&["--force"])?;
    check(is_there()?, "the device is gone from the namespace")?;
    check(!is_here("one") && !is_here("inside"), "the device is back")
}

fn back_after_failure(context: &Context) -> Verdict {
    devices()?;
    ip("address add 192.0.2.7/24 dev one")?;
    ip("link set dev one up")?;
    let mut bundle: Bundle = context.bundle()?;
    bundle.config["hooks"]["createRuntime"] = json!([{ "path": "/bin/false" }]);
    with(json!({ "one": { "name": "inside" } }))(&mut bundle.config);
    context.must_refuse(&bundle)?;
    check(is_here("one"), "the device is gone from the host")?;
    let shown = ip("address show dev one")?;
    check(
        shown.contains("192.0.2.7/24") && shown.contains("UP"),
        format_args!("wanted the device as it was, saw {shown}"),
    )
}
