//! The network that `--network bridge` means unless somebody has described another one of its name.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::cni::configuration::Configuration;
use super::networks::{Networks, write_whole};
use super::subnet::{self, Subnet};
use crate::store::default_path;
use crate::warnings::warn;

/// Its name in /etc/cni/net.d, its file's in the store, and, with a number, its bridge's.
pub const NAME: &str = "windlass";

/// The store's own network; described in a file when it is first asked for, which is then its owner's.
pub fn network(networks: &Networks) -> Result<Configuration> {
    let path = networks.path().join(format!("{NAME}.conflist"));
    let _locked = networks.lock()?;
    if path.exists() {
        let network = Configuration::read(&path)?;
        warn_of_routes(&network, &path)?;
        return Ok(network);
    }
    let (bridge, first) = bridge(networks.path());
    let description = describe(&bridge, networks.path(), subnet::unused(first)?);
    let mut json = serde_json::to_vec_pretty(&description)?;
    json.push(b'\n');
    write_whole(&path, &json)?;
    Configuration::parse(&json).context("the standard network")
}

/// The bridge's name, and the subnet from which to look for a free one. Stores other than the default
/// one keep their addresses apart, so their bridges have to be apart.
fn bridge(networks: &Path) -> (String, u8) {
    let store = networks.parent();
    if default_path().is_ok_and(|default| store == Some(&default)) {
        return (format!("{NAME}0"), 0);
    }
    let hash = Sha256::digest(networks.as_os_str().as_encoded_bytes());
    // Names of interfaces have at most 15 bytes.
    let name = format!("{NAME}-{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2]);
    (name, hash[3])
}

/// As other engines describe theirs: a bridge with a gateway, the way out by masquerade, a container
/// that reaches itself by its published port, and packets that pass where a firewall drops by default.
fn describe(bridge: &str, networks: &Path, subnet: Subnet) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": bridge,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": subnet.to_string() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    "dataDir": networks.join("addresses"),
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "firewall" },
        ],
    })
}

/// Says so when a route has come since (of a VPN, say) that the network's addresses are part of.
fn warn_of_routes(network: &Configuration, path: &Path) -> Result<()> {
    let routes = subnet::routes()?;
    for plugin in &network.plugins {
        let own_device = plugin.keys.get("bridge").and_then(|bridge| bridge.as_str());
        let subnets = plugin.keys.get("ipam").and_then(|ipam| ipam.get("ranges"));
        let subnets = subnets.and_then(|ranges| ranges.as_array()).into_iter();
        let subnets = subnets.flatten().filter_map(|set| set.as_array()).flatten();
        let subnets = subnets.filter_map(|range| Subnet::parse(range["subnet"].as_str()?));
        for subnet in subnets {
            let taken = routes.iter().find(|route| {
                Some(route.device.as_str()) != own_device && route.destination.overlaps(subnet)
            });
            if let Some(route) = taken {
                warn(|| {
                    format!(
                        "{subnet} of the containers' network overlaps {} of {}: change it in {}",
                        route.destination,
                        route.device,
                        path.display()
                    )
                });
            }
        }
    }
    Ok(())
}
