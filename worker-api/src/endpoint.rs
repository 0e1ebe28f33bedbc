//! A channel with its lock and its waiting: what a plain channel and a worker share.

use std::{
    io, mem,
    ops::{Deref, DerefMut},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use nix::{poll::PollFlags, sys::eventfd::EventFd};
use serde::Serialize;

use crate::{
    Error, Result, Serialization,
    latch::{Latch, Signal, wait},
    letter::Letter,
    wire::{Attachment, Cluster, HIGH_WATER, LONGEST_LINE, Link, Rider},
};

mod port;
mod reading;
mod state;

/// Of many small messages so much is written at a time: 64 KiB.
const BATCH: usize = 1 << 16;

pub(crate) use port::Port;
pub(crate) use state::State;

/// What becomes of the cluster module's messages.
pub(crate) trait Router: Send {
    fn route(&mut self, message: Cluster, attachment: Attachment, port: &mut Port);

    /// Somebody looks whether the channel has anything.
    fn served(&self) {}

    /// The channel has just been closed.
    fn closed(&mut self);
}

/// A plain channel has no cluster module.
#[derive(Debug)]
pub(crate) struct NoRouter;

impl Router for NoRouter {
    fn route(&mut self, _: Cluster, _: Attachment, _: &mut Port) {}

    fn closed(&mut self) {}
}

/// One end of a channel, for any number of threads.
///
/// Whoever waits for something also serves the channel meanwhile, and wakes the others when
/// something for them came by.
#[derive(Debug)]
pub(crate) struct Endpoint<R> {
    state: Mutex<State<R>>,
    socket: Arc<UnixStream>,
    serialization: Serialization,
    latch: Arc<Latch>,
    /// Readable while nothing is left to write.
    written: Arc<EventFd>,
}

/// The state of an endpoint, locked. Giving the lock back tells the others what is new.
pub(crate) struct Held<'a, R: Router>(MutexGuard<'a, State<R>>);

impl<R: Router> Deref for Held<'_, R> {
    type Target = State<R>;

    fn deref(&self) -> &State<R> {
        &self.0
    }
}

impl<R: Router> DerefMut for Held<'_, R> {
    fn deref_mut(&mut self) -> &mut State<R> {
        &mut self.0
    }
}

impl<R: Router> Drop for Held<'_, R> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

impl<R: Router> Endpoint<R> {
    pub(crate) fn new(socket: UnixStream, serialization: Serialization, router: R) -> Result<Self> {
        let refused = |source| Error::Channel { source };
        let link = Link::new(socket, LONGEST_LINE, serialization).map_err(refused)?;
        let (ready, written) = (Signal::new().map_err(refused)?, Signal::new().map_err(refused)?);
        let socket = link.socket();
        let latch = Arc::new(Latch::new(Some(socket.as_fd()), &ready).map_err(refused)?);
        let counter = written.counter();
        let state = Mutex::new(State::new(link, router, ready, written, Arc::clone(&latch)));
        Ok(Self { state, socket, serialization, latch, written: counter })
    }

    /// The state; a thread that panicked with the lock left nothing half done that matters.
    pub(crate) fn lock(&self) -> Held<'_, R> {
        Held(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the router, which may write.
    pub(crate) fn with_router<T>(&self, act: impl FnOnce(&mut R, &mut Port) -> T) -> T {
        let state = &mut *self.lock();
        act(&mut state.router, &mut state.port)
    }

    /// How the channel writes messages.
    pub(crate) fn serialization(&self) -> Serialization {
        self.serialization
    }

    /// The channel, for other latches.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Readable while nothing is left to write.
    #[cfg(feature = "tokio")]
    pub(crate) fn written(&self) -> BorrowedFd<'_> {
        self.written.as_fd()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.lock().port.is_open()
    }

    /// Serves the channel until `done` finds what it looks for; `None` if the deadline came
    /// first. The latch must open when another thread has served the channel for us.
    pub(crate) fn serve_until<T>(
        &self,
        latch: &Latch,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut State<R>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut state = self.lock();
        loop {
            while state.is_to_look() {
                if let Some(found) = done(&mut state) {
                    return Ok(Some(found));
                }
                if !state.pump() {
                    break;
                }
            }
            if let Some(found) = done(&mut state) {
                return Ok(Some(found));
            }
            let is_writing = state.port.is_writing();
            state.waiting += 1;
            drop(state);
            let in_time = self.wait(latch, is_writing, deadline);
            state = self.lock();
            state.waiting -= 1;
            state.woken();
            if !in_time? {
                return Ok(None);
            }
        }
    }

    fn wait(&self, latch: &Latch, to_write: bool, deadline: Option<Instant>) -> io::Result<bool> {
        if !to_write {
            return latch.wait(deadline);
        }
        wait(&[(latch.as_fd(), PollFlags::POLLIN), (self.socket(), PollFlags::POLLOUT)], deadline)
    }

    /// Waits for the next user message; `None` if the deadline came first, or if the channel is
    /// closed.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Result<Option<Letter>> {
        Ok(self.serve_until(&self.latch, deadline, State::take)?.transpose()?.flatten())
    }

    /// The next user message if there is one now.
    pub(crate) fn try_receive(&self) -> Result<Option<Letter>> {
        let mut state = self.lock();
        loop {
            if let Some(taken) = state.take() {
                return taken;
            }
            if !state.pump() {
                return state.take().unwrap_or(Ok(None));
            }
        }
    }

    /// Sends a message without waiting; whether the other side keeps up.
    pub(crate) fn try_send(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<bool> {
        let mut state = self.lock();
        state.send(message, rider)?;
        Ok(state.port.link.queued() < HIGH_WATER)
    }

    /// Sends a message and waits until the system has it, and the other side the descriptor,
    /// serving the channel meanwhile: the other side may be waiting for us to read.
    pub(crate) fn send(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        let mut state = self.lock();
        state.send(message, rider)?;
        while !state.write_out()? {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, state.reads());
            events.set(PollFlags::POLLOUT, state.port.is_writing());
            drop(state);
            wait(&[(self.socket(), events), (self.written.as_fd(), PollFlags::POLLIN)], None)?;
            state = self.lock();
        }
        Ok(())
    }

    /// Sends messages together, [`BATCH`] bytes or some more at a time.
    pub(crate) fn send_many<T: Serialize>(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let mut batch = Vec::new();
        let encoded = messages.into_iter().try_for_each(|message| {
            batch.append(&mut self.serialization.encode(&message)?);
            if batch.len() < BATCH { Ok(()) } else { self.send(mem::take(&mut batch), None) }
        });
        let sent = if batch.is_empty() { Ok(()) } else { self.send(batch, None) };
        encoded.and(sent)
    }

    /// Stops sending; the channel closes once all is written and acknowledged. Never waits.
    pub(crate) fn disconnect(&self) {
        self.lock().port.close_when_idle();
    }
}

/// For loops that wait by themselves.
impl<R: Router> AsFd for Endpoint<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock().is_watched = true;
        self.latch.as_fd()
    }
}
