//! This process as a worker.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Error, ListenOptions, Listener, Result, Serialization, ToAddress, UdpSocket,
    endpoint::Endpoint,
    gate::Gate,
    latch::{Latch, Signal},
    ledger::Holder,
    listener::Tie,
    roster::{Answer, Census, Roster},
    scoreboard::{Counter, Score, Scorecard},
    signals,
    source::fd_source,
    wire::{Act, Family, Query, open_up},
};

mod talking;

/// This process as a worker: its channel to the master, and what it got from there.
///
/// Clones are the same worker; any number of threads may use them. Who waits on anything of a
/// worker's (a message, a connection) also serves the channel meanwhile. A program that waits
/// on nothing of ours starts [`drive`](Self::drive).
///
/// As a mio source, or through [`AsFd`], a worker is readable while
/// [`try_recv`](Self::try_recv) has work, which includes being told to leave; call it until it
/// gives `None`.
#[derive(Clone, Debug)]
pub struct Worker {
    pub(crate) core: Arc<Core>,
}

#[derive(Debug)]
pub(crate) struct Core {
    id: u32,
    pub(crate) endpoint: Endpoint<Roster>,
    census: Arc<Census>,
    /// Threads in `drain`, so that the end of a connection costs nothing without them.
    draining: AtomicUsize,
    drained: (Mutex<()>, Condvar),
    /// Rings when the last connection has ended.
    #[cfg(feature = "tokio")]
    pub(crate) idle: tokio::sync::Notify,
}

impl Core {
    pub(crate) fn begin(&self) {
        self.census.begin();
    }

    pub(crate) fn end(&self) {
        if !self.census.end() {
            return;
        }
        #[cfg(feature = "tokio")]
        self.idle.notify_waiters();
        if self.census.is_leaving() {
            self.endpoint.with_router(|router, port| router.go_on(port));
        }
        if self.draining.load(SeqCst) > 0 {
            let _guard = self.drained.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.drained.1.notify_all();
        }
    }

    /// Serves the channel as long as there is something.
    pub(crate) fn serve(&self) {
        let mut state = self.endpoint.lock();
        while state.pump() {}
    }

    pub(crate) fn close(&self, key: &str, id: u64) {
        self.endpoint.with_router(|router, port| router.close(key, id, port));
    }

    /// Says that a connection was taken of which the master wants to hear.
    pub(crate) fn tell_taken(&self, key: &str, id: u64) {
        self.endpoint.with_router(|router, port| router.tell_taken(key, id, port));
    }

    /// Says whether a listener with a lane has room, if the master does not know.
    pub(crate) fn tell_room(&self, gate: &Arc<Gate>) {
        if gate.is_lane() {
            self.endpoint.with_router(|router, port| router.tell_room(gate, port));
        }
    }

    /// Asks the master to listen, and waits for its answer.
    fn ask(&self, query: Query, signal: Signal, gate: &Arc<Gate>) -> io::Result<Asked> {
        let (id, query) = self
            .endpoint
            .with_router(|router, port| router.ask(query, signal, Arc::clone(gate), port));
        let answer = self
            .endpoint
            .serve_until(gate.latch(), None, |state| state.router.answer(id))?
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(Asked { id, query, answer })
    }

    /// Says that the listener of this query listens, with its real port.
    fn tell_listening(&self, mut query: Query, port: Option<u16>, gate: &Gate) {
        if let Some(port) = port {
            query.port = Some(port.into());
        }
        let mut state = self.endpoint.lock();
        if gate.is_closed() {
            return; // another thread has left meanwhile
        }
        let state = &mut *state;
        state.router.post(Act::Listening(query), &mut state.port);
    }
}

impl Holder for Core {
    fn socket_closed(&self, key: &str) {
        self.endpoint.lock().socket_closed(key);
    }
}

/// An answered query.
struct Asked {
    id: u64,
    query: Query,
    answer: Answer,
}

impl Worker {
    #[cfg(test)]
    pub(crate) fn new(id: u32, socket: UnixStream, serialization: Serialization) -> Result<Self> {
        Self::with(id, socket, serialization, Scorecard::of_environment(None, id)?)
    }

    pub(crate) fn with(
        id: u32,
        socket: UnixStream,
        serialization: Serialization,
        card: Scorecard,
    ) -> Result<Self> {
        let census = Arc::new(Census::new(card));
        let endpoint = Endpoint::new(socket, serialization, Roster::new(Arc::clone(&census)))?;
        let (draining, drained) = (AtomicUsize::new(0), (Mutex::default(), Condvar::new()));
        let core = Arc::new(Core {
            id,
            endpoint,
            census,
            draining,
            drained,
            #[cfg(feature = "tokio")]
            idle: tokio::sync::Notify::new(),
        });
        let worker = Self { core };
        worker.post(Act::Online { lane: true });
        Ok(worker)
    }

