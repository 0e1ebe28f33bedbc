//! Accepting connections, wherever they come from.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, event::Source, unix::SourceFd};
use nix::{errno::Errno, poll::PollFlags};
use serde_json::Value;
use socket2::SockRef;

use crate::{
    Address, Connection, Error, ListenOptions, Result,
    connection::{Ticket, address},
    endpoint::State,
    gate::{Admitted, Gate},
    latch::{Latch, Reason, Signal, wait},
    own,
    roster::Roster,
    wire::{Query, SocketFile, Sockname, backlog, read_host},
    worker::Core,
};

/// How long [`Listener::incoming`] pauses when the system has no room for a connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A place where connections come in: a socket that the workers share, connections that the
/// master hands over, or a socket of this program's own. The code is the same.
///
/// Dropping it closes it. Threads may share it. As a mio source, or through [`AsFd`], it is
/// readable while [`try_accept`](Self::try_accept) has work, which includes serving the
/// channel; call that until it gives `WouldBlock`. A mio loop that registers the listener
/// itself is woken alone for a connection; one that watches [`AsFd`] is woken with all others.
#[derive(Debug)]
pub struct Listener {
    tie: Tie,
    pub(crate) gate: Arc<Gate>,
    local: Address,
    /// What the first worker had for all.
    data: Value,
    unix: bool,
    /// Connections come over the channel, each in a message.
    handed: bool,
    _file: Option<SocketFile>,
}

/// To whom a listener belongs.
#[derive(Debug)]
pub(crate) enum Tie {
    /// A program that runs alone; the signal says when the listener was closed.
    Alone(Mutex<Signal>),
    /// A worker, which knows it by this key and number.
    Worker(Arc<Core>, String, u64),
}

impl Tie {
    pub(crate) fn core(&self) -> Option<&Arc<Core>> {
        match self {
            Self::Alone(_) => None,
            Self::Worker(core, ..) => Some(core),
        }
    }

    pub(crate) fn close(&self, gate: &Gate) {
        gate.shut();
        match self {
            Self::Alone(signal) => {
                signal.lock().unwrap_or_else(PoisonError::into_inner).set(true);
            }
            Self::Worker(core, key, id) => core.close(key, *id),
        }
    }

    /// The tie and the gate of a socket that the master knows nothing of.
    pub(crate) fn own(
        core: Option<&Arc<Core>>,
        most: Option<usize>,
    ) -> io::Result<(Self, Arc<Gate>)> {
        let signal = Signal::new()?;
        let latch = Latch::new(core.map(|core| core.endpoint.socket()), &signal)?;
        let gate = Arc::new(Gate::new(latch, most));
        let tie = match core {
            None => Self::Alone(Mutex::new(signal)),
            Some(core) => {
                let (key, id) = core.endpoint.lock().router.adopt(signal, Arc::clone(&gate))?;
                Self::Worker(Arc::clone(core), key, id)
            }
        };
        Ok((tie, gate))
    }
}

