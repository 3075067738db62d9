//! `linux.mountLabel` (config-linux.md, "Mount Label"): the SELinux context of all files in what the
//! runtime mounts.

use super::{MountSource, MountStep};

/// The options of a mount that are contexts (SELinux's own, whatever the file system).
const CONTEXTS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// Gives the step's file system the context, as runc and crun do, unless its options name one: the
/// kernel takes no second.
pub(super) fn give<'a>(step: &mut MountStep<'a>, context: &'a str) {
    match &mut step.source {
        MountSource::Filesystem { kind, options, .. } => match *kind {
            // The policy labels these file by file.
            "proc" | "sysfs" => {}
            // Mounted since its IPC namespace began, by the kernel: such a file system's contexts stay,
            // but its root's can be written.
            "mqueue" => step.label = Some(context),
            _ if options.iter().any(|(name, _)| *name == "context") => {}
            _ => options.push(("context", Some(context))),
        },
        // For what there is to make on version 1: a tmpfs. The cgroups are the host's.
        MountSource::Cgroups => step.label = Some(context),
        MountSource::Bind { .. } | MountSource::Remount => {}
    }
}

/// A context without the quotation marks that protect its commas in a line of options for mount(2),
/// where SELinux drops them; given by fsconfig(2), they would be part of the context.
pub(super) fn unquote(options: &mut [(&str, Option<&str>)]) {
    for (name, value) in options {
        if CONTEXTS.contains(name) {
            *value = value.map(|value| value.trim_matches('"'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Pointer;
    use crate::plan::mounts::Places;
    use crate::spec::{Linux, Mount, Text};

    const CONTEXT: &str = "system_u:object_r:container_file_t:s0:c4,c5";

    /// The contexts among the options of a mount, and what is to be written to its root.
    fn labels(kind: &'static str, options: &[&'static str]) -> (Vec<(String, String)>, bool) {
        let mount = Mount {
            destination: Text::from("/somewhere"),
            kind: Some(Text::from(kind)),
            source: Some(Text::from("/source")),
            options: options.iter().map(|option| Text::from(*option)).collect(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        };
        let places = Places {
            bundle: "/b",
            rootfs: "/b/rootfs",
        };
        let pointer = Pointer::element("/mounts", 0);
        let label = Some(CONTEXT);
        let step =
            crate::plan::mounts::step(&mount, pointer, places, &Linux::default(), label).unwrap();
        let options = match &step.source {
            MountSource::Filesystem { options, .. } => &options[..],
            _ => &[],
        };
        let contexts = options
            .iter()
            .filter(|(name, _)| CONTEXTS.contains(name))
            .map(|(name, value)| ((*name).to_owned(), value.unwrap().to_owned()))
            .collect();
        assert!(step.label.is_none_or(|label| label == CONTEXT));
        (contexts, step.label.is_some())
    }

    fn context(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_is_new_and_has_no_contexts_of_its_own_gets_one() {
        for kind in ["tmpfs", "devpts", "ramfs", "overlay", "ext4"] {
            let labelled = labels(kind, &["nosuid"]);
            assert_eq!(labelled, (vec![context("context", CONTEXT)], false));
        }
        for kind in ["mqueue", "cgroup", "cgroup2"] {
            assert_eq!(labels(kind, &["nosuid"]), (vec![], true), "{kind}");
        }
        for (kind, option) in [
            ("proc", "nosuid"),
            ("sysfs", "ro"),
            ("bind", "ro"),
            ("tmpfs", "rbind"),
            ("tmpfs", "remount"),
        ] {
            assert_eq!(labels(kind, &[option]), (vec![], false), "{kind}");
        }
    }

    #[test]
    fn a_context_among_the_options_is_the_mounts() {
        let quoted = r#"context="u:object_r:t:s0:c1,c2""#;
        let own = vec![context("context", "u:object_r:t:s0:c1,c2")];
        assert_eq!(labels("tmpfs", &[quoted]), (own, false));
        let both = vec![
            context("rootcontext", "u:object_r:t:s0"),
            context("context", CONTEXT),
        ];
        let root = labels("tmpfs", &["rootcontext=u:object_r:t:s0"]);
        assert_eq!(root, (both, false));
    }
}
