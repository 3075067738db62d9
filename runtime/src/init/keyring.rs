//! The session keyring: a container has one of its own, so that it can't read its caller's.

use std::ffi::CString;

use rustix::io::Errno;

use super::trusted_proc::TrustedProc;
use crate::error::{CallContext, Error, Result};
use crate::plan::KeyringStep;
use crate::sys::keyring;

/// Joins the keyring with the container's name. The first process makes it, and lets those that
/// `exec` starts find it.
///
/// # Errors
/// keyctl(2)'s.
pub(super) fn join(step: &KeyringStep<'_>, container: &str, proc: &mut TrustedProc) -> Result<()> {
    let name = CString::new(format!("_ses.{container}"))
        .map_err(|_| Error::new("container id with a NUL byte"))?;
    if let Some(label) = step.label {
        proc.write_keyring_label(label)?;
    }
    let joined = keyring::join_session_keyring(&name);
    if step.label.is_some() {
        proc.write_keyring_label("")?;
    }
    match joined {
        Ok(_) if !step.first => Ok(()),
        Ok(id) => keyring::let_be_found(id, step.in_user_namespace)
            .call(|| "keyctl(KEYCTL_SETPERM, session keyring)"),
        // A kernel without keyrings has none to keep apart.
        Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(Error::call(
            format!("unable to join session keyring: keyctl_join_session_keyring({name:?})"),
            errno,
        )
        .hint("--no-new-keyring keeps the caller's")),
    }
}
