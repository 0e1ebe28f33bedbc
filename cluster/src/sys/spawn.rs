//! Starts a process in the manner of posix_spawn, which itself knows no user, group or pidfd.
//!
//! Until it execs, the child lives in our memory (`CLONE_VM`) on a stack of its own while the
//! calling thread stands still (`CLONE_VFORK`). So a start costs the same however large the
//! parent is, and the child writes its failure where we read it. The price: between clone and
//! exec it may call async-signal-safe functions only, must not allocate and must not panic.
//! Everything it needs is made here, before it exists.

use super::{
    descriptors::{Slot, Table, arrange},
    failure::{Failure, Step, check},
    identity::Identity,
    pidfd,
    signals::{self, Blocked},
    stack::Stack,
    standing::{Plan, Standing},
};
use nix::{
    errno::Errno,
    libc::{self, c_char, c_int, c_void},
};
use std::{
    cell::Cell,
    convert::Infallible,
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// What to start, ready for the kernel.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Where the program may be, tried in turn as execvp does.
    pub(crate) candidates: &'a [CString],
    pub(crate) args: &'a [CString],
    /// `NAME=value`, each.
    pub(crate) env: &'a [CString],
    pub(crate) cwd: Option<&'a CStr>,
    /// Descriptor `n` of the child is what stands at place `n`.
    pub(crate) descriptors: &'a [Descriptor<'a>],
    /// A descriptor behind these, which the child has at our number.
    pub(crate) passed: Option<BorrowedFd<'a>>,
    /// A descriptor that is not close-on-exec and not for the child all the same.
    pub(crate) private: Option<i32>,
    /// In a session of its own.
    pub(crate) detached: bool,
    pub(crate) standing: &'a Standing,
    /// The child starts with `SIGINT` ignored.
    pub(crate) ignores_interrupt: bool,
    /// The child finds its own pid in this variable, which it alone can know.
    pub(crate) own_pid: Option<&'a CStr>,
}

/// What the child finds at a descriptor number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Descriptor<'a> {
    /// Nothing.
    Closed,
    /// What the parent has at the same number.
    Same,
    /// A copy of this one.
    Of(BorrowedFd<'a>),
}

/// Starts the program; its pid and pidfd. A child that fails before exec is reaped here.
pub(crate) fn spawn(program: &Program<'_>) -> io::Result<(u32, OwnedFd)> {
    let argv = pointers(program.args);
    let own_pid = program.own_pid.map(OwnPid::new);
    let mut envp = pointers(program.env);
    if let Some(variable) = &own_pid {
        envp.insert(0, variable.text.as_ptr().cast());
    }
    let mut script = vec![SHELL.as_ptr(), ptr::null()];
    script.extend(argv.iter().skip(1));
    let mut slots: Vec<Slot> = (0..).zip(program.descriptors).map(slot).collect();
    let identity = program.standing.changes_identity().then(Identity::changing);
    let mut task = Task {
        candidates: program.candidates,
        argv: &argv,
        script: &mut script,
        envp: &envp,
        cwd: program.cwd,
        private: program.private.filter(|fd| !slots.iter().zip(0..).any(|(_, taken)| taken == *fd)),
        slots: &mut slots,
        passed: program.passed.map(|fd| fd.as_raw_fd()),
        detached: program.detached,
        plan: program.standing.plan()?,
        ignores_interrupt: program.ignores_interrupt,
        own_pid: own_pid.as_ref(),
        failure: None,
    };
    let stack = Stack::new()?;
    let (pid, pidfd) = clone(&mut task, &stack)?;
    drop(identity);
    let Some(failure) = task.failure else { return Ok((pid, pidfd)) };
    // Somebody's waitpid(-1) may have been faster; then it is reaped just as well.
    let _ = pidfd::reap(pidfd.as_fd());
    Err(failure.into())
}

/// All the child sees: borrowed from the parent, which stands still meanwhile.
struct Task<'a> {
    candidates: &'a [CString],
    argv: &'a [*const c_char],
    /// `/bin/sh`, a place for the script's path, the arguments.
    script: &'a mut [*const c_char],
    envp: &'a [*const c_char],
    cwd: Option<&'a CStr>,
    slots: &'a mut [Slot],
    private: Option<i32>,
    passed: Option<i32>,
    detached: bool,
    plan: Plan<'a>,
    ignores_interrupt: bool,
    own_pid: Option<&'a OwnPid>,
    failure: Option<Failure>,
}

/// A variable that the child completes.
struct OwnPid {
    /// `NAME=`, and NUL bytes where the digits go.
    text: Vec<Cell<u8>>,
    digits: usize,
}

/// No pid has more digits.
const MOST_DIGITS: usize = 10;

impl OwnPid {
    fn new(name: &CStr) -> Self {
        let text: Vec<u8> = [name.to_bytes(), b"=", &[0; MOST_DIGITS + 1]].concat();
        let digits = text.len() - MOST_DIGITS - 1;
        Self { text: text.into_iter().map(Cell::new).collect(), digits }
    }

