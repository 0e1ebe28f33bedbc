//! The asking side.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};

use super::{Answer, Error, Request, claim::connect, peer::Peer, protocol::line};
use crate::process::poll_until;

/// How long a master has for its first word, unless it was stopped by a signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked whether the master was stopped.
const LOOK: Duration = Duration::from_millis(400);

/// No answer is longer.
const LONGEST_LINE: usize = 64 << 20;

/// A connection to a master. Its calls wait, but not for a master that is stopped.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    master: u32,
    received: Vec<u8>,
}

impl Client {
    /// Connects to the master that listens at this path.
    ///
    /// # Errors
    ///
    /// [`Error::NoMaster`] if nobody listens there, [`Error::Silent`] if many wait there for
    /// an answer already, [`Error::Connect`] for what else the system says.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let begun = Instant::now();
        let socket = loop {
            match connect(path) {
                Ok(socket) => break socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if begun.elapsed() > LOOK {
                        let after = begun.elapsed();
                        return Err(Error::Silent { pid: None, is_stopped: false, after });
                    }
                    thread::sleep(LOOK / 20); // no event tells that the queue has room
                }
                Err(source) => {
                    let path = path.to_owned();
                    return Err(match source.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                            Error::NoMaster { path, source }
                        }
                        _ => Error::Connect { path, source },
                    });
                }
            }
        };
        let stream = UnixStream::from(OwnedFd::from(socket));
        let master = Peer::of(&stream)?.pid;
        Ok(Self { stream, master, received: Vec::new() })
    }

    /// The master's process.
    pub fn master(&self) -> u32 {
        self.master
    }

    /// Asks, and waits for the answer, however long what it is about takes; but the master's
    /// first word, which says that it has begun, must come within 10 s.
    ///
    /// # Errors
    ///
    /// [`Error::Silent`], [`Error::Closed`], [`Error::Nonsense`].
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        self.send(request)?;
        match self.hear(Some(PATIENCE))? {
            Answer::Begun(_) => self.hear(None),
            answer => Ok(answer),
        }
    }

    /// Asks, and leaves the answers to [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::Silent`].
    pub fn send(&mut self, request: &Request) -> Result<(), Error> {
        // A request is short: the socket's buffer takes it whole.
        match self.stream.write_all(&line(request)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(self.silent(LOOK)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Closed),
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer, however long it takes; `None` when the master has closed.
    ///
    /// # Errors
    ///
    /// [`Error::Silent`] if the master is stopped, [`Error::Nonsense`].
    #[allow(clippy::should_implement_trait, reason = "not an iterator: it has errors of its own")]
    pub fn next(&mut self) -> Result<Option<Answer>, Error> {
        match self.hear(None) {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn hear(&mut self, patience: Option<Duration>) -> Result<Answer, Error> {
        let begun = Instant::now();
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map_err(|error| Error::Nonsense { what: error.to_string() });
            }
            if self.received.len() > LONGEST_LINE {
                return Err(Error::Nonsense { what: "it is too long".into() });
            }
            let waited = begun.elapsed();
            if !self.wait()? && (self.is_stopped() || patience.is_some_and(|most| waited > most)) {
                return Err(self.silent(waited));
            }
        }
    }

    /// Waits for more, a moment; whether the master has said something.
    fn wait(&mut self) -> Result<bool, Error> {
        let mut all = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        if !poll_until(&mut all, Some(Instant::now() + LOOK))? {
            return Ok(false);
        }
        let mut bytes = [0; 1 << 14];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(Error::Closed),
            Ok(length) => {
                self.received.extend(bytes.iter().take(length));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Error::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn silent(&self, after: Duration) -> Error {
        Error::Silent { pid: Some(self.master), is_stopped: self.is_stopped(), after }
    }

    fn is_stopped(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.master)) else {
            return false;
        };
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, Some('T' | 't'))
    }
}
