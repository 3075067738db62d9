//! What holds for any input at all: each function here takes bytes and panics when it doesn't.
//! `fuzz/` calls them with inputs that it makes up for minutes, `fuzz_seeds.rs` with those that are
//! written down and some variations.

mod dockerfile;

use serde_json::Value;
use windlass_img::bundle::config::{self, ConfigOptions};
use windlass_img::http::Url;
use windlass_img::http::retry::retry_after;
use windlass_img::layer::ids::IdMapping;
use windlass_img::layer::tar::{Entry, TarLimits, TarReader, TarWriter};
use windlass_img::layer::whiteout::Whiteout;
use windlass_img::layout::document::{ImageConfig, Index, Manifest};
use windlass_img::layout::raw_document::media_type_of;
use windlass_img::registry::challenge;
use windlass_img::registry::name::{Written, is_well_formed_host};
use windlass_img::warnings::{Level, set_level};

pub use dockerfile::dockerfile;

/// A function of this file.
pub type Property = fn(&[u8]);

/// All of them, by the names of their targets and of their folders of seeds.
#[allow(dead_code, reason = "each fuzz target calls its own")]
pub const ALL: [(&str, Property); 4] = [
    ("img_layer", layer),
    ("img_document", document),
    ("img_answer", answer),
    ("img_dockerfile", dockerfile),
];

const BLOCK: usize = 512;

/// A layer's archive: it is refused, or its entries, written anew by us, are the same entries. Once
/// with the checksums as they are, once with those that headers would have.
pub fn layer(bytes: &[u8]) {
    read_and_write(bytes);
    let mut mended = bytes.to_vec();
    for block in mended.chunks_exact_mut(BLOCK) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    read_and_write(&mended);
}

fn read_and_write(archive: &[u8]) {
    let Some(entries) = entries(archive) else {
        return;
    };
    let mut writer = TarWriter::new(Vec::new());
    for (entry, data) in &entries {
        let up = entry.path.components().any(|name| name == b"..");
        assert!(!up && !entry.path.as_bytes().contains(&0), "{entry:?}");
        // Whatever it says, it says without a panic.
        drop(Whiteout::of(&entry.path, &entry.kind));
        writer.begin(entry).expect("write an entry");
        writer.data(data).expect("write its data");
    }
    let archive = writer.finish().expect("end the archive");
    assert_eq!(self::entries(&archive), Some(entries));
}

/// Nothing if the archive is refused.
fn entries(archive: &[u8]) -> Option<Vec<(Entry, Vec<u8>)>> {
    let mut tar = TarReader::new(archive, TarLimits::default());
    let mut entries = Vec::new();
    while let Some(mut entry) = tar.next_entry().ok()? {
        let mut data = Vec::new();
        loop {
            let some = tar.data().ok()?;
            if some.is_empty() {
                break;
            }
            data.extend_from_slice(some);
            let count = some.len();
            tar.consume(count);
        }
        assert_eq!(data.len() as u64, entry.size);
        // We don't write it, nor what order attributes have.
        entry.atime = None;
        entry.xattrs.sort();
        entries.push((entry, data));
    }
    Some(entries)
}

/// `m` and a manifest or index: it is one of them or none, never both. `c` and a configuration: it is
/// refused, or changes nothing of config.json but what is an image's to say.
pub fn document(bytes: &[u8]) {
    set_level(Level::Fatal);
    match bytes.split_first() {
        Some((b'm', text)) => manifest(text),
        Some((b'c', text)) => configuration(text),
        _ => {}
    }
}

fn manifest(text: &[u8]) {
    let Ok(kind) = media_type_of(text, None) else {
        return;
    };
    let index = Index::parse(text, Some(&kind));
    let manifest = Manifest::parse(text, &kind);
    assert!(index.is_err() || manifest.is_err(), "both");
    if let Ok(manifest) = manifest {
        for layer in &manifest.layers {
            let name = layer.digest.to_string();
            assert!(!name.contains(['/', '\0', '.']), "{name}");
            layer.kind();
        }
    }
    if let Ok(index) = index {
        let again = serde_json::to_vec(&index).expect("write an index");
        let again = Index::parse(&again, Some(&kind)).expect("read it again");
        let digests = |index: &Index| -> Vec<String> {
            let descriptors = index.manifests.iter();
            descriptors.map(|one| one.digest.to_string()).collect()
        };
        assert_eq!(digests(&index), digests(&again));
    }
}

fn configuration(text: &[u8]) {
    let convert = |image: &ImageConfig| {
        let mapping = IdMapping::default();
        config::convert(image, None, &mapping, ConfigOptions::default())
    };
    let Ok(image) = serde_json::from_slice::<ImageConfig>(text) else {
        return;
    };
    let Ok(json) = convert(&image) else {
        return;
    };
    let plain = serde_json::from_str(
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
    )
    .expect("an empty configuration");
    let plain = convert(&plain).expect("convert it");
    let read =
        |json: &[u8]| -> Value { serde_json::from_slice(json).expect("config.json is JSON") };
    let (mut said, mut plain) = (read(&json), read(&plain));
    let volumes = image.config.volumes.len();
    let mounts = said["mounts"].as_array().expect("mounts").clone();
    let own = plain["mounts"].as_array().expect("mounts").len();
    assert_eq!(
        mounts[..own],
        plain["mounts"].as_array().expect("mounts")[..]
    );
    assert_eq!(mounts.len(), own + volumes);
    for volume in &mounts[own..] {
        let source = volume["source"].as_str().unwrap_or_default();
        assert!(!source.starts_with('/'), "a path of the host: {volume}");
    }
    for process in [&mut said, &mut plain] {
        for (object, fields) in [
            ("/process", &["args", "env", "cwd", "user"][..]),
            ("", &["annotations", "mounts"]),
        ] {
            let object = process.pointer_mut(object).and_then(Value::as_object_mut);
            let object = object.expect("an object");
            for field in fields {
                object.remove(*field);
            }
        }
    }
    assert_eq!(said, plain);
}

/// What a registry answers with: `a` and a challenge, `l` and where to go next, `w` and how long to wait;
/// `n` and a name that the answer is about.
pub fn answer(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match kind {
        b'a' => drop(challenge::parse(text.lines())),
        b'l' => location(text),
        b'w' => {
            let _ = retry_after(text);
        }
        b'n' => name(text),
        _ => {}
    }
}

fn location(text: &str) {
    let base: Url = "https://registry.example:5000/v2/a/blobs/x?y=z"
        .parse()
        .expect("an address");
    if let Ok(next) = base.join(text) {
        let written = next.to_string();
        assert!(!written.contains(['\r', '\n', ' ', '#']), "{written:?}");
        assert_eq!(written.parse().as_ref(), Ok(&next));
        if next.same_origin(&base) {
            let (_, rest) = written.split_once("://").expect("a scheme");
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let same = authority.eq_ignore_ascii_case("registry.example:5000");
            assert!(same && written.starts_with("https://"), "{written}");
        }
    }
}

fn name(text: &str) {
    let Ok(written) = Written::parse(text) else {
        return;
    };
    if let Written::Full(name) = written {
        assert!(is_well_formed_host(&name.host), "{name}");
        let up = name
            .repository
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."));
        assert!(!up, "{name}");
        assert_eq!(
            Written::parse(&name.to_string()).as_ref(),
            Ok(&Written::Full(name))
        );
    }
}
