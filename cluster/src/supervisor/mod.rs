//! Keeping workers alive, replacing them, and ending them together.

use std::{path::PathBuf, time::Duration};

use output::Output;
use policy::Limits;

use crate::{Error, ForkOptions, Master, Result, Settings, control::Control, upgrade::Heir};

mod caring;
mod clients;
mod journal;
mod manager;
mod molding;
mod output;
mod policy;
mod recycle;
mod signals;
mod source;
mod status;
mod supervised;
mod upgrading;
mod watchdog;
mod wishes;

pub use recycle::Recycle;
pub(crate) use signals::Blocked as BlockedSignals;
pub use status::{Status, WorkerState, WorkerStatus};
pub use supervised::Supervised;
pub(crate) use upgrading::SupervisedState;

/// For ever, but as a time that can be added to another.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Less than this is no measure of life.
const LEAST_WATCH: Duration = Duration::from_millis(100);

/// Why some programs cannot take over.
const FORKS_ITSELF: &str = "the program forks its workers itself, before it supervises them";

/// Keeps a number of workers alive, replaces them without a gap, and ends them together.
///
/// A worker that dies in service is replaced at once; one that dies before it was ready (it
/// listens, or says so) after a delay, which grows from 100 ms by half each time to at most
/// 30 s.
///
/// | signal | what happens |
/// |---|---|
/// | `TERM`, `QUIT`, `INT` | all workers leave gracefully, and the supervisor ends; sent again: at once |
/// | `HUP` | a [reload](Supervised::reload) |
/// | `USR1` | the [log file](Self::log_file) is opened again |
/// | `USR2` | an [upgrade](Supervised::upgrade) |
/// | `TTIN`, `TTOU` | one worker more, one fewer |
/// | `WINCH` | all workers leave, the sockets stay, until a reload; not on a terminal |
#[must_use]
#[derive(Debug)]
pub struct Supervisor {
    start: Start,
    workers: Option<usize>,
    options: ForkOptions,
    limits: Limits,
    takes_signals: bool,
    control: Option<Control>,
    output: Output,
    watchdog: Option<Duration>,
    recycle: Recycle,
    speaks_to_systemd: bool,
    preloads: bool,
}

/// What a supervisor begins with.
#[derive(Debug)]
enum Start {
    Settings(Box<Settings>),
    Master(Box<Master>),
}

impl Supervisor {
    /// A supervisor over a master with these settings.
    pub fn new(settings: Settings) -> Self {
        Self::of(Start::Settings(Box::new(settings)))
    }

    /// A supervisor over a master and the workers that it has.
    pub(crate) fn over(master: Master) -> Self {
        Self::of(Start::Master(Box::new(master)))
    }

    fn of(start: Start) -> Self {
        let (limits, options) = (Limits::default(), ForkOptions::new());
        Self {
            start,
            workers: None,
            options,
            limits,
            takes_signals: true,
            control: None,
            output: Output::Own,
            watchdog: None,
            recycle: Recycle::new(),
            speaks_to_systemd: true,
            preloads: false,
        }
    }

    /// How many workers. Default: one for each CPU this process may use.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// What the workers have of their own, beyond the settings.
    pub fn worker(mut self, options: ForkOptions) -> Self {
        self.options = options;
        self
    }

