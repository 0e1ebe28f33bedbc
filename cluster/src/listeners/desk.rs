//! Where the connections of a socket are handed over.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use worker_api::wire::accept;

use crate::schedule::Turns;

/// How long accepting pauses when the system has no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts while somebody is free, and knows who gets what.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) turns: Turns<Arc<OwnedFd>>,
    /// The loop has said that connections wait, and accepting has not found the end of them.
    pub(super) is_ready: bool,
    /// The system had no room for a connection: not before this.
    pause: Option<Instant>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { turns: Turns::new(), is_ready: true, pause: None }
    }

    /// The next connection to hand over, in the message of this number, and to whom.
    pub(super) fn next(
        &mut self,
        socket: &OwnedFd,
        number: u64,
        now: Instant,
    ) -> Option<(u32, Arc<OwnedFd>)> {
        self.turns.wake(now);
        if self.pause.is_some_and(|pause| pause <= now) {
            self.pause = None;
        }
        while self.is_ready && self.pause.is_none() && self.turns.has_room() {
            match accept(socket.as_fd(), true) {
                Ok((connection, _)) => self.turns.arrived(Arc::new(connection)),
                Err(error) => self.failed(&error, now),
            }
        }
        self.turns.hand_over(number)
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
