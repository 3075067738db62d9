//! How a person's terminal reaches a container that is already supervised: packets over a unix
//! socket in the container's state directory, a [`server`] in the supervisor and a [`client`] at
//! the terminal.

pub mod client;
pub mod protocol;
pub mod server;
mod terminal;

pub use self::terminal::size_of_stdin;
