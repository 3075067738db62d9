//! Networks of containers.
//!
//! A bundle says which network it has by a namespace in its config.json ([`Network`]). Where that is a
//! new one which is to be connected, CNI plugins do it ([`cni`]), called from hooks ([`hook`]) that the
//! bundle carries, so that any runtime runs it. What they need is in the bundle
//! ([`attachment::Connection`]), what they did in the store ([`networks`]).

pub mod attachment;
pub mod cni;
mod configure;
pub mod hook;
pub mod hosts;
pub mod joined;
pub mod networks;
pub mod options;
pub mod publish;
pub mod resolver;
pub mod standard;
pub mod subnet;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use attachment::Connection;
use cni::configuration::Configuration;
use cni::plugin_path::PluginPath;
use cni::result::Dns;
use hosts::KnownHost;
use joined::Joined;
pub use networks::DIRECTORY;
use networks::Networks;
pub use options::{NetworkMode, NetworkOptions};
use publish::{PortMapping, Publish};

use crate::runtime::Runtime;
use crate::store::Store;
use crate::warnings::warn;

/// Where administrators describe networks.
const DESCRIPTIONS: &str = "/etc/cni/net.d";
/// The name of a bundle's record for its hooks.
pub const RECORD: &str = "network.json";

/// A container's network, found out and checked before anything is made.
#[derive(Debug, Clone, Default)]
pub struct Network {
    options: NetworkOptions,
    kind: Kind,
}

#[derive(Debug, Clone, Default)]
enum Kind {
    Host,
    #[default]
    None,
    Namespace(PathBuf),
    Joined(Joined),
    Bridge(Box<Bridge>),
}

#[derive(Debug, Clone)]
struct Bridge {
    networks: Networks,
    network: Configuration,
    plugins: PluginPath,
    ports: Vec<PortMapping>,
    /// Those of them that the caller left to us.
    chosen: Vec<PortMapping>,
}

/// What config.json says of the network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespace {
    /// The runtime's own.
    Host,
    /// A new one.
    New,
    /// This one.
    Path(PathBuf),
}

/// A file of /etc that belongs to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NetworkFile {
    /// The bundle's own, with this text.
    Own(String),
    /// Another container's.
    Shared(PathBuf),
}

impl Network {
    /// Finds out what is meant, and whether this host has what that needs. Without root's rights
    /// (`rootless`) the host's network is the one that a container can have.
    pub fn find(options: &NetworkOptions, store: &Store, rootless: bool) -> Result<Self> {
        let path = store.layout().path();
        let path = std::fs::canonicalize(path)
            .with_context(|| format!("canonicalize {}", path.display()))?;
        let mode = match options.mode() {
            None if rootless => NetworkMode::Host,
            mode => mode.unwrap_or(NetworkMode::None),
        };
        if !matches!(mode, NetworkMode::Bridge(_)) {
            check_bridge_only(options, &mode)?;
        }
        let kind = match mode {
            NetworkMode::Host => Kind::Host,
            NetworkMode::None => Kind::None,
            NetworkMode::Namespace(path) => Kind::Namespace(namespace(path)?),
            NetworkMode::Container(id) => {
                let networks = Networks::of_store(&path)?;
                let runtime =
                    Runtime::find(options.runtime.as_deref(), options.runtime_root.as_deref())?;
                Kind::Joined(joined::join(&id, &runtime, &networks)?)
            }
            NetworkMode::Bridge(name) => {
                let name = name.as_deref();
                let mut bridge = bridge(options, name, &path)?;
                bridge.publish(&options.publish, &published(store)?)?;
                Kind::Bridge(Box::new(bridge))
            }
        };
        let options = options.clone();
        Ok(Network { options, kind })
    }

    /// The namespace.
    fn namespace(&self) -> Namespace {
        match &self.kind {
            Kind::Host => Namespace::Host,
            Kind::None | Kind::Bridge(_) => Namespace::New,
            Kind::Namespace(path) => Namespace::Path(path.clone()),
            Kind::Joined(joined) => Namespace::Path(joined.namespace.clone()),
        }
    }

    /// The host name that comes with the network, where the caller names none.
    pub(crate) fn hostname(&self) -> Option<String> {
        match &self.kind {
            Kind::Host => {
                let name = rustix::system::uname();
                Some(name.nodename().to_string_lossy().into_owned())
            }
            Kind::Joined(joined) => joined.hostname.clone(),
            _ => None,
        }
    }

    /// /etc/hosts of a container with this host name. In a bridge network its hook adds addresses.
    fn hosts(&self, hostname: &str) -> NetworkFile {
        let local = KnownHost {
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            names: vec![hostname.to_owned()],
        };
        let host = || std::fs::read_to_string("/etc/hosts").ok();
        let (before, gateway, known) = match &self.kind {
            Kind::Joined(Joined {
                hosts: Some(path), ..
            }) => return NetworkFile::Shared(path.clone()),
            Kind::Host => {
                let is_hosts = self.hostname().is_some_and(|name| name == hostname);
                let own = (!is_hosts).then(|| local.clone());
                (host(), Some(local.addresses[0]), own)
            }
            Kind::None | Kind::Namespace(_) | Kind::Joined(_) => (None, None, Some(local)),
            Kind::Bridge(_) => (None, None, None),
        };
        let added = &self.options.add_host;
        NetworkFile::Own(hosts::text(
            before.as_deref(),
            added,
            gateway,
            known.as_slice(),
        ))
    }

