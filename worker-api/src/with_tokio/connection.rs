//! A connection that is counted while the user has it.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;
use crate::{
    Address,
    connection::{Ticket, address},
};

/// A connection, TCP or Unix. While it lives it counts: a worker that leaves waits for it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: Address,
    /// Goes after the stream.
    _ticket: Ticket,
}

impl Connection {
    pub(super) fn new(connection: crate::Connection) -> io::Result<Self> {
        connection.set_nonblocking(true)?;
        let peer = connection.peer_addr().clone();
        let (stream, ticket) = connection.into_parts();
        Ok(Self { stream: Stream::from_std(stream)?, peer, _ticket: ticket })
    }

    /// Where the client is; the empty path for a Unix client without a name, as most are, and
    /// for a client that had gone before anybody asked.
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }

    /// The address that the client connected to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<Address> {
        Ok(address(&SockRef::from(self).local_addr()?))
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

    /// Tokio's plain stream, which is no longer counted.
    pub fn into_tokio(self) -> Stream {
        self.stream
    }

    /// Std's plain stream, which does not block and is no longer counted.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<crate::Stream> {
        self.stream.into_std()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
