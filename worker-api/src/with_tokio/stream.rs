//! A plain stream of tokio's, TCP or Unix.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A TCP or Unix connection, as tokio has it.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A Unix connection.
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn from_std(stream: crate::Stream) -> io::Result<Self> {
        Ok(match stream {
            crate::Stream::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            crate::Stream::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// Std's stream, which does not block.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<crate::Stream> {
        Ok(match self {
            Self::Tcp(stream) => crate::Stream::Tcp(stream.into_std()?),
            Self::Unix(stream) => crate::Stream::Unix(stream.into_std()?),
        })
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

/// Does the same with either stream.
macro_rules! either {
    ($whole:expr, $stream:ident => $act:expr) => {
        match $whole.get_mut() {
            Stream::Tcp($stream) => $act,
            Stream::Unix($stream) => $act,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
