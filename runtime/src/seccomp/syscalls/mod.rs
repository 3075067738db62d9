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

/// A system call that the kernel has on at least one architecture that we know: a row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syscall(u16);

impl Syscall {
    /// Finds a system call by its name.
    pub(super) fn named(name: &str) -> Option<Syscall> {
        let mut slot = hash(name.as_bytes());
        loop {
            let syscall = match INDEX[slot] {
                EMPTY => return None,
                row => Syscall(row),
            };
            if syscall.name() == name.as_bytes() {
                return Some(syscall);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn name(self) -> &'static [u8] {
        let row = usize::from(self.0);
        &NAMES[usize::from(NAME_STARTS[row])..usize::from(NAME_STARTS[row + 1])]
    }

    /// Its number, with x32's bit for x32.
    pub(super) fn number(self, architecture: Architecture) -> Option<u32> {
        match NUMBERS[usize::from(self.0)][architecture as usize] {
            NO_NUMBER => None,
            private if private >= PACKED_PRIVATE => {
                Some(u32::from(private - PACKED_PRIVATE) + ARM_PRIVATE)
            }
            number => Some(u32::from(number) | architecture.number_bit()),
        }
    }

    /// How x86 also reaches it: through socketcall(2) or ipc(2).
    pub(super) fn multiplexed(self) -> Option<Multiplexed> {
        match MULTIPLEXED[usize::from(self.0)] {
            0 => None,
            call if call > IPC => Some(Multiplexed {
                number: 117,
                call: u64::from(call - IPC),
            }),
            call => Some(Multiplexed {
                number: 102,
                call: u64::from(call),
            }),
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
const SOCKETCALLS: &[(&str, u8)] = &[
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
const IPC_CALLS: &[(&str, u8)] = &[
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

// The table as the program looks at it, laid out by the compiler. A static program has to write
// every pointer of its constants at each start, so there are none in these: names are pieces of
// one text.

const ROWS: usize = TABLE.len();
const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// The hash table: rows of [`TABLE`], found by linear probing.
static INDEX: [u16; SLOTS] = index();

/// All names.
static NAMES: [u8; names_length()] = names();

/// Where each name begins, and where the last ends.
static NAME_STARTS: [u16; ROWS + 1] = name_starts();

/// The numbers, in 16 bits.
static NUMBERS: [[u16; 5]; ROWS] = numbers();
const NO_NUMBER: u16 = u16::MAX;
const PACKED_PRIVATE: u16 = 0xf000;

/// The call behind socketcall(2), or [`IPC`] more than that behind ipc(2), or 0.
static MULTIPLEXED: [u8; ROWS] = multiplexed();
const IPC: u8 = 100;

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
    reason = "checked: a table of some 500 rows"
)]
const fn index() -> [u16; SLOTS] {
    const { assert!(ROWS < SLOTS / 2) };
    let mut index = [EMPTY; SLOTS];
    let mut row = 0;
    while row < ROWS {
        let mut slot = hash(TABLE[row].0.as_bytes());
        while index[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = row as u16;
        row += 1;
    }
    index
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "checked: names have some 6000 bytes"
)]
const fn name_starts() -> [u16; ROWS + 1] {
    assert!(names_length() <= u16::MAX as usize);
    let mut starts = [0; ROWS + 1];
    let mut row = 0;
    while row < ROWS {
        starts[row + 1] = starts[row] + TABLE[row].0.len() as u16;
        row += 1;
    }
    starts
}

const fn names_length() -> usize {
    let mut length = 0;
    let mut row = 0;
    while row < ROWS {
        length += TABLE[row].0.len();
        row += 1;
    }
    length
}

const fn names() -> [u8; names_length()] {
    let mut names = [0; names_length()];
    let mut end = 0;
    let mut row = 0;
    while row < ROWS {
        let name = TABLE[row].0.as_bytes();
        let mut i = 0;
        while i < name.len() {
            names[end] = name[i];
            end += 1;
            i += 1;
        }
        row += 1;
    }
    names
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "checked: but for arm's they are small"
)]
const fn numbers() -> [[u16; 5]; ROWS] {
    assert!(TABLE_END < PACKED_PRIVATE as u32);
    let mut numbers = [[NO_NUMBER; 5]; ROWS];
    let mut row = 0;
    while row < ROWS {
        let mut column = 0;
        while column < 5 {
            let number = TABLE[row].1[column];
            if number < ARM_PRIVATE {
                numbers[row][column] = number as u16;
            } else if number != NONE {
                numbers[row][column] = (number - ARM_PRIVATE) as u16 + PACKED_PRIVATE;
            }
            column += 1;
        }
        row += 1;
    }
    numbers
}

const fn multiplexed() -> [u8; ROWS] {
    let mut multiplexed = [0; ROWS];
    let mut row = 0;
    while row < ROWS {
        let name = TABLE[row].0.as_bytes();
        multiplexed[row] = match (call_of(SOCKETCALLS, name), call_of(IPC_CALLS, name)) {
            (0, 0) => 0,
            (0, call) => IPC + call,
            (call, _) => call,
        };
        row += 1;
    }
    multiplexed
}

const fn call_of(calls: &[(&str, u8)], name: &[u8]) -> u8 {
    let mut i = 0;
    while i < calls.len() {
        if same(calls[i].0.as_bytes(), name) {
            return calls[i].1;
        }
        i += 1;
    }
    0
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
    while row < ROWS {
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
