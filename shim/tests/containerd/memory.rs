//! What a shim holds after many have come and gone.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::harness::eventually;
use crate::messages::task::{DeleteRequest, StartRequest, StartResponse, WaitRequest};
use crate::messages::task::{DeleteResponse, WaitResponse};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd};
use crate::{end, exec, running, shim_pid, state};

/// Memory of its own that a process has written to, in kB.
fn anonymous(pid: u64) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

#[test]
fn what_comes_and_goes_leaves_no_memory() {
    /// After so many all that is kept for the next has been made.
    const FIRST: usize = 60;
    const ROUNDS: usize = 160;
    /// In kB, so less than 205 bytes a round. Which pages can be given back depends on what lies in
    /// them: a step of five pages is usual, and nothing follows it (10,000 rounds: bench/).
    const ALLOWED: u64 = 32;
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let shim = shim_pid(&mut client, &id);
    let address = fs::read_to_string(containerd.shim.bundle().join("address")).unwrap();
    let mut round = |number: usize| {
        // Another client each time.
        let mut client = Client::new(&address);
        let exec_id = format!("round-{number}");
        let name = || (id.clone(), exec_id.clone());
        assert_eq!(state(&mut client, &id, "").id, id);
        client
            .call::<Empty>("Exec", &exec(&id, &exec_id, "true"))
            .expect("Exec");
        let (id, exec_id) = name();
        client
            .call::<StartResponse>("Start", &StartRequest { id, exec_id })
            .expect("Start");
        let (id, exec_id) = name();
        client
            .call::<WaitResponse>("Wait", &WaitRequest { id, exec_id })
            .expect("Wait");
        let (id, exec_id) = name();
        client
            .call::<DeleteResponse>("Delete", &DeleteRequest { id, exec_id })
            .expect("Delete");
    };
    (0..FIRST).for_each(&mut round);
    // A shim gives back what it needs no more when it has had nothing to do for a second. On a slow
    // machine it may have had, which only makes more allowed.
    sleep(Duration::from_millis(2500));
    let before = anonymous(shim);
    (FIRST..FIRST + ROUNDS).for_each(&mut round);
    let mut after = 0;
    eventually("memory is given back", || {
        after = anonymous(shim);
        after <= before + ALLOWED
    });
    end(&mut client, &id);
}
