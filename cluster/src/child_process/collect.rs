//! Writes a child's input and reads its output, all at the same time, so that nobody waits for
//! somebody who waits for us.

use super::job::Job;
use crate::process::poll_until;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
    sys::socket::{MsgFlags, recv, send},
};
use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

/// Why there is no more to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The child has ended, and whoever else held its streams has closed them.
    Complete,
    Aborted,
    TimedOut,
    Overflow,
}

/// Collects until the end, the deadline or the limit. The streams are closed on return.
pub(super) fn collect(
    job: &Job,
    mut input: Input<'_>,
    streams: &mut [Stream; 2],
    deadline: Option<Instant>,
) -> io::Result<End> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let ended = job.process.try_wait()?.is_some();
        if ended && job.aborted() {
            return Ok(End::Aborted); // others may hold the streams open: not waited for
        }
        if ended && streams.iter().all(|stream| stream.socket.is_none()) {
            return Ok(End::Complete);
        }
        let [out, err] = &*streams;
        let sockets = [input.socket.as_ref(), out.socket.as_ref(), err.socket.as_ref()];
        let flags = [PollFlags::POLLOUT, PollFlags::POLLIN, PollFlags::POLLIN];
        let mut fds: Vec<PollFd<'_>> = sockets
            .into_iter()
            .zip(flags)
            .filter_map(|(socket, flags)| Some(PollFd::new(socket?.as_fd(), flags)))
            .collect();
        if !ended {
            fds.push(PollFd::new(job.process.as_fd(), PollFlags::POLLIN));
        }
        if !poll_until(&mut fds, deadline)? {
            return Ok(End::TimedOut);
        }
        // None of these waits: no matter which was ready.
        input.write()?;
        for stream in streams.iter_mut() {
            if !stream.read(&mut buffer)? {
                return Ok(End::Overflow);
            }
        }
    }
}

/// What is still to be written to the child. Without a rest the socket is closed at once.
pub(super) struct Input<'a> {
    socket: Option<UnixStream>,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(socket: Option<UnixStream>, bytes: &'a [u8]) -> Self {
        Self { socket: socket.filter(|_| !bytes.is_empty()), rest: bytes }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match send(socket.as_raw_fd(), self.rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => self.rest = self.rest.get(count..).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // A child need not read all: its status tells whether that was right.
            Err(Errno::EPIPE | Errno::ECONNRESET) => self.rest = &[],
            Err(errno) => return Err(errno.into()),
        }
        if self.rest.is_empty() {
            self.socket = None;
        }
        Ok(())
    }
}

/// One of the child's output streams, until its end.
pub(super) struct Stream {
    socket: Option<UnixStream>,
    limit: usize,
    pub(super) data: Vec<u8>,
}

impl Stream {
    pub(super) fn new(socket: Option<UnixStream>, limit: usize) -> Self {
        Self { socket, limit, data: Vec::new() }
    }

    pub(super) fn close(&mut self) {
        self.socket = None;
    }

    /// False when there was more than the limit; the data then ends there.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(true) };
        let count = match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
            Err(Errno::ECONNRESET) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if count == 0 {
            self.socket = None;
        }
        let room = self.limit - self.data.len();
        self.data.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
        Ok(count <= room)
    }
}
