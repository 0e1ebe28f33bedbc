//! UDP sockets that workers share.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::SockRef;

use crate::{
    Address, Error, ListenOptions, Result, gate::Gate, latch::Reason, listener::Tie, own,
    source::fd_source, wire::Query, worker::Core,
};

/// A UDP socket that the workers share: each datagram goes to one of them. Dropping it closes
/// it. As a mio source, or through [`AsFd`], it is readable while
/// [`try_recv_from`](Self::try_recv_from) has work; call that until it gives `WouldBlock`.
#[derive(Debug)]
pub struct UdpSocket {
    tie: Tie,
    pub(crate) gate: Arc<Gate>,
    local: SocketAddr,
}

impl UdpSocket {
    /// Over a socket, which is made non-blocking.
    pub(crate) fn over(tie: Tie, gate: Arc<Gate>, socket: OwnedFd) -> io::Result<Self> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut this = Self { tie, gate, local: unknown }; // which closes itself on an error
        let reference = SockRef::from(&socket);
        reference.set_nonblocking(true)?;
        let no_udp = io::ErrorKind::InvalidInput;
        this.local = reference.local_addr()?.as_socket().ok_or(no_udp)?;
        this.gate.install(socket);
        this.gate.watch()?;
        Ok(this)
    }

    /// Binds without the master.
    pub(crate) fn bind_own(
        core: Option<&Arc<Core>>,
        query: &Query,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        let bound = own::open(query, options)?;
        let (tie, gate) = Tie::own(core, None)?;
        Self::over(tie, gate, bound.socket)
    }

    /// Waits for a datagram: its length, of which what fits is in the buffer, and its sender.
    /// `None`: this worker is to leave, or the socket is closed.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        self.make_way();
        loop {
            if self.gate.is_closed() {
                return Ok(None);
            }
            for reason in self.gate.latch().reasons()? {
                match (reason, self.tie.core()) {
                    (Reason::Socket, _) => match self.receive(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        outcome => return outcome.map(Some),
                    },
                    (Reason::Channel, Some(core)) => core.serve(),
                    _ => {}
                }
            }
        }
    }

    /// A datagram, if one is there now. Serves the channel as well.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is there, also after the end; what the system says.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.make_way();
        let outcome = self.receive(buffer);
        let is_empty =
            outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if let Some(core) = self.tie.core().filter(|_| is_empty) {
            core.serve();
        }
        outcome
    }

    /// Lets others have the next datagram when it is their turn, and sees then to the channel,
    /// which a busy loop may never do otherwise. This comes before a datagram is received: one
    /// that we have can still be answered.
    fn make_way(&self) {
        if self.gate.make_way().is_to_look
            && let Some(core) = self.tie.core()
        {
            core.serve();
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received =
            self.gate.with_socket(|socket| recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer));
        let (length, sender) = received.ok_or(io::ErrorKind::WouldBlock)??;
        let sender = sender.and_then(socket_address).ok_or(io::ErrorKind::InvalidData)?;
        Ok((length, sender))
    }

    /// Sends a datagram; how many bytes of it.
    ///
    /// # Errors
    ///
    /// What the system says; `NotConnected` after the end.
    pub fn send_to(&self, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
        let to = SockaddrStorage::from(address);
        let sent = self
            .gate
            .with_socket(|socket| sendto(socket.as_raw_fd(), bytes, &to, MsgFlags::empty()));
        Ok(sent.ok_or(io::ErrorKind::NotConnected)??)
    }

    /// Where it is bound: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Closes it, for all threads that share this: `recv_from` gives `None`.
    pub fn close(&self) {
        self.tie.close(&self.gate);
    }

    /// The plain socket, which does not block and which this worker forgets.
    ///
    /// # Errors
    ///
    /// What the system says; `NotConnected` after the end.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        let copy = self.gate.with_socket(|socket| socket.try_clone_to_owned());
        Ok(copy.ok_or(io::ErrorKind::NotConnected)??.into())
    }
}

fn socket_address(storage: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.gate.latch().as_fd()
    }
}

fd_source!(UdpSocket);

/// Binds in a program that runs alone.
pub(crate) fn bind_alone(address: Address, options: &ListenOptions) -> Result<UdpSocket> {
    let query = options.datagram_query(&address)?;
    UdpSocket::bind_own(None, &query, options).map_err(|source| Error::Listen { address, source })
}
