//! Real registries: what we push others pull, and the other way round, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod debian_registry;
mod image_builder;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use debian_registry::{Options, PASSWORD, Registry, USER};
use image_builder::{INDEX, Packing, Workshop, digest, file, run, tar, windlass_img};
use serde_json::{Value, json};

/// Our program, knowing nothing of this host's registries and users.
fn img(workshop: &Workshop, arguments: &[&str]) -> Command {
    let conf = workshop.path("registries.conf");
    if !conf.exists() {
        std::fs::write(&conf, "").unwrap();
    }
    let mut command = windlass_img();
    for name in [
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
        "DOCKER_CONFIG",
        "https_proxy",
        "http_proxy",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(workshop.directory.path())
        .env("HOME", workshop.path("home"))
        .env("REGISTRY_AUTH_FILE", workshop.path("auth.json"))
        .env("CONTAINERS_REGISTRIES_CONF", conf)
        .args(arguments);
    command
}

fn ours(workshop: &Workshop, arguments: &[&str]) -> String {
    run(&mut img(workshop, arguments)).trim_end().to_owned()
}

fn refused(output: Output, why: &str) {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
}

fn skopeo(workshop: &Workshop, arguments: &[&str]) -> String {
    run(Command::new("skopeo")
        .current_dir(workshop.directory.path())
        .args(["--insecure-policy"])
        .args(arguments))
}

/// Three layers, large enough to come in pieces. None is plain: skopeo compresses what is.
fn image(workshop: &Workshop) -> Value {
    let noise = (0..400_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_string());
    let noise: String = noise.collect();
    let layers = [
        (tar(&[file("big", &noise)]), Packing::Gzip),
        (tar(&[file("second", "2")]), Packing::Gzip),
        (tar(&[file("third", "3")]), Packing::Zstd),
    ];
    workshop.add_image(&layers, json!({ "Cmd": ["/big"] }))
}

fn gzip_image(workshop: &Workshop) -> String {
    let layers = [(tar(&[file("file", "content")]), Packing::Gzip)];
    let descriptor = workshop.add_image(&layers, json!({ "Env": ["A=b"] }));
    descriptor["digest"].as_str().unwrap().to_owned()
}

fn same_blobs(first: &Path, second: &Path) {
    let names = |layout: &Path| {
        let listing = std::fs::read_dir(layout.join("blobs/sha256")).unwrap();
        let mut names: Vec<_> = listing.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(first), names(second));
    for name in names(first) {
        let read = |layout: &Path| std::fs::read(layout.join("blobs/sha256").join(&name)).unwrap();
        assert!(read(first) == read(second), "{}", name.display());
    }
}

const PLAIN_SOURCE: &str = "--src-tls-verify=false";
const PLAIN_DESTINATION: &str = "--dest-tls-verify=false";

#[test]
fn what_we_push_others_pull_and_the_other_way_round() {
    let workshop = Workshop::new();
    let pushed = image(&workshop)["digest"].as_str().unwrap().to_owned();
    let registry = Registry::start(&Options::default());
    let (first, second) = (
        registry.image("test/first:1"),
        registry.image("test/second:1"),
    );

    let digest = ours(
        &workshop,
        &["copy", PLAIN_DESTINATION, "oci:layout", &first],
    );
    assert_eq!(digest, pushed);
    skopeo(
        &workshop,
        &["copy", PLAIN_SOURCE, &first, "oci:by-skopeo:latest"],
    );
    same_blobs(&workshop.layout(), &workshop.path("by-skopeo"));

    skopeo(
        &workshop,
        &["copy", PLAIN_DESTINATION, "oci:layout:latest", &second],
    );
    let digest = ours(
        &workshop,
        &["copy", PLAIN_SOURCE, &second, "oci:by-us:latest"],
    );
    assert_eq!(digest, pushed);
    same_blobs(&workshop.layout(), &workshop.path("by-us"));

    // Again: nothing is transferred, and the digest can be had in a file.
    let mut again = img(
        &workshop,
        &[
            "copy",
            PLAIN_SOURCE,
            "--digestfile",
            "digest",
            "--progress",
            "plain",
        ],
    );
    let output = again.args([&second, "oci:by-us:latest"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches("already there").count(), 4, "{stderr}");
    assert_eq!(
        std::fs::read_to_string(workshop.path("digest")).unwrap(),
        pushed
    );

    // From one repository to another of the same registry, nothing travels.
    let third = registry.image("test/third:1");
    let arguments = [
        "copy",
        PLAIN_SOURCE,
        PLAIN_DESTINATION,
        "--progress",
        "json",
        &first,
        &third,
    ];
    let output = img(&workshop, &arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ends = events.iter().filter(|event| event["event"] == "end");
    assert!(
        ends.clone().all(|event| event["outcome"] == "mounted"),
        "{stderr}"
    );
    assert_eq!(ends.count(), 4, "{stderr}");
}

#[test]
fn podman_runs_on_what_we_push() {
    let workshop = Workshop::new();
    gzip_image(&workshop);
    let registry = Registry::start(&Options::default());
    let name = registry.image("app:v1");
    ours(
        &workshop,
        &[
            "copy",
            PLAIN_DESTINATION,
            "--format",
            "v2s2",
            "oci:layout",
            &name,
        ],
    );
    let podman = |arguments: &[&str]| {
        run(Command::new("podman")
            .arg("--root")
            .arg(workshop.path("podman"))
            .arg("--runroot")
            .arg(workshop.path("podman-run"))
            .args(["--storage-driver", "vfs"])
            .args(arguments))
    };
    let plain = name.strip_prefix("docker://").unwrap();
    podman(&["pull", "--quiet", "--tls-verify=false", plain]);
    let shown: Value = serde_json::from_str(&podman(&["inspect", plain])).unwrap();
    assert_eq!(shown[0]["Config"]["Env"][0], "A=b");
    assert_eq!(
        shown[0]["ManifestType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    podman(&["rmi", "--all", "--force"]);
}

#[test]
fn a_password_is_asked_for_kept_and_forgotten() {
    let workshop = Workshop::new();
    gzip_image(&workshop);
    let registry = Registry::start(&Options {
        login: true,
        tls: false,
    });
    let (host, name) = (&*registry.address, registry.image("closed/app:1"));
    let push = ["copy", "-q", PLAIN_DESTINATION, "oci:layout", &name];
    let pull = ["copy", "-q", PLAIN_SOURCE, &name, "oci:pulled:x"];

    refused(
        img(&workshop, &push).output().unwrap(),
        "the server answered 401",
    );
    let login = |password: &str| {
        let arguments = [
            "login",
            "--tls-verify=false",
            "-u",
            USER,
            "-p",
            password,
            host,
        ];
        img(&workshop, &arguments).output().unwrap()
    };
    refused(login("wrong"), "can't log in to");
    assert!(!workshop.path("auth.json").exists());
    assert_eq!(login(PASSWORD).stdout, b"Login Succeeded!\n");
    let mode = workshop
        .path("auth.json")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    ours(&workshop, &push);
    ours(&workshop, &pull);
    assert_eq!(ours(&workshop, &["login", "--get-login", host]), USER);
    // skopeo reads what we wrote.
    let auth = workshop.path("auth.json").display().to_string();
    skopeo(
        &workshop,
        &["inspect", "--tls-verify=false", "--authfile", &auth, &name],
    );

    ours(&workshop, &["logout", host]);
    refused(
        img(&workshop, &pull).output().unwrap(),
        "the server answered 401",
    );
    refused(
        img(&workshop, &["logout", host]).output().unwrap(),
        "not logged in to",
    );
    let creds = format!("{USER}:{PASSWORD}");
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            PLAIN_SOURCE,
            "--src-creds",
            &creds,
            &name,
            "oci:pulled:y",
        ],
    );
    // What Docker's users have: config.json in the home directory.
    std::fs::create_dir_all(workshop.path("home/.docker")).unwrap();
    let auth = base64_of(&creds);
    let config = json!({ "auths": { format!("http://{host}/v1/"): { "auth": auth } } });
    std::fs::write(
        workshop.path("home/.docker/config.json"),
        config.to_string(),
    )
    .unwrap();
    run(img(&workshop, &pull).env_remove("REGISTRY_AUTH_FILE"));
}

fn base64_of(text: &str) -> String {
    let input = format!("printf '%s' '{text}' | base64 -w0");
    run(Command::new("sh").args(["-c", &input]))
}

#[test]
fn a_credential_helper_is_asked() {
    let workshop = Workshop::new();
    gzip_image(&workshop);
    let registry = Registry::start(&Options {
        login: true,
        tls: false,
    });
    let host = &registry.address;
    let helper = workshop.path("docker-credential-vault");
    let script = format!(
        "#!/bin/sh\nread -r host\necho \"$1 $host\" >> {}\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n",
        workshop.path("asked").display()
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    let config = json!({ "credHelpers": { host.as_str(): "vault" } });
    std::fs::write(workshop.path("auth.json"), config.to_string()).unwrap();
    let path = format!(
        "{}:{}",
        workshop.directory.path().display(),
        std::env::var("PATH").unwrap()
    );
    let push = [
        "copy",
        "-q",
        PLAIN_DESTINATION,
        "oci:layout",
        &registry.image("app:1"),
    ];
    run(img(&workshop, &push).env("PATH", path));
    let asked = std::fs::read_to_string(workshop.path("asked")).unwrap();
    assert_eq!(asked, format!("get {host}\n"));
}

#[test]
fn tls_is_verified() {
    let workshop = Workshop::new();
    let pushed = gzip_image(&workshop);
    let registry = Registry::start(&Options {
        tls: true,
        login: false,
    });
    let name = registry.image("app:1");
    refused(
        img(&workshop, &["copy", "-q", "oci:layout", &name])
            .output()
            .unwrap(),
        "UnknownIssuer",
    );
    let trusted = registry.certificates().display().to_string();
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            "--dest-cert-dir",
            &trusted,
            "oci:layout",
            &name,
        ],
    );
    let certs = workshop
        .path("home/.config/containers/certs.d")
        .join(&registry.address);
    std::fs::create_dir_all(certs.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&trusted, &certs).unwrap();
    assert_eq!(
        ours(&workshop, &["copy", "-q", &name, "oci:pulled:x"]),
        pushed
    );
    std::fs::remove_file(certs).unwrap();
    assert_eq!(
        ours(
            &workshop,
            &["copy", "-q", PLAIN_SOURCE, &name, "oci:pulled:y"]
        ),
        pushed
    );
    // The system's own trust.
    let bundle = registry.certificates().join("ca.crt");
    let pull = ["copy", "-q", &name, "oci:pulled:z"];
    run(img(&workshop, &pull).env("SSL_CERT_FILE", bundle));
}

#[test]
fn an_index_is_copied_whole_or_for_one_platform() {
    let workshop = Workshop::new();
    let layer = |text: &str| [(tar(&[file("arch", text)]), Packing::Gzip)];
    let mut native = workshop.add_manifest(&layer("native"), json!({}));
    native["platform"] = json!({ "os": "linux", "architecture": image_builder::architecture() });
    let mut other = workshop.add_manifest(&layer("other"), json!({}));
    other["platform"] = json!({ "os": "linux", "architecture": "z80", "variant": "b" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [other, native] });
    let mut descriptor = workshop.add_blob(index.to_string().as_bytes(), INDEX);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    workshop.write_index(&[descriptor.clone()]);
    let whole = descriptor["digest"].as_str().unwrap();

    let registry = Registry::start(&Options::default());
    let name = registry.image("multi:1");
    assert_eq!(
        ours(
            &workshop,
            &[
                "copy",
                "-q",
                "--all",
                PLAIN_DESTINATION,
                "oci:layout",
                &name
            ]
        ),
        whole
    );
    let pull = |options: &[&str], to: &str| {
        let arguments = [&["copy", "-q", PLAIN_SOURCE], options, &[&name, to]].concat();
        ours(&workshop, &arguments)
    };
    assert_eq!(pull(&["--all"], "oci:all:x"), whole);
    assert_eq!(pull(&[], "oci:one:x"), native["digest"]);
    let z80 = ["--override-arch", "z80", "--override-variant", "b"];
    assert_eq!(pull(&z80, "oci:z80:x"), other["digest"]);
    skopeo(
        &workshop,
        &["copy", "--all", PLAIN_SOURCE, &name, "oci:by-skopeo:x"],
    );
    same_blobs(&workshop.path("all"), &workshop.path("by-skopeo"));
    assert_eq!(pull(&["--all"], "dir:directory"), whole);
    let back = registry.image("multi:2");
    assert_eq!(
        ours(
            &workshop,
            &[
                "copy",
                "-q",
                "--all",
                PLAIN_DESTINATION,
                "dir:directory",
                &back
            ]
        ),
        whole
    );

    // Docker's form of all of it, and back.
    let docker = registry.image("multi:docker");
    let both = ["copy", "-q", "--all", PLAIN_SOURCE, PLAIN_DESTINATION];
    let to_docker = [&both[..], &["--format", "v2s2", &name, &docker]].concat();
    let list = ours(&workshop, &to_docker);
    let raw = skopeo(
        &workshop,
        &["inspect", "--tls-verify=false", "--raw", &docker],
    );
    assert_eq!(digest(raw.as_bytes()), list);
    assert!(
        raw.contains("manifest.list.v2+json") && !raw.contains("vnd.oci"),
        "{raw}"
    );
    let keep = [
        &both[..],
        &["--preserve-digests", "--format", "v2s2", &name, &docker],
    ]
    .concat();
    refused(
        img(&workshop, &keep).output().unwrap(),
        "--preserve-digests",
    );
}

#[test]
fn tags_are_listed_and_images_deleted() {
    let workshop = Workshop::new();
    let digest = gzip_image(&workshop);
    let registry = Registry::start(&Options::default());
    for tag in ["one", "two"] {
        let name = registry.image(&format!("team/app:{tag}"));
        ours(
            &workshop,
            &["copy", "-q", PLAIN_DESTINATION, "oci:layout", &name],
        );
    }
    let repository = registry.image("team/app");
    let listed = ours(&workshop, &["list-tags", "--tls-verify=false", &repository]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["Tags"], json!(["one", "two"]));
    let one = registry.image("team/app:one");
    let shown = ours(&workshop, &["inspect", "--tls-verify=false", &one]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let theirs = skopeo(&workshop, &["inspect", "--tls-verify=false", &one]);
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    for field in [
        "Name",
        "Digest",
        "RepoTags",
        "Layers",
        "Env",
        "Os",
        "Architecture",
    ] {
        assert_eq!(shown[field], theirs[field], "{field}");
    }
    let raw = ours(&workshop, &["inspect", "--tls-verify=false", "--raw", &one]);
    assert_eq!(image_builder::digest(raw.as_bytes()), digest);
    ours(&workshop, &["delete", "--tls-verify=false", &one]);
    let gone = img(&workshop, &["inspect", "--tls-verify=false", &one])
        .output()
        .unwrap();
    refused(gone, "the server answered 404: manifest unknown");
    refused(
        img(&workshop, &["delete", "--tls-verify=false", &one])
            .output()
            .unwrap(),
        "there is no such image",
    );
}

#[test]
fn registries_conf_leads_to_mirrors_and_short_names() {
    let workshop = Workshop::new();
    let digest = gzip_image(&workshop);
    let registry = Registry::start(&Options::default());
    let host = &registry.address;
    let conf = format!(
        "unqualified-search-registries = [\"hub.invalid\"]\n\
         [[registry]]\nprefix = \"hub.invalid\"\nlocation = \"127.0.0.1:1/hub\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1/first\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"{host}/mirrored\"\ninsecure = true\n\
         [[registry]]\nlocation = \"{host}\"\ninsecure = true\n"
    );
    std::fs::write(workshop.path("registries.conf"), conf).unwrap();
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            "oci:layout",
            &registry.image("mirrored/app:1"),
        ],
    );
    assert_eq!(
        ours(&workshop, &["copy", "-q", "docker://app:1", "oci:pulled:x"]),
        digest
    );
    let pinned = format!("docker://hub.invalid/app@{digest}");
    assert_eq!(
        ours(&workshop, &["copy", "-q", &pinned, "oci:pulled:y"]),
        digest
    );
    let missing = img(&workshop, &["copy", "-q", "docker://app:2", "oci:pulled:z"])
        .output()
        .unwrap();
    refused(missing, "no mirror has it");
}

#[test]
fn archives_are_written_for_others_and_read_from_them() {
    let workshop = Workshop::new();
    let pushed = image(&workshop)["digest"].as_str().unwrap().to_owned();
    assert_eq!(
        ours(
            &workshop,
            &["copy", "-q", "oci:layout", "oci-archive:ours.tar:v1"]
        ),
        pushed
    );
    skopeo(
        &workshop,
        &["copy", "oci-archive:ours.tar:v1", "oci:from-ours:v1"],
    );
    same_blobs(&workshop.layout(), &workshop.path("from-ours"));
    skopeo(
        &workshop,
        &["copy", "oci:layout:latest", "oci-archive:theirs.tar:v1"],
    );
    assert_eq!(
        ours(
            &workshop,
            &[
                "copy",
                "-q",
                "oci-archive:theirs.tar:v1",
                "oci:from-theirs:v1"
            ]
        ),
        pushed
    );
    same_blobs(&workshop.layout(), &workshop.path("from-theirs"));
    // The same content makes the same archive.
    ours(
        &workshop,
        &["copy", "-q", "oci:layout", "oci-archive:again.tar:v1"],
    );
    let read = |name: &str| std::fs::read(workshop.path(name)).unwrap();
    assert!(read("ours.tar") == read("again.tar"));

    // Docker's: layers of gzip and none, since its manifests know no zstd.
    let digest = gzip_image(&workshop);
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            "oci:layout",
            "docker-archive:docker.tar:test/app",
        ],
    );
    skopeo(
        &workshop,
        &[
            "copy",
            "docker-archive:docker.tar:test/app:latest",
            "oci:by-skopeo:x",
        ],
    );
    ours(
        &workshop,
        &[
            "copy",
            "-q",
            "docker-archive:docker.tar:test/app",
            "oci:by-us:x",
        ],
    );
    for layout in ["layout:latest", "by-skopeo:x", "by-us:x"] {
        let bundle = workshop.path(&format!("bundle-{}", layout.replace(':', "-")));
        run(img(&workshop, &["unpack", "--image", layout]).arg(&bundle));
        assert_eq!(
            std::fs::read_to_string(bundle.join("rootfs/file")).unwrap(),
            "content"
        );
    }
    refused(
        img(
            &workshop,
            &["copy", "-q", "docker-archive:docker.tar:other", "oci:x:x"],
        )
        .output()
        .unwrap(),
        "docker.tar holds test/app:latest: no image is called 'other'",
    );
    // An archive that isn't whole has no name.
    std::fs::remove_file(workshop.blob_path(&digest)).unwrap();
    let broken = img(
        &workshop,
        &["copy", "-q", "oci:layout", "oci-archive:broken.tar:x"],
    );
    refused({ broken }.output().unwrap(), "can't");
    assert!(!workshop.path("broken.tar").exists());
}

