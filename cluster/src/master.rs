//! The master: one loop over its workers' channels, their processes and its sockets.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, unix::SourceFd};
use worker_api::{
    Address, ToAddress,
    wire::{LONGEST_LINE, Link, SCOREBOARD, Scoreboard},
};

use crate::{
    Error, Event, ForkOptions, Policy, Result, Settings, Signal, WorkerRef,
    alarm::Alarm,
    child_process::{Birth, Command, Started},
    foreign::{Foreigners, Outfit},
    listeners::Listeners,
    mailbox::Mailbox,
    member::Member,
    place::Place,
    process::Process,
};

mod channel;
mod foreigners;
mod sharing;
mod source;
mod state;

pub(crate) use state::MasterState;

/// Bytes that are read from a worker at a time.
const SCRATCH: usize = 1 << 16;

/// How often a worker is read from before others have their turn.
const TURN: usize = 4;

/// A master without any process-wide state: it starts workers, owns the listening sockets they
/// ask for, and reports what happens to them.
///
/// It works only inside [`poll`](Self::poll). It touches no signals. Dropping it kills and
/// reaps the workers that are left: let them go before with [`disconnect`](Self::disconnect).
///
/// As a mio source, or through [`AsFd`], it is readable when `poll` has work, deadlines
/// included; then call `poll(Some(Duration::ZERO))` until it gives `None`.
#[derive(Debug)]
pub struct Master {
    settings: Settings,
    poll: Poll,
    ready: Events,
    mailbox: std::sync::Arc<Mailbox>,
    alarm: Alarm,
    workers: BTreeMap<u32, Member>,
    listeners: Listeners,
    foreigners: Foreigners,
    /// The last worker's number.
    last_id: u32,
    /// The number of the next message of the cluster module, to whatever worker.
    seq: u64,
    events: VecDeque<Event>,
    /// Channels to read in this turn of the loop.
    unread: BTreeSet<u32>,
    /// Channels with more to read, after a look at all others.
    later: BTreeSet<u32>,
    /// Workers whose notices are to be read on, after a look at all others.
    unheard: BTreeSet<u32>,
    /// Workers are about to be started that may want the sockets of those who went.
    expects_workers: bool,
    scratch: Box<[u8]>,
}

