//! A stack for the child.

use nix::libc::{self, c_void};
use std::{io, ptr};

/// Pages are used only when touched.
const SIZE: usize = 256 * 1024;
/// A page of any size that Linux has; the stack grows towards it.
const GUARD: usize = 64 * 1024;

pub(super) struct Stack {
    base: *mut c_void,
}

impl Stack {
    pub(super) fn new() -> io::Result<Self> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
        let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        // SAFETY: the low end of our own mapping, which nobody uses yet.
        if unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Where the stack begins: its high end, aligned as the mapping is.
    pub(super) fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; the child has exec'ed or ended before the stack is dropped.
        unsafe { libc::munmap(self.base, SIZE) };
    }
}
