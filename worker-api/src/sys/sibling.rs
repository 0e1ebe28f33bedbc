//! A copy of this process, which has the same parent.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    libc::{self, c_int, c_long, c_void},
    unistd::gettid,
};

/// The names of this process's threads but the calling one.
pub(crate) fn other_threads() -> io::Result<Vec<String>> {
    let own = gettid().to_string();
    let mut names = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        if thread.file_name().to_str() != Some(&own) {
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            names.push(name.trim_end().to_owned());
        }
    }
    Ok(names)
}

/// Copies this process, which must have one thread only; the copy's number, or `None` in the
/// copy. It is a child of this process's parent, not of this one.
///
/// libc's `fork` cannot do that. What it does beyond the system call: it keeps libc's record of
/// the thread's number true, and its list of robust mutexes known, as is done here; it runs the
/// handlers of `pthread_atfork`, which are **not** run here.
///
/// # Errors
///
/// `Unsupported` with other threads, or a C library other than glibc; what the system says.
pub(crate) fn fork_sibling() -> io::Result<Option<u32>> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
    if !other_threads()?.is_empty() {
        return refuse("the process has several threads");
    }
    let Some(record) = thread_record()? else {
        return refuse("the C library keeps the thread's number where it is not found");
    };
    let robust = Robust::of_this_thread()?;
    let flags = libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let flags = c_long::from(flags | libc::SIGCHLD);
    let (first, second) = if cfg!(target_arch = "s390x") { (0, flags) } else { (flags, 0) };
    // SAFETY: without CLONE_VM and with no stack given this returns twice like fork(2), in the
    // copy on its own copy of this stack. No other thread exists, so every lock and structure of
    // the copy is in the state in which this thread has left it, and it may go on as this
    // process could. The kernel writes the copy's number to `record`, which is where libc has
    // the number of this thread; architectures differ in which of the last two arguments that
    // is, and do not use the other one without CLONE_SETTLS.
    let pid = unsafe { libc::syscall(libc::SYS_clone, first, second, 0, record, record) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            robust.restore();
            Ok(None)
        }
        pid => Ok(Some(pid as u32)),
    }
}

/// Where libc has the number of this thread, if it is where glibc has it: at the address that it
/// has told the kernel to clear at the thread's end.
fn thread_record() -> io::Result<Option<*mut c_int>> {
    let mut address: *mut c_int = ptr::null_mut();
    // SAFETY: the kernel writes an address to `address`.
    let result = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut address) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if address.is_null() {
        return Ok(None);
    }
    // SAFETY: the kernel is to write an int there at the thread's end, so it is there until then.
    let number = unsafe { address.read() };
    Ok((number == gettid().as_raw()).then_some(address))
}

/// The list of mutexes that the kernel releases if a thread dies; a copy has to name its own.
struct Robust {
    head: *mut c_void,
    length: usize,
}

impl Robust {
    fn of_this_thread() -> io::Result<Self> {
        let mut list = Self { head: ptr::null_mut(), length: 0 };
        let (head, length) = (&raw mut list.head, &raw mut list.length);
        // SAFETY: the kernel writes an address and a length to these.
        if unsafe { libc::syscall(libc::SYS_get_robust_list, 0, head, length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(list)
    }

    fn restore(&self) {
        if !self.head.is_null() {
            // SAFETY: the list of the thread that this is a copy of, at the same address.
            unsafe { libc::syscall(libc::SYS_set_robust_list, self.head, self.length) };
        }
    }
}

/// Puts descriptors at the numbers where this program is to find them; they stay open over an
/// exec, as if it had been started with them.
///
/// Whatever had such a number is closed: whoever started this process keeps these numbers for
/// that, and told so.
pub(crate) fn place(descriptors: Vec<OwnedFd>, numbers: &[RawFd]) -> io::Result<()> {
    let floor = numbers.iter().max().map_or(0, |number| number.saturating_add(1));
    let mut moved = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        moved.push(copy_above(&descriptor, floor)?);
    }
    for (descriptor, &number) in moved.iter().zip(numbers) {
        // SAFETY: no memory is involved; the number is free for this, see above.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if number <= libc::STDERR_FILENO {
            // Programs expect a standard stream to wait.
            let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
            fcntl(descriptor, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
        }
    }
    Ok(())
}

fn copy_above(descriptor: impl AsFd, floor: RawFd) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let copy = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Writes what C libraries have not yet written, so that no copy writes it again.
pub(crate) fn flush_c_streams() {
    // SAFETY: null means all streams that are open.
    unsafe { libc::fflush(ptr::null_mut()) };
}

/// Ends this process without the program's own last acts, which are not its to do.
pub(crate) fn vanish() -> ! {
    // SAFETY: does not come back.
    unsafe { libc::_exit(0) }
}