impl Master {
    /// A master with these settings, and its sockets for [`Settings::listen`].
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] for a setting that cannot be used, [`Error::Worker`] with
    /// [`Listen`](worker_api::Error::Listen) for an address that cannot be listened on, else
    /// what the system says.
    pub fn new(settings: Settings) -> Result<Self> {
        let mut master = Self::empty(settings)?;
        master.open_pinned()?;
        Ok(master)
    }

    fn empty(settings: Settings) -> Result<Self> {
        settings.check()?;
        let (_, allowed) = settings.addresses()?;
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(poll.registry(), Place::Mailbox.token())?;
        let alarm = Alarm::new()?;
        poll.registry().register(
            &mut SourceFd(&alarm.as_raw_fd()),
            Place::Alarm.token(),
            Interest::READABLE,
        )?;
        Ok(Self {
            listeners: Listeners::new(settings.chosen_policy()?, settings.rule(), allowed),
            settings,
            poll,
            ready: Events::with_capacity(256),
            mailbox: mailbox.into(),
            alarm,
            workers: BTreeMap::new(),
            foreigners: Foreigners::default(),
            last_id: 0,
            seq: 0,
            events: VecDeque::new(),
            unread: BTreeSet::new(),
            later: BTreeSet::new(),
            unheard: BTreeSet::new(),
            expects_workers: false,
            scratch: vec![0; SCRATCH].into(),
        })
    }

    /// Opens the sockets that the settings ask for.
    fn open_pinned(&mut self) -> Result<()> {
        let (listen, _) = self.settings.addresses()?;
        for address in listen {
            self.listen(address)?;
        }
        Ok(())
    }

    /// Starts a worker.
    ///
    /// # Errors
    ///
    /// [`Error::Fork`] if it cannot be started.
    pub fn fork(&mut self) -> Result<WorkerRef> {
        self.fork_with(&ForkOptions::new())
    }

    /// Starts a worker with something of its own.
    ///
    /// # Errors
    ///
    /// As [`fork`](Self::fork).
    pub fn fork_with(&mut self, options: &ForkOptions) -> Result<WorkerRef> {
        self.fork_by(options, |birth| birth.start())
    }

    /// The same for a worker that comes to life in another way than by a start of its program.
    pub(crate) fn fork_by(
        &mut self,
        options: &ForkOptions,
        bear: impl FnOnce(&Birth<'_>) -> io::Result<Process>,
    ) -> Result<WorkerRef> {
        let id = self.last_id + 1;
        let slot = options.wanted_slot().unwrap_or_else(|| self.free_slot());
        let (mut command, program, outfit) = self.command(id, slot, options)?;
        let board = scoreboard(id, &mut command);
        let started = command.start_by(bear).map_err(|error| match error {
            Error::Spawn { program, source } => Error::Fork { program, source },
            other => other,
        })?;
        self.last_id = id;
        let worker = self
            .admit(id, slot, started, outfit, board)
            .map_err(|source| Error::Fork { program, source })?;
        log::info!("{worker} (pid {}) started", worker.pid());
        self.report(Event::Fork { worker: worker.clone() });
        self.check_in(&worker);
        self.ring(); // somebody else's loop may be waiting for us
        Ok(worker)
    }

    fn free_slot(&self) -> usize {
        let taken: BTreeSet<usize> = self.workers.values().map(|member| member.slot).collect();
        (0..).zip(&taken).find(|(slot, taken)| slot != *taken).map_or(taken.len(), |(slot, _)| slot)
    }

    fn admit(
        &mut self,
        id: u32,
        slot: usize,
        started: Started,
        outfit: Outfit,
        board: Option<Scoreboard>,
    ) -> io::Result<WorkerRef> {
        let channel = started.ipc.ok_or(io::ErrorKind::NotConnected)?;
        let link = Link::new(channel, LONGEST_LINE, self.settings.chosen_serialization())?;
        let mailbox = self.mailbox.clone();
        let channel = link.as_fd().as_raw_fd();
        let worker = WorkerRef::new(id, started.process, link, started.stdio, mailbox, board);
        let watched = self.watch_worker(&worker, Some(channel));
        if let Err(error) = watched.and_then(|()| self.admit_foreigner(&worker, outfit)) {
            worker.kill(Signal::KILL)?; // nobody would hear of it
            return Err(error);
        }
        self.workers.insert(id, Member::new(worker.clone(), slot));
        Ok(worker)
    }

    fn watch_worker(&self, worker: &WorkerRef, channel: Option<RawFd>) -> io::Result<()> {
        let (registry, id) = (self.poll.registry(), worker.id());
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Some(channel) = channel {
            registry.register(&mut SourceFd(&channel), Place::Channel(id).token(), both)?;
        }
        let process = worker.inner.process.as_fd().as_raw_fd();
        let token = Place::Process(id).token();
        registry.register(&mut SourceFd(&process), token, Interest::READABLE)
    }

    /// Listens on an address before any worker asks, and until the master ends; where it
    /// listens, with the real port.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] with [`Listen`](worker_api::Error::Listen): in use, not permitted.
    pub fn listen(&mut self, address: impl ToAddress) -> Result<Address> {
        let address = address.to_address()?.absolute()?;
        let number = self
            .listeners
            .pin(&address, &self.settings)
            .map_err(|source| worker_api::Error::Listen { address: address.clone(), source })?;
        self.watch(number)?;
        Ok(self.listeners.local(number).cloned().unwrap_or(address))
    }

    fn watch(&self, number: usize) -> io::Result<()> {
        let Some(socket) = self.listeners.descriptor(number) else { return Ok(()) };
        if !self.listeners.is_handed(number) {
            return Ok(());
        }
        let token = Place::Socket(number).token();
        match self.poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            token,
            Interest::READABLE,
        ) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        }
    }

    fn unwatch(&self, socket: BorrowedFd<'_>) {
        let mut source = SourceFd(&socket.as_raw_fd());
        if let Err(error) = self.poll.registry().deregister(&mut source) {
            log::debug!("cannot stop watching a socket: {error}");
        }
    }

    /// The next event, waiting at most so long; `None` for the timeout: as long as it takes.
    /// `None` for an event: not in time, or, as [`is_finished`](Self::is_finished) tells, no
    /// worker is left.
    ///
    /// # Errors
    ///
    /// What the system says about waiting. What a worker does is never an error here.
    pub fn poll(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut in_time = true;
        loop {
            self.work()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_finished() {
                return Ok(None);
            }
            if !in_time {
                if !self.later.is_empty() {
                    self.ring();
                }
                return Ok(None);
            }
            in_time = self.wait(end)?;
        }
    }

    /// Everything that can be done without waiting, until there is an event to report.
    fn work(&mut self) -> Result<()> {
        self.close_unused();
        for worker in self.mailbox.take() {
            self.tell_to_leave(worker);
        }
        while self.events.is_empty() {
            self.tend_groups();
            self.hand_over();
            let Some(worker) = self.unread.pop_first() else { break };
            if (0..TURN).all(|_| self.read(worker)) {
                self.later.insert(worker);
            }
        }
        let deadlines = [self.listeners.deadline(), self.foreigners.deadline()];
        self.alarm.set(deadlines.into_iter().flatten().min())?;
        Ok(())
    }

    /// Waits, and takes note of what is ready; `false`: time is up. A worker that never stops
    /// talking does not keep us from looking at the others.
    fn wait(&mut self, end: Option<Instant>) -> Result<bool> {
        let left = match self.later.is_empty() {
            true => end.map(|end| end.saturating_duration_since(Instant::now())),
            false => Some(Duration::ZERO),
        };
        let mut ready = std::mem::replace(&mut self.ready, Events::with_capacity(0));
        let outcome = self.poll.poll(&mut ready, left);
        for event in &ready {
            let place = Place::of(event.token());
            if let Place::Channel(id) = place
                && event.is_writable()
                && let Some(member) = self.workers.get(&id)
            {
                member.worker.outlet().flush();
            }
            self.note(place);
        }
        self.ready = ready;
        self.unread.append(&mut self.later);
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(end.is_none_or(|end| Instant::now() < end)),
        }
    }

    fn note(&mut self, place: Place) {
        match place {
            Place::Mailbox => {
                for worker in std::mem::take(&mut self.unheard) {
                    self.read_notices(worker);
                }
            }
            Place::Alarm => {
                self.alarm.rang();
                self.listeners.wake();
                self.look_at_foreigners();
            }
            Place::Socket(number) => self.listeners.is_ready(number),
            Place::Process(id) => self.ended(id),
            Place::Notices(id) => self.read_notices(id),
            Place::Channel(id) => {
                self.unread.insert(id);
            }
        }
    }

    /// A worker's process has ended: what it said before is still heard, though not what others
    /// say who hold its end of the channel, and might never stop.
    fn ended(&mut self, id: u32) {
        let Some(member) = self.workers.get(&id) else { return };
        let worker = member.worker.clone();
        let status = match worker.inner.process.try_wait() {
            Ok(Some(status)) => status,
            Ok(None) => return,
            Err(error) => {
                log::error!("the end of {worker} was taken by somebody else: {error}");
                std::os::unix::process::ExitStatusExt::from_raw(0)
            }
        };
        worker.outlet().stop_receiving();
        while self.read(id) {}
        self.disconnected(id);
        self.workers.remove(&id);
        self.foreigners.forget(id);
        self.unwatch(worker.inner.process.as_fd());
        worker.set_state(crate::State::Dead);
        log::info!("{worker} (pid {}) ended: {status}", worker.pid());
        self.report(Event::Exit { worker, status });
    }

    /// A crash of all workers closes no socket while others are on their way: those that
    /// were started after it, or in answer to its event.
    fn close_unused(&mut self) {
        if !self.events.is_empty() {
            return; // the user has not yet seen what might make him start another
        }
        let (workers, expects) = (&self.workers, self.expects_workers);
        let unused = self.listeners.sweep(self.settings.socket_limit(), |since| {
            expects || workers.values().any(|member| member.may_still_listen(since))
        });
        for socket in unused {
            self.unwatch(socket.as_fd());
        }
    }

    fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// How the workers get their connections.
    pub fn policy(&self) -> Policy {
        self.listeners.policy()
    }

    /// The workers whose processes have not ended, by their numbers.
    pub fn workers(&self) -> Vec<WorkerRef> {
        self.workers.values().map(|member| member.worker.clone()).collect()
    }

    /// The worker with this number, if its process has not ended.
    pub fn worker(&self, id: u32) -> Option<WorkerRef> {
        self.workers.get(&id).map(|member| member.worker.clone())
    }

    /// Changes the settings for later forks: what these say comes before what the former said.
    /// The policy stays. Reported as [`Event::Setup`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the former settings stay then.
    pub fn setup(&mut self, settings: Settings) -> Result<()> {
        let (listen, _) = settings.addresses()?;
        let merged = self.settings.clone().merged(settings);
        merged.check()?;
        let (_, allowed) = merged.addresses()?;
        let former = std::mem::replace(&mut self.settings, merged);
        for address in listen {
            if let Err(error) = self.listen(address) {
                self.settings = former;
                return Err(error);
            }
        }
        self.listeners.allow(allowed);
        self.report_setup();
        Ok(())
    }

    pub(crate) fn report_setup(&mut self) {
        self.report(Event::Setup { settings: self.settings.clone().into() });
    }

    /// Asks all workers to leave; poll on until [`is_finished`](Self::is_finished).
    pub fn disconnect(&mut self) {
        for worker in self.workers() {
            worker.set_exited_after_disconnect();
            self.tell_to_leave(worker.id());
        }
        self.ring();
    }

    /// Whether workers are about to be started: meanwhile the sockets of those who went stay
    /// open for them.
    pub(crate) fn expect_workers(&mut self, on: bool) {
        self.expects_workers = on;
    }

    /// No more workers are to come: the sockets of the settings close with the last one, too.
    pub(crate) fn unpin(&mut self) {
        self.listeners.unpin();
    }

    /// Whether no worker is left.
    pub fn is_finished(&self) -> bool {
        self.workers.is_empty() && self.events.is_empty()
    }

    /// Wakes up whoever waits for this master, for there is something to report.
    pub(crate) fn ring(&self) {
        self.mailbox.ring();
    }
}

/// The page where the worker is to write how it does. Without it a worker works just as well.
fn scoreboard(id: u32, command: &mut Command) -> Option<Scoreboard> {
    let made = Scoreboard::new(id).and_then(|board| {
        command.pass(SCOREBOARD, board.as_fd().try_clone_to_owned()?);
        Ok(board)
    });
    made.inspect_err(|error| log::warn!("worker {id} has no scoreboard: {error}")).ok()
}

impl Drop for Master {
    fn drop(&mut self) {
        for member in self.workers.values() {
            member.worker.outlet().close(|_| {});
            if let Err(error) = member.worker.kill(Signal::KILL) {
                log::error!("cannot kill {}: {error}", member.worker);
            }
        }
        for member in self.workers.values() {
            if let Err(error) = member.worker.inner.process.status() {
                log::debug!("cannot wait for {}: {error}", member.worker);
            }
            member.worker.set_state(crate::State::Dead);
        }
    }
}

impl AsFd for Master {
    fn as_fd(&self) -> BorrowedFd<'_> {
        crate::sys::descriptor_of(&self.poll)
    }
}

impl AsRawFd for Master {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
