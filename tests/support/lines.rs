//! The client of `tests/node/worker.js` and its twin in Rust, whose answer to a line is the
//! worker's number and that line. So a test decides how long a request is in hand.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A connection to a worker that answers lines.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<UnixStream>,
}

impl Lines {
    /// Connects to `host:port` or a path.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let socket: OwnedFd = match address.contains('/') {
            true => UnixStream::connect(address)?.into(),
            false => TcpStream::connect(address)?.into(),
        };
        Self::over(socket)
    }

    /// Connects to `host:port` from this address of this machine.
    pub(crate) fn connect_from(client: [u8; 4], address: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((client, 0)).into())?;
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        socket.connect(&address.into())?;
        Self::over(socket)
    }

    /// Talks over a connection that is there.
    pub(crate) fn over(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::from(socket.into())); // any stream socket will do
        let this = Self { stream };
        this.be_patient(PATIENCE)?;
        Ok(this)
    }

    /// How long to wait for an answer.
    pub(crate) fn be_patient(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stream.get_mut(), "{line}")
    }

    /// The number of the worker that answers.
    pub(crate) fn hear(&mut self, line: &str) -> io::Result<u32> {
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        match answer.trim_end().split_once(' ') {
            Some((worker, rest)) if rest == line => worker.parse().map_err(io::Error::other),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("heard {answer:?}"))),
        }
    }

    /// Says a line, and gives the number of the worker that answers.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<u32> {
        self.say(line)?;
        self.hear(line)
    }
}
