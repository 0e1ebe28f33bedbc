//! Where the connections of a socket are handed over.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;
use worker_api::{Address, wire::accept};

use crate::schedule::{Arrival, Choice, Schedule, Turns};

/// How long accepting pauses when the system has no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts while somebody is free, and knows who gets what.
pub(crate) struct Desk {
    pub(super) turns: Turns<Arrived>,
    /// Who gets a connection; without it workers take turns.
    rule: Option<Box<dyn Schedule>>,
    /// The loop has said that connections wait, and accepting has not found the end of them.
    pub(super) is_ready: bool,
    /// The system had no room for a connection: not before this.
    pause: Option<Instant>,
}

/// A connection on its way to a worker.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) socket: Arc<OwnedFd>,
    peer: Option<SocketAddr>,
}

impl Arrived {
    /// A connection that was accepted earlier.
    pub(super) fn of(socket: Arc<OwnedFd>) -> Self {
        let peer = SockRef::from(&socket).peer_addr().ok().and_then(|peer| peer.as_socket());
        Self { socket, peer }
    }
}

/// How many connections a worker has open, if that is known.
pub(crate) type Open<'a> = &'a dyn Fn(u32) -> Option<u64>;

impl Desk {
    pub(super) fn new(rule: Option<Box<dyn Schedule>>) -> Self {
        Self { turns: Turns::new(), rule, is_ready: true, pause: None }
    }

    /// The next connection to hand over, in the message of this number, and to whom.
    pub(super) fn next(
        &mut self,
        socket: &OwnedFd,
        local: &Address,
        number: u64,
        now: Instant,
        open: Open<'_>,
    ) -> Option<(u32, Arrived)> {
        self.turns.wake(now);
        if self.pause.is_some_and(|pause| pause <= now) {
            self.pause = None;
        }
        // What waits for one worker leaves room for others', so more are taken until there is
        // something to hand over.
        loop {
            self.accept(socket, now);
            let next = self.choose(local, number, open);
            if next.is_some() || !self.accepts() {
                return next;
            }
        }
    }

    fn accepts(&self) -> bool {
        self.is_ready && self.pause.is_none() && self.turns.has_room()
    }

    /// Accepts while somebody is free.
    fn accept(&mut self, socket: &OwnedFd, now: Instant) {
        while self.accepts() {
            match accept(socket.as_fd(), true) {
                Ok((connection, peer)) => {
                    let (socket, peer) = (Arc::new(connection), peer.as_socket());
                    self.turns.arrived(Arrived { socket, peer });
                }
                Err(error) => self.failed(&error, now),
            }
        }
    }

    fn choose(&mut self, local: &Address, number: u64, open: Open<'_>) -> Option<(u32, Arrived)> {
        let Some(rule) = &mut self.rule else { return self.turns.hand_over(number, None) };
        let mut choose = |arrived: &Arrived, candidates: &[_]| {
            rule.choose(&Arrival::new(local, arrived.peer), candidates)
        };
        self.turns.hand_over(number, Some(Choice { rule: &mut choose, open }))
    }

    /// What is wrong with one connection says nothing about the next; want of room passes.
    fn failed(&mut self, error: &io::Error, now: Instant) {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.is_ready = false,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => {
                log::warn!("cannot accept a connection now: {error}");
                self.pause = Some(now + PAUSE);
            }
        }
    }

    /// When to look again, though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.pause, self.turns.deadline()].into_iter().flatten().min()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("turns", &self.turns).finish_non_exhaustive()
    }
}