    /// How long a worker may take until it is ready, before it is ended and counts as failed.
    /// Default: 30 s.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.limits.start_timeout = timeout.min(LONGEST);
        self
    }

    /// How long a worker that is replaced, or leaves by itself, may finish what it has, before
    /// it gets `SIGTERM`, and one second later `SIGKILL`. Default: 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.limits.drain_timeout = timeout.min(LONGEST);
        self
    }

    /// The same for the workers in a stop. Default: 10 s.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.limits.stop_timeout = timeout.min(LONGEST);
        self
    }

    /// When for so long fewer than so many workers were ready, the supervisor gives up.
    /// Default: 1 worker, 60 s.
    pub fn quorum(mut self, workers: usize, timeout: Duration) -> Self {
        (self.limits.quorum, self.limits.quorum_timeout) = (workers, timeout.min(LONGEST));
        self
    }

    /// So many workers more than wanted may be there while they are replaced. Default: 1.
    pub fn max_surge(mut self, workers: usize) -> Self {
        self.limits.max_surge = workers;
        self
    }

    /// So many fewer may be ready meanwhile. Default: 0.
    pub fn max_unavailable(mut self, workers: usize) -> Self {
        self.limits.max_unavailable = workers;
        self
    }

    /// Has a [control socket](crate::control), at which the `cluster` command and other programs
    /// ask and tell it. Default: none.
    pub fn control(mut self, control: Control) -> Self {
        self.control = Some(control);
        self
    }

    /// A ready worker that does not serve its channel for so long hangs: it gets `SIGABRT`, for
    /// its stacks or its core, one second later `SIGKILL`, and another is started at once. One
    /// that only waits is asked first, and one that a debugger has stopped is left alone. Only
    /// workers that use `worker-api` are watched; a program that computes for long says
    /// [`tick`](crate::Worker::tick). Default: none.
    pub fn watchdog(mut self, timeout: Duration) -> Self {
        self.watchdog = Some(timeout.clamp(LEAST_WATCH, LONGEST));
        self
    }

    /// When workers are replaced though they are well, never two at once. Default: never.
    pub fn recycle(mut self, recycle: Recycle) -> Self {
        self.recycle = recycle;
        self
    }

    /// Does not speak to systemd, and leaves its variables in the environment. Default: where
    /// `NOTIFY_SOCKET` is set it hears when the first workers are ready, of reloads, upgrades and
    /// the stop, how many workers there are, and that the supervisor is alive; the workers do not
    /// see the variables.
    pub fn without_systemd(mut self) -> Self {
        self.speaks_to_systemd = false;
        self
    }

    /// Relays the workers' output to this process's own, in whole lines, which begin with
    /// `worker 3 | ` on a terminal. What a worker has printed last is told with its failure. See
    /// [`relay`](crate::relay) for what holds. Default: the workers have this process's streams.
    ///
    /// Streams that [`Settings::stdio`] gives to the workers instead are left alone.
    pub fn relay(mut self) -> Self {
        self.output = Output::Relayed;
        self
    }

    /// As [`relay`](Self::relay), but to the end of this file, which is made if it is not there,
    /// and opened again on `USR1`.
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.output = Output::File(path.into());
        self
    }

    /// The workers are copies of one process, which has loaded their program: see
    /// [`preload`](crate::preload), which the program has to call. Each reload starts such a
    /// process anew, of the program that is there then; if that fails within
    /// [`start_timeout`](Self::start_timeout), the old one goes on. Default: each worker starts
    /// its program.
    pub fn preload(mut self) -> Self {
        self.preloads = true;
        self
    }

    /// Leaves the process's signals alone, and as PID 1 its strangers ([`Reaper`](crate::Reaper)).
    /// Default: it obeys those of the table above.
    pub fn without_signals(mut self) -> Self {
        self.takes_signals = false;
        self
    }

    /// Runs until everything has ended.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`Supervised::poll`].
    pub fn run(self) -> Result<()> {
        let mut supervised = self.start()?;
        while supervised.poll(None)?.is_some() {}
        Ok(())
    }

    /// Starts to supervise, for a program that wants to see what happens, or has a loop of its
    /// own: nothing is done unless it calls [`Supervised::poll`].
    ///
    /// # Errors
    ///
    /// [`Error::NotMaster`] in a worker, [`Error::Settings`] for no workers at all, for a reload
    /// that may neither have one more nor one fewer, or as from [`Master::new`]; else what the
    /// system says.
    pub fn start(self) -> Result<Supervised> {
        if !worker_api::become_master()? {
            return Err(Error::NotMaster);
        }
        self.check()?;
        match Heir::of_this_process()? {
            Some(heir) => Supervised::take_over(self, heir),
            None => Supervised::new(self),
        }
    }

    /// What a program that takes over begins with.
    fn take_over_parts(&self) -> Result<(Settings, Option<Control>)> {
        match &self.start {
            Start::Settings(settings) => {
                Ok((settings.as_ref().clone().ignore_interrupt(), self.control.clone()))
            }
            Start::Master(_) => Err(Error::Upgrade { reason: FORKS_ITSELF.into() }),
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |what, value: &str| Err(Error::Settings { what, value: value.into() });
        if self.workers == Some(0) {
            return wrong("workers", "0 (at least 1 is needed)");
        }
        if self.limits.max_surge == 0 && self.limits.max_unavailable == 0 {
            return wrong("max_surge", "0, as max_unavailable (no worker could ever be replaced)");
        }
        Ok(())
    }
}
