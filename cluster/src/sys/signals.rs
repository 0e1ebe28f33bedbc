//! Signals around the birth of a process, by raw system calls: unlike libc's functions they
//! leave out none, so not even libc's own signals (32, 33) reach the child before exec.

use nix::libc::{self, c_int};
use std::ptr;

/// Bytes of the kernel's signal set.
const SET: usize = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 16 } else { 8 };
const LAST: c_int = if SET == 16 { 128 } else { 64 };

type Set = [u64; 2];

/// All signals blocked in this thread, until dropped.
pub(super) struct Blocked {
    before: Set,
}

impl Blocked {
    pub(super) fn all() -> Self {
        Self { before: set_mask(&[u64::MAX; 2]) }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(&self.before);
    }
}

/// In the child, right before exec: signals that came meanwhile act now, by default.
pub(super) fn unblock_all() {
    set_mask(&[0; 2]);
}

fn set_mask(mask: &Set) -> Set {
    let mut before = [0; 2];
    // SAFETY: both sets are at least SET bytes long and outlive the call. It cannot fail: the
    // pointers and the size are right.
    unsafe {
        let (mask, before) = (mask.as_ptr(), before.as_mut_ptr());
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, before, SET)
    };
    before
}

/// In the child: every signal but one does what it does by default, the ignored ones, too.
pub(super) fn reset_dispositions(ignored: Option<c_int>) {
    // The kernel's sigaction, longest form: no flags, no mask.
    let default = [0_u64; 16];
    let mut ignore = default;
    ignore[0] = libc::SIG_IGN as u64;
    for signal in 1..=LAST {
        let old = ptr::null_mut::<u64>();
        let action = if ignored == Some(signal) { &ignore } else { &default };
        // SAFETY: `action` is at least as long as the kernel's struct and outlives the call; our
        // table of handlers is not the parent's, as CLONE_SIGHAND is not set. KILL and STOP
        // refuse, harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, SET) };
    }
}
