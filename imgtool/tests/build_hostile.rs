//! `build` of Dockerfiles, contexts and bases that would like to be somewhere else on the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build_site;
mod image_builder;

use std::fs;

use build_site::{Site, can_run};
use image_builder::{run, snapshot};

/// WORKDIR, COPY and ADD through an image's link to a directory of the host (CVE-2026-55686), RUN with
/// sources that are such links (CVE-2024-1753, CVE-2024-9675, CVE-2024-11218).
#[test]
fn no_step_leaves_the_image() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let canary = site.path("canary");
    fs::create_dir_all(canary.join("sub")).unwrap();
    fs::write(canary.join("file"), "the host's").unwrap();
    let before = snapshot(&canary);
    let canary = canary.to_str().unwrap();
    std::os::unix::fs::symlink(canary, site.path("context/leak")).unwrap();
    fs::create_dir(site.path("context/in")).unwrap();
    fs::write(site.path("context/in/new"), "new").unwrap();
    run(std::process::Command::new("tar")
        .args(["-C", "in", "-cf", "in.tar", "new"])
        .current_dir(site.path("context")));

    // The image has the same directory, so that the steps succeed.
    let hostile = format!("FROM base:1\nRUN mkdir -p {canary}/sub && ln -s {canary} /out\n");
    site.built(&hostile, &[]);
    run(&mut site.command(&["tag", "built", "hostile:1"]));
    site.built(
        "FROM hostile:1\n\
         WORKDIR /out/deep\n\
         COPY --chown=1:1 --chmod=777 in/new /out/file\n\
         ADD in.tar /out/sub\n\
         RUN --mount=type=tmpfs,target=/out/memory touch /out/memory/x /out/made\n\
         RUN --mount=type=cache,id=../../../../canary,target=/c touch /c/x\n",
        &[],
    );
    assert_eq!(site.read(&format!("{}/file", &canary[1..])), "new");
    assert_eq!(snapshot(canary.as_ref()), before);

    // What the host has there is not seen: the image's own is, or there is nothing.
    for (mount, refusal) in [
        ("type=bind,from=hostile:1,source=/out", None),
        ("type=cache,id=a,from=hostile:1,source=/out", None),
        (
            "type=bind,from=hostile:1,source=out/../../..",
            Some("it leads out of"),
        ),
        ("type=bind,source=../canary", Some("it leads out of")),
        (
            "type=bind,source=leak",
            Some("there is no 'leak' in the context"),
        ),
    ] {
        let dockerfile = format!(
            "FROM base:1\nRUN --mount={mount},target=/m test -d /m/sub && test ! -e /m/file\n"
        );
        match refusal {
            None => {
                site.built(&dockerfile, &[]);
            }
            Some(refusal) => {
                let complaint = site.refused(&dockerfile, &[]);
                assert!(complaint.contains(refusal), "{mount}: {complaint}");
            }
        }
        assert_eq!(snapshot(canary.as_ref()), before, "{mount}");
    }
    for copied in ["leak/file", "../canary/file", "leak/../leak/file"] {
        site.refused(&format!("FROM base:1\nCOPY {copied} /copied\n"), &[]);
    }
    // CVE-2024-9407: options of a mount are those that we know.
    for option in [
        "bind-propagation=shared",
        "propagation=rshared",
        "suid",
        "Z",
    ] {
        let complaint = site.refused(
            &format!("FROM base:1\nRUN --mount=type=bind,target=/m,{option} true\n"),
            &[],
        );
        assert!(complaint.contains("there is no '"), "{complaint}");
    }
    assert_eq!(snapshot(canary.as_ref()), before);
}
