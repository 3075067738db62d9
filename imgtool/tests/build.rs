//! `build`: Dockerfiles, carried out by us and by buildah: the same trees and configurations; and what
//! only we promise: a cache by content, the same bytes each time, nothing left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build_site;
mod image_builder;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use build_site::{Site, can_run, on_path, wait_until};
use image_builder::{run, windlass_img};
use serde_json::Value;

/// Mode, owner and content of every file but the root directory and what buildah leaves of mount
/// points.
fn tree(root: &Path) -> BTreeMap<String, String> {
    const LEFT: [&str; 7] = [
        "dev",
        "proc",
        "sys",
        "run",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    ];
    let mut found = BTreeMap::new();
    let mut to_do = vec![root.to_owned()];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                to_do.push(path.clone());
            }
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if metadata.is_file() && metadata.len() < 100_000 {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            } else {
                String::new()
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            if !LEFT.contains(&name.as_str()) {
                found.insert(name, format!("{mode:o} {uid}:{gid} {content}"));
            }
        }
    }
    found
}

/// What Docker's configuration and ours say alike.
fn comparable(process: &Value, field: &str) -> Value {
    let value = process.get(field).cloned().unwrap_or(Value::Null);
    match (field, value) {
        ("Env", Value::Null) => Value::Array(Vec::new()),
        ("Labels", Value::Object(mut labels)) => {
            labels.retain(|name, _| !name.starts_with("io.buildah"));
            Value::Object(labels)
        }
        ("Labels", Value::Null) => Value::Object(serde_json::Map::new()),
        ("WorkingDir", Value::String(path)) if path == "/" => Value::Null,
        (_, Value::String(text)) if text.is_empty() => Value::Null,
        (_, Value::Array(list)) if list.is_empty() => Value::Null,
        (_, Value::Object(map)) if map.is_empty() => Value::Null,
        (_, value) => value,
    }
}

