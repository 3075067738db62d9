//! Somebody exchanges directories for links that lead out, while an image is unpacked over them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use image_builder::{Entry, Workshop, directory, file, hard_link};
use rustix::fs::{CWD, RenameFlags};

/// Of the names that the canary has, so that what goes astray hits it.
const NAMES: [&str; 3] = ["directory", "other", "directory/deep"];

fn first_layer() -> Vec<Entry> {
    let mut entries: Vec<Entry> = NAMES.iter().map(|name| directory(name)).collect();
    for number in 0..600 {
        // From one directory to another each time: every entry is a walk.
        let parent = NAMES[number % NAMES.len()];
        entries.push(file(&format!("{parent}/f{number}"), "content").owner(7, 7));
    }
    entries
}

fn second_layer() -> Vec<Entry> {
    let mut entries = Vec::new();
    for number in 0..200 {
        let parent = NAMES[number % NAMES.len()];
        entries.push(file(&format!("{parent}/.wh.f{number}"), ""));
        entries.push(file(&format!("{parent}/file"), "overwritten"));
        entries.push(hard_link(&format!("{parent}/h{number}"), "other/f301").owner(0, 0));
        entries.push(directory(parent).mode(0o777));
    }
    entries
}

/// Exchanges each directory for the link and back, now and then for so long that something happens in
/// between. How often it could.
fn swap(root: &Path, link: &Path, over: &AtomicBool) -> usize {
    let mut swaps = 0;
    let exchange = |place: &Path| {
        rustix::fs::renameat_with(CWD, place, CWD, link, RenameFlags::EXCHANGE).is_ok()
    };
    while !over.load(Ordering::Relaxed) {
        for name in NAMES {
            let place = root.join(name);
            if exchange(&place) {
                std::thread::sleep(Duration::from_micros(50));
                // Unless the place has gone meanwhile, everything is as it was.
                swaps += 1 + usize::from(exchange(&place));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    swaps
}

#[test]
fn nothing_goes_astray() {
    let workshop = Workshop::new();
    workshop.image(&[&first_layer(), &second_layer()]);
    let link = workshop.path("link");
    let (mut ended_well, mut refused, mut swaps) = (0, 0, 0);
    for _ in 0..6 {
        symlink(workshop.canary_path(), &link).unwrap();
        let over = AtomicBool::new(false);
        let output = std::thread::scope(|scope| {
            let swapper = scope.spawn(|| swap(&workshop.rootfs(), &link, &over));
            let output = workshop.unpack(&[]);
            over.store(true, Ordering::Relaxed);
            swaps += swapper.join().unwrap();
            output
        });
        if output.status.success() {
            ended_well += 1;
        } else {
            // An error, and no other end.
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            refused += 1;
        }
        workshop.assert_canary_is_well();
        drop(std::fs::remove_dir_all(workshop.bundle()));
        // What the swapper had in its hands at last.
        match link.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(&link).unwrap(),
            Ok(_) => std::fs::remove_file(&link).unwrap(),
            Err(_) => {}
        }
    }
    println!("{ended_well} ended well, {refused} in an error, {swaps} swaps");
    assert!(swaps > 20, "only {swaps} swaps");
}
