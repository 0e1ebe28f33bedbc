//! Where connections come in: a listening socket, its place in the waiting, and the count.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
};

use mio::{Registry, Token};
use socket2::SockAddr;

use crate::{
    latch::{Latch, Reason},
    sys,
};

/// After so many accepts a worker leaves the socket's queue of waiters and joins its end. The
/// kernel wakes the first in the queue, who keeps his place: without this one worker gets
/// nearly all connections. The two system calls cost under 1 % of a connection.
const TURN: u32 = 4;

/// The accepting side of a [`Listener`](crate::Listener), which the worker can shut from
/// outside.
#[derive(Debug)]
pub(crate) struct Gate {
    latch: Latch,
    way: RwLock<Way>,
    closed: AtomicBool,
    live: AtomicUsize,
    most: usize,
    /// Accepts since the socket was last put at the end of the queue.
    turn: AtomicU32,
    /// A connection was taken since the last look.
    breath: AtomicBool,
}

#[derive(Debug)]
struct Way {
    /// None when connections are handed over, and after the end.
    socket: Option<Arc<OwnedFd>>,
    door: Door,
    /// Whether the socket is in the door's epoll.
    inside: bool,
}

/// Whose epoll watches the socket.
#[derive(Debug)]
enum Door {
    /// Our latch's.
    Own,
    /// A mio loop's, directly: through our latch every worker would wake up for each
    /// connection, for a nested epoll cannot be an exclusive waiter.
    Foreign(Registry, Token),
}

