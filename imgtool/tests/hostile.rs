//! Archives and images made to hurt: each is refused or kept inside the root, and a canary outside
//! stays as it was. The cases are the rows of the field's advisories for image tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use image_builder::{
    CONFIG, Entry, INDEX, MANIFEST, Packing, Workshop, directory, entry, file, hard_link, record,
    set_checksum, symlink, tar,
};
use serde_json::json;

/// Refused whatever stands before it.
fn refused(entries: &[Entry], why: &str) {
    let workshop = Workshop::new();
    workshop.image(&[entries]);
    workshop.refused(why);
    // The same in an upper layer.
    workshop.image(&[&[directory("a"), file("a/x", "")], entries]);
    workshop.refused(why);
}

#[test]
fn names_that_lead_up_are_refused() {
    for name in [
        "../x",
        "..",
        "a/../../x",
        "/../x",
        "a/..",
        "../.wh.x",
        "a/../.wh.b",
    ] {
        refused(&[file(name, "")], "'..' component");
        refused(&[directory(name)], "'..' component");
    }
    refused(&[file("a", ""), hard_link("b", "../a")], "link target");
    refused(&[file("ok", "").pax("path", b"../../x")], "'..' component");
    refused(
        &[file("ok", ""), hard_link("b", "a").pax("linkpath", b"../x")],
        "link target",
    );
}

#[test]
fn absolute_names_are_inside_the_root() {
    let workshop = Workshop::new();
    let canary = workshop.canary();
    workshop.image(&[&[
        file(&format!("{canary}/file"), "inside"),
        hard_link("l", &format!("{canary}/file")),
    ]]);
    workshop.unpacked(&[]);
    workshop.assert_canary_is_well();
    let inside = workshop.rootfs().join(canary.trim_start_matches('/'));
    assert_eq!(
        std::fs::read_to_string(inside.join("file")).unwrap(),
        "inside"
    );
}

/// CVE-2021-29136: the root itself as something else than a directory.
#[test]
fn the_root_stays_a_directory() {
    for name in [".", "/", "./.", "//", "./"] {
        let canary = Workshop::new().canary();
        refused(&[symlink(name, &canary)], "root directory");
        refused(&[file("f", ""), hard_link(name, "f")], "root directory");
        refused(&[entry(b'6', name)], "root directory");
    }
    refused(&[hard_link("l", ".")], "root directory");
}

#[test]
fn invalid_whiteouts_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh...", ".wh..wh.x"] {
        refused(&[file(name, "")], "whiteout");
    }
    for name in [".wh..wh..opq/x", ".wh.a/x", ".wh...wh..opq/x"] {
        refused(&[file(name, "")], "'.wh.'");
    }
    refused(&[symlink(".wh.x", "/")], "regular file");
    refused(&[directory(".wh..wh..opq")], "regular file");
}

/// A link to the outside and then names below it: symlink directory attacks (RUSTSEC-2021-0080,
/// CVE-2021-32760, CVE-2026-33056).
#[test]
fn nothing_goes_through_a_link_to_the_outside() {
    let workshop = Workshop::new();
    let canary = workshop.canary();
    let up = "../".repeat(30) + canary.trim_start_matches('/');
    for target in [
        canary.as_str(),
        &up,
        "/proc/self/root",
        "/proc/self/cwd/../../../..//",
    ] {
        let link = [symlink("link", target)];
        let through = [
            file("link/new", "x"),
            file("link/file", "changed"),
            directory("link/directory").mode(0o700).owner(7, 7).mtime(5),
            file("link/directory/file", "changed").mode(0o4777),
            hard_link("link/hard", "link/file"),
            symlink("link/soft", "x"),
            entry(b'6', "link/fifo"),
            entry(b'3', "link/null").device(1, 3),
        ];
        for layers in [
            vec![&link[..], &through[..]],
            vec![&[&link[..], &through[..]].concat()[..]],
        ] {
            workshop.image(&layers);
            let output = workshop.unpack(&[]);
            workshop.assert_canary_is_well();
            if output.status.success() {
                std::fs::remove_dir_all(workshop.bundle()).unwrap();
            }
        }
    }
}

#[test]
fn whiteouts_do_not_go_through_links() {
    let workshop = Workshop::new();
    let canary = workshop.canary();
    let base = [symlink("link", &canary)];
    for whiteout in [
        "link/.wh.file",
        "link/.wh..wh..opq",
        "link/directory/.wh..wh..opq",
    ] {
        workshop.image(&[&base, &[file(whiteout, "")]]);
        workshop.unpacked(&[]);
        workshop.assert_canary_is_well();
        std::fs::remove_dir_all(workshop.bundle()).unwrap();
    }
}

