//! A supervisor at work.

use std::{
    collections::VecDeque,
    io, mem,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use super::{
    Start, Supervisor,
    caring::Care,
    journal::Journal,
    manager::Manager,
    output::Output,
    policy::{Action, Calm, Policy, Verdict},
    signals::{Signals, Wish},
    upgrading::{ORPHAN, Upgrading},
};
use crate::{
    Error, Event, ForkOptions, Master, Result, Settings, Signal, alarm::Alarm,
    available_parallelism, control::Desk, files, mold::Molds, orphans, reaper::Reaper,
    relay::Relay, upgrade::Image,
};

/// In the order of [`Supervised::watch`].
const SIGNALS: Token = Token(2);

/// Events after which signals and deadlines have their turn, however many there are.
const BATCH: usize = 1024;

/// A supervisor at work: a [`Master`] that looks after its workers. It works only inside
/// [`poll`](Self::poll).
///
/// As a mio source, or through [`AsFd`], it is readable when `poll` has work, deadlines
/// included; then call `poll(Some(Duration::ZERO))` until it gives `None`.
#[derive(Debug)]
pub struct Supervised {
    pub(super) master: Master,
    pub(super) policy: Calm,
    /// How many workers the program asked for.
    pub(super) wanted: usize,
    /// The program has forked the first workers without a supervisor.
    pub(super) forks_itself: bool,
    pub(super) options: ForkOptions,
    pub(super) output: Output,
    /// Dropped after the master, so that it hears all workers to their end.
    pub(super) relay: Option<Relay>,
    pub(super) care: Care,
    pub(super) manager: Option<Manager>,
    reaper: Option<Reaper>,
    signals: Option<Signals>,
    pub(super) poll: Poll,
    ready: Events,
    /// The last wait has seen that no signal came.
    is_quiet: bool,
    alarm: Alarm,
    pub(super) journal: Journal,
    pub(super) events: VecDeque<Event>,
    pub(super) desk: Option<Desk>,
    pub(super) image: Image,
    pub(super) upgrading: Upgrading,
    pub(super) molds: Option<Molds>,
}

impl Supervised {
    pub(super) fn new(mut supervisor: Supervisor) -> Result<Self> {
        let desk = supervisor.control.clone().map(Desk::new).transpose()?;
        let now = Instant::now();
        let settings = match &mut supervisor.start {
            Start::Settings(settings) => mem::take(&mut **settings).ignore_interrupt(),
            Start::Master(_) => return Self::adopt(supervisor, desk, now),
        };
        let slots = supervisor.workers.unwrap_or_else(available_parallelism);
        let policy = Policy::new(slots, supervisor.limits.clone(), now);
        Self::assemble(&supervisor, Master::new(settings)?, policy, desk)
    }

    /// Over a master that has its workers.
    fn adopt(mut supervisor: Supervisor, desk: Option<Desk>, now: Instant) -> Result<Self> {
        let start = Start::Settings(Box::default());
        let Start::Master(mut master) = std::mem::replace(&mut supervisor.start, start) else {
            return Self::new(supervisor);
        };
        master.setup(Settings::new().ignore_interrupt())?;
        let workers = master.workers();
        let wanted = || supervisor.workers.unwrap_or_else(available_parallelism);
        let slots = if workers.is_empty() { wanted() } else { workers.len() };
        let mut policy = Policy::new(slots, supervisor.limits.clone(), now);
        for (slot, worker) in workers.iter().enumerate() {
            policy.started(slot, worker.id(), now);
        }
        let supervised = Self::assemble(&supervisor, *master, policy, desk)?;
        Ok(Self { forks_itself: !workers.is_empty(), ..supervised })
    }

    pub(super) fn assemble(
        supervisor: &Supervisor,
        master: Master,
        policy: Policy,
        desk: Option<Desk>,
    ) -> Result<Self> {
        files::raise();
        let supervised = Self {
            master,
            wanted: supervisor.workers.unwrap_or_else(available_parallelism),
            forks_itself: false,
            policy: Calm::new(policy),
            options: supervisor.options.clone(),
            output: supervisor.output.clone(),
            relay: supervisor.output.relay()?,
            care: Care::new(supervisor.watchdog, supervisor.recycle),
            manager: supervisor.speaks_to_systemd.then(Manager::from_environment).flatten(),
            reaper: if supervisor.takes_signals { Reaper::take()? } else { None },
            signals: if supervisor.takes_signals { Some(Signals::take()?) } else { None },
            poll: Poll::new()?,
            ready: Events::with_capacity(8),
            is_quiet: false,
            alarm: Alarm::new()?,
            journal: Journal::default(),
            events: VecDeque::new(),
            desk,
            image: Image::of_this_process()?,
            upgrading: Upgrading::Not,
            molds: supervisor.preloads.then(Molds::new).transpose()?,
        };
        supervised.watch()?;
        Ok(supervised)
    }

    fn watch(&self) -> io::Result<()> {
        let watched = [
            Some(self.master.as_raw_fd()),
            Some(self.alarm.as_raw_fd()),
            self.signals.as_ref().map(AsRawFd::as_raw_fd),
            self.desk.as_ref().map(AsRawFd::as_raw_fd),
            self.reaper.as_ref().map(|reaper| reaper.as_fd().as_raw_fd()),
            self.molds.as_ref().map(AsRawFd::as_raw_fd),
        ];
        for (number, watched) in watched.into_iter().enumerate() {
            if let Some(watched) = watched {
                let mut source = SourceFd(&watched);
                self.poll.registry().register(&mut source, Token(number), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    /// The next event, waiting at most so long; `None` for the timeout: as long as it takes.
    /// `None` for an event: not in time, or, as [`is_finished`](Self::is_finished) tells, all
    /// has ended. Nothing has to be done about any event.
    ///
    /// # Errors
    ///
    /// [`Error::Quorum`] when too few workers become ready, else what the system says about
    /// waiting.
    pub fn poll(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut in_time = true;
        loop {
            let is_all = self.work()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_finished() {
                if let Some(mut desk) = self.desk.take() {
                    desk.close(Ok(()));
                }
                return Ok(None);
            }
            if is_all && !self.go_on() {
                self.alarm.set(self.deadline())?;
                if !in_time {
                    return Ok(None);
                }
                in_time = self.wait(end)?;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let all = [
            self.policy.deadline(),
            self.trial_deadline(),
            self.care.deadline(),
            self.manager.as_ref().and_then(Manager::deadline),
            self.reaper.as_ref().and_then(Reaper::deadline),
            self.molds.as_ref().and_then(Molds::deadline),
        ];
        all.into_iter().flatten().min()
    }

    /// Everything that can be done without waiting; whether that was all.
    fn work(&mut self) -> Result<bool> {
        let signals = self.signals.as_mut().filter(|_| !mem::take(&mut self.is_quiet));
        let wishes = signals.map(Signals::wishes).unwrap_or_default();
        for wish in wishes {
            self.obey(wish);
        }
        let is_all = self.serve_clients() & self.take_note()?;
        self.reap();
        self.take_care();
        let mut acted = false;
        while let Some(action) = self.next_action() {
            self.carry_out(action)?;
            acted = true;
        }
        acted |= self.tend_molds();
        self.tell_manager();
        Ok(is_all && !acted && !self.check_trial())
    }

    fn next_action(&mut self) -> Option<Action> {
        self.policy.hold_starts(self.lacks_spare());
        self.policy.next(Instant::now())
    }

    /// Takes note of what has happened, before anything is done about any of it; whether that
    /// was all.
    fn take_note(&mut self) -> Result<bool> {
        for _ in 0..BATCH {
            self.master.expect_workers(self.policy.has_vacancy());
            let Some(event) = self.master.poll(Some(Duration::ZERO))? else { return Ok(true) };
            self.note(&event);
            self.report(event);
        }
        Ok(false)
    }

    pub(super) fn report(&mut self, event: Event) {
        if let Some(desk) = &mut self.desk {
            desk.note(&event);
        }
        self.events.push_back(event);
    }

    fn reap(&mut self) {
        if let Some(reaper) = &mut self.reaper {
            reaper.reap(Instant::now());
        }
    }

    fn wait(&mut self, end: Option<Instant>) -> Result<bool> {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let outcome = self.poll.poll(&mut self.ready, left);
        self.is_quiet = outcome.is_ok() && self.ready.iter().all(|one| one.token() != SIGNALS);
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        if self.ready.iter().any(|one| one.token() == ORPHAN) {
            orphans::sweep();
        }
        self.alarm.rang();
        Ok(end.is_none_or(|end| Instant::now() < end))
    }

    fn obey(&mut self, wish: Wish) {
        log::info!("asked by a signal: {wish:?}");
        match wish {
            Wish::Stop => self.stop(),
            Wish::Reload => _ = self.reload(),
            Wish::OneMore => self.scale(self.policy.size() + 1),
            Wish::OneFewer => self.scale(self.policy.size() - 1),
            Wish::Pause => self.pause(),
            Wish::Upgrade => self.upgrade(),
            Wish::ReopenLogs => self.reopen_log(),
        }
    }

    fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Start { slot } => self.start(slot),
            Action::Disconnect { worker } => {
                if let Some(worker) = self.master.worker(worker) {
                    worker.disconnect();
                }
            }
            Action::Kill { worker, signal } => {
                if let Some(worker) = self.master.worker(worker) {
                    if signal == Signal::TERM && self.master.is_foreign(worker.id()) {
                        worker.disconnect(); // which is this signal, for such a worker
                        return Ok(());
                    }
                    log::warn!("{worker} (pid {}) gets {signal}", worker.pid());
                    worker.kill(signal)?;
                }
            }
            Action::Reloaded(verdict) => {
                self.judge_molds(verdict);
                self.report_verdict(verdict);
            }
            Action::GiveUp => {
                let (ready, wanted) = self.policy.quorum();
                let last = self.journal.trouble().map(Into::into);
                let error = Error::Quorum { ready, wanted, last };
                if let Some(mut desk) = self.desk.take() {
                    desk.close(Err(&error));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn report_verdict(&mut self, verdict: Verdict) {
        self.report_reload(self.journal.outcome(verdict, self.relay.as_ref()));
    }

    pub(super) fn report_reload(&mut self, outcome: Result<u64>) {
        match &outcome {
            Ok(generation) => log::info!("reloaded: generation {generation}"),
            Err(error) => log::error!("{error:?}"),
        }
        self.note_reload(&outcome);
        self.report(Event::Reload { outcome });
    }

    fn start(&mut self, slot: usize) {
        let now = Instant::now();
        match self.fork(slot) {
            Ok(worker) => {
                self.policy.started(slot, worker.id(), now);
            }
            Err(error) => {
                log::error!("{error:?}");
                self.journal.not_started(&error);
                self.policy.failed(slot, now);
            }
        }
    }

    fn note(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::Online { worker } => self.policy.online(worker.id()),
            Event::Listening { worker, .. } | Event::Ready { worker } => {
                self.policy.ready(worker.id(), now);
            }
            Event::Disconnect { worker } => self.policy.disconnected(worker.id(), now),
            Event::Exit { worker, status } => {
                if !worker.exited_after_disconnect() {
                    log::warn!("{worker} (pid {}) is gone: {status}", worker.pid());
                }
                let slot = self.policy.place_of(worker.id()).map(|(slot, ..)| slot);
                let words = self.relay.as_ref().map(|relay| relay.closed(worker.id()));
                self.journal.ended(worker, *status, slot, &words.unwrap_or_default());
                self.policy.exited(worker.id(), now);
            }
            _ => {}
        }
    }
}
