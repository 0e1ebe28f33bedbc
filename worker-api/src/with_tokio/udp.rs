//! UDP sockets that workers share, in a task.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::sys::watch;

/// A UDP socket that the workers share; see [`crate::UdpSocket`]. Dropping it closes it; tasks
/// may share it.
#[derive(Debug)]
pub struct UdpSocket {
    socket: crate::UdpSocket,
    latch: AsyncFd<OwnedFd>,
}

impl crate::UdpSocket {
    /// The same for tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says, when too many descriptors are open.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    #[track_caller]
    pub fn into_tokio(self) -> io::Result<UdpSocket> {
        let latch = watch(self.as_fd(), Interest::READABLE)?;
        Ok(UdpSocket { socket: self, latch })
    }
}

impl UdpSocket {
    /// Waits for a datagram: its length, of which what fits is in the buffer, and its sender.
    /// `None`: this worker is to leave. Safe to cancel.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        loop {
            let mut guard = self.latch.readable().await?;
            match self.socket.try_recv_from(buffer) {
                Ok(received) => return Ok(Some(received)),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.socket.gate.is_closed() => return Ok(None),
                Err(_) => guard.clear_ready(),
            }
        }
    }

    /// Sends a datagram, when the system has room for it; how many bytes of it.
    ///
    /// # Errors
    ///
    /// What the system says; `NotConnected` after the end.
    pub async fn send_to(&self, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
        loop {
            match self.socket.send_to(bytes, address) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                outcome => return outcome,
            }
        }
    }

    /// Waits for room. That is rare, so the socket itself is not watched all the time: other
    /// workers' sending would wake us, too.
    async fn writable(&self) -> io::Result<()> {
        let watched = self.socket.gate.with_socket(|socket| watch(socket, Interest::WRITABLE));
        let socket = watched.ok_or(io::ErrorKind::NotConnected)??;
        socket.writable().await?.retain_ready();
        Ok(())
    }

    /// Where it is bound: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }
}