/// Metadata of an entry never lands on what a link of the same name points to.
#[test]
fn metadata_is_not_set_through_links() {
    let workshop = Workshop::new();
    let canary = workshop.canary();
    workshop.image(&[
        &[
            symlink("a", &canary),
            symlink("b", &format!("{canary}/file")),
        ],
        &[
            directory("a")
                .mode(0o7777)
                .owner(1, 1)
                .xattr("user.x", b"y"),
            file("b", "replaced")
                .mode(0o4755)
                .owner(1, 1)
                .xattr("user.x", b"y"),
        ],
        &[symlink("c", &format!("{canary}/file"))
            .owner(3, 3)
            .mtime(3)
            .xattr("trusted.x", b"y")],
    ]);
    workshop.unpacked(&[]);
    workshop.assert_canary_is_well();
    assert!(
        workshop
            .rootfs()
            .join("a")
            .symlink_metadata()
            .unwrap()
            .is_dir()
    );
    assert!(
        workshop
            .rootfs()
            .join("b")
            .symlink_metadata()
            .unwrap()
            .is_file()
    );
}

#[test]
fn hard_links_stay_inside() {
    let workshop = Workshop::new();
    let canary = workshop.canary();
    refused(
        &[hard_link("l", &format!("{canary}/file"))],
        "not in the image",
    );
    refused(
        &[symlink("s", &canary), hard_link("l", "s/file")],
        "not in the image",
    );
    refused(&[directory("d"), hard_link("l", "d")], "is a directory");
    refused(&[file("f", ""), hard_link("f", "f")], "itself");
    // A hard link to a symbolic link is one more name of the link, not of what it points to.
    workshop.image(&[&[
        symlink("s", &format!("{canary}/file")),
        hard_link("l", "s"),
        file("l2", ""),
    ]]);
    workshop.unpacked(&[]);
    assert!(workshop.rootfs().join("l").is_symlink());
    workshop.assert_canary_is_well();
}

/// CVE-2025-62518: the header's size and PAX's say different things.
#[test]
fn sizes_that_disagree_are_refused() {
    let smuggled = tar(&[file("smuggled", "x")]);
    let outer = Entry {
        data: smuggled.clone(),
        size: Some(0),
        ..file("outer", "")
    };
    refused(
        &[outer.pax("size", smuggled.len().to_string().as_bytes())],
        "disagree",
    );
    refused(&[file("f", "abc").pax("size", b"2")], "disagree");
    refused(
        &[Entry {
            data: vec![0; 512],
            ..directory("d")
        }],
        "can't have data",
    );
    refused(
        &[Entry {
            data: vec![0; 512],
            ..symlink("s", "x")
        }],
        "can't have data",
    );
}

#[test]
fn malformed_pax_is_refused() {
    let pax = |body: &[u8]| Entry {
        data: body.to_vec(),
        ..entry(b'x', "pax")
    };
    for body in [
        &b"9 path=ab"[..],
        b"12 path=ab\n",
        b"path=ab\n",
        b"0010 path=a\n",
        b"12 size=0x10\n",
        b"11 mtime=x\n",
    ] {
        refused(&[pax(body), file("f", "")], "PAX");
    }
    refused(&[pax(&record("path", b"a\0b")), file("f", "")], "PAX");
    refused(
        &[
            pax(&[record("size", b"1"), record("size", b"2")].concat()),
            file("f", ""),
        ],
        "twice",
    );
    refused(
        &[
            pax(&record("path", b"a")),
            pax(&record("path", b"b")),
            file("f", ""),
        ],
        "conflicting",
    );
    refused(
        &[file("f", ""), pax(&record("path", b"a"))],
        "without an entry",
    );
    refused(
        &[pax(&record("GNU.sparse.major", b"1")), file("f", "")],
        "sparse",
    );
    let global = Entry {
        data: record("path", b"a"),
        ..entry(b'g', "g")
    };
    refused(&[global, file("f", "")], "global");
    let comment = Entry {
        data: record("comment", b"a"),
        ..entry(b'g', "g")
    };
    refused(
        &[pax(&record("path", b"a")), comment, file("f", "")],
        "conflicting",
    );
    let long = Entry {
        data: b"long\0".to_vec(),
        ..entry(b'L', "././@LongLink")
    };
    refused(&[long, file("f", "").pax("path", b"other")], "conflicting");
    let huge = Entry {
        data: vec![b'x'; 2 << 20],
        ..entry(b'x', "pax")
    };
    refused(&[huge, file("f", "")], "limit");
}

