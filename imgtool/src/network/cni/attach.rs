//! A whole network: each of its plugins in turn, the answer of one handed to the next, and what was
//! done undone when one fails (CNI, section 3).

use anyhow::{Error, Result, bail};
use serde_json::{Map, Value};

use super::configuration::{Configuration, PluginConfiguration};
use super::plugin::{self, Endpoint, Verb};
use super::plugin_path::PluginPath;
use super::result::Attached;

/// A network, and all that its plugins are to know beside its configuration.
#[derive(Debug, Clone)]
pub struct Network<'a> {
    /// What its administrator says.
    pub configuration: &'a Configuration,
    /// The arguments of capabilities, such as `portMappings`, for the plugins that take them.
    pub capabilities: &'a Map<String, Value>,
    /// Where the plugins are.
    pub path: &'a PluginPath,
}

/// A container that couldn't be attached.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub cause: Error,
    /// Whether nothing is left of it.
    pub undone: Result<()>,
}

impl Network<'_> {
    /// Attaches a container; if that fails, undoes what was done of it.
    pub fn add(&self, endpoint: &Endpoint) -> Result<Attached, Failure> {
        let mut result = None;
        for plugin in &self.configuration.plugins {
            let request = self.request(plugin, result.as_ref());
            let called = plugin::call(&plugin.program, Verb::Add, endpoint, &request, self.path);
            match called.and_then(|answer| answered(&plugin.program, answer)) {
                Ok(answer) => result = Some(Attached(answer)),
                Err(cause) => {
                    // All of them, as the specification says: the one that failed may have done half
                    // of its work.
                    let undone = self.delete(endpoint, result.as_ref());
                    return Err(Failure { cause, undone });
                }
            }
        }
        // A configuration has at least one plugin.
        Ok(result.unwrap_or(Attached(Value::Null)))
    }

    /// Detaches a container. Every plugin is called, whatever happens to those before it; the first
    /// error is returned.
    pub fn delete(&self, endpoint: &Endpoint, result: Option<&Attached>) -> Result<()> {
        // Protocols before 0.4.0 know no earlier result when something is deleted.
        let before = matches!(self.configuration.version.as_str(), "0.3.0" | "0.3.1");
        let result = result.filter(|_| !before);
        let mut first = Ok(());
        for plugin in self.configuration.plugins.iter().rev() {
            let request = self.request(plugin, result);
            let answer = plugin::call(&plugin.program, Verb::Del, endpoint, &request, self.path);
            if first.is_ok() {
                first = answer.map(drop);
            }
        }
        first
    }

    /// "Deriving request configuration from plugin configuration".
    fn request(&self, plugin: &PluginConfiguration, result: Option<&Attached>) -> Value {
        let mut request = plugin.keys.clone();
        request.remove("capabilities");
        request.insert("name".into(), self.configuration.name.clone().into());
        request.insert(
            "cniVersion".into(),
            self.configuration.version.clone().into(),
        );
        let taken: Map<String, Value> = self
            .capabilities
            .iter()
            .filter(|(capability, _)| plugin.is_capable_of(capability))
            .map(|(capability, argument)| (capability.clone(), argument.clone()))
            .collect();
        if !taken.is_empty() {
            request.insert("runtimeConfig".into(), Value::Object(taken));
        }
        if let Some(Attached(result)) = result
            && !result.is_null()
        {
            request.insert("prevResult".into(), result.clone());
        }
        Value::Object(request)
    }
}

/// Refuses silence, which would be taken for a container without addresses: a plugin that has nothing
/// to add hands on what it was told.
fn answered(program: &str, answer: Value) -> Result<Value> {
    if !answer.is_object() {
        bail!("CNI plugin '{program}', ADD: it succeeds without a result");
    }
    Ok(answer)
}
