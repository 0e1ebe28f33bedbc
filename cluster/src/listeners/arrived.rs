//! Connections that were accepted and that nobody has taken.

use std::{
    mem,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use socket2::SockRef;

/// A connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Arrived {
    socket: Socket,
    pub(super) peer: Option<SocketAddr>,
}

#[derive(Debug)]
enum Socket {
    Own(OwnedFd),
    /// It is, or was, in a message.
    Shared(Arc<OwnedFd>),
    Gone,
}

impl Arrived {
    pub(super) fn new(socket: OwnedFd, peer: Option<SocketAddr>) -> Self {
        Self { socket: Socket::Own(socket), peer }
    }

    /// One that was accepted earlier.
    pub(super) fn again(socket: OwnedFd) -> Self {
        let peer = peer(&socket);
        Self::new(socket, peer)
    }

    /// One that was accepted earlier, and may be in a message.
    pub(super) fn of(socket: Arc<OwnedFd>) -> Self {
        let peer = peer(&*socket);
        Self { socket: Socket::Shared(socket), peer }
    }

    /// For a message.
    pub(super) fn share(&mut self) -> Option<Arc<OwnedFd>> {
        let shared = match mem::replace(&mut self.socket, Socket::Gone) {
            Socket::Own(socket) => Arc::new(socket),
            Socket::Shared(socket) => socket,
            Socket::Gone => return None,
        };
        self.socket = Socket::Shared(Arc::clone(&shared));
        Some(shared)
    }

    pub(super) fn socket(&self) -> Option<&OwnedFd> {
        match &self.socket {
            Socket::Own(socket) => Some(socket),
            Socket::Shared(socket) => Some(socket),
            Socket::Gone => None,
        }
    }
}

fn peer(socket: &impl AsFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}
