//! What a child's change of user does to its parent.

use nix::sys::prctl;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a child changes its user or group.
///
/// The kernel then marks the memory as one that must not be dumped or traced, and until exec the
/// child's memory is ours. That protects us while the child is another user's, but afterwards we
/// would have lost our core dumps: the drop puts the mark back. One at a time, or one child's
/// mark would be taken for what was before the other's.
#[must_use]
pub(super) struct Identity {
    dumpable: bool,
    _one_at_a_time: MutexGuard<'static, ()>,
}

static CHANGES: Mutex<()> = Mutex::new(());

impl Identity {
    pub(super) fn changing() -> Self {
        let lock = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        let dumpable = prctl::get_dumpable().unwrap_or(false);
        Self { dumpable, _one_at_a_time: lock }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        if self.dumpable {
            let _ = prctl::set_dumpable(true);
        }
    }
}