    /// Its /etc/resolv.conf.
    fn resolv_conf(&self) -> NetworkFile {
        let wishes = self.options.resolver();
        match &self.kind {
            Kind::Joined(Joined {
                resolv_conf: Some(path),
                ..
            }) => NetworkFile::Shared(path.clone()),
            Kind::Host => NetworkFile::Own(resolver::in_hosts_network(&wishes)),
            kind => {
                let text = resolver::in_own_network(&wishes, &Dns::default());
                if matches!(kind, Kind::Bridge(_)) && !text.contains("nameserver") {
                    warn(|| {
                        "the container has no name server: this host's are none, or on its \
                         loopback; give one with --dns"
                            .to_owned()
                    });
                }
                NetworkFile::Own(text)
            }
        }
    }

    /// The ports of this host that lead into the container where the caller left the choice to us.
    pub fn chosen_ports(&self) -> &[PortMapping] {
        match &self.kind {
            Kind::Bridge(bridge) => &bridge.chosen,
            _ => &[],
        }
    }
}

/// Options that would do nothing in other networks.
fn check_bridge_only(options: &NetworkOptions, mode: &NetworkMode) -> Result<()> {
    for (given, name) in [
        (!options.publish.is_empty(), "--publish"),
        (options.cni_conf.is_some(), "--cni-conf"),
        (!options.cni_bin.is_empty(), "--cni-bin"),
    ] {
        if given {
            bail!("{name} needs --network bridge");
        }
    }
    let shared = matches!(mode, NetworkMode::Container(_));
    if shared && (options.resolver() != resolver::Wishes::default() || !options.add_host.is_empty())
    {
        bail!("--dns and --add-host can't be given with container:ID, whose files are shared");
    }
    let has_gateway = matches!(mode, NetworkMode::Host);
    if !has_gateway && options.add_host.iter().any(hosts::AddedHost::is_gateway) {
        bail!("--add-host NAME:host-gateway needs --network bridge or host");
    }
    if !shared && (options.runtime.is_some() || options.runtime_root.is_some()) {
        bail!("--runtime and --runtime-root need --network container:ID");
    }
    Ok(())
}

fn namespace(path: PathBuf) -> Result<PathBuf> {
    if !networks::is_namespace(&path) {
        bail!("{} is no network namespace", path.display());
    }
    Ok(path)
}

fn bridge(options: &NetworkOptions, name: Option<&str>, store: &Path) -> Result<Bridge> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can connect a bridge network: use --network none, host or ns:PATH");
    }
    let plugins = PluginPath::new(&options.cni_bin)?;
    let networks = Networks::of_store(store)?;
    let network = configuration(options, name, &networks)?;
    plugins
        .check(&network)
        .with_context(|| format!("network '{}'", network.name))?;
    let takes_ports =
        |plugin: &cni::configuration::PluginConfiguration| plugin.is_capable_of("portMappings");
    if !options.publish.is_empty() && !network.plugins.iter().any(takes_ports) {
        bail!(
            "network '{}' has no plugin with the capability portMappings, which --publish needs",
            network.name
        );
    }
    Ok(Bridge {
        networks,
        network,
        plugins,
        ports: Vec::new(),
        chosen: Vec::new(),
    })
}

/// The ports of the store's other bundles: their containers may come to be started before this one.
fn published(store: &Store) -> Result<Vec<PortMapping>> {
    let mut ports = Vec::new();
    for (bundle, _) in store.bundles()? {
        // One without a record has no ports; one that is gone neither.
        if let Ok(connection) = Connection::read(&bundle.path.join(RECORD)) {
            ports.extend(connection.ports);
        }
    }
    Ok(ports)
}

impl Bridge {
    /// Finds a port of the host for each that is to be published. Those that are left to us are none
    /// of `others`, nor of a container that is attached.
    fn publish(&mut self, wanted: &[Publish], others: &[PortMapping]) -> Result<()> {
        let mut taken = others.to_vec();
        for attachment in self.networks.attachments()? {
            taken.extend(attachment.connection.ports);
        }
        for publish in wanted {
            for mapping in publish.mappings(&taken)? {
                if self.ports.iter().any(|port| port.conflicts_with(&mapping)) {
                    bail!("port {mapping} is published twice");
                }
                taken.push(mapping.clone());
                if publish.leaves_choice() {
                    self.chosen.push(mapping.clone());
                }
                self.ports.push(mapping);
            }
        }
        Ok(())
    }
}

/// The caller's file, or the network of this name that the administrator has, or our own.
fn configuration(
    options: &NetworkOptions,
    name: Option<&str>,
    networks: &Networks,
) -> Result<Configuration> {
    let directory = match &options.cni_conf {
        Some(path) if !path.is_dir() => {
            let network = Configuration::read(path)?;
            if let Some(name) = name.filter(|name| *name != network.name) {
                bail!(
                    "the network in {} is '{}', not '{name}'",
                    path.display(),
                    network.name
                );
            }
            return Ok(network);
        }
        Some(path) => path.as_path(),
        None => Path::new(DESCRIPTIONS),
    };
    let found = Configuration::find(directory, name.unwrap_or(standard::NAME))?;
    match (found, name) {
        (Some(network), _) => Ok(network),
        (None, None) if options.cni_conf.is_none() => standard::network(networks),
        (None, name) => bail!(
            "no file of {} describes network '{}'",
            directory.display(),
            name.unwrap_or(standard::NAME)
        ),
    }
}
