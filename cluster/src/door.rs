//! One master for the whole process, behind plain functions.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags};
use worker_api::become_master;

use crate::{
    Error, Event, ForkOptions, Master, Result, Settings, Supervisor, WorkerRef,
    process::poll_until, quota,
};

static MASTER: Mutex<Option<Master>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Master>> {
    MASTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs something with the process's master, which is made at the first call.
fn with_master<T>(act: impl FnOnce(&mut Master) -> Result<T>) -> Result<T> {
    if !become_master()? {
        return Err(Error::NotMaster);
    }
    let mut master = lock();
    match &mut *master {
        Some(master) => act(master),
        empty => act(empty.insert(Master::new(Settings::new())?)),
    }
}

/// Whether no master started this process: it is one, or may become one.
pub fn is_master() -> bool {
    !worker_api::is_worker()
}

/// Changes the settings for later forks, as often as wanted: what these say comes before what
/// was said before. The policy is that of the first call here or of [`fork`].
///
/// # Errors
///
/// [`Error::NotMaster`] in a worker; as [`Master::new`] and [`Master::setup`].
pub fn setup(settings: Settings) -> Result<()> {
    if !become_master()? {
        return Err(Error::NotMaster);
    }
    let mut master = lock();
    match &mut *master {
        Some(master) => master.setup(settings),
        empty => {
            let master = empty.insert(Master::new(settings)?);
            master.report_setup();
            Ok(())
        }
    }
}

/// Starts a worker: this program once more, unless [`setup`] says otherwise. Nothing is served
/// until [`events`] or [`run`] is called.
///
/// # Errors
///
/// [`Error::NotMaster`] in a worker, so that a forgotten [`is_worker`](crate::is_worker) does
/// not fill the machine; [`Error::Fork`] if it cannot be started.
pub fn fork() -> Result<WorkerRef> {
    fork_with(&ForkOptions::new())
}

/// Starts a worker with something of its own.
///
/// # Errors
///
/// As [`fork`].
pub fn fork_with(options: &ForkOptions) -> Result<WorkerRef> {
    with_master(|master| master.fork_with(options))
}

/// The workers whose processes have not ended.
pub fn workers() -> Vec<WorkerRef> {
    lock().as_ref().map(Master::workers).unwrap_or_default()
}

/// Asks all workers to leave; [`events`] ends when all are gone.
pub fn disconnect() {
    if let Some(master) = &mut *lock() {
        master.disconnect();
    }
}

/// The events of the process's master, until no worker is left. The master works only while
/// somebody waits here.
///
/// An error is one of the system's about waiting, and the last item, as is
/// [`Error::NotMaster`] in a worker.
#[must_use = "nothing is served unless the events are waited for"]
pub fn events() -> Events {
    Events { waiting: None, is_over: false }
}

/// See [`events`].
#[derive(Debug)]
pub struct Events {
    /// The master's descriptor, to wait on without the lock.
    waiting: Option<OwnedFd>,
    is_over: bool,
}

impl Events {
    fn step(&mut self) -> Result<Option<Event>> {
        loop {
            let step = with_master(|master| {
                let event = master.poll(Some(Duration::ZERO))?;
                if self.waiting.is_none() {
                    self.waiting = Some(master.as_fd().try_clone_to_owned()?);
                }
                Ok((event, master.is_finished()))
            })?;
            match step {
                (Some(event), _) => return Ok(Some(event)),
                (None, true) => return Ok(None),
                (None, false) => {}
            }
            if let Some(waiting) = &self.waiting {
                poll_until(&mut [PollFd::new(waiting.as_fd(), PollFlags::POLLIN)], None)?;
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let step = self.step().transpose();
        self.is_over = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Supervises: the workers forked so far, else one for each CPU, until a signal ends all. A
/// worker that dies is replaced; see [`Supervisor`].
///
/// The functions of this page know nothing of these workers from then on.
///
/// # Errors
///
/// [`Error::NotMaster`] in a worker; as [`Supervisor::run`].
pub fn run() -> Result<()> {
    let master = with_master(|_| Ok(()))
        .map(|()| lock().take())?
        .map_or_else(|| Master::new(Settings::new()), Ok)?;
    Supervisor::over(master).run()
}

/// How many workers this machine has CPUs for: affinity, cpuset and the quota of control groups
/// counted, in whole CPUs; at least 1.
pub fn available_parallelism() -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, Into::into);
    quota::cpus().map_or(cpus, |quota| quota.min(cpus))
}
