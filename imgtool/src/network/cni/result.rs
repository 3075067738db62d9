//! What a plugin answers (CNI, section 5).

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

/// The answer to ADD, which is handed on to the next plugin as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached(pub Value);

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Address>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "address")]
    with_prefix: String,
    interface: Option<usize>,
    gateway: Option<IpAddr>,
}

/// What a network says of its name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses.
    pub nameservers: Vec<String>,
    /// The domain of names without a dot.
    pub domain: String,
    /// More of these.
    pub search: Vec<String>,
    /// resolv.conf(5)'s options.
    pub options: Vec<String>,
}

impl Attached {
    /// The container's addresses: those of interfaces on the host's side are not.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let shape = self.shape();
        let inside = |address: &&Address| match address.interface {
            Some(index) => shape
                .interfaces
                .get(index)
                .is_some_and(|interface| !interface.sandbox.is_empty()),
            None => true,
        };
        let addresses = shape.ips.iter().filter(inside);
        addresses
            .filter_map(|ip| ip.with_prefix.split('/').next()?.parse().ok())
            .collect()
    }

    /// The host, as the container sees it.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.shape().ips.iter().find_map(|ip| ip.gateway)
    }

    /// Its name servers.
    pub fn dns(&self) -> Dns {
        self.shape().dns
    }

    fn shape(&self) -> Shape {
        Shape::deserialize(&self.0).unwrap_or(Shape {
            interfaces: Vec::new(),
            ips: Vec::new(),
            dns: Dns::default(),
        })
    }
}

/// The answer of a plugin that fails.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// A number of the specification, or of the plugin from 100 on.
    pub code: u32,
    /// In a few words.
    pub msg: String,
    /// In more.
    pub details: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_containers_addresses_are_told_from_the_hosts() {
        let result = Attached(json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": "bridge0", "mac": "0a:89:9e:35:46:a6" },
                { "name": "eth0", "sandbox": "/proc/1/ns/net" },
            ],
            "ips": [
                { "interface": 0, "address": "10.1.0.1/16" },
                { "interface": 1, "address": "10.1.0.7/16", "gateway": "10.1.0.1" },
                { "interface": 1, "address": "fd00::7/64" },
                { "interface": 9, "address": "10.1.0.8/16" },
            ],
            "dns": { "nameservers": ["10.1.0.1"] },
        }));
        let addresses: Vec<String> = result.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.1.0.7", "fd00::7"]);
        assert_eq!(result.gateway(), Some("10.1.0.1".parse().unwrap()));
        assert_eq!(result.dns().nameservers, ["10.1.0.1"]);
    }

    #[test]
    fn a_result_without_interfaces_is_the_containers() {
        let result = Attached(json!({ "ips": [{ "version": "4", "address": "10.1.0.7/16" }] }));
        assert_eq!(result.addresses().len(), 1);
        assert!(Attached(json!({})).addresses().is_empty());
    }
}