    fn post(&self, act: Act) {
        self.core.endpoint.with_router(|router, port| router.post(act, port));
    }

    /// The number that the master gave to this worker: 1 and up, never given again.
    pub fn id(&self) -> u32 {
        self.core.id
    }

    /// How the channel to the master writes messages.
    pub fn serialization(&self) -> Serialization {
        self.core.endpoint.serialization()
    }

    /// Listens on an address through the master, which all workers that name it share.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if it is no address, [`Error::Listen`] with the reason of this
    /// system or the master's: in use, not permitted, the worker is leaving.
    pub fn listen(&self, address: impl ToAddress) -> Result<Listener> {
        self.listen_with(address, &ListenOptions::new())
    }

    /// Listens with options.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_with(
        &self,
        address: impl ToAddress,
        options: &ListenOptions,
    ) -> Result<Listener> {
        let address = address.to_address()?.absolute()?;
        let query = options.query(&address)?;
        let outcome = if options.bypasses_master() {
            Listener::bind_own(Some(&self.core), &query, options)
        } else {
            self.listen_shared(query, &address, options)
        };
        outcome.map_err(|source| Error::Listen { address, source })
    }

    fn listen_shared(
        &self,
        query: Query,
        address: &crate::Address,
        options: &ListenOptions,
    ) -> io::Result<Listener> {
        let signal = Signal::new()?;
        let latch = Latch::new(Some(self.core.endpoint.socket()), &signal)?;
        let gate = Arc::new(Gate::new(latch, options.max_connections));
        let Asked { id, query, answer } = self.core.ask(query, signal, &gate)?;
        let Answer { key, socket, is_lane, sockname, data } = answer;
        let listener = Listener::shared(&self.core, Arc::clone(&gate), key, data, id, address);
        let (listener, port) = match socket {
            Some(lane) if is_lane => listener.take_from(lane, sockname),
            Some(socket) => {
                open_up_if_forgotten(&query);
                listener.check_port(&socket, &query)?;
                listener.start(socket, &query)?
            }
            None => listener.handed(sockname),
        };
        self.core.tell_listening(query, port, &gate);
        Ok(listener)
    }

    /// Binds a UDP port through the master, which all workers that name it share: each
    /// datagram goes to one of them.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn bind(&self, address: impl ToAddress) -> Result<UdpSocket> {
        self.bind_with(address, &ListenOptions::new())
    }

    /// Binds a UDP port with options.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn bind_with(&self, address: impl ToAddress, options: &ListenOptions) -> Result<UdpSocket> {
        let address = address.to_address()?;
        let query = options.datagram_query(&address)?;
        let outcome = if options.bypasses_master() {
            UdpSocket::bind_own(Some(&self.core), &query, options)
        } else {
            self.bind_shared(query)
        };
        outcome.map_err(|source| Error::Listen { address, source })
    }

    fn bind_shared(&self, query: Query) -> io::Result<UdpSocket> {
        let signal = Signal::new()?;
        let latch = Latch::new(Some(self.core.endpoint.socket()), &signal)?;
        let gate = Arc::new(Gate::new(latch, None));
        let Asked { id, query, answer } = self.core.ask(query, signal, &gate)?;
        let Some(socket) = answer.socket else {
            self.core.close(&answer.key, id);
            return Err(io::Error::other("the master sent no UDP socket"));
        };
        let tie = Tie::Worker(Arc::clone(&self.core), answer.key, id);
        let bound = UdpSocket::over(tie, Arc::clone(&gate), socket)?;
        self.core.tell_listening(query, Some(bound.local_addr().port()), &gate);
        Ok(bound)
    }

    /// Says that this worker is ready, for programs whose readiness is not that they listen.
    /// A Node primary takes no notice.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the master is gone.
    pub fn ready(&self) -> Result<()> {
        if !self.is_connected() {
            return Err(Error::Disconnected);
        }
        self.post(Act::Ready);
        Ok(())
    }

    /// Begins to leave as if the master had said so: listeners close now, the channel with
    /// the last connection. For the master this is on purpose, no crash. Never waits;
    /// idempotent.
    pub fn disconnect(&self) {
        self.core.endpoint.with_router(|router, port| router.leave(false, port));
    }

    /// Takes this process's signals as a worker should: who sends a signal to all processes of
    /// a program means the master. A library does not do that unasked.
    ///
    /// | signal | what happens |
    /// |---|---|
    /// | `TERM`, `QUIT` | the worker leaves as if the master had said so, but is replaced |
    /// | `INT` | nothing while the channel is open; the master decides. Afterwards: the end |
    /// | `HUP`, `USR1`, `USR2` | nothing |
    ///
    /// A thread waits for them; handlers that the program has of its own run as well. Once is
    /// enough. Call it early: until then these signals are deadly.
    ///
    /// # Errors
    ///
    /// What the system says, if it has no room for a thread or two descriptors.
    pub fn leave_on_signals(&self) -> io::Result<()> {
        signals::take(self)
    }

    /// Begins to leave without having wished to: for the master it is no disconnect on purpose.
    pub(crate) fn leave_as_told(&self) {
        self.core.endpoint.with_router(|router, port| router.leave(true, port));
    }

    /// Whether this worker is to end: told to, on its own wish, or because the master went.
    ///
    /// From then on it gets no connections, and is to finish those it has: a server that keeps
    /// connections open between requests answers the next one with the news that it closes (in
    /// HTTP/1.1 `connection: close`). To close an idle one at once may cross a request. It costs
    /// no system call, so it may be asked for each request; [`Worker`] as a source tells loops.
    #[doc(alias = "retiring")]
    pub fn is_disconnecting(&self) -> bool {
        self.core.census.is_leaving()
    }

    /// Whether the channel to the master is open.
    pub fn is_connected(&self) -> bool {
        self.core.endpoint.is_connected()
    }

    /// How many connections this worker has.
    pub fn connections(&self) -> usize {
        self.core.census.live.load(SeqCst)
    }

    /// What this worker has written down about itself for its master: a master of ours reads
    /// it without asking, even after the worker's death.
    pub fn score(&self) -> Score {
        self.core.census.card.board().score()
    }

    /// A number of the program's own in its [`score`](Self::score), by its name: 1 to 24
    /// visible ASCII characters. The same name gives the same counter. At most 16.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with `InvalidInput` for another name, or when 16 have a place.
    pub fn counter(&self, name: &str) -> Result<Counter> {
        Ok(self.core.census.card.counter(name)?)
    }

    /// Says that this worker is well, for a program that is busy in a loop of its own.
    ///
    /// Who waits on anything of a worker's, or tries to, does so by that. A master that
    /// watches its workers ends those that tick no more.
    pub fn tick(&self) {
        self.core.census.card.board().tick();
    }

    /// Waits at most so long for the connections that other threads serve to end; how many
    /// are left.
    pub fn drain(&self, timeout: Duration) -> usize {
        self.core.draining.fetch_add(1, SeqCst);
        let (lock, changed) = &self.core.drained;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = changed.wait_timeout_while(guard, timeout, |()| self.connections() > 0);
        drop(rest);
        self.core.draining.fetch_sub(1, SeqCst);
        self.connections()
    }

    /// Starts a thread that serves the channel until it closes, for programs that wait on
    /// nothing of ours. Messages stay for [`try_recv`](Self::try_recv).
    ///
    /// That thread says nothing about the others, so from now on only [`tick`](Self::tick)
    /// tells the master that this worker is well; without any, it is not watched.
    ///
    /// # Errors
    ///
    /// What the system says, if it has no room for a thread.
    pub fn drive(&self) -> io::Result<JoinHandle<()>> {
        let core = Arc::clone(&self.core);
        let signal = Signal::new()?;
        let latch = Latch::new(Some(core.endpoint.socket()), &signal)?;
        core.census.card.tick_by_hand();
        thread::Builder::new().name("cluster-channel".into()).spawn(move || {
            let closed = core.endpoint.serve_until(&latch, None, |state| state.ended());
            if let Err(error) = closed {
                log::error!("cannot wait on the channel any more: {error}");
            }
            drop(signal);
        })
    }
}

/// A Node primary that shares its socket gives nobody more rights to its file.
fn open_up_if_forgotten(query: &Query) {
    let (Family::Path, Some(path)) = (query.family, &query.address) else { return };
    if let Err(error) = open_up(Path::new(path), query) {
        log::debug!("cannot change who may use {path}: {error}"); // then it is not ours to do
    }
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.endpoint.as_fd()
    }
}

fd_source!(Worker);

#[cfg(test)]
mod tests;
