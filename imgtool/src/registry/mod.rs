//! Registries: the client's side of distribution-spec 1.1.
//!
//! [`name`] says what the caller asked for, [`configuration`] and [`credentials`] what this host's
//! administrator and user say of registries, [`session`] speaks to one of them, and
//! [`repository`], [`referrers`] and [`upload`] fetch from a repository and push to it.

pub mod authorization;
pub mod challenge;
pub mod configuration;
pub mod credentials;
pub mod name;
pub mod referrers;
pub mod repository;
pub mod session;
pub mod upload;

pub use name::{ImageName, Version};
pub use repository::Repository;