impl Gate {
    /// For a listener that may have `most` connections at a time.
    pub(crate) fn new(latch: Latch, most: Option<usize>) -> Self {
        let way = Way { socket: None, door: Door::Own, inside: false };
        Self {
            latch,
            way: RwLock::new(way),
            closed: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            most: most.unwrap_or(usize::MAX),
            turn: AtomicU32::new(0),
            breath: AtomicBool::new(false),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Way> {
        self.way.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Way> {
        self.way.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn latch(&self) -> &Latch {
        &self.latch
    }

    pub(crate) fn latch_number(&self) -> RawFd {
        self.latch.as_fd().as_raw_fd()
    }

    /// Accepts from this socket from now on.
    pub(crate) fn install(&self, socket: OwnedFd) {
        let mut way = self.write();
        if !self.is_closed() {
            way.socket = Some(Arc::new(socket));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Ends accepting and closes the socket. It must leave the epoll first: the kernel keeps
    /// it there as long as any process has it open, and would go on waking us for it.
    pub(crate) fn shut(&self) {
        let mut way = self.write();
        self.closed.store(true, SeqCst);
        self.make_room(&mut way);
        way.socket = None;
    }

    /// Makes sure that the latch, or the foreign loop, watches the socket.
    pub(crate) fn watch(&self) -> io::Result<()> {
        if self.read().inside {
            return Ok(());
        }
        self.enter(&mut self.write())
    }

    /// Gives the socket to a mio loop, or takes it back.
    pub(crate) fn move_to(&self, foreign: Option<(Registry, Token)>) -> io::Result<()> {
        let mut way = self.write();
        let Some((registry, token)) = foreign else {
            self.make_room(&mut way);
            way.door = Door::Own; // entered again when somebody waits
            return Ok(());
        };
        self.leave(&mut way);
        way.door = Door::Foreign(registry, token);
        self.enter(&mut way)
    }

    /// Whether there is room is asked under the lock: it may have come or gone meanwhile.
    fn enter(&self, way: &mut Way) -> io::Result<()> {
        let wanted = !way.inside && self.has_room(0);
        let Some(socket) = way.socket.as_ref().filter(|_| wanted) else { return Ok(()) };
        let (epoll, data) = self.epoll(&way.door);
        sys::add_exclusive(epoll, socket.as_fd(), data)?;
        way.inside = true;
        Ok(())
    }

    fn leave(&self, way: &mut Way) {
        let Some(socket) = way.socket.as_ref().filter(|_| way.inside) else { return };
        if let Err(error) = sys::remove(self.epoll(&way.door).0, socket.as_fd()) {
            log::debug!("cannot leave the queue of a socket: {error}");
        }
        way.inside = false;
    }

    /// Leaves for longer: somebody else is to have the connection that we were woken for.
    fn make_room(&self, way: &mut Way) {
        let was_inside = way.inside;
        self.leave(way);
        if let Some(socket) = way.socket.as_ref().filter(|_| was_inside) {
            sys::pass_on(socket.as_fd());
        }
    }

    fn epoll(&self, door: &Door) -> (RawFd, u64) {
        match door {
            Door::Own => (self.latch.as_fd().as_raw_fd(), Reason::Socket.data()),
            Door::Foreign(registry, token) => (registry.as_raw_fd(), token.0 as u64),
        }
    }

    /// Whether to let others have the next connection: a mio loop that watches the socket has
    /// taken one in this round, and will be told again if more are there. Saves the system
    /// call that would find none, and spreads a burst.
    pub(crate) fn take_breath(&self) -> bool {
        self.breath.swap(false, SeqCst) && matches!(self.read().door, Door::Foreign(..))
    }

    /// Takes a connection off the socket and counts it. What `count` does is done before
    /// anybody can shut the gate: who leaves then knows of the connection.
    pub(crate) fn accept<T>(
        &self,
        nonblocking: bool,
        count: impl FnOnce() -> T,
    ) -> io::Result<(OwnedFd, SockAddr, T)> {
        let way = self.read();
        let Some(socket) = &way.socket else { return Err(io::ErrorKind::WouldBlock.into()) };
        if !self.reserve() {
            drop(way);
            self.leave_if_full();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let accepted =
            sys::accept(socket.as_fd(), nonblocking).map(|(socket, peer)| (socket, peer, count()));
        drop(way);
        if accepted.is_err() {
            self.end();
        }
        accepted
    }

    /// Counts a connection in advance, if there is room for it.
    fn reserve(&self) -> bool {
        let more = |live| (live < self.most).then_some(live + 1);
        self.live.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Runs something with the socket, while there is one.
    pub(crate) fn with_socket<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let socket = self.read().socket.clone()?; // no lock is held while others' code runs
        Some(act(socket.as_fd()))
    }

    /// Whether one more connection may come besides those waiting.
    pub(crate) fn has_room(&self, waiting: usize) -> bool {
        self.live.load(SeqCst).saturating_add(waiting) < self.most
    }

    /// Counts a connection that did not come from the socket.
    pub(crate) fn begin(&self) {
        self.live.fetch_add(1, SeqCst);
    }

    /// After each accept: makes way for other workers when it is time, or when there is no more
    /// room. Whether it was the last of this worker's turn.
    pub(crate) fn make_way(&self) -> bool {
        self.breath.store(true, SeqCst);
        let turn_is_over = self.turn.fetch_add(1, SeqCst) + 1 >= TURN;
        if !self.has_room(0) {
            self.leave_if_full();
        } else if turn_is_over {
            self.go_to_the_end();
        }
        turn_is_over
    }

    /// The end of a connection has us enter again, before or after.
    fn leave_if_full(&self) {
        let mut way = self.write();
        if !self.has_room(0) {
            self.make_room(&mut way);
        }
    }

    fn go_to_the_end(&self) {
        self.turn.store(0, SeqCst);
        let mut way = self.write();
        if way.inside {
            self.leave(&mut way);
            if let Err(error) = self.enter(&mut way) {
                log::error!("cannot wait for connections any more: {error}");
            }
        }
    }

    /// A connection has ended.
    pub(crate) fn end(&self) {
        let live = self.live.fetch_sub(1, SeqCst);
        if live == self.most
            && let Err(error) = self.enter(&mut self.write())
        {
            log::error!("cannot wait for connections any more: {error}");
        }
    }
}
