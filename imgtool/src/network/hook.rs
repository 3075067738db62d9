//! What a bundle's hooks do: `createRuntime` attaches the container, `poststop` detaches it.
//!
//! The record of an attachment is written before anything is done and removed after all is undone, so
//! that whoever comes after a crash knows what there may be. One container is attached and detached by
//! one process at a time; others aren't kept waiting by its plugins.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::attachment::{Attachment, Connection, Process};
use super::cni::attach::Network;
use super::cni::configuration::{Configuration, is_name};
use super::cni::result::Attached;
use super::hosts::{self, KnownHost};
use super::networks::Networks;
use super::resolver;
use crate::warnings::warn;

/// What a runtime tells a hook (runtime-spec runtime.md, "State").
#[derive(Debug, Deserialize)]
pub struct State {
    /// The container's id.
    pub id: String,
    /// Its first process; 0 once that is gone.
    #[serde(default)]
    pub pid: u32,
}

/// Attaches a container as its bundle's record says, or fails and leaves nothing.
pub fn attach(record: &Path, state: &State) -> Result<()> {
    if state.pid == 0 {
        bail!("the runtime's state of container {} has no pid", state.id);
    }
    // The stricter of CNI's rules and those of a file's name.
    if !is_name(&state.id) {
        bail!(
            "a container's id may have letters, digits, '_', '.' and '-' where it is attached to a \
             network: '{}' has others",
            state.id.escape_debug()
        );
    }
    // What fails is undone, and that takes eth0 away: here it would be the host's.
    if is_in_namespace_of(std::process::id(), state.pid)? {
        bail!(
            "container {} is in the network namespace of its runtime: its config.json has hooks for a \
             network of its own, but no such namespace",
            state.id
        );
    }
    let connection = Connection::read(record)?;
    let networks = Networks::open(&connection.networks)?;
    let mut attachment = Attachment {
        container: state.id.clone(),
        process: Process::now(state.pid)?,
        connection,
        result: Value::Null,
    };
    detach_of_other_boots(&networks)?;
    let _ours = networks.lock_container(&attachment.container)?;
    claim(&networks, &attachment)?;
    let attached = match connect(&networks, &attachment) {
        Ok(attached) => attached,
        Err(Broken { cause, undone }) => {
            let forgotten = undone.and_then(|()| forget(&networks, &attachment.container));
            return Err(with_what_is_left(cause, forgotten));
        }
    };
    attachment.result = attached.0;
    let told = networks
        .lock()
        .and_then(|_locked| tell(&networks, &attachment));
    if let Err(cause) = told {
        return Err(with_what_is_left(cause, undo(&networks, &attachment)));
    }
    Ok(())
}

fn with_what_is_left(cause: Error, undone: Result<()>) -> Error {
    match undone {
        Ok(()) => cause,
        Err(left) => anyhow!("{cause:#} (not undone yet: {left:#})"),
    }
}

/// Detaches containers that ended with the machine: what they have isn't in anybody's way any more.
fn detach_of_other_boots(networks: &Networks) -> Result<()> {
    for other in networks.attachments()? {
        let container = &other.container;
        let is_old = |now: &Attachment| Ok(now.process.is_of_another_boot());
        if is_old(&other)?
            && let Err(error) = undo_if(networks, container, is_old)
        {
            warn(|| format!("can't detach {container}, which is gone: {error:#}"));
        }
    }
    Ok(())
}

/// Notes that the container is being attached, if nothing is in the way of that. Needs the
/// container's lock.
fn claim(networks: &Networks, attachment: &Attachment) -> Result<()> {
    if let Some(other) = networks.attachment(&attachment.container)? {
        if other.process.is_alive() && other.process != attachment.process {
            bail!(
                "container {} is attached to a network already, with bundle file {}",
                other.container,
                other.connection.hosts.display()
            );
        }
        undo(networks, &other).context("what is left of an earlier container of this id")?;
    }
    let _locked = networks.lock()?;
    for other in networks.attachments()? {
        if !other.process.is_of_another_boot() {
            check_apart(attachment, &other)?;
        }
    }
    for port in &attachment.connection.ports {
        port.check_free()?;
    }
    networks.save(attachment)
}

fn check_apart(attachment: &Attachment, other: &Attachment) -> Result<()> {
    for port in &attachment.connection.ports {
        let taken = &other.connection.ports;
        if taken.iter().any(|taken| taken.conflicts_with(port)) {
            bail!(
                "port {port} can't be published: container {} has it until it is deleted",
                other.container
            );
        }
    }
    if other.connection.hosts == attachment.connection.hosts && other.process.is_alive() {
        bail!(
            "the bundle's network is in use by container {}: make another bundle",
            other.container
        );
    }
    Ok(())
}

/// A container that couldn't be connected, and what became of the attempt.
struct Broken {
    cause: Error,
    undone: Result<()>,
}

