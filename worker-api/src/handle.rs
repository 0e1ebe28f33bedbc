//! Sockets that travel over a channel.

use std::{
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use nix::sys::stat::{SFlag, fstat};
use socket2::{Domain, SockRef, Type};

/// A socket that travels with a message.
///
/// The descriptor's real kind is checked before it is sent and after it is received, so a
/// `TcpListener` is one. Node's five kinds on the wire are derived: listeners travel as
/// `net.Server`, streams as `net.Socket`, UDP sockets as `dgram.Socket`, and
/// [`Native`](Self::Native) as `net.Native` or `dgram.Native`.
///
/// Sender and receiver share what Linux calls the open file description: also whether it
/// blocks. A stream is moved, so the receiver gets it blocking, as std makes it. A listener
/// or UDP socket stays as the sender has it: from Node it does not block.
#[non_exhaustive]
#[derive(Debug)]
pub enum Handle {
    /// A TCP socket that listens.
    TcpListener(TcpListener),
    /// A Unix stream socket that listens.
    UnixListener(UnixListener),
    /// A TCP connection.
    TcpStream(TcpStream),
    /// A Unix stream connection.
    UnixStream(UnixStream),
    /// A UDP socket.
    UdpSocket(UdpSocket),
    /// A socket whose use only the two programs know: Node's `net.Native` and `dgram.Native`.
    Native(OwnedFd),
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP socket.
    Tcp {
        /// Whether it listens.
        listening: bool,
    },
    /// A Unix stream socket.
    Unix {
        /// Whether it listens.
        listening: bool,
    },
    /// A UDP socket.
    Udp {
        /// Whether it is an IPv6 one.
        v6: bool,
    },
    /// A pipe with two ends; Node takes it where it takes a Unix stream.
    Fifo,
}

impl Kind {
    /// What the descriptor is.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is nothing that Node's channel carries: a Node process that
    /// receives a file or a terminal aborts.
    pub fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let refuse = || {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor is no TCP, UDP or Unix stream socket",
            ))
        };
        let socket = SockRef::from(&descriptor);
        let Ok(kind) = socket.r#type() else {
            let mode = SFlag::from_bits_truncate(fstat(descriptor)?.st_mode);
            return if mode & SFlag::S_IFMT == SFlag::S_IFIFO { Ok(Self::Fifo) } else { refuse() };
        };
        let domain = socket.domain()?;
        let inet = domain == Domain::IPV4 || domain == Domain::IPV6;
        match kind {
            Type::STREAM if inet => Ok(Self::Tcp { listening: socket.is_listener()? }),
            Type::STREAM if domain == Domain::UNIX => {
                Ok(Self::Unix { listening: socket.is_listener()? })
            }
            Type::DGRAM if inet => Ok(Self::Udp { v6: domain == Domain::IPV6 }),
            _ => refuse(),
        }
    }
}

impl Handle {
    /// The handle for a descriptor, by what it is.
    ///
    /// # Errors
    ///
    /// As [`Kind::of`].
    pub fn of(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(match Kind::of(descriptor.as_fd())? {
            Kind::Tcp { listening: true } => Self::TcpListener(descriptor.into()),
            Kind::Tcp { listening: false } => Self::TcpStream(descriptor.into()),
            Kind::Unix { listening: true } => Self::UnixListener(descriptor.into()),
            Kind::Unix { listening: false } => Self::UnixStream(descriptor.into()),
            Kind::Udp { .. } => Self::UdpSocket(descriptor.into()),
            Kind::Fifo => Self::Native(descriptor),
        })
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::TcpListener(socket) => socket.as_fd(),
            Self::UnixListener(socket) => socket.as_fd(),
            Self::TcpStream(socket) => socket.as_fd(),
            Self::UnixStream(socket) => socket.as_fd(),
            Self::UdpSocket(socket) => socket.as_fd(),
            Self::Native(descriptor) => descriptor.as_fd(),
        }
    }
}

impl From<Handle> for OwnedFd {
    fn from(handle: Handle) -> Self {
        match handle {
            Handle::TcpListener(socket) => socket.into(),
            Handle::UnixListener(socket) => socket.into(),
            Handle::TcpStream(socket) => socket.into(),
            Handle::UnixStream(socket) => socket.into(),
            Handle::UdpSocket(socket) => socket.into(),
            Handle::Native(descriptor) => descriptor,
        }
    }
}

macro_rules! from {
    ($($kind:ty => $variant:ident),*) => {$(
        impl From<$kind> for Handle {
            fn from(socket: $kind) -> Self {
                Self::$variant(socket)
            }
        }
    )*};
}
from!(
    TcpListener => TcpListener, UnixListener => UnixListener, TcpStream => TcpStream,
    UnixStream => UnixStream, UdpSocket => UdpSocket, OwnedFd => Native
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_real_kind_is_seen() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (pipe, _other) = UnixStream::pair().unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        assert_eq!(Kind::of(server.as_fd()).unwrap(), Kind::Tcp { listening: true });
        assert_eq!(Kind::of(client.as_fd()).unwrap(), Kind::Tcp { listening: false });
        assert_eq!(Kind::of(pipe.as_fd()).unwrap(), Kind::Unix { listening: false });
        assert_eq!(Kind::of(udp.as_fd()).unwrap(), Kind::Udp { v6: true });
        assert_eq!(Kind::of(io::pipe().unwrap().0.as_fd()).unwrap(), Kind::Fifo);
        assert!(matches!(Handle::of(server.into()).unwrap(), Handle::TcpListener(_)));
    }

    #[test]
    fn what_node_would_abort_on_is_refused() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(Kind::of(file.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert!(Kind::of(datagram.as_fd()).is_err());
    }
}
