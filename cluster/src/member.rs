//! A worker in its master's table.

use std::collections::HashMap;

use crate::{State, WorkerRef};

/// What only the master's loop knows of a worker.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) worker: WorkerRef,
    /// Its place among the workers, from 0 on; two have the same while one replaces the other.
    pub(crate) slot: usize,
    /// Connections on their way to it: the number of the message, and the socket's.
    pub(crate) offers: HashMap<u64, usize>,
    /// It was told to leave, once.
    pub(crate) is_leaving: bool,
    /// It can take connections from lanes.
    pub(crate) takes_lanes: bool,
    /// It has used its channel, so it is no program that does not know of it.
    pub(crate) has_spoken: bool,
}

impl Member {
    pub(crate) fn new(worker: WorkerRef, slot: usize) -> Self {
        Self {
            worker,
            slot,
            offers: HashMap::new(),
            is_leaving: false,
            takes_lanes: false,
            has_spoken: false,
        }
    }

    /// Whether it, or another in its place, may be about to ask for a socket whose last worker
    /// went when `since` was the youngest: it is starting, or was started after that and has not
    /// listened yet, or crashes just now.
    pub(crate) fn may_still_listen(&self, since: u32) -> bool {
        match self.worker.state() {
            State::Starting => !self.is_leaving,
            State::Online => !self.is_leaving && self.worker.id() > since,
            State::Disconnected => !self.worker.exited_after_disconnect(),
            State::Listening | State::Dead => false,
        }
    }
}
