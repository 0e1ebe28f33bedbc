//! Keeping workers alive, and ending them together.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};
use policy::{Action, Limits, Policy};

use crate::{
    Error, Event, ForkOptions, Master, Result, Settings, available_parallelism, process::poll_until,
};

mod policy;
mod stop_signals;

/// For ever, but as a time that can be added to another.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Events after which signals and deadlines have their turn, however many there are.
const BATCH: usize = 1024;

use stop_signals::StopSignals;

/// Keeps a number of workers alive and ends them together.
///
/// A worker that dies in service is replaced at once; one that dies before it was ready (it
/// listens, or says so) after a delay, which grows from 100 ms by half each time to at most
/// 30 s. `SIGTERM`, `SIGINT` and `SIGQUIT` end all workers gracefully; a second signal stops
/// the waiting.
#[must_use]
#[derive(Debug)]
pub struct Supervisor {
    start: Start,
    workers: Option<usize>,
    options: ForkOptions,
    limits: Limits,
    takes_signals: bool,
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
        let limits = Limits {
            stop_timeout: Duration::from_secs(10),
            quorum: 1,
            quorum_timeout: Duration::from_secs(30),
        };
        let options = ForkOptions::new();
        Self { start, workers: None, options, limits, takes_signals: true }
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

    /// How long a stop waits for the workers before it sends them `SIGTERM`, and one second
    /// later `SIGKILL`; and for how long a worker may live on whose channel is closed. Default:
    /// 10 s.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.limits.stop_timeout = timeout.min(LONGEST);
        self
    }

    /// When for so long fewer than so many workers were ready, the supervisor gives up.
    /// Default: 1 worker, 30 s.
    pub fn quorum(mut self, workers: usize, timeout: Duration) -> Self {
        (self.limits.quorum, self.limits.quorum_timeout) = (workers, timeout.min(LONGEST));
        self
    }

    /// Leaves the process's signals alone. Default: `SIGTERM`, `SIGINT` and `SIGQUIT` stop.
    pub fn without_signals(mut self) -> Self {
        self.takes_signals = false;
        self
    }

    /// Runs until everything has ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotMaster`] in a worker, [`Error::Settings`] for no workers at all or as from
    /// [`Master::new`], [`Error::Quorum`] when too few workers become ready, else what the
    /// system says about waiting.
    pub fn run(self) -> Result<()> {
        self.start()?.run()
    }

    fn start(self) -> Result<Running> {
        if !worker_api::become_master()? {
            return Err(Error::NotMaster);
        }
        let count = self.workers;
        if count == Some(0) {
            return Err(Error::Settings {
                what: "workers",
                value: "0 (at least 1 is needed)".into(),
            });
        }
        let (master, adopted) = match self.start {
            Start::Settings(settings) => (Master::new(settings.ignore_interrupt())?, Vec::new()),
            Start::Master(mut master) => {
                master.setup(Settings::new().ignore_interrupt())?;
                let workers = master.workers();
                (*master, workers)
            }
        };
        let slots = match adopted.len() {
            0 => count.unwrap_or_else(available_parallelism),
            forked => forked,
        };
        let now = Instant::now();
        let mut policy = Policy::new(slots, self.limits, now);
        for (slot, worker) in adopted.iter().enumerate() {
            policy.started(slot, worker.id());
        }
        let signals = if self.takes_signals { Some(StopSignals::take()?) } else { None };
        Ok(Running { master, policy, options: self.options, signals, last: None })
    }
}

/// A supervisor at work.
#[derive(Debug)]
struct Running {
    master: Master,
    policy: Policy,
    options: ForkOptions,
    signals: Option<StopSignals>,
    /// How the last worker that was not ready ended.
    last: Option<String>,
}

impl Running {
    fn run(mut self) -> Result<()> {
        while !self.policy.is_stopped() {
            while let Some(action) = self.policy.next(Instant::now()) {
                self.carry_out(action)?;
            }
            let is_all = self.take_note()?;
            let now = Instant::now();
            for _ in 0..self.signals.as_ref().map_or(0, StopSignals::count) {
                self.policy.stop(now);
                self.master.unpin();
            }
            let due = self.policy.deadline().is_some_and(|deadline| deadline <= now);
            if is_all && !due && !self.policy.is_stopped() && !self.policy.has_actions() {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Takes note of what has happened; whether that was all.
    fn take_note(&mut self) -> Result<bool> {
        for _ in 0..BATCH {
            self.master.expect_workers(self.policy.has_vacancy());
            let Some(event) = self.master.poll(Some(Duration::ZERO))? else { return Ok(true) };
            self.note(event);
        }
        Ok(false)
    }

    fn wait(&self) -> io::Result<()> {
        let master = PollFd::new(self.master.as_fd(), PollFlags::POLLIN);
        let mut all = vec![master];
        if let Some(signals) = &self.signals {
            all.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        }
        poll_until(&mut all, self.policy.deadline()).map(drop)
    }

    fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Start { slot } => match self.master.fork_with(&self.options) {
                Ok(worker) => self.policy.started(slot, worker.id()),
                Err(error) => {
                    log::error!("{error:?}");
                    self.last = Some(format!("{error:?}"));
                    self.policy.failed(slot, Instant::now());
                }
            },
            Action::Disconnect { worker } => {
                if let Some(worker) = self.master.worker(worker) {
                    worker.disconnect();
                }
            }
            Action::Kill { worker, signal } => {
                if let Some(worker) = self.master.worker(worker) {
                    log::warn!("{worker} (pid {}) does not leave: {signal}", worker.pid());
                    worker.kill(signal)?;
                }
            }
            Action::GiveUp => {
                let (ready, wanted) = self.policy.quorum();
                let last = self.last.take().map(Into::into);
                return Err(Error::Quorum { ready, wanted, last });
            }
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Listening { worker, .. } | Event::Ready { worker } => {
                self.policy.ready(worker.id(), now);
            }
            Event::Disconnect { worker } => self.policy.disconnected(worker.id(), now),
            Event::Exit { worker, status } => {
                if !worker.exited_after_disconnect() {
                    log::warn!("{worker} (pid {}) is gone: {status}", worker.pid());
                    self.last = Some(format!("{worker} ended with {status}"));
                }
                self.policy.exited(worker.id(), now);
            }
            _ => {}
        }
    }
}
