//! A worker as its master sees it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use worker_api::{
    Address, Handle, Score, Serialization,
    structured::Value,
    wire::{Act, Cluster, Link, Scoreboard, pack},
};

use crate::{Result, Signal, Usage, mailbox::Mailbox, outlet::Outlet, process::Process};

/// How far a worker has come.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Started; its program has not found its channel yet, or is none that looks for one.
    Starting,
    /// Its program runs.
    Online,
    /// It accepts connections, or says that it is ready.
    Listening,
    /// Its channel is closed.
    Disconnected,
    /// Its process has ended.
    Dead,
}

/// A worker as its master sees it; clones are the same worker. It stays valid when the worker
/// is gone: then nothing is sent and nothing is killed.
#[derive(Clone, Debug)]
pub struct WorkerRef {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: u32,
    pub(crate) process: Process,
    serialization: Serialization,
    outlet: Mutex<Outlet>,
    facts: Mutex<Facts>,
    stdio: Mutex<Vec<Option<UnixStream>>>,
    mailbox: Arc<Mailbox>,
    /// Where the worker writes how it does; its file is for the next master.
    pub(crate) board: Option<Scoreboard>,
    started: Instant,
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) state: State,
    pub(crate) addresses: Vec<Address>,
    pub(crate) exited_after_disconnect: bool,
}

/// What a worker consists of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) process: Process,
    pub(crate) serialization: Serialization,
    pub(crate) outlet: Outlet,
    pub(crate) facts: Facts,
    pub(crate) stdio: Vec<Option<UnixStream>>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) board: Option<Scoreboard>,
    pub(crate) age: Duration,
}