    /// Writes the digits. Runs in the child between clone and exec.
    fn write(&self, pid: u32) {
        let count = pid.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = pid;
        for place in self.text.iter().skip(self.digits).take(count).rev() {
            place.set(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
    }
}

const SHELL: &CStr = c"/bin/sh";

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn slot((target, descriptor): (i32, &Descriptor<'_>)) -> Slot {
    match descriptor {
        Descriptor::Closed => None,
        Descriptor::Same => Some(target),
        Descriptor::Of(fd) => Some(fd.as_raw_fd()),
    }
}

fn clone(task: &mut Task<'_>, stack: &Stack) -> io::Result<(u32, OwnedFd)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let argument = ptr::from_mut(task).cast::<c_void>();
    let mut pidfd: c_int = -1;
    // No handler of ours may run in the child: it would run in our memory.
    let blocked = Blocked::all();
    // SAFETY: `child` gets the `Task` it expects and a stack of its own; both outlive it or its
    // exec, because CLONE_VFORK holds this thread in the call until then. `pidfd` takes the
    // descriptor that CLONE_PIDFD stores.
    let pid = unsafe { libc::clone(child, stack.top(), flags, argument, &raw mut pidfd) };
    let result = Errno::result(pid);
    drop(blocked);
    let pid = result?.cast_unsigned();
    // SAFETY: the kernel has just made this descriptor for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// The child's whole life before exec. The status is never looked at: `failure` says more.
extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `clone` passes a `Task` that nobody else touches while the parent stands still.
    let task = unsafe { &mut *argument.cast::<Task<'_>>() };
    let Err(failure) = become_program(task);
    task.failure = Some(failure);
    127
}

fn become_program(task: &mut Task<'_>) -> Result<Infallible, Failure> {
    signals::reset_dispositions(task.ignores_interrupt.then_some(libc::SIGINT));
    if task.detached {
        // SAFETY: no memory is involved.
        check(Step::Session, unsafe { libc::setsid() }.into())?;
    }
    arrange(task.slots, &mut Kernel)?;
    if let Some(fd) = task.private {
        Kernel.close(fd);
    }
    if let Some(fd) = task.passed {
        Kernel.keep(fd)?;
    }
    if let Some(cwd) = task.cwd {
        // SAFETY: a C string that outlives the call.
        check(Step::Directory, unsafe { libc::chdir(cwd.as_ptr()) }.into())?;
    }
    if let Some(variable) = task.own_pid {
        // SAFETY: no memory is involved.
        let pid = unsafe { libc::syscall(libc::SYS_getpid) };
        variable.write(pid as u32);
    }
    task.plan.carry_out()?;
    signals::unblock_all();
    Err(exec(task))
}

/// Tries the candidates as execvp does; returns only with the reason why none would do.
fn exec(task: &mut Task<'_>) -> Failure {
    let mut errno = libc::ENOENT;
    let mut denied = false;
    for path in task.candidates {
        // SAFETY: null-terminated arrays of C strings, all held by the parent.
        unsafe { libc::execve(path.as_ptr(), task.argv.as_ptr(), task.envp.as_ptr()) };
        errno = Errno::last_raw();
        match errno {
            libc::EACCES => denied = true,
            libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => {}
            libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            libc::ENOEXEC => {
                if let Some(place) = task.script.get_mut(1) {
                    *place = path.as_ptr();
                }
                let (shell, script) = (SHELL.as_ptr(), task.script.as_ptr());
                // SAFETY: as above.
                unsafe { libc::execve(shell, script, task.envp.as_ptr()) };
                return Failure { step: Step::Exec, errno: Errno::last_raw() };
            }
            _ => return Failure { step: Step::Exec, errno },
        }
    }
    Failure { step: Step::Exec, errno: if denied { libc::EACCES } else { errno } }
}

/// The child's own descriptor table.
struct Kernel;

impl Table for Kernel {
    type Error = Failure;

    fn copy_above(&mut self, fd: i32, floor: i32) -> Result<i32, Failure> {
        // SAFETY: no memory is involved.
        let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, floor) };
        check(Step::Descriptors, copy.into())?;
        Ok(copy)
    }

    fn copy_to(&mut self, fd: i32, target: i32) -> Result<(), Failure> {
        // SAFETY: no memory is involved; the child's table is its own.
        check(Step::Descriptors, unsafe { libc::dup2(fd, target) }.into())?;
        wait_on_standard_stream(target)
    }

    fn keep(&mut self, fd: i32) -> Result<(), Failure> {
        // SAFETY: no memory is involved.
        check(Step::Descriptors, unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into())?;
        wait_on_standard_stream(fd)
    }

    fn close(&mut self, fd: i32) {
        // SAFETY: the child's table is a copy, and nothing in it uses a number that is not planned.
        unsafe { libc::close(fd) };
    }
}

/// Programs expect a standard stream to wait, so Node makes it (although the parent shares this).
fn wait_on_standard_stream(fd: c_int) -> Result<(), Failure> {
    if fd > libc::STDERR_FILENO {
        return Ok(());
    }
    // SAFETY: no memory is involved.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    check(Step::Descriptors, flags.into())?;
    if flags & libc::O_NONBLOCK != 0 {
        let flags = flags & !libc::O_NONBLOCK;
        // SAFETY: no memory is involved.
        check(Step::Descriptors, unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }.into())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_in_digits() {
        for pid in [0, 7, 10, 99, 4711, 4_194_304, u32::MAX] {
            let variable = OwnPid::new(c"LISTEN_PID");
            variable.write(pid);
            let text: Vec<u8> = variable.text.iter().map(Cell::get).collect();
            let text = CStr::from_bytes_until_nul(&text).unwrap();
            assert_eq!(text.to_str().unwrap(), format!("LISTEN_PID={pid}"));
        }
    }
}
