//! What a service manager has started this process with.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Takes a variable out of this process's environment.
///
/// Edition 2024 calls that unsafe, for other threads may read the environment meanwhile through
/// C. Callers document that they belong early in `main`.
pub(crate) fn take_variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    // SAFETY: see above; std's own accessors take a lock.
    unsafe { env::remove_var(name) };
    Some(value)
}

/// Takes the descriptors of `LISTEN_FDS` and their names, and the variables with them. They are
/// close-on-exec then.
pub(crate) fn take_listen_fds() -> io::Result<Vec<(OwnedFd, String)>> {
    // SAFETY: as for the variable above.
    let numbers = unsafe { sd_notify::listen_fds_with_names_and_unset_env() }?;
    Ok(numbers
        // SAFETY: it is open, and the service manager opened it for us alone: the variables that
        // said so are gone, so nobody takes it twice.
        .map(|(number, name)| (unsafe { OwnedFd::from_raw_fd(number) }, name))
        .collect())
}