impl From<Error> for Broken {
    fn from(cause: Error) -> Self {
        Broken {
            cause,
            undone: Ok(()),
        }
    }
}

fn connect(networks: &Networks, attachment: &Attachment) -> Result<Attached, Broken> {
    let connection = &attachment.connection;
    let namespace = networks.hold_namespace(&attachment.container, attachment.process.pid)?;
    let endpoint = attachment.endpoint(Some(&namespace));
    let path = connection.plugin_path()?;

    // Not every runtime does this.
    let loopback = Configuration::parse(LOOPBACK.as_bytes())?;
    let network = Network {
        configuration: &loopback,
        capabilities: &Map::new(),
        path: &path,
    };
    let mut inside = endpoint.clone();
    "lo".clone_into(&mut inside.interface);
    network.add(&inside).map_err(|failure| failure.cause)?;

    let configuration = connection.configuration()?;
    let network = Network {
        configuration: &configuration,
        capabilities: &connection.capabilities(),
        path: &path,
    };
    let attached = match network.add(&endpoint) {
        Ok(attached) => attached,
        Err(failure) => {
            let name = &configuration.name;
            return Err(Broken {
                cause: failure.cause.context(format!("network '{name}'")),
                undone: failure.undone,
            });
        }
    };
    if let Err(cause) = check_answer(connection, &attached) {
        let undone = network.delete(&endpoint, Some(&attached));
        return Err(Broken { cause, undone });
    }
    Ok(attached)
}

const LOOPBACK: &str = r#"{"cniVersion":"1.0.0","name":"loopback","type":"loopback"}"#;

/// Refuses a network that can't do what was asked for, which plugins don't.
fn check_answer(connection: &Connection, attached: &Attached) -> Result<()> {
    let addresses = attached.addresses();
    for port in &connection.ports {
        let alike = |address: &IpAddr| match port.host_address {
            Some(host) => host.is_ipv4() == address.is_ipv4(),
            None => true,
        };
        if !addresses.iter().any(alike) {
            bail!("port {port} can't be published: the container has no such address");
        }
    }
    let mut added = connection.added_hosts.iter();
    if attached.gateway().is_none() && added.any(hosts::AddedHost::is_gateway) {
        bail!("--add-host NAME:host-gateway: the network has no gateway");
    }
    Ok(())
}

/// Writes down how the container is attached: for the hook that detaches it, for itself, for others.
/// Needs the lock.
fn tell(networks: &Networks, attachment: &Attachment) -> Result<()> {
    networks.save(attachment)?;
    let connection = &attachment.connection;
    let dns = attachment.attached().dns();
    if !dns.nameservers.is_empty() {
        let text = resolver::in_own_network(&connection.resolver, &dns);
        hosts::overwrite(&connection.resolv_conf, &text)?;
    }
    write_hosts(networks, attachment)
}

/// Tells all containers of a network of each other, in their /etc/hosts.
fn write_hosts(networks: &Networks, of: &Attachment) -> Result<()> {
    let mut neighbours = networks.attachments()?;
    neighbours.retain(|other| other.shares_network(of) && !other.result.is_null());
    neighbours.sort_by(|one, other| one.container.cmp(&other.container));
    // Those of a build's step are seen in the build's mount namespace only.
    let can_be_told =
        |other: &&Attachment| other.container == of.container || other.connection.hosts.exists();
    for container in neighbours.iter().filter(can_be_told) {
        let others = neighbours
            .iter()
            .filter(|other| other.container != container.container);
        let known: Vec<KnownHost> = std::iter::once(container)
            .chain(others)
            .map(known)
            .collect();
        let connection = &container.connection;
        let gateway = container.attached().gateway();
        let text = hosts::text(None, &connection.added_hosts, gateway, &known);
        let written = hosts::overwrite(&connection.hosts, &text);
        if container.container == of.container {
            written?;
        } else if let Err(error) = written {
            warn(|| format!("container {}: {error:#}", container.container));
        }
    }
    Ok(())
}

fn known(attachment: &Attachment) -> KnownHost {
    KnownHost {
        addresses: attachment.attached().addresses(),
        names: vec![
            attachment.connection.hostname.clone(),
            attachment.container.clone(),
        ],
    }
}

/// Detaches a container, if it is attached. Its bundle and its namespace may be gone.
pub fn detach(networks: &Path, state: &State) -> Result<()> {
    if !is_name(&state.id) {
        // Such a one was never attached.
        return Ok(());
    }
    // A create may have been refused because another container has this id: it is that one's.
    undo_if(&Networks::open(networks)?, &state.id, |attachment| {
        Ok(!attachment.process.is_alive() || attachment.process.pid == state.pid)
    })
}

