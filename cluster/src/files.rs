//! How many descriptors a supervisor may have open, and those that it starts.
//!
//! A supervisor needs several for each worker, and the usual limit of 1024 is there for programs
//! that use `select`; so it takes as many as it may have, and its children get what it had.

use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit that children get, if it is not ours.
static FORMER: Mutex<Option<u64>> = Mutex::new(None);

/// Raises this process's limit to what it may have, unless that was done.
pub(crate) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
            set_former(former().or(Some(soft)));
        }
        Ok(())
    });
    if let Err(error) = raised {
        log::warn!("cannot have more files open: {error}");
    }
}

/// What children get, if that is not what we have.
pub(crate) fn former() -> Option<u64> {
    *FORMER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the program that this process was before had raised.
pub(crate) fn set_former(limit: Option<u64>) {
    *FORMER.lock().unwrap_or_else(PoisonError::into_inner) = limit;
}
