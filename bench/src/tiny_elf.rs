//! The programs that the containers run: a few instructions in the smallest static ELF file, so
//! that the payload costs next to nothing and is the same for every contestant.

/// A program that does nothing, successfully: `exit(0)`.
pub fn exit_zero() -> Vec<u8> {
    executable(EXIT_ZERO)
}

/// A program that sleeps until a signal ends it, for containers that others enter.
pub fn sleep_forever() -> Vec<u8> {
    executable(SLEEP_FOREVER)
}

#[cfg(target_arch = "x86_64")]
const EXIT_ZERO: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0xb8, 60, 0, 0, 0, // mov eax, SYS_exit
    0x0f, 0x05, // syscall
];

#[cfg(target_arch = "x86_64")]
const SLEEP_FOREVER: &[u8] = &[
    0xb8, 34, 0, 0, 0, // mov eax, SYS_pause
    0x0f, 0x05, // syscall
    0xeb, 0xf7, // jmp to the start: a handled signal doesn't end the program
];

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62; // EM_X86_64

#[cfg(target_arch = "aarch64")]
const EXIT_ZERO: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, #0
    0xa8, 0x0b, 0x80, 0xd2, // mov x8, #93 (SYS_exit)
    0x01, 0x00, 0x00, 0xd4, // svc #0
];

#[cfg(target_arch = "aarch64")]
const SLEEP_FOREVER: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, #0
    0x01, 0x00, 0x80, 0xd2, // mov x1, #0
    0x02, 0x00, 0x80, 0xd2, // mov x2, #0
    0x03, 0x00, 0x80, 0xd2, // mov x3, #0
    0x28, 0x09, 0x80, 0xd2, // mov x8, #73 (SYS_ppoll: of nothing, without end)
    0x01, 0x00, 0x00, 0xd4, // svc #0
    0xfa, 0xff, 0xff, 0x17, // b to the start
];

#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183; // EM_AARCH64

/// An ELF64 file of one header, one loadable segment (the whole file) and the instructions; the
/// fields are those of elf(5), in their order.
fn executable(instructions: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const ELF_HEADER: u16 = 64;
    const PROGRAM_HEADER: u16 = 56;
    let start = u64::from(ELF_HEADER + PROGRAM_HEADER);
    let length = start + instructions.len() as u64;

    let mut file = Vec::with_capacity(256);
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]); // 64 bits, little-endian, version 1, System V
    file.extend([0; 8]); // padding of e_ident
    file.extend(2_u16.to_le_bytes()); // e_type: ET_EXEC
    file.extend(MACHINE.to_le_bytes()); // e_machine
    file.extend(1_u32.to_le_bytes()); // e_version
    file.extend((BASE + start).to_le_bytes()); // e_entry
    file.extend(u64::from(ELF_HEADER).to_le_bytes()); // e_phoff
    file.extend(0_u64.to_le_bytes()); // e_shoff: no sections
    file.extend(0_u32.to_le_bytes()); // e_flags
    file.extend(ELF_HEADER.to_le_bytes()); // e_ehsize
    file.extend(PROGRAM_HEADER.to_le_bytes()); // e_phentsize
    file.extend(1_u16.to_le_bytes()); // e_phnum
    file.extend([0; 6]); // e_shentsize, e_shnum, e_shstrndx

    file.extend(1_u32.to_le_bytes()); // p_type: PT_LOAD
    file.extend(5_u32.to_le_bytes()); // p_flags: read and execute
    file.extend(0_u64.to_le_bytes()); // p_offset
    file.extend(BASE.to_le_bytes()); // p_vaddr
    file.extend(BASE.to_le_bytes()); // p_paddr
    file.extend(length.to_le_bytes()); // p_filesz
    file.extend(length.to_le_bytes()); // p_memsz
    file.extend(0x1000_u64.to_le_bytes()); // p_align

    file.extend(instructions);
    file
}

#[cfg(test)]
mod tests {
    use super::{executable, exit_zero, sleep_forever};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    fn program(directory: &std::path::Path, bytes: &[u8]) -> Command {
        let path = directory.join("program");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Command::new(path)
    }

    #[test]
    fn exit_zero_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let status = program(directory.path(), &exit_zero()).status().unwrap();
        assert!(status.success(), "{status}");
    }

    #[test]
    fn sleep_forever_sleeps_until_killed() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = program(directory.path(), &sleep_forever()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn headers_are_their_size() {
        assert_eq!(executable(&[]).len(), 64 + 56);
    }
}