#[test]
fn malformed_headers_are_refused() {
    let workshop = Workshop::new();
    let damaged = |change: &dyn Fn(&mut [u8; 512]), sum: bool| {
        let mut block = file("f", "").header();
        change(&mut block);
        if sum {
            set_checksum(&mut block);
        }
        [&block[..], &[0; 1024]].concat()
    };
    for (archive, why) in [
        (damaged(&|block| block[0] = b'g', false), "checksum"),
        (
            damaged(&|block| block[257..262].copy_from_slice(b"xstar"), true),
            "dialect",
        ),
        (
            damaged(&|block| block[124..128].copy_from_slice(b"-001"), true),
            "size",
        ),
        (damaged(&|block| block[124..136].fill(0xff), true), "size"),
        (
            damaged(
                &|block| block[108..116].copy_from_slice(b"\x80\0\0\0\xff\xff\xff\xff"),
                true,
            ),
            "range",
        ),
        (damaged(&|block| block[156] = b'S', true), "sparse"),
        (damaged(&|block| block[156] = b'Z', true), "type"),
        (damaged(&|block| block[0] = 0, true), "empty"),
        (
            damaged(&|block| block[99] = b'x', true)[..700].to_vec(),
            "middle",
        ),
        (file("f", "").header()[..300].to_vec(), "middle"),
        (
            [&[0; 512][..], &file("f", "").header(), &[0; 1024]].concat(),
            "lone zero block",
        ),
    ] {
        workshop.add_image(&[(archive, Packing::Plain)], json!({}));
        workshop.refused(why);
    }
}

#[test]
fn digests_are_checked_before_they_name_a_file() {
    let workshop = Workshop::new();
    let good = workshop.image(&[&[file("f", "")]]);
    let upper = good["digest"]
        .as_str()
        .unwrap()
        .to_uppercase()
        .replace("SHA256", "sha256");
    for bad in [
        "sha256:../../../canary/file",
        "sha256:0",
        "../../canary:file",
        "sha256:",
        upper.as_str(),
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let mut descriptor = good.clone();
        descriptor["digest"] = bad.into();
        workshop.write_index(&[descriptor]);
        workshop.refused("is not a digest that we know");
    }
}

/// CVE-2021-41190: a document that is a manifest to one reader and an index to another.
#[test]
fn ambiguous_documents_are_refused() {
    let workshop = Workshop::new();
    let image = workshop.image(&[&[file("f", "")]]);
    let blob = workshop.blob_path(image["digest"].as_str().unwrap());
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
    let tag = |mut descriptor: serde_json::Value| {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        workshop.write_index(&[descriptor]);
    };
    let mut both = manifest.clone();
    both["manifests"] = json!([image]);
    tag(workshop.add_blob(both.to_string().as_bytes(), MANIFEST));
    workshop.refused("ambiguous");
    tag(workshop.add_blob(both.to_string().as_bytes(), INDEX));
    workshop.refused("ambiguous");
    let mut other = manifest.clone();
    other["mediaType"] = INDEX.into();
    tag(workshop.add_blob(other.to_string().as_bytes(), MANIFEST));
    workshop.refused("mediaType");
    tag(workshop.add_blob(b"{}", CONFIG));
    workshop.refused("neither an image manifest nor an index");
}

#[test]
fn blobs_that_are_no_files_are_refused() {
    let workshop = Workshop::new();
    let image = workshop.image(&[&[file("f", "")]]);
    let blob = workshop.blob_path(image["digest"].as_str().unwrap());
    std::fs::remove_file(&blob).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &blob,
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    workshop.refused("not a regular file");
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(workshop.canary_path().join("file"), &blob).unwrap();
    workshop.refused("can't open");
}

#[test]
fn bombs_are_refused() {
    let workshop = Workshop::new();
    let mut zeros = tar(&[Entry {
        data: vec![0; 300 << 20],
        ..file("zeros", "")
    }]);
    workshop.add_image(&[(zeros.clone(), Packing::Gzip)], json!({}));
    workshop.refused("times its blob");
    workshop.add_image(&[(zeros.clone(), Packing::Zstd)], json!({}));
    workshop.refused("times its blob");
    // After the archive's end too.
    let end = zeros.len();
    zeros[..1024].fill(0);
    zeros.truncate(end);
    workshop.add_image(&[(zeros, Packing::Gzip)], json!({}));
    workshop.refused("times its blob");

    workshop.image(&[
        &[file("a", &"x".repeat(100_000))],
        &[file("b", &"x".repeat(100_000))],
    ]);
    workshop.refused_with(&["--max-bytes", "150000"], "--max-bytes");
    workshop.unpacked(&["--max-bytes", "300000"]);
    std::fs::remove_dir_all(workshop.bundle()).unwrap();
    workshop.image(&[&[file("a", ""), file("b", ""), file("c", "")]]);
    workshop.refused_with(&["--max-entries", "2"], "more than 2 entries");
}