/// Detaches what is left of the containers of a bundle that is to go; refuses while one is running.
/// It is fine if the bundle has no record of a network.
pub fn detach_bundle(record: &Path) -> Result<()> {
    if !record.exists() {
        return Ok(());
    }
    let connection = Connection::read(record)?;
    // The store may be gone already.
    if !connection.networks.exists() {
        return Ok(());
    }
    let networks = Networks::open(&connection.networks)?;
    let is_its = |attachment: &Attachment| attachment.connection.hosts == connection.hosts;
    for attachment in networks.attachments()?.iter().filter(|one| is_its(one)) {
        undo_if(&networks, &attachment.container, |now| {
            if is_its(now) && now.process.is_alive() {
                bail!("container {} of it is running", now.container);
            }
            Ok(is_its(now))
        })?;
    }
    Ok(())
}

/// Detaches containers that have ended and whose bundles are gone, as far as that can be done.
pub fn collect(networks: &Path) -> Result<()> {
    if !networks.exists() {
        return Ok(());
    }
    let networks = Networks::open(networks)?;
    let is_gone = |of: &Attachment| Ok(!of.connection.hosts.exists() && !of.process.is_alive());
    for attachment in networks.attachments()? {
        let container = &attachment.container;
        if is_gone(&attachment)?
            && let Err(error) = undo_if(&networks, container, is_gone)
        {
            warn(|| format!("can't disconnect container {container}, which is gone: {error:#}"));
        }
    }
    Ok(())
}

/// Undoes an attachment as it is once nobody else works at it, if `is_to_go`.
fn undo_if(
    networks: &Networks,
    container: &str,
    is_to_go: impl Fn(&Attachment) -> Result<bool>,
) -> Result<()> {
    let _ours = networks.lock_container(container)?;
    match networks.attachment(container)? {
        Some(attachment) if is_to_go(&attachment)? => undo(networks, &attachment),
        _ => Ok(()),
    }
}

/// Undoes an attachment and forgets it, which leaves the container's own files as they were. Needs
/// the container's lock.
fn undo(networks: &Networks, attachment: &Attachment) -> Result<()> {
    let connection = &attachment.connection;
    let configuration = connection.configuration()?;
    let network = Network {
        configuration: &configuration,
        capabilities: &connection.capabilities(),
        path: &connection.plugin_path()?,
    };
    let namespace = networks.namespace(&attachment.container);
    let endpoint = attachment.endpoint(namespace.as_deref());
    network
        .delete(&endpoint, Some(&attachment.attached()))
        .with_context(|| format!("network '{}'", configuration.name))?;
    let _locked = networks.lock()?;
    forget(networks, &attachment.container)?;
    let text = hosts::text(None, &connection.added_hosts, None, &[]);
    // The bundle may be gone, or its file be no longer ours to write: it is detached all the same.
    if connection.hosts.exists()
        && let Err(error) = hosts::overwrite(&connection.hosts, &text)
    {
        warn(|| format!("container {}: {error:#}", attachment.container));
    }
    write_hosts(networks, attachment)
}

fn forget(networks: &Networks, container: &str) -> Result<()> {
    networks.release_namespace(container)?;
    networks.forget(container)
}

/// Refuses a container that was to join the network of a process that has ended: its number may be
/// another's by now, and that one's network the host's.
pub fn check_joined(process: &Process, state: &State) -> Result<()> {
    if !process.is_alive() {
        bail!("the container whose network it was to share has ended: make the bundle anew");
    }
    if !is_in_namespace_of(process.pid, state.pid)? {
        bail!(
            "it is not in the network namespace of process {}",
            process.pid
        );
    }
    Ok(())
}

fn is_in_namespace_of(one: u32, other: u32) -> Result<bool> {
    let namespace = |pid: u32| {
        let path = format!("/proc/{pid}/ns/net");
        std::fs::read_link(&path).with_context(|| format!("readlink {path}"))
    };
    Ok(namespace(one)? == namespace(other)?)
}

/// The hook of a bundle that joins the network of a process.
pub fn hooks_of_joined(program: &Path, process: &Process) -> Value {
    let Process {
        pid,
        start_time,
        boot,
    } = process;
    json!({
        "createRuntime": [{
            "path": program,
            "args": ["windlass-img", "network-hook", "joined", pid.to_string(),
                start_time.to_string(), boot],
            "env": [format!("PATH={}", super::cni::plugin_path::PROGRAMS)],
        }],
    })
}

/// The hooks that a bundle's config.json has: `program` is ourselves, by an absolute path.
pub fn hooks(program: &Path, record: &Path, networks: &Path) -> Value {
    let hook = |verb: &str, of: &Path| {
        json!({
            "path": program,
            "args": ["windlass-img", "network-hook", verb, of],
            // They need nothing of it; runtimes may hand on their own where there is none.
            "env": [format!("PATH={}", super::cni::plugin_path::PROGRAMS)],
        })
    };
    json!({
        "createRuntime": [hook("attach", record)],
        "poststop": [hook("detach", networks)],
    })
}
