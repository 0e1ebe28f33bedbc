//! The master's end of a worker's channel, which other threads may write to.

use std::os::fd::AsFd;

use worker_api::wire::{Fill, HIGH_WATER, Link, Received, Rider};

/// From so many sockets on that it has not acknowledged a worker does not keep up.
const MANY_RIDERS: usize = 64;

/// A worker that does not read so many bytes of answers, but asks on, loses its channel.
const MOST_ANSWERS: usize = 8 << 20;

/// The channel while it is open, and how the worker listens.
#[derive(Debug)]
pub(crate) struct Outlet {
    link: Option<Link>,
    health: Health,
    /// Bytes of the master's own messages since the queue was last empty.
    answers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    /// Nothing can be written any more: the worker is dead, or has shut its ears. What it has
    /// said can still be read.
    Broken,
    /// The worker does not listen, and asks on.
    Deaf,
}

impl Outlet {
    pub(crate) fn new(link: Link) -> Self {
        Self { link: Some(link), health: Health::Well, answers: 0 }
    }

    /// One that was written down; without a channel if that was closed.
    pub(crate) fn restore(link: Option<Link>) -> Self {
        Self { link, health: Health::Well, answers: 0 }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    /// Queues a user's message and writes what can be written now; whether the worker keeps up.
    pub(crate) fn send(&mut self, message: Vec<u8>, rider: Option<Rider>) -> bool {
        let Some(link) = self.link.as_mut().filter(|_| self.health == Health::Well) else {
            return false;
        };
        if let Err(error) = link.send(message, rider) {
            log::warn!("dropped a message to a worker: {error}");
            return false;
        }
        self.flush();
        let keeps_up = |link: &Link| link.queued() < HIGH_WATER && link.riders() < MANY_RIDERS;
        self.link.as_ref().is_some_and(keeps_up)
    }

    /// Queues a message of the master's own and writes what can be written now.
    pub(crate) fn post(&mut self, message: Vec<u8>, rider: Option<Rider>) {
        let Some(link) = self.link.as_mut().filter(|_| self.health == Health::Well) else { return };
        if link.queued() == 0 {
            self.answers = 0;
        }
        self.answers += message.len();
        if self.answers > MOST_ANSWERS || link.send(message, rider).is_err() {
            self.health = Health::Deaf;
            return;
        }
        self.flush();
    }

    /// Writes what can be written now.
    pub(crate) fn flush(&mut self) {
        if let Some(link) = self.link.as_mut().filter(|_| self.health == Health::Well)
            && let Err(error) = link.flush()
        {
            log::debug!("cannot write to a worker: {error}");
            self.health = Health::Broken;
        }
    }

    /// Sockets on their way that the worker has not acknowledged.
    pub(crate) fn riders(&self) -> usize {
        self.link.as_ref().map_or(0, Link::riders)
    }

    /// Reads once. A channel that cannot be written to is at its end when nothing is left.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> worker_api::Result<Fill> {
        let Some(link) = &mut self.link else { return Ok(Fill::Empty) };
        match link.fill(scratch)? {
            Fill::Empty if self.health == Health::Broken => Ok(Fill::Closed),
            fill => Ok(fill),
        }
    }

    /// The next thing received.
    pub(crate) fn next_received(&mut self) -> worker_api::Result<Option<Received>> {
        match &mut self.link {
            Some(_) if self.health == Health::Deaf => Err(worker_api::Error::Full),
            Some(link) => link.next_received(),
            None => Ok(None),
        }
    }

    /// Nothing more can be sent to us; what was can still be read.
    pub(crate) fn stop_receiving(&self) {
        if let Some(link) = &self.link {
            // An error means that the worker was faster.
            let _ = link.socket().shutdown(std::net::Shutdown::Read);
        }
    }

    /// Ends the channel for both sides, if that has not been done; `unwatch` gets its
    /// descriptor before it is closed. What was written before can still be read there.
    pub(crate) fn close(&mut self, unwatch: impl FnOnce(std::os::fd::BorrowedFd<'_>)) -> bool {
        let Some(mut link) = self.link.take() else { return false };
        unwatch(link.as_fd());
        link.shut_down();
        true
    }
}