/// Dockerfiles that both carry out: arguments, files beside it, the Dockerfile.
const CORPUS: &[(&[&str], &str, &str)] = &[
    (
        &[],
        "",
        "FROM base:1\nRUN echo a > /a && mkdir /d && echo b > /d/b\nRUN [\"/bin/sh\", \"-c\", \"rm /a; chmod 700 /d; chown 1000:50 /d/b\"]\nRUN rm -rf /home/app && mkdir -p /home/app && touch /home/app/new",
    ),
    (
        &["--build-arg", "W=given"],
        "",
        "ARG TAG=1\nFROM base:${TAG}\nARG V=x\nARG W\nENV A=1 B=\"two words\" C=it\\'s D=$A\nENV OLD style  value\nENV E=${A:-x}${N:-def}${A:+alt} Q=$V$W\nLABEL a=1 \"b c\"=\"d e\" multi=\"x \\\n y\"\nLABEL from=$B\nRUN echo \"$A|$B|$C|$D|$OLD|$E|$Q|$V|$W\" > /out",
    ),
    (
        &[],
        "",
        "FROM base:1\nEXPOSE 80 443/tcp 53/udp\nVOLUME /data\nVOLUME [\"/v 1\", \"/v2\"]\nUSER app:staff\nWORKDIR /work\nWORKDIR sub\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s --timeout=3s --retries=2 --start-period=1m CMD [\"/bin/true\"]\nENTRYPOINT [\"/bin/echo\"]\nCMD [\"a\", \"b\"]\nSHELL [\"/bin/sh\", \"-ec\"]\nMAINTAINER me",
    ),
    (
        &[],
        "",
        "FROM base:1\nENTRYPOINT exec echo $HOME\nCMD echo \"x\"\nHEALTHCHECK CMD test -e /x",
    ),
    (
        &[],
        "",
        "FROM base:1 AS a\nCMD [\"x\"]\nFROM a\nENTRYPOINT [\"y\"]",
    ),
    (
        &[],
        "",
        "FROM base:1\nCOPY a.txt /a.txt\nCOPY a.txt b.txt /files/\nCOPY dir /dir\nCOPY dir/ /dir2/\nCOPY . /all/\nCOPY *.txt /glob/\nCOPY toplink /followed\nCOPY dirlink /fdir\nCOPY [\"x y\", \"/sp ace\"]\nWORKDIR /w/x\nCOPY a.txt .\nCOPY a.txt rel\nCOPY dir/sub ./\nCOPY a.txt /etc\nCOPY dir/su? /pat/\nCOPY empty /emptydir",
    ),
    (
        &[],
        "",
        "FROM base:1\nCOPY --chown=1000 a.txt /u\nCOPY --chown=app a.txt /n\nCOPY --chown=app:staff dir /d\nCOPY --chown=5:6 a.txt /newdir/sub/a\nCOPY --chmod=640 a.txt /m",
    ),
    (
        &[],
        "",
        "FROM base:1\nADD archive.tar.gz /arch/\nADD a.txt /x/\nADD dir /dd\nADD archive.tar.gz a.txt /mix/",
    ),
    (
        &[],
        "",
        "FROM base:1 AS build\nRUN mkdir -p /out/d && echo built > /out/f && chown 1000:50 /out/f && ln -s f /out/l && chmod 750 /out/d\nFROM build AS second\nRUN echo two > /out/two\nFROM base:1\nCOPY --from=build /out /one\nCOPY --from=1 /out/two /two\nCOPY --from=base:1 /etc/passwd /pw",
    ),
    (
        &["--target", "a"],
        "",
        "FROM base:1 AS a\nRUN echo a > /a\nFROM base:1 AS b\nRUN exit 7",
    ),
    (
        &[],
        "",
        "FROM scratch\nCOPY a.txt /\nCOPY dir /d/e\nENV X=1\nCMD [\"/a\"]",
    ),
    (
        &[],
        "*.txt\n!b.txt\ndir/sub/*\n!dir/sub/deep\n# x\n**/*.md\n",
        "FROM base:1\nCOPY . /c/",
    ),
    (
        &[],
        "",
        "FROM base:1\nUSER app\nWORKDIR /home/app/new\nRUN id -u > id; id -g >> id; echo $HOME > home\nCOPY a.txt .\nUSER 1000:50\nRUN id -g > id2\nUSER 0\nRUN touch r",
    ),
    (
        &[],
        "",
        "# syntax=docker/dockerfile:1\nFROM base:1\n# comment\nRUN echo a \\\n  # in between\n  && echo b > /b \\\n\n  && echo c > /c",
    ),
    (
        &["--build-arg", "A=cli"],
        "",
        "FROM base:1\nARG A=default\nRUN echo $A > /a\nENV A=env\nRUN echo $A > /b\nARG A=again\nRUN echo $A > /c",
    ),
    (
        &[],
        "",
        "FROM base:1\nRUN mkdir -p /real && ln -s real /lnk && ln -s /real /abs && echo x > /real/f\nCOPY dir /lnk/\nCOPY a.txt /abs/",
    ),
    (
        &[],
        "",
        "FROM base:1\nRUN mkdir /t && echo x > /t/file && ln /t/file /t/hard && mkfifo /t/p; rm -f /etc/group; ln -s /nowhere /t/dangling\nRUN mv /t /t2",
    ),
    (
        &[],
        "",
        "FROM base:1\nRUN mkdir /s && chmod 1777 /s && touch /s/f && chown 1000 /s/f && chmod 6711 /s/f\nCOPY dir /s",
    ),
];

fn buildah(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(site.path("buildah/root"));
    command.arg("--runroot").arg(site.path("buildah/run"));
    command.args(["--storage-driver", "vfs"]).args(arguments);
    command
}

