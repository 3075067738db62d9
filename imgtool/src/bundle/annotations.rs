//! Annotations of a bundle out of an image (image-spec conversion.md, "Annotation Fields").

use std::collections::BTreeMap;

use crate::layout::document::ImageConfig;
use crate::warnings::Warnings;

/// Keys that tell a runtime or an engine to do something: start a systemd unit with a property,
/// run another binary, inject devices. An image's labels may not speak in these
/// (CVE-2024-3154, CVE-2026-53488): what an image says never chooses behaviour.
const KEYS_OF_RUNTIMES: [&str; 13] = [
    "org.systemd.",
    "org.criu.",
    "run.oci.",
    "module.wasm.",
    "io.kubernetes.",
    "io.kubernetes.cri",
    "io.katacontainers.",
    "io.containerd.",
    "io.podman.annotations.",
    "io.container",
    "cdi.k8s.io/",
    "dev.gvisor.",
    "dev.windlass.",
];

/// The annotations that an image's configuration gives a bundle.
pub(super) fn annotations(
    image: &ImageConfig,
    warnings: &mut Warnings,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            annotations.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
        }
    };
    let platform = &image.platform;
    set("os", &platform.os);
    set("architecture", &platform.architecture);
    set("variant", platform.variant.as_deref().unwrap_or_default());
    set(
        "os.version",
        platform.os_version.as_deref().unwrap_or_default(),
    );
    set("os.features", &platform.os_features.join(","));
    set("author", image.author.as_deref().unwrap_or_default());
    set("created", image.created.as_deref().unwrap_or_default());
    set("stopSignal", &image.config.stop_signal);
    let ports: Vec<&str> = image
        .config
        .exposed_ports
        .keys()
        .map(String::as_str)
        .collect();
    set("exposedPorts", &ports.join(","));
    // Labels win over what we derived.
    for (key, value) in &image.config.labels {
        if KEYS_OF_RUNTIMES
            .iter()
            .any(|prefix| key.starts_with(prefix))
        {
            let key = key.escape_debug();
            warnings.add("label", || {
                format!("label '{key}' would steer a runtime: left out")
            });
        } else {
            annotations.insert(key.clone(), value.clone());
        }
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_win_but_steer_no_runtime() {
        let mut image = ImageConfig::default();
        image.platform.os = "linux".into();
        image.author = Some("derived".into());
        for (key, value) in [
            ("org.opencontainers.image.author", "label"),
            ("com.example", "kept"),
            ("org.systemd.property.ExecStart", "x"),
            ("run.oci.handler", "krun"),
            ("cdi.k8s.io/gpu", "x"),
        ] {
            image.config.labels.insert(key.into(), value.into());
        }
        let annotations = annotations(&image, &mut Warnings::default());
        let expected = [
            ("com.example", "kept"),
            ("org.opencontainers.image.author", "label"),
            ("org.opencontainers.image.os", "linux"),
        ];
        assert_eq!(
            annotations,
            expected
                .map(|(key, value)| (key.into(), value.into()))
                .into()
        );
    }
}