impl Inner {
    /// Our ends of the worker's pipes that nobody has taken.
    pub(crate) fn stdio(&self) -> MutexGuard<'_, Vec<Option<UnixStream>>> {
        lock(&self.stdio)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorkerRef {
    pub(crate) fn new(
        id: u32,
        process: Process,
        link: Link,
        stdio: Vec<Option<UnixStream>>,
        mailbox: Arc<Mailbox>,
        board: Option<Scoreboard>,
    ) -> Self {
        let facts =
            Facts { state: State::Starting, addresses: Vec::new(), exited_after_disconnect: false };
        let (serialization, outlet) = (link.serialization(), Outlet::new(link));
        let age = Duration::ZERO;
        Self::of(Parts { id, process, serialization, outlet, facts, stdio, mailbox, board, age })
    }

    pub(crate) fn of(parts: Parts) -> Self {
        let Parts { id, process, serialization, mailbox, board, age, .. } = parts;
        let (outlet, facts) = (Mutex::new(parts.outlet), Mutex::new(parts.facts));
        let stdio = Mutex::new(parts.stdio);
        let now = Instant::now();
        let started = now.checked_sub(age).unwrap_or(now);
        let inner =
            Inner { id, process, serialization, outlet, facts, stdio, mailbox, board, started };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn outlet(&self) -> MutexGuard<'_, Outlet> {
        lock(&self.inner.outlet)
    }

    /// The worker's number: 1 and up, never given again by the same master.
    pub fn id(&self) -> u32 {
        self.inner.id
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.inner.process.pid()
    }

    /// How its channel writes messages.
    pub fn serialization(&self) -> Serialization {
        self.inner.serialization
    }

    /// How long ago it was started, asleep time of the machine left out.
    pub fn age(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// What it has written down about itself, in shared memory: this asks nobody and waits for
    /// nobody. After its death it is its last word. `None`: it has not written, as one that does
    /// not use `worker-api` never does. It is the worker's word, which may be wrong.
    pub fn score(&self) -> Option<Score> {
        self.inner.board.as_ref()?.score()
    }

    /// How many connections it has, as it says; as [`score`](Self::score), but cheaper.
    pub fn connections(&self) -> Option<u64> {
        self.inner.board.as_ref()?.active()
    }

    /// Asks for a sign of life: a worker that waits wakes up, serves its channel, and has
    /// [ticked](Score::ticks) by that. Others take no notice.
    pub fn poke(&self) {
        let message = Cluster { seq: None, act: Act::Tick };
        match self.serialization().encode(&message.to_json()) {
            Ok(line) => self.outlet().post(line, None),
            Err(error) => log::error!("{error:?}"),
        }
    }

    /// What the system says of its process; `None` if that has ended, or cannot be seen.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot be read.
    pub fn usage(&self) -> io::Result<Option<Usage>> {
        self.inner.process.usage()
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        lock(&self.inner.facts).state
    }

    pub(crate) fn set_state(&self, state: State) {
        lock(&self.inner.facts).state = state;
    }

    /// Where it listens now.
    pub fn addresses(&self) -> Vec<Address> {
        lock(&self.inner.facts).addresses.clone()
    }

    pub(crate) fn listens(&self, address: Address) {
        let mut facts = lock(&self.inner.facts);
        if !facts.addresses.contains(&address) {
            facts.addresses.push(address);
        }
        facts.state = State::Listening;
    }

    pub(crate) fn left(&self, address: &Address) {
        let mut facts = lock(&self.inner.facts);
        if let Some(place) = facts.addresses.iter().position(|one| one == address) {
            facts.addresses.remove(place);
        }
    }

    pub(crate) fn left_all(&self) {
        lock(&self.inner.facts).addresses.clear();
    }

    /// Sends a message, without waiting. `true`: the worker keeps up. `false`: it does not
    /// (128 KiB, or 64 sockets, or more are on their way to it); if it is gone, or 256 MiB are,
    /// the message was dropped.
    ///
    /// # Errors
    ///
    /// [`worker_api::Error::Encode`] if serde cannot say the message in JSON's terms.
    pub fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<bool> {
        let message = self.serialization().encode(message)?; // the user's code: without the lock
        Ok(self.outlet().send(message, None))
    }

    /// Sends a structured value as [`send`](Self::send) does: bytes, dates, maps and what else
    /// JSON has no word for.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`worker_api::Error::NotAdvanced`] unless the settings say
    /// [`Serialization::Advanced`].
    pub fn send_structured(&self, value: &Value) -> Result<bool> {
        let message = self.serialization().encode_structured(value)?;
        Ok(self.outlet().send(message, None))
    }

    /// Sends a message with a socket, which is the worker's then: keep yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and `InvalidInput` if the socket is not what it says.
    pub fn send_handle<T>(&self, message: &T, handle: impl Into<Handle>) -> Result<bool>
    where
        T: Serialize + ?Sized,
    {
        let (message, rider) = pack(self.serialization(), message, handle.into())?;
        Ok(self.outlet().send(message, Some(rider)))
    }

    /// Asks the worker to leave: it stops listening, finishes its connections and ends. The
    /// master takes note when it runs next. Idempotent.
    pub fn disconnect(&self) {
        self.set_exited_after_disconnect();
        self.inner.mailbox.disconnect(self.id());
    }

    /// Sends a signal; `false` if the worker is dead. This alone is no wish to disconnect:
    /// [`exited_after_disconnect`](Self::exited_after_disconnect) stays false.
    ///
    /// # Errors
    ///
    /// What the system says, say that this process may not.
    pub fn kill(&self, signal: Signal) -> io::Result<bool> {
        self.inner.process.kill(signal)
    }

    /// Whether messages can be sent.
    pub fn is_connected(&self) -> bool {
        self.outlet().is_open()
    }

    /// Whether the process has ended.
    pub fn is_dead(&self) -> bool {
        self.state() == State::Dead
    }

    /// Whether the worker goes, or went, on purpose: the master or the worker itself wanted
    /// it. False for a crash and for a signal.
    pub fn exited_after_disconnect(&self) -> bool {
        lock(&self.inner.facts).exited_after_disconnect
    }

    pub(crate) fn set_exited_after_disconnect(&self) {
        lock(&self.inner.facts).exited_after_disconnect = true;
    }

    /// Our end of the pipe at this descriptor of the worker's, once: with
    /// [`Settings::silent`](crate::Settings::silent) that of 0, 1 or 2.
    pub fn stdio(&self, number: usize) -> Option<UnixStream> {
        lock(&self.inner.stdio).get_mut(number)?.take()
    }
}

impl fmt::Display for WorkerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.id())
    }
}

impl PartialEq for WorkerRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for WorkerRef {}

impl Hash for WorkerRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}
