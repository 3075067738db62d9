//! The architectures of a profile.

/// An architecture whose system calls we know; each variant is a column of the system call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `SCMP_ARCH_X86_64`.
    X86_64,
    /// `SCMP_ARCH_X86`.
    X86,
    /// `SCMP_ARCH_X32`: x86-64 with 32-bit pointers, told apart by a bit of the call's number.
    X32,
    /// `SCMP_ARCH_AARCH64`.
    Aarch64,
    /// `SCMP_ARCH_ARM`.
    Arm,
}

/// The bit that tells x32's calls from x86-64's (asm/unistd.h's `__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 1 << 30;

/// The words that a profile may hold: those of libseccomp 2.6's seccomp.h, as the spec lists them.
/// None stands for an architecture that no kernel of ours runs programs of.
const NAMES: &[(&str, Option<Architecture>)] = &[
    ("SCMP_ARCH_X86", Some(Architecture::X86)),
    ("SCMP_ARCH_X86_64", Some(Architecture::X86_64)),
    ("SCMP_ARCH_X32", Some(Architecture::X32)),
    ("SCMP_ARCH_ARM", Some(Architecture::Arm)),
    ("SCMP_ARCH_AARCH64", Some(Architecture::Aarch64)),
    ("SCMP_ARCH_MIPS", None),
    ("SCMP_ARCH_MIPS64", None),
    ("SCMP_ARCH_MIPS64N32", None),
    ("SCMP_ARCH_MIPSEL", None),
    ("SCMP_ARCH_MIPSEL64", None),
    ("SCMP_ARCH_MIPSEL64N32", None),
    ("SCMP_ARCH_PPC", None),
    ("SCMP_ARCH_PPC64", None),
    ("SCMP_ARCH_PPC64LE", None),
    ("SCMP_ARCH_S390", None),
    ("SCMP_ARCH_S390X", None),
    ("SCMP_ARCH_PARISC", None),
    ("SCMP_ARCH_PARISC64", None),
    ("SCMP_ARCH_RISCV64", None),
    ("SCMP_ARCH_LOONGARCH64", None),
    ("SCMP_ARCH_M68K", None),
    ("SCMP_ARCH_SH", None),
    ("SCMP_ARCH_SHEB", None),
];

impl Architecture {
    /// The architecture that this program was built for, if we know its system calls.
    pub const NATIVE: Option<Architecture> = if cfg!(target_arch = "x86_64") {
        Some(Architecture::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Architecture::Aarch64)
    } else {
        None
    };

    /// The words that `linux.seccomp.architectures` may hold.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// What a word of `linux.seccomp.architectures` stands for: None if it is no such word,
    /// `Some(None)` if it is one that we have no table of.
    #[allow(
        clippy::option_option,
        reason = "unknown, known but foreign, known: three cases"
    )]
    pub(super) fn named(name: &str) -> Option<Option<Architecture>> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, architecture)| *architecture)
    }

    /// Whether a kernel of architecture `native` runs programs of this one.
    pub(super) fn runs_on(self, native: Architecture) -> bool {
        self.family() == native.family()
    }

    fn family(self) -> Architecture {
        match self {
            Architecture::X86_64 | Architecture::X86 | Architecture::X32 => Architecture::X86_64,
            Architecture::Aarch64 | Architecture::Arm => Architecture::Aarch64,
        }
    }

    /// What the kernel writes into `seccomp_data.arch` (linux/audit.h's `AUDIT_ARCH_*`).
    pub(super) fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 | Architecture::X32 => 0xc000_003e,
            Architecture::X86 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    /// What every number of its system calls has set.
    pub(super) fn number_bit(self) -> u32 {
        if self == Architecture::X32 {
            X32_BIT
        } else {
            0
        }
    }

    /// Whether arguments are compared as 64 bits; else their upper halves are not looked at, which
    /// is libseccomp's rule for x32 too.
    pub(super) fn is_64_bit(self) -> bool {
        matches!(self, Architecture::X86_64 | Architecture::Aarch64)
    }
}