#[test]
fn deep_trees_are_refused() {
    let workshop = Workshop::new();
    let deep = "d/".repeat(300);
    workshop.image(&[&[directory("x").pax("path", deep.as_bytes())]]);
    workshop.refused("256 directories deep");
    // Deeper by way of links than any one name is.
    let half = "d/".repeat(200);
    let entries = [
        directory("x").pax("path", half.as_bytes()),
        symlink("link", "x").pax("linkpath", half.as_bytes()),
        directory("y").pax("path", format!("link/{half}").as_bytes()),
    ];
    workshop.image(&[&entries]);
    workshop.refused("256 directories deep");
}

/// CVE-2024-40635, CVE-2026-46680 and their like, end to end.
#[test]
fn users_out_of_range_are_refused() {
    let workshop = Workshop::new();
    let layer = tar(&[
        directory("etc"),
        file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\n4294967296:x:0:0::/:\n",
        ),
        file("etc/group", "root:x:0:\n"),
    ]);
    for user in [
        "4294967296",
        "-1",
        "4294967296:0",
        "0:4294967296",
        "0x0",
        "+1",
        "nobody",
        "root:none",
    ] {
        workshop.add_image(&[(layer.clone(), Packing::Plain)], json!({ "User": user }));
        workshop.refused("user '");
    }
}

#[test]
fn passwd_is_read_inside_the_root_and_only_if_it_is_a_file() {
    let workshop = Workshop::new();
    let passwd = workshop.path("canary/file");
    let image = |entries: &[Entry], user: &str| {
        workshop.add_image(&[(tar(entries), Packing::Plain)], json!({ "User": user }));
    };
    image(
        &[directory("etc"), symlink("etc/passwd", "/etc/passwd")],
        "0",
    );
    workshop.refused("openat2 /etc/passwd");
    image(
        &[
            directory("etc"),
            symlink("etc/passwd", passwd.to_str().unwrap()),
        ],
        "root",
    );
    workshop.refused("no such name");
    image(&[directory("etc"), entry(b'6', "etc/passwd")], "0");
    workshop.refused("not a regular file");
    image(&[directory("etc"), directory("etc/passwd")], "0");
    workshop.refused("not a regular file");
    image(
        &[directory("etc"), file("etc/passwd", &"x".repeat(11 << 20))],
        "0",
    );
    workshop.refused("limit");
}

#[test]
fn an_image_decides_nothing_about_the_host() {
    let workshop = Workshop::new();
    let image = |config| workshop.add_image(&[(tar(&[directory("etc")]), Packing::Plain)], config);
    image(json!({ "Env": ["HOME"] }));
    workshop.refused("has no '='");
    image(json!({ "WorkingDir": "../../etc" }));
    workshop.refused("WorkingDir");
    for volume in ["/../../etc", "/proc", "/sys/fs", "/", "relative"] {
        image(json!({ "Volumes": { volume: {} } }));
        workshop.refused("Volumes");
    }
    image(
        json!({ "Labels": { "org.systemd.property.ExecStart": "x", "run.oci.handler": "krun", "fine": "kept" } }),
    );
    workshop.unpacked(&[]);
    let annotations = &workshop.config()["annotations"];
    assert_eq!(annotations["fine"], "kept");
    assert!(annotations.get("org.systemd.property.ExecStart").is_none());
    assert!(annotations.get("run.oci.handler").is_none());
}

#[test]
fn attributes_that_are_the_hosts_are_left_out() {
    let workshop = Workshop::new();
    workshop.image(&[&[
        file("f", "")
            .xattr("trusted.overlay.redirect", b"/etc")
            .xattr("user.kept", b"yes"),
        directory("d")
            .xattr("trusted.overlay.opaque", b"y")
            .xattr("user.rootlesscontainers", b"\x08\x01"),
    ]]);
    let output = workshop.unpack(&[]);
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("trusted.overlay.redirect") && stderr.contains("2 more"),
        "{stderr}"
    );
    let attributes = image_builder::xattrs(&workshop.rootfs().join("f"));
    assert_eq!(attributes.keys().collect::<Vec<_>>(), ["user.kept"]);
    assert!(image_builder::xattrs(&workshop.rootfs().join("d")).is_empty());
}

#[test]
fn errors_do_not_carry_an_images_control_characters() {
    let workshop = Workshop::new();
    workshop.image(&[&[file("bad\u{1b}[2J\nname/../x", "")]]);
    let output = workshop.unpack(&[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !stderr.contains('\u{1b}') && stderr.lines().count() == 1,
        "{stderr:?}"
    );
}

#[test]
fn an_index_of_too_many_images_is_refused() {
    let workshop = Workshop::new();
    let image = workshop.image(&[&[file("f", "")]]);
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![&image; 5000],
    });
    let mut index = workshop.add_blob(index.to_string().as_bytes(), INDEX);
    index["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[index]);
    workshop.refused("more than 4096 images");
}