#[test]
fn trees_and_configurations_are_buildahs() {
    if !can_run() {
        return;
    }
    if !on_path("buildah") {
        eprintln!("SKIPPED: buildah isn't here");
        return;
    }
    let site = Site::new();
    let archive = site.path("base.oci.tar");
    site.ours(&[
        "save",
        "--format",
        "oci-archive",
        "-o",
        archive.to_str().unwrap(),
        "base:1",
    ]);
    let source = format!("oci-archive:{}", archive.display());
    let id = run(&mut buildah(&site, &["pull", "--quiet", &source]));
    run(&mut buildah(&site, &["tag", id.trim(), "localhost/base:1"]));
    for (arguments, ignore, dockerfile) in CORPUS {
        fs::write(site.path("context/.dockerignore"), ignore).unwrap();
        site.built(dockerfile, arguments);
        let context = site.path("context");
        let bud = [
            "bud",
            "--quiet",
            "--format",
            "docker",
            "--isolation",
            "chroot",
            "--network",
            "host",
        ];
        let mut theirs = buildah(&site, &bud);
        theirs
            .args(["--pull-never", "-t", "localhost/built"])
            .args(*arguments)
            .arg(&context);
        run(&mut theirs);
        let image = run(&mut buildah(
            &site,
            &["inspect", "--type", "image", "localhost/built"],
        ));
        let image: Value = serde_json::from_str(&image).unwrap();
        let (ours, theirs) = (&site.config()["config"], &image["Docker"]["config"]);
        for field in [
            "Env",
            "Cmd",
            "Entrypoint",
            "WorkingDir",
            "User",
            "ExposedPorts",
            "Volumes",
            "Labels",
            "Shell",
            "StopSignal",
            "Healthcheck",
            "OnBuild",
        ] {
            let (ours, theirs) = (comparable(ours, field), comparable(theirs, field));
            assert_eq!(ours, theirs, "{field} of {dockerfile}");
        }
        let container = run(&mut buildah(
            &site,
            &["from", "--pull-never", "localhost/built"],
        ));
        let root = run(&mut buildah(&site, &["mount", container.trim()]));
        assert_eq!(
            tree(&site.unpacked()),
            tree(Path::new(root.trim())),
            "{dockerfile}"
        );
        run(&mut buildah(&site, &["rm", container.trim()]));
    }
    run(&mut buildah(&site, &["rmi", "--all", "--force"]));
    assert_eq!(site.unfinished(), 0);
}

#[test]
fn steps_are_found_by_what_they_are_made_from() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let dockerfile = "FROM base:1\nARG V=1\nRUN echo $V > /v\nCOPY a.txt /\nRUN cat /a.txt > /b";
    let cached = |output: &str| {
        output
            .lines()
            .filter(|line| line.ends_with("] cached"))
            .count()
    };
    assert_eq!(cached(&site.built(dockerfile, &[])), 0);
    let digest = site.config();
    assert_eq!(cached(&site.built(dockerfile, &[])), 4);
    assert_eq!(site.config(), digest);
    // A time is no content.
    let touched = fs::File::open(site.path("context/a.txt")).unwrap();
    touched
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(cached(&site.built(dockerfile, &[])), 4);
    fs::write(site.path("context/a.txt"), "changed").unwrap();
    assert_eq!(cached(&site.built(dockerfile, &[])), 2);
    assert_eq!(site.read("b"), "changed");
    assert_eq!(cached(&site.built(dockerfile, &["--build-arg", "V=2"])), 1);
    assert_eq!(site.read("v"), "2\n");
    assert_eq!(cached(&site.built(dockerfile, &["--no-cache"])), 0);
    // gc keeps them, until it is told not to.
    let gc = |more: &[&str]| {
        let mut gc = windlass_img();
        run(gc
            .arg("gc")
            .args(more)
            .arg("--store")
            .arg(site.path("store")));
    };
    gc(&[]);
    assert_eq!(cached(&site.built(dockerfile, &["--build-arg", "V=2"])), 4);
    gc(&["--build-cache"]);
    assert_eq!(cached(&site.built(dockerfile, &["--build-arg", "V=2"])), 0);
    assert_eq!(site.read("v"), "2\n");
}

