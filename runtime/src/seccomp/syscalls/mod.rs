//! From the name of a system call to its number on each architecture.
//!
//! The `syscalls` crate was no choice: it has no x32, and one enum per architecture means five
//! look-ups for a name. Here one look-up in a hash table, laid out by the compiler, finds the row
//! that holds a name's number on all five.

mod table;

use super::architecture::Architecture;
use table::TABLE;

/// "This architecture hasn't got it."
const NONE: u32 = u32::MAX;

/// A name and its numbers, in the order of [`Architecture`]'s variants.
struct Row(&'static str, [u32; 5]);

/// The first of arm's private calls, which stand far beyond its table (arch/arm's `__ARM_NR_BASE`).
pub(super) const ARM_PRIVATE: u32 = 0xf_0000;

/// One more than the largest number of any table, arm's private calls set aside.
pub(super) const TABLE_END: u32 = table_end();

/// A system call that the kernel has on at least one architecture that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syscall(u16);

impl Syscall {
    /// Finds a system call by its name.
    pub(super) fn named(name: &str) -> Option<Syscall> {
        let mut slot = hash(name.as_bytes());
        loop {
            let row = INDEX[slot];
            if row == EMPTY {
                return None;
            }
            if TABLE[usize::from(row)].0 == name {
                return Some(Syscall(row));
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        TABLE[usize::from(self.0)].0
    }

    /// Its number, with x32's bit for x32.
    pub(super) fn number(self, architecture: Architecture) -> Option<u32> {
        match TABLE[usize::from(self.0)].1[architecture as usize] {
            NONE => None,
            number => Some(number | architecture.number_bit()),
        }
    }

    /// How x86 also reaches it: through socketcall(2) or ipc(2).
    pub(super) fn multiplexed(self) -> Option<Multiplexed> {
        let name = self.name();
        let call = |calls: &[(&str, u64)]| {
            calls
                .iter()
                .find(|(multiplexed, _)| *multiplexed == name)
                .map(|(_, call)| *call)
        };
        if !MULTIPLEXED[usize::from(self.0)] {
            None
        } else if let Some(call) = call(SOCKETCALLS) {
            Some(Multiplexed { number: 102, call })
        } else {
            call(IPC_CALLS).map(|call| Multiplexed { number: 117, call })
        }
    }
}

/// A call that x86 has behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplexed {
    /// The number of socketcall(2) or ipc(2) on x86.
    pub(super) number: u32,
    /// Its first argument.
    pub(super) call: u64,
}

/// linux/net.h's `SYS_*`.
const SOCKETCALLS: &[(&str, u64)] = &[
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// linux/ipc.h's call numbers.
const IPC_CALLS: &[(&str, u64)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// The hash table: rows of [`TABLE`], found by linear probing.
static INDEX: [u16; SLOTS] = index();

/// Whether x86 has the call of a row behind another; spares most rows the search by name.
static MULTIPLEXED: [bool; TABLE.len()] = multiplexed();

/// FNV-1a.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        hash = (hash ^ name[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (hash ^ (hash >> 15)) as usize % SLOTS
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "TryFrom is no const fn; the table is short"
)]
const fn index() -> [u16; SLOTS] {
    assert!(TABLE.len() < SLOTS / 2);
    let mut index = [EMPTY; SLOTS];
    let mut row = 0;
    while row < TABLE.len() {
        let mut slot = hash(TABLE[row].0.as_bytes());
        while index[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = row as u16;
        row += 1;
    }
    index
}

const fn multiplexed() -> [bool; TABLE.len()] {
    let mut multiplexed = [false; TABLE.len()];
    let mut row = 0;
    while row < TABLE.len() {
        multiplexed[row] = lists(SOCKETCALLS, TABLE[row].0) || lists(IPC_CALLS, TABLE[row].0);
        row += 1;
    }
    multiplexed
}

const fn lists(calls: &[(&str, u64)], name: &str) -> bool {
    let mut i = 0;
    while i < calls.len() {
        if same(calls[i].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn table_end() -> u32 {
    let mut end = 0;
    let mut row = 0;
    while row < TABLE.len() {
        let mut column = 0;
        while column < 5 {
            let number = TABLE[row].1[column];
            if number < ARM_PRIVATE && number >= end {
                end = number + 1;
            }
            column += 1;
        }
        row += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (row, Row(name, _)) in TABLE.iter().enumerate() {
            assert_eq!(
                Syscall::named(name).map(|syscall| usize::from(syscall.0)),
                Some(row)
            );
        }
        for name in ["", "reads", "rea", "READ", "no_such_call"] {
            assert_eq!(Syscall::named(name), None);
        }
    }

    #[test]
    fn a_number_stands_for_one_name_on_each_architecture() {
        for column in 0..5 {
            let mut numbers: Vec<u32> = TABLE
                .iter()
                .map(|row| row.1[column])
                .filter(|number| *number != NONE)
                .collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }

    #[test]
    fn numbers_are_the_running_kernels() {
        // libc's constants come from the same headers by another way.
        for (name, number) in [
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
        ] {
            let found = Syscall::named(name).and_then(|call| call.number(Architecture::NATIVE?));
            assert_eq!(found.map(i64::from), Some(number), "{name}");
        }
    }

    #[test]
    fn x86_has_calls_behind_socketcall_and_ipc() {
        let behind = |name| Syscall::named(name).unwrap().multiplexed();
        assert_eq!(
            behind("accept4"),
            Some(Multiplexed {
                number: 102,
                call: 18
            })
        );
        assert_eq!(
            behind("shmat"),
            Some(Multiplexed {
                number: 117,
                call: 21
            })
        );
        assert_eq!(behind("read"), None);
    }
}