#[test]
fn a_repository_is_synced_to_a_directory_and_back() {
    let workshop = Workshop::new();
    let digest = gzip_image(&workshop);
    let registry = Registry::start(&Options::default());
    for tag in ["1", "2"] {
        let name = registry.image(&format!("team/app:{tag}"));
        ours(
            &workshop,
            &["copy", "-q", PLAIN_DESTINATION, "oci:layout", &name],
        );
    }
    let source = format!("{}/team/app", registry.address);
    let out = [
        "sync",
        "--src",
        "docker",
        "--dest",
        "dir",
        PLAIN_SOURCE,
        &source,
        "usb",
    ];
    assert_eq!(ours(&workshop, &out), "dir:usb/app:1\ndir:usb/app:2");
    // skopeo makes the same of it.
    let theirs = [
        "sync",
        "--src",
        "docker",
        "--dest",
        "dir",
        PLAIN_SOURCE,
        &source,
        "by-skopeo",
    ];
    std::fs::create_dir(workshop.path("by-skopeo")).unwrap();
    skopeo(&workshop, &theirs);
    let same = ["-r", "usb", "by-skopeo"];
    run(Command::new("diff")
        .current_dir(workshop.directory.path())
        .args(same));

    let target = format!("{}/copies", registry.address);
    let back = [
        "sync",
        "--src",
        "dir",
        "--dest",
        "docker",
        PLAIN_DESTINATION,
        "usb",
        &target,
    ];
    ours(&workshop, &back);
    let name = registry.image("copies/app:2");
    assert_eq!(
        ours(
            &workshop,
            &["copy", "-q", PLAIN_SOURCE, &name, "oci:pulled:x"]
        ),
        digest
    );

    let scoped = [
        "sync",
        "--src",
        "docker",
        "--dest",
        "dir",
        "--scoped",
        "--dry-run",
        PLAIN_SOURCE,
        &source,
        "never",
    ];
    assert_eq!(
        ours(&workshop, &scoped).lines().next(),
        Some(&*format!("dir:never/{source}:1"))
    );
    assert!(!workshop.path("never").exists());
}
