//! A client, as the master sees it.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use serde::{Deserialize, Serialize};

use super::{Answer, Request, logs::Reading, protocol::line};

/// A request is no longer than this.
const LONGEST_LINE: usize = 16 * 1024;

/// What a client has not read yet is no more than this, or it loses its connection.
const LONGEST_QUEUE: usize = 256 * 1024;

/// A client's connection. Nothing here waits.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) stream: UnixStream,
    pub(super) received: Vec<u8>,
    pub(super) unsent: Vec<u8>,
    pub(super) state: State,
    /// The lines that it is being told.
    pub(super) reading: Option<Reading>,
    /// The stream has come to its end, or the client broke a bound.
    pub(super) is_over: bool,
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// It may ask.
    Idle,
    /// It waits for an answer; nothing more is read from it until then.
    Waiting,
    /// It listens to what happens.
    Listening,
    /// It is told what workers print.
    Following,
}

impl Caller {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (received, unsent) = (Vec::new(), Vec::new());
        Self { stream, received, unsent, state: State::Idle, reading: None, is_over: false }
    }

    /// The next request, if it has come; or what is wrong with it.
    pub(super) fn hear(&mut self) -> Option<Result<Request, String>> {
        while self.state == State::Idle && !self.is_over {
            if let Some(end) = self.line() {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).map_err(|error| error.to_string()));
            }
            if self.received.len() > LONGEST_LINE {
                self.is_over = true;
                return Some(Err(format!("a request has at most {LONGEST_LINE} bytes")));
            }
            self.read()?;
        }
        None
    }

    fn line(&self) -> Option<usize> {
        self.received.iter().position(|byte| *byte == b'\n')
    }

    /// Whether it has asked more than was heard, which no event will tell.
    pub(super) fn has_more(&self) -> bool {
        self.state == State::Idle && self.line().is_some()
    }

    /// Reads once; `None`: nothing is there.
    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.is_over = true,
            Ok(length) => self.received.extend(bytes.iter().take(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.is_over = true,
        }
        Some(())
    }

    pub(super) fn say(&mut self, answer: &Answer) {
        self.queue(answer);
        self.flush();
        if self.unsent.len() > LONGEST_QUEUE {
            self.is_over = true;
        }
    }

    pub(super) fn queue(&mut self, answer: &Answer) {
        self.unsent.extend(line(answer));
    }

    /// Sends what the client takes.
    pub(super) fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_over = true;
                    return;
                }
            }
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
