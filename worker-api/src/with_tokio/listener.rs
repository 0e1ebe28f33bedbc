//! Accepting connections in a task.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::Instant,
};

use nix::poll::PollFlags;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::spawn_blocking,
};

use super::Connection;
use crate::{Address, latch::wait, listener::PAUSE, sys::watch};

/// A place where connections come in; see [`crate::Listener`]. Dropping it closes it; tasks
/// may share it.
#[derive(Debug)]
pub struct Listener {
    listener: crate::Listener,
    latch: AsyncFd<OwnedFd>,
}

impl crate::Listener {
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
    pub fn into_tokio(self) -> io::Result<Listener> {
        self.gate.move_to(None)?; // a mio loop may have had it
        let latch = watch(self.as_fd(), Interest::READABLE)?;
        Ok(Listener { listener: self, latch })
    }
}

impl Listener {
    /// Waits for the next connection. `None`: this worker is to leave, or the listener is
    /// closed. Safe to cancel.
    ///
    /// # Errors
    ///
    /// What the system says when it has no room for another connection. It will say so again
    /// at once: pause a little, as [`next`](Self::next) does.
    pub async fn accept(&self) -> io::Result<Option<Connection>> {
        loop {
            let mut guard = self.latch.readable().await?;
            match self.listener.try_accept() {
                Ok(connection) => return Connection::new(connection).map(Some),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.listener.gate.is_closed() => return Ok(None),
                // Another task may have held the last place while it looked, and found nothing.
                Err(_) if self.is_open()? => {}
                Err(_) => guard.clear_ready(),
            }
        }
    }

    /// Waits for the next connection, whatever happens: when the system has no room for one it
    /// pauses a little, and the log says so. `None`: this worker is to leave, or the listener is
    /// closed. Safe to cancel.
    pub async fn next(&self) -> Option<Connection> {
        loop {
            match self.accept().await {
                Ok(connection) => return connection,
                Err(error) => {
                    log::warn!("cannot accept a connection now: {error}");
                    // The runtime may have no timer.
                    let _ = spawn_blocking(|| thread::sleep(PAUSE)).await;
                }
            }
        }
    }

    fn is_open(&self) -> io::Result<bool> {
        wait(&[(self.latch.get_ref().as_fd(), PollFlags::POLLIN)], Some(Instant::now()))
    }

    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> &Address {
        self.listener.local_addr()
    }

    /// Stops listening, for all tasks that share this. Connections go on.
    pub fn close(&self) {
        self.listener.close();
    }

    /// Runs something with the socket itself, to set an option, say. `None` when connections
    /// are handed over, for then the master has it, and after the end.
    pub fn with_socket<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.listener.with_socket(act)
    }
}