#[test]
fn an_image_needs_no_name() {
    let site = Site::new();
    let context = site.path("context");
    let context = context.to_str().unwrap();
    fs::write(site.path("context/Dockerfile"), "FROM base:1\nLABEL a=b").unwrap();
    // As docker and buildah have it: --pull alone takes no value, and so not the context.
    let output = site
        .command(&["build", "--pull=false", "--progress=none", context])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "");
    let digest = String::from_utf8(output.stdout).unwrap();
    let digest = digest.trim();
    let image: Value = serde_json::from_str(&site.ours(&["inspect", digest])).unwrap();
    assert_eq!(image["Image"]["config"]["Labels"]["a"], "b");
    let bare = site
        .command(&["build", "--pull", context])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&bare.stderr);
    assert!(complaint.contains("Dockerfile:1: FROM: "), "{complaint}");
    let images = || site.ours(&["images", "--quiet"]);
    let gc = |option: &[&str]| {
        let store = site.path("store");
        let collect = ["gc", "--store", store.to_str().unwrap()];
        run(windlass_img().args(collect).args(option));
    };
    gc(&[]);
    assert!(images().contains(digest));
    gc(&["--nameless"]);
    assert!(!images().contains(digest) && images().starts_with("sha256:"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    if !can_run() {
        return;
    }
    let dockerfile =
        "FROM base:1\nWORKDIR /w\nCOPY dir .\nRUN echo x > new && rm c.md && touch /home/app/f";
    let digests: Vec<String> = (0..2)
        .map(|_| {
            let site = Site::new();
            fs::write(site.path("context/Dockerfile"), dockerfile).unwrap();
            // The base image has to be the same as well.
            let script =
                "find base -exec touch -h -d @1000 {} + && tar -C base --sort=name -c . > base.tar";
            run(Command::new("sh")
                .args(["-euc", script])
                .current_dir(site.path("")));
            let epoch = ("SOURCE_DATE_EPOCH", "1000000000");
            let archive = site.path("base.tar");
            let import = ["import", archive.to_str().unwrap(), "base:1"];
            run(site.command(&import).env(epoch.0, epoch.1));
            let mut build = site.command(&["build", "-q", "-t", "built"]);
            run(build.arg(site.path("context")).env(epoch.0, epoch.1))
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}

/// As BuildKit has it: what a pattern with ! brings back comes with the directories above it. buildah
/// makes them anew, with mode 0755.
#[test]
fn directories_of_what_is_brought_back_are_as_in_the_context() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let context = site.path("context");
    fs::write(context.join(".dockerignore"), "top\n!top/in/kept\n").unwrap();
    fs::create_dir_all(context.join("top/in")).unwrap();
    fs::create_dir(context.join("top/gone")).unwrap();
    fs::write(context.join("top/in/kept"), "").unwrap();
    fs::write(context.join("top/in/dropped"), "").unwrap();
    let mode_of = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let dockerfile = "FROM base:1\nRUN mkdir -m 0711 -p /there/top\nCOPY . /new/\n\
        COPY . /there/\nCOPY --chown=7:8 . /owned/\n\
        RUN mkdir -m 0711 -p /kept/top\n\
        COPY --exclude=top --exclude=!top/in . /kept/\n\
        COPY --exclude=top --exclude=!top/in . /fresh/\n";
    // Whatever the cache has.
    for mode in [0o700, 0o1751] {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(context.join("top"), permissions).unwrap();
        fs::set_permissions(context.join("top/in"), Permissions::from_mode(0o750)).unwrap();
        site.built(dockerfile, &[]);
        let root = site.unpacked();
        assert!(root.join("new/top/in/kept").exists());
        for name in ["new/top/gone", "new/top/in/dropped"] {
            assert!(!root.join(name).exists(), "{name}");
        }
        for name in ["new", "there", "owned", "fresh"] {
            assert_eq!(mode_of(&root.join(name).join("top")), mode, "{name}");
            assert_eq!(mode_of(&root.join(name).join("top/in")), 0o750, "{name}");
        }
        assert_eq!(mode_of(&root.join("kept/top")), 0o711);
        let owned = fs::metadata(root.join("owned/top")).unwrap();
        assert_eq!((owned.uid(), owned.gid()), (7, 8));
    }
}

#[test]
fn runs_have_documents_mounts_and_secrets() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    fs::write(site.path("context/.dockerignore"), "b.txt\n").unwrap();
    fs::write(site.path("secret"), "hidden").unwrap();
    let secret = format!("id=key,src={}", site.path("secret").display());
    let dockerfile = "FROM base:1 AS other\nRUN echo other > /o\nFROM base:1\n\
        ENV NAME=value\n\
        RUN <<EOF\nset -e\necho \"$NAME\" > /script\nEOF\n\
        RUN <<EOF cat > /piped && cat 3<<'E2' <<-E3 >> /piped\n$NAME\nEOF\nraw\nE2\n\t$NAME tabs\n\tE3\n\
        RUN <<EOF\n#!/bin/cat\nprogram\nEOF\n\
        COPY <<one <<'two' /docs/\n$NAME\none\n$NAME\ntwo\n\
        RUN --mount=type=bind,target=/ctx,rw test ! -e /ctx/b.txt && cat /ctx/a.txt > /bound && echo x > /ctx/written\n\
        RUN --mount=from=other,source=/o,target=/in/o cat /in/o > /from && ls /in > /in-list\n\
        RUN --mount=type=cache,target=/c,id=c echo kept > /c/f\n\
        RUN --mount=type=cache,target=/d,id=c cat /d/f > /cached\n\
        RUN --mount=type=tmpfs,target=/t echo x > /t/gone\n\
        RUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY cat /run/secrets/key > /s && echo $KEY >> /s\n\
        RUN --network=none ls /sys/class/net > /net\n";
    site.built(dockerfile, &["--secret", &secret]);
    for (name, content) in [
        ("script", "value\n"),
        ("docs/one", "value\n"),
        ("docs/two", "$NAME\n"),
        ("bound", "a\n"),
        ("from", "other\n"),
        ("in-list", "o\n"),
        ("cached", "kept\n"),
        ("s", "hiddenhidden\n"),
        ("net", "lo\n"),
    ] {
        assert_eq!(site.read(name), content, "{name}");
    }
    let root = site.unpacked();
    for name in [
        "t",
        "c",
        "ctx",
        "in",
        "run/secrets",
        "proc",
        "etc/resolv.conf",
    ] {
        assert!(!root.join(name).exists(), "{name} is none of the image's");
    }
    assert!(!site.path("context/written").exists());
    // A secret that isn't there is none, unless it is required.
    site.built(
        "FROM base:1\nRUN --mount=type=secret,id=x test ! -e /run/secrets/x",
        &[],
    );
    let output = site.build(
        "FROM base:1\nRUN --mount=type=secret,id=x,required true",
        &[],
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no secret 'x'"));
    assert_eq!(site.unfinished(), 0);
}

#[test]
fn triggers_and_empty_steps() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.built(
        "FROM base:1\nONBUILD COPY a.txt /trigger\nONBUILD RUN cat /trigger > /ran",
        &[],
    );
    assert_eq!(
        site.config()["config"]["OnBuild"].as_array().unwrap().len(),
        2
    );
    run(&mut site.command(&["tag", "built", "trigger"]));
    site.built("FROM trigger\nRUN true\nRUN echo x > /x", &[]);
    assert_eq!(site.read("ran"), "a\n");
    let config = site.config();
    assert_eq!(config["config"]["OnBuild"], Value::Null);
    let empty: Vec<bool> = config["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["empty_layer"] == Value::Bool(true))
        .collect();
    assert_eq!(empty, [false, true, true, false, false, true, false]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
}

#[test]
fn errors_say_where_and_leave_nothing() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    fs::write(site.path("outside"), "o").unwrap();
    symlink("../outside", site.path("context/out")).unwrap();
    for (dockerfile, expected) in [
        (
            "FROM base:1\nRUN exit 3",
            ":2: RUN: '/bin/sh -c exit 3' ended with status 3",
        ),
        (
            "FROM base:1\n\nCOPY nosuch /",
            ":3: COPY: there is no 'nosuch' in the context",
        ),
        (
            "FROM base:1\nCOPY ../outside /",
            ":2: COPY: '../outside': it leads out",
        ),
        (
            "FROM base:1\nCOPY out /",
            ":2: COPY: there is no 'out' in the context",
        ),
        ("FROM base:1\nFOO bar", ":2: there is no instruction 'FOO'"),
        (
            "FROM base:1\nCOPY a.txt b.txt /x",
            ":2: COPY: several files need a directory",
        ),
        (
            "FROM base:1 AS x\nCOPY --from=later / /\nFROM base:1 AS later\nFROM x",
            ":2: COPY: stage 'later' comes later",
        ),
        ("FROM base:1\nCOPY a.txt /bin", ""),
        (
            "FROM base:1\nCOPY dir /etc/passwd",
            ":2: COPY: /etc/passwd is no directory",
        ),
        ("FROM nosuch:1", ":1: FROM: "),
        (
            "FROM base:1\nENV A=${B?needed}",
            ":2: ENV: '${B?needed}': variable B: needed",
        ),
        (
            "FROM base:1\nSTOPSIGNAL SIGFOO",
            ":2: STOPSIGNAL: 'SIGFOO' is no signal",
        ),
        (
            "FROM base:1\nCOPY --chmod=u=z a.txt /",
            ":2: COPY: --chmod: 'u=z' is neither",
        ),
        (
            "FROM base:1\nUSER nobody\nRUN true",
            ":3: RUN: user 'nobody'",
        ),
    ] {
        let output = site.build(dockerfile, &["--pull=never"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().last().unwrap_or_default();
        assert_eq!(
            output.status.success(),
            expected.is_empty(),
            "{dockerfile}: {complaint}"
        );
        assert!(
            expected.is_empty() || last.contains(expected),
            "{dockerfile}: {last}"
        );
    }
    assert_eq!(site.unfinished(), 0);
}

/// A build whose step is asleep by now. Nobody else sleeps as many seconds.
fn build_that_sleeps(site: &Site, seconds: &str) -> Child {
    let dockerfile = format!("FROM base:1\nRUN echo started; sleep {seconds}");
    fs::write(site.path("context/Dockerfile"), dockerfile).unwrap();
    let context = site.path("context");
    let build = ["build", "-t", "built", context.to_str().unwrap()];
    let mut command = site.command(&build);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let build = command.spawn().unwrap();
    wait_until(|| is_sleeping(seconds));
    build
}

fn is_sleeping(seconds: &str) -> bool {
    !processes(&format!("sleep\0{seconds}\0")).is_empty()
}

#[test]
fn a_killed_build_leaves_no_container() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    for signal in ["INT", "TERM", "KILL"] {
        let seconds = format!("{}.5", 3000 + std::process::id() % 1000);
        let mut build = build_that_sleeps(&site, &seconds);
        run(Command::new("kill").args(["-s", signal, &build.id().to_string()]));
        assert!(!build.wait().unwrap().success());
        wait_until(|| !is_sleeping(&seconds));
        let cgroup = format!("windlass-build-{}-", build.id());
        wait_until(|| site.unfinished() == 0);
        assert!(cgroups(&cgroup).is_empty(), "after SIG{signal}");
    }
}

/// The processes whose command lines hold a text; words end with NUL there.
fn processes(text: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let found = all.filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    });
    found
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// Cgroups whose names begin so.
fn cgroups(start: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut unvisited = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = unvisited.pop() {
        // Other programs' cgroups come and go meanwhile.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(start) {
                    found.push(entry.path());
                }
                unvisited.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn gc_ends_what_a_build_killed_with_its_guard_leaves() {
    if !can_run() {
        return;
    }
    // A blank is written otherwise in the kernel's table of mounts.
    let site = Site::with_store("the store");
    let seconds = format!("{}.25", 3000 + std::process::id() % 1000);
    let mut build = build_that_sleeps(&site, &seconds);
    let work = site.path("the store/build/work");
    let guards = processes(&format!("{}/build-", work.display()));
    let guards = guards.iter().filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("\0build-guard\0")
    });
    for pid in guards {
        run(Command::new("kill").args(["-s", "KILL", pid]));
    }
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(is_sleeping(&seconds));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 1);
    site.ours(&["gc"]);
    assert!(!is_sleeping(&seconds));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    assert!(cgroups(&format!("windlass-build-{}-", build.id())).is_empty());
}
