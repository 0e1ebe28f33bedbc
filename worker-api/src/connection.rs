//! A connection that is counted while the user has it.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use socket2::{SockAddr, SockRef};

use crate::{Address, Handle, gate::Gate, ledger::Entry, source::fd_source, worker::Core};

/// A TCP or Unix connection, as std has it.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A Unix connection.
    Unix(UnixStream),
}

/// A connection, TCP or Unix. While it lives it counts: a worker that leaves waits for it.
///
/// Reads and writes work through `&Connection`, too.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: OnceLock<Address>,
    local: OnceLock<Address>,
    /// Goes after the stream.
    ticket: Ticket,
}

/// The count of one connection, which all clones share: it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Ticket {
    core: Option<Arc<Core>>,
    gate: Weak<Gate>,
    /// Its place in its sender's list.
    entry: Option<Arc<Entry>>,
    /// Present once there are clones; most connections have none, and cost no allocation.
    clones: OnceLock<Arc<()>>,
}

impl Ticket {
    /// Counts a connection that the gate let in and that its [`begin`](Gate::begin) counted.
    pub(crate) fn new(core: Option<&Arc<Core>>, gate: &Arc<Gate>) -> Self {
        if let Some(core) = core {
            core.begin();
        }
        let (gate, clones) = (Arc::downgrade(gate), OnceLock::new());
        Self { core: core.cloned(), gate, entry: None, clones }
    }

    /// Of a connection that came with a message.
    pub(crate) fn of_entry(entry: Option<Entry>) -> Self {
        let (entry, clones) = (entry.map(Arc::new), OnceLock::new());
        Self { core: None, gate: Weak::new(), entry, clones }
    }

    fn end(&self) {
        if let Some(gate) = self.gate.upgrade()
            && gate.end()
            && let Some(core) = &self.core
        {
            core.tell_room(&gate);
        }
        if let Some(core) = &self.core {
            core.end();
        }
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        let Self { core, gate, entry, clones } = self;
        let clones = OnceLock::from(Arc::clone(clones.get_or_init(Arc::default)));
        Self { core: core.clone(), gate: gate.clone(), entry: entry.clone(), clones }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Of those that go at the same time exactly one is the last.
        if self.clones.take().is_none_or(|clones| Arc::into_inner(clones).is_some()) {
            self.end();
        }
    }
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, peer: Option<SockAddr>, unix: bool, ticket: Ticket) -> Self {
        let stream = match unix {
            true => Stream::Unix(socket.into()),
            false => Stream::Tcp(socket.into()),
        };
        let known = peer.map_or_else(OnceLock::new, |peer| address(&peer).into());
        Self { stream, peer: known, local: OnceLock::new(), ticket }
    }

    /// Where the client is; the empty path for a Unix client without a name, as most are, and
    /// for a client that had gone before anybody asked.
    pub fn peer_addr(&self) -> &Address {
        self.peer.get_or_init(|| look_up(SockRef::from(self).peer_addr()))
    }

    /// The address that the client connected to.
    pub fn local_addr(&self) -> &Address {
        self.local.get_or_init(|| look_up(SockRef::from(self).local_addr()))
    }

    /// Closes one direction or both, for all clones.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    /// The same connection once more; it ends with the last clone and counts once.
    ///
    /// # Errors
    ///
    /// What the system says, when too many descriptors are open.
    pub fn try_clone(&self) -> io::Result<Self> {
        let stream = match &self.stream {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        };
        let (peer, local) = (self.peer.clone(), self.local.clone());
        Ok(Self { stream, peer, local, ticket: self.ticket.clone() })
    }

    /// Sends small writes at once (`TCP_NODELAY`). Default: off. Nothing on a Unix connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_nodelay(on),
            Stream::Unix(_) => Ok(()),
        }
    }

    /// Whether reads and writes give `WouldBlock` instead of waiting.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        SockRef::from(self).set_nonblocking(on)
    }

    /// How long a read waits. Default, and `None`: for ever.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidInput` for no time at all.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    /// How long a write waits. Default, and `None`: for ever.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidInput` for no time at all.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(timeout),
            Stream::Unix(stream) => stream.set_write_timeout(timeout),
        }
    }

    /// The plain stream, which is no longer counted.
    pub fn into_std(self) -> Stream {
        self.stream
    }

    /// The plain stream and its count, which lasts as long as the second.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Stream, Ticket) {
        (self.stream, self.ticket)
    }
}

fn look_up(found: io::Result<SockAddr>) -> Address {
    found.map_or_else(|_| Address::Unix(PathBuf::new()), |found| address(&found))
}

pub(crate) fn address(found: &SockAddr) -> Address {
    match found.as_socket() {
        Some(socket) => Address::Tcp(socket),
        None => Address::Unix(unix_path(found)),
    }
}

fn unix_path(found: &SockAddr) -> PathBuf {
    if let Some(name) = found.as_abstract_namespace() {
        return OsStr::from_bytes(&[b"\0", name].concat()).into();
    }
    found.as_pathname().map(Into::into).unwrap_or_default()
}

impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).write_vectored(parts),
            Stream::Unix(stream) => (&mut &*stream).write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        (&mut &*self).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fd_source!(Connection);

impl From<Stream> for Handle {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
        }
    }
}

impl From<Connection> for Handle {
    fn from(connection: Connection) -> Self {
        connection.into_std().into()
    }
}
