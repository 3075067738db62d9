//! conmon's contract, seen from outside: pipes, sockets, fifos and files. Each test runs against
//! windlass-conmon and, where it is installed, against conmon itself, so that what is asked of ours
//! is what conmon does; where the two differ on purpose, the test says so.
//!
//! The peer is `$CONMON`, or the `conmon` on `PATH`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

/// Makes two tests of each function, one for either program.
macro_rules! for_both {
    ($($(#[$attribute:meta])* fn $name:ident($program:ident: Program) $body:block)*) => {
        $(
            $(#[$attribute])*
            fn $name($program: crate::caller::Program) $body

            mod $name {
                #[test]
                fn windlass() {
                    super::$name(crate::caller::Program::Ours);
                }

                #[test]
                fn conmon() {
                    if crate::caller::Program::conmon_is_installed() {
                        super::$name(crate::caller::Program::Conmon);
                    }
                }
            }
        )*
    };
}

mod attach;
mod caller;
mod control;
mod end;
mod exec;
mod logs;
mod start;