impl Listener {
    /// A listener over a socket that is there already, say one that a parent sent. The socket
    /// becomes non-blocking, for everybody who shares it. It belongs to no worker: it does not
    /// end when this one is told to leave, and its connections do not count.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidInput` if it is no listening socket.
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = socket.into();
        if !SockRef::from(&socket).is_listener().unwrap_or(false) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        Self::over(None, socket, None, None)
    }

    /// Binds without the master.
    pub(crate) fn bind_own(
        core: Option<&Arc<Core>>,
        query: &Query,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        let bound = own::open(query, options)?;
        Self::over(core, bound.socket, bound.file, options.max_connections)
    }

    fn over(
        core: Option<&Arc<Core>>,
        socket: OwnedFd,
        file: Option<SocketFile>,
        most: Option<usize>,
    ) -> io::Result<Self> {
        SockRef::from(&socket).set_nonblocking(true)?;
        let local = address(&SockRef::from(&socket).local_addr()?);
        let unix = matches!(local, Address::Unix(_));
        let (tie, gate) = Tie::own(core, most)?;
        gate.install(socket);
        let data = Value::Null;
        Ok(Self { tie, gate, local, data, unix, handed: false, _file: file })
    }

    /// The beginning of a listener that the master answered for.
    pub(crate) fn shared(
        core: &Arc<Core>,
        gate: Arc<Gate>,
        key: String,
        data: Value,
        id: u64,
        asked: &Address,
    ) -> Self {
        let tie = Tie::Worker(Arc::clone(core), key, id);
        let unix = matches!(asked, Address::Unix(_));
        Self { tie, gate, local: asked.clone(), data, unix, handed: true, _file: None }
    }

    /// A Node primary leaves the error of a port in use for the worker to find: it sends a
    /// socket that is bound to nothing.
    pub(crate) fn check_port(&self, socket: &OwnedFd, query: &Query) -> io::Result<()> {
        let Some(asked) = query.port.filter(|&port| port > 0) else { return Ok(()) };
        let real = SockRef::from(socket).local_addr()?.as_socket().map(|real| real.port());
        if real.is_some_and(|real| i64::from(real) != asked) {
            return Err(Errno::EADDRINUSE.into());
        }
        Ok(())
    }

    /// Accepts from the master's socket; the port as well, where there is one.
    pub(crate) fn start(
        mut self,
        socket: OwnedFd,
        query: &Query,
    ) -> io::Result<(Self, Option<u16>)> {
        let reference = SockRef::from(&socket);
        reference.set_nonblocking(true)?;
        if !reference.is_listener()? {
            reference.listen(backlog(query))?; // a Node primary has only bound it
        }
        let found = reference.local_addr()?;
        if let Some(found) = found.as_socket() {
            self.local = Address::Tcp(found);
        } else {
            self.unix = true;
        }
        self.handed = false;
        self.gate.install(socket);
        let port = found.as_socket().map(|found| found.port());
        Ok((self, port))
    }

    /// Takes connections from the master.
    pub(crate) fn handed(mut self, sockname: Option<Sockname>) -> (Self, Option<u16>) {
        let port = sockname.as_ref().map(|name| name.port);
        self.unix |= port.is_none() && matches!(self.local, Address::Fd(_));
        if let Some(name) = sockname
            && let Some(address) = read_host(&name.address, name.port)
        {
            self.local = Address::Tcp(address);
        }
        (self, port)
    }

    /// Takes connections from a lane of the master's.
    pub(crate) fn take_from(
        self,
        lane: OwnedFd,
        sockname: Option<Sockname>,
    ) -> (Self, Option<u16>) {
        let (mut listener, port) = self.handed(sockname);
        listener.gate.install_lane(lane);
        listener.handed = false;
        (listener, port)
    }

    /// Waits for the next connection, which blocks as std's do. `None`: this worker is to
    /// leave, or the listener is closed.
    ///
    /// # Errors
    ///
    /// What the system says, when it has no room for another connection.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        match &self.tie {
            Tie::Worker(core, key, id) if self.handed => self.accept_handed(core, key, *id),
            _ => self.accept_shared(),
        }
    }

    fn accept_handed(
        &self,
        core: &Arc<Core>,
        key: &str,
        id: u64,
    ) -> io::Result<Option<Connection>> {
        let taken = core.endpoint.serve_until(self.gate.latch(), None, |state| {
            match self.take(key, id, state) {
                Some(connection) => Some(Some(connection)),
                None => self.gate.is_closed().then_some(None),
            }
        })?;
        let Some(connection) = taken.flatten() else { return Ok(None) };
        connection.set_nonblocking(false)?;
        Ok(Some(connection))
    }

    /// Takes a connection that was handed over, and counts it before anybody can leave.
    fn take(&self, key: &str, id: u64, state: &mut State<Roster>) -> Option<Connection> {
        let socket = state.router.take(key, id, &mut state.port)?;
        self.gate.begin();
        let ticket = Ticket::new(self.tie.core(), &self.gate);
        Some(Connection::new(socket, None, self.unix, ticket))
    }

    /// A connection that was handed over besides those of the socket: from one that nobody else
    /// accepts from.
    fn take_offered(&self) -> Option<Connection> {
        let Tie::Worker(core, key, id) = &self.tie else { return None };
        if !self.gate.has_offers() {
            return None;
        }
        if !self.gate.has_room(0) {
            core.endpoint.with_router(|router, port| router.refuse(key, *id, port));
            return None;
        }
        let connection = self.take(key, *id, &mut core.endpoint.lock())?;
        self.gate.make_way();
        Some(connection)
    }

    fn accept_shared(&self) -> io::Result<Option<Connection>> {
        loop {
            if self.gate.is_closed() {
                return Ok(None);
            }
            if let Some(connection) = self.take_offered() {
                connection.set_nonblocking(false)?;
                return Ok(Some(connection));
            }
            self.gate.watch()?;
            for reason in self.gate.latch().reasons()? {
                match reason {
                    Reason::Channel => self.serve_channel(),
                    Reason::Signal => {}
                    Reason::Socket => match self.accept_now(false) {
                        Ok(connection) => return Ok(Some(connection)),
                        Err(error) if is_passing(&error) => {}
                        Err(error) => return Err(error),
                    },
                }
            }
        }
    }

    fn accept_now(&self, nonblocking: bool) -> io::Result<Connection> {
        let count = || Ticket::new(self.tie.core(), &self.gate);
        let Admitted { socket, peer, count, tell } = self.gate.accept(nonblocking, count)?;
        let connection = Connection::new(socket, peer, self.unix, count);
        if let (true, Tie::Worker(core, key, id)) = (tell, &self.tie) {
            core.tell_taken(key, *id);
        }
        let turn = self.gate.make_way();
        if turn.is_full
            && let Some(core) = self.tie.core()
        {
            core.tell_room(&self.gate);
        }
        if turn.is_to_look {
            self.serve_channel();
        }
        Ok(connection)
    }

    fn serve_channel(&self) {
        if let Some(core) = self.tie.core() {
            core.serve();
        }
    }

    /// The next connection, non-blocking, if one is there now. Serves the channel as well.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is there, also after the end; what the system says when it has no
    /// room for another connection.
    pub fn try_accept(&self) -> io::Result<Connection> {
        match &self.tie {
            Tie::Worker(core, key, id) if self.handed => self.try_accept_handed(core, key, *id),
            _ => self.try_accept_shared(),
        }
    }

    fn try_accept_handed(&self, core: &Arc<Core>, key: &str, id: u64) -> io::Result<Connection> {
        let mut state = core.endpoint.lock();
        loop {
            if let Some(connection) = self.take(key, id, &mut state) {
                drop(state); // which the end of the connection wants, should this fail
                connection.set_nonblocking(true)?;
                return Ok(connection);
            }
            if !state.pump() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    fn try_take_offered(&self) -> io::Result<Option<Connection>> {
        let connection = self.take_offered();
        connection.as_ref().map_or(Ok(()), |connection| connection.set_nonblocking(true))?;
        Ok(connection)
    }

    fn try_accept_shared(&self) -> io::Result<Connection> {
        let is_enough = self.gate.take_breath();
        if is_enough {
            self.serve_channel();
        }
        if let Some(connection) = self.try_take_offered()? {
            return Ok(connection);
        }
        if is_enough {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match self.accept_now(true) {
                Ok(connection) => return Ok(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.serve_channel();
                    return self.try_take_offered()?.ok_or(error);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The connections until this worker is to leave or the listener is closed.
    ///
    /// When the system has no room for another connection it waits a little and goes on, and
    /// the log says so; other errors come out.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// What the first worker that listens here gave as [`ListenOptions::data`]; `Null` if that
    /// was nothing, and on a socket of this worker's own.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// Stops listening, for all threads that share this. Connections go on.
    pub fn close(&self) {
        self.tie.close(&self.gate);
    }

    /// Runs something with the socket itself, to set an option, say. `None` when connections
    /// are handed over, for then the master has it, and after the end.
    pub fn with_socket<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.gate.with_socket(act)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What says nothing about the next try.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
        || matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EPROTO))
}

/// The connections of a [`Listener`]; see [`Listener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a Listener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<Connection>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.listener.accept() {
                Err(error) if is_shortage(&error) => {
                    log::warn!("cannot accept a connection now: {error}");
                    if let Err(error) = self.listener.pause() {
                        return Some(Err(error));
                    }
                }
                outcome => return outcome.transpose(),
            }
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

impl Listener {
    /// Waits for a while, or until the channel has something.
    fn pause(&self) -> io::Result<()> {
        let deadline = Some(Instant::now() + PAUSE);
        match self.tie.core() {
            Some(core) => wait(&[(core.endpoint.socket(), PollFlags::POLLIN)], deadline)?,
            None => wait(&[], deadline)?,
        };
        self.serve_channel();
        Ok(())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if let Err(error) = self.gate.watch() {
            log::error!("cannot wait for connections: {error}");
        }
        self.gate.latch().as_fd()
    }
}

impl std::os::fd::AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Source for Listener {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.gate.move_to(Some((registry.try_clone()?, token)))?;
        SourceFd(&self.gate.latch_number()).register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.gate.move_to(Some((registry.try_clone()?, token)))?;
        SourceFd(&self.gate.latch_number()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.gate.move_to(None)?;
        SourceFd(&self.gate.latch_number()).deregister(registry)
    }
}

/// Binds in a program that runs alone.
pub(crate) fn listen_alone(address: Address, options: &ListenOptions) -> Result<Listener> {
    let query = options.query(&address)?;
    Listener::bind_own(None, &query, options).map_err(|source| Error::Listen { address, source })
}
