//! A process that has loaded a worker's program and is copied for each worker.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    process,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_setaffinity},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{Pid, getppid},
};

use crate::{
    Error, Result, role, sys,
    wire::{LONGEST_ORDER, MoldNotice, MoldOrder},
};

/// Loads what is the same in all workers of this program, once for all of them if their master
/// preloads (`Supervisor::preload`).
///
/// Then this process, a *mold*, loads it, and does not come back from here: it waits, and is
/// copied by fork(2) for each worker. A worker comes back with its copy, whose memory it shares
/// with all others until either writes there, and starts in less than a millisecond. In a
/// worker that was started in the ordinary way, and in a program that runs alone, this calls
/// `load` and nothing else.
///
/// Call it before [`worker`](crate::worker), [`listen`](crate::listen) and the like, for which a
/// mold is too early; [`is_worker`](crate::is_worker) says `true` in one.
///
/// ```no_run
/// # fn load() -> Vec<u8> { Vec::new() }
/// # fn serve(_: worker_api::Worker, _: Vec<u8>) -> worker_api::Result<()> { Ok(()) }
/// fn main() -> worker_api::Result<()> {
///     let data = worker_api::preload(load)?;
///     match worker_api::worker()? {
///         Some(worker) => serve(worker, data),
///         None => Err(worker_api::Error::NotWorker),
///     }
/// }
/// ```
///
/// What a copy has is what the mold had, so `load` must leave nothing behind that only one
/// process may have:
///
/// - **No threads.** Of the threads only the calling one would be in the copy, and locks of the
///   others would be locked for ever: then it is [`Error::Threads`]. Start them, and runtimes
///   such as tokio's, afterwards.
/// - No connections, epolls and the like: all copies would share one. Files that are only read
///   by position are fine.
/// - No random numbers from a generator in this process: all copies would go on with the same
///   ones. The handlers of `pthread_atfork`, by which some generators notice, are not run.
///
/// # Errors
///
/// In a mold: [`Error::Threads`], and what the system says. The program should end then, as it
/// does when `main` returns this; the master is told why.
pub fn preload<T>(load: impl FnOnce() -> T) -> Result<T> {
    let mold = role::take_mold()?.map(|control| Mold { control });
    if let Some(mold) = &mold {
        mold.tell(&MoldNotice::Begun);
    }
    let loaded = load();
    if let Some(mold) = mold {
        mold.stand_by()?;
        role::begin_anew();
    }
    Ok(loaded)
}

struct Mold {
    control: OwnedFd,
}

impl Mold {
    /// Makes copies; comes back in a copy, which is a worker then.
    fn stand_by(self) -> Result<()> {
        // What is not written yet, each copy would write again.
        io::stdout().flush()?;
        sys::flush_c_streams();
        self.check_threads()?;
        self.tell(&MoldNotice::Loaded);
        loop {
            let Some(socket) = self.request()? else { continue };
            match sys::fork_sibling() {
                Ok(Some(copy)) => self.tell(&MoldNotice::Forked(copy)),
                Ok(None) => {
                    drop(self);
                    return become_worker(&socket);
                }
                Err(error) => self.tell(&MoldNotice::Failed(error.to_string())),
            }
        }
    }

    fn check_threads(&self) -> Result<()> {
        let names = sys::other_threads()?;
        if names.is_empty() {
            return Ok(());
        }
        let error = Error::Threads { names };
        self.tell(&MoldNotice::Refused(error.to_string()));
        Err(error)
    }

    /// Waits for the next request: the copy's end of its socket.
    fn request(&self) -> Result<Option<OwnedFd>> {
        let mut descriptors = Vec::new();
        match wait_for(self.control.as_fd(), &mut [0; 16], &mut descriptors)? {
            0 => process::exit(0), // nobody wants copies any more
            _ => Ok(descriptors.pop()),
        }
    }

    /// Without a master nobody needs this process.
    fn tell(&self, notice: &MoldNotice) {
        if let Err(error) = notice.send(&self.control) {
            log::debug!("the master is gone: {error}");
            process::exit(0);
        }
    }
}

/// Waits for a message, however long; its bytes, 0 if the other end is closed.
fn wait_for(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    loop {
        match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match sys::receive(socket, buffer, descriptors) {
            Ok(arrival) if arrival.truncated => {
                return Err(io::Error::other("too few descriptors can be open"));
            }
            Ok(arrival) => return Ok(arrival.bytes),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Waits in a fresh copy until it is to be a worker, and is what one finds at its start then.
fn become_worker(socket: &OwnedFd) -> Result<()> {
    let (mut buffer, mut descriptors) = (vec![0; LONGEST_ORDER], Vec::new());
    let length = wait_for(socket.as_fd(), &mut buffer, &mut descriptors)?;
    if length == 0 {
        sys::vanish(); // not wanted
    }
    let order: MoldOrder = serde_json::from_slice(&buffer[..length])
        .map_err(|error| Error::protocol(format!("an order that cannot be read: {error}")))?;
    carry_out(order, descriptors)
}

fn carry_out(order: MoldOrder, mut descriptors: Vec<OwnedFd>) -> Result<()> {
    let more = usize::from(order.passed.is_some());
    if descriptors.len() != order.numbers.len() + more {
        return Err(Error::protocol("an order without its descriptors"));
    }
    let passed = descriptors.pop_if(|_| order.passed.is_some());
    sys::place(descriptors, &order.numbers)?;
    for (name, value) in order.environment {
        match value {
            Some(value) => set(&name, &value)?,
            None => forget(&name)?,
        }
    }
    if let (Some(name), Some(descriptor)) = (&order.passed, passed) {
        set(name, descriptor.into_raw_fd().to_string().as_ref())?; // whoever reads it claims it
    }
    if let Some(name) = &order.own_pid {
        set(name, process::id().to_string().as_ref())?;
    }
    if let Some(cpus) = &order.cpus {
        bind_to(cpus).map_err(io::Error::from)?;
    }
    if let Some((signal, parent)) = order.death_signal {
        tie_to(signal, parent)?;
    }
    Ok(())
}

fn check(name: &OsStr, value: &OsStr) -> Result<()> {
    let is_name = !name.is_empty() && !name.as_bytes().iter().any(|byte| b"=\0".contains(byte));
    match is_name && !value.as_bytes().contains(&0) {
        true => Ok(()),
        false => Err(Error::protocol(format!("a variable {name:?}"))),
    }
}

fn set(name: &OsString, value: &OsStr) -> Result<()> {
    check(name, value)?;
    sys::set_variable(name, value);
    Ok(())
}

fn forget(name: &OsString) -> Result<()> {
    check(name, OsStr::new(""))?;
    sys::forget_variable(name);
    Ok(())
}

fn bind_to(cpus: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn tie_to(signal: i32, parent: u32) -> Result<()> {
    let signal = Signal::try_from(signal).map_err(io::Error::from)?;
    set_pdeathsig(signal).map_err(io::Error::from)?;
    match getppid().as_raw().cast_unsigned() == parent {
        true => Ok(()),
        false => Err(Error::Disconnected), // too late
    }
}
