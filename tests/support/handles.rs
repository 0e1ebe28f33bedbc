//! Handles of all kinds. Who receives one greets through it; who has sent it hears that at the
//! other end: so the handle works.
#![allow(dead_code, reason = "the fixture program uses a part")]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use cluster::{Handle, Listener};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Node's five kinds, and the two that come with another family as well.
pub(crate) const KINDS: [&str; 7] = [
    "net.Server",
    "net.Server unix",
    "net.Socket",
    "net.Socket unix",
    "net.Native",
    "dgram.Socket",
    "dgram.Native",
];

pub(crate) const GREETING: &str = "hello from rust";

const ANYWHERE: &str = "127.0.0.1:0";
const PATIENCE: Duration = Duration::from_secs(30);

/// What was kept of a handle, to hear its receiver.
#[derive(Debug)]
pub(crate) enum Ear {
    Connect(SocketAddr),
    ConnectPath(PathBuf),
    Tcp(TcpStream),
    Unix(UnixStream),
    Ask(SocketAddr),
}

/// A handle of a kind; a file that it needs is made in the folder.
pub(crate) fn make(kind: &str, folder: &Path) -> io::Result<(Handle, Ear)> {
    Ok(match kind {
        "net.Server" => {
            let server = TcpListener::bind(ANYWHERE)?;
            let address = server.local_addr()?;
            (server.into(), Ear::Connect(address))
        }
        "net.Server unix" => {
            let path = folder.join(format!("rust-{}.sock", std::process::id()));
            (UnixListener::bind(&path)?.into(), Ear::ConnectPath(path))
        }
        "net.Socket" => {
            let (ours, theirs) = tcp_pair()?;
            (theirs.into(), Ear::Tcp(ours))
        }
        "net.Socket unix" => {
            let (ours, theirs) = UnixStream::pair()?;
            (theirs.into(), Ear::Unix(ours))
        }
        "net.Native" => {
            let (ours, theirs) = tcp_pair()?;
            (OwnedFd::from(theirs).into(), Ear::Tcp(ours))
        }
        "dgram.Socket" | "dgram.Native" => {
            let socket = UdpSocket::bind(ANYWHERE)?;
            let address = socket.local_addr()?;
            let native = kind == "dgram.Native";
            let handle = if native { OwnedFd::from(socket).into() } else { socket.into() };
            (handle, Ear::Ask(address))
        }
        _ => return Err(io::Error::other(format!("there is no kind {kind}"))),
    })
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let server = TcpListener::bind(ANYWHERE)?;
    let ours = TcpStream::connect(server.local_addr()?)?;
    Ok((ours, server.accept()?.0))
}

impl Ear {
    /// Waits for what the receiver says.
    pub(crate) fn hear(self) -> io::Result<String> {
        match self {
            Self::Connect(address) => read(TcpStream::connect(address)?.into()),
            Self::ConnectPath(path) => read(UnixStream::connect(path)?.into()),
            Self::Tcp(stream) => read(stream.into()),
            Self::Unix(stream) => read(stream.into()),
            Self::Ask(address) => {
                let socket = UdpSocket::bind(ANYWHERE)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.send_to(b"who is there?", address)?;
                let mut text = [0; 64];
                let length = socket.recv(&mut text)?;
                Ok(String::from_utf8_lossy(&text[..length]).into_owned())
            }
        }
    }
}

fn read(socket: OwnedFd) -> io::Result<String> {
    let mut stream = UnixStream::from(socket); // any stream socket will do
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What has come, as Rust sees it, after its use.
pub(crate) fn take(handle: Handle) -> io::Result<&'static str> {
    Ok(match handle {
        Handle::TcpListener(server) => {
            greet_one(server)?;
            "TcpListener"
        }
        Handle::UnixListener(server) => {
            greet_one(server)?;
            "UnixListener"
        }
        Handle::TcpStream(mut stream) => {
            stream.write_all(GREETING.as_bytes())?;
            "TcpStream"
        }
        Handle::UnixStream(mut stream) => {
            stream.write_all(GREETING.as_bytes())?;
            "UnixStream"
        }
        Handle::UdpSocket(socket) => {
            answer_one(&socket)?;
            "UdpSocket"
        }
        Handle::Native(descriptor) => match Handle::of(descriptor)? {
            Handle::UdpSocket(socket) => {
                answer_one(&socket)?;
                "Native UdpSocket"
            }
            Handle::TcpStream(stream) => {
                stream.set_nonblocking(false)?; // native: as the sender has it
                (&stream).write_all(GREETING.as_bytes())?;
                "Native TcpStream"
            }
            _ => "Native",
        },
        _ => "new",
    })
}

fn greet_one(server: impl Into<OwnedFd>) -> io::Result<()> {
    match Listener::from_socket(server)?.accept()? {
        Some(mut connection) => connection.write_all(GREETING.as_bytes()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The socket may be non-blocking: so it is for all who share it.
fn answer_one(socket: &UdpSocket) -> io::Result<()> {
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::from(30_000_u16))?;
    let (_, from) = socket.recv_from(&mut [0; 64])?;
    socket.send_to(GREETING.as_bytes(), from).map(drop)
}

/// Some socket, whose use nobody tries.
pub(crate) fn any() -> io::Result<Handle> {
    UdpSocket::bind(ANYWHERE).map(Handle::from)
}
