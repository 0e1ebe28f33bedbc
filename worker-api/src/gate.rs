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
use nix::sys::resource::{Resource, getrlimit};
use socket2::{SockAddr, SockRef};

use crate::{
    latch::{Latch, Reason},
    sys,
    wire::{Passed, take},
};

/// After so many accepts a worker leaves the socket's queue of waiters and joins its end. The
/// kernel wakes the first in the queue, who keeps his place: without this one worker gets
/// nearly all connections. The two system calls cost about 1 % of a connection. With longer turns
/// a new worker waits longer for its first connection.
const TURN: u32 = 2;

/// The same for a socket with `SO_REUSEPORT`, where mostly nobody else waits.
const LONG_TURN: u32 = 16;

/// After so many accepts the channel is looked at: a loop that always finds a connection may never
/// see it otherwise.
const LOOK: u32 = 4;

/// The accepting side of a [`Listener`](crate::Listener), which the worker can shut from
/// outside.
#[derive(Debug)]
pub(crate) struct Gate {
    latch: Latch,
    way: RwLock<Way>,
    closed: AtomicBool,
    live: AtomicUsize,
    most: usize,
    accepts: AtomicU32,
    /// Accepts of a turn.
    turn: AtomicU32,
    /// A connection was taken since the last look.
    breath: AtomicBool,
    /// The last connection of a lane had one of the last numbers there are.
    is_short: AtomicBool,
    /// Connections that were handed over wait besides those of the socket.
    has_offers: AtomicBool,
    /// The last number of a descriptor in this process.
    last: RawFd,
}

/// So close to the end of its numbers a process makes sure that there is one, before it takes a
/// connection from a lane: one without a number would be lost.
const NEAR: RawFd = 16;

/// A connection that the gate let in.
#[derive(Debug)]
pub(crate) struct Admitted<T> {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Option<SockAddr>,
    /// What counts it.
    pub(crate) count: T,
    /// The master wants to hear that it was taken.
    pub(crate) tell: bool,
}

/// What is to be done after an accept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// It is time to serve the channel.
    pub(crate) is_to_look: bool,
    pub(crate) is_full: bool,
}

#[derive(Debug)]
struct Way {
    /// None when connections come over the channel, and after the end.
    socket: Option<Arc<OwnedFd>>,
    /// The socket is a lane, from which nobody else takes.
    is_lane: bool,
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
        let way = Way { socket: None, is_lane: false, door: Door::Own, inside: false };
        Self {
            latch,
            way: RwLock::new(way),
            closed: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            most: most.unwrap_or(usize::MAX),
            accepts: AtomicU32::new(0),
            turn: AtomicU32::new(TURN),
            breath: AtomicBool::new(false),
            is_short: AtomicBool::new(true),
            has_offers: AtomicBool::new(false),
            last: getrlimit(Resource::RLIMIT_NOFILE)
                .map_or(0, |(soft, _)| RawFd::try_from(soft).unwrap_or(RawFd::MAX)),
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
        if SockRef::from(&socket).reuse_port().unwrap_or(false) {
            self.turn.store(LONG_TURN, SeqCst);
        }
        let mut way = self.write();
        if !self.is_closed() {
            way.socket = Some(Arc::new(socket));
        }
    }

    /// Takes connections from this lane from now on.
    pub(crate) fn install_lane(&self, lane: OwnedFd) {
        self.install(lane);
        self.write().is_lane = true;
    }

    pub(crate) fn is_lane(&self) -> bool {
        self.read().is_lane
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
        if let Some(socket) = way.socket.as_ref().filter(|_| was_inside && !way.is_lane) {
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
        let way = self.read();
        self.breath.swap(false, SeqCst) && !way.is_lane && matches!(way.door, Door::Foreign(..))
    }

    /// Takes a connection off the socket and counts it. What `count` does is done before
    /// anybody can shut the gate: who leaves then knows of the connection.
    pub(crate) fn accept<T>(
        &self,
        nonblocking: bool,
        count: impl FnOnce() -> T,
    ) -> io::Result<Admitted<T>> {
        let way = self.read();
        let Some(socket) = &way.socket else { return Err(io::ErrorKind::WouldBlock.into()) };
        if !self.reserve() {
            drop(way);
            self.leave_if_full();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let accepted = match way.is_lane {
            false => sys::accept(socket.as_fd(), nonblocking)
                .map(|(socket, peer)| Some((socket, Some(peer), false))),
            true => self.take(socket.as_fd(), nonblocking),
        };
        let admitted = accepted.map(|one| {
            one.map(|(socket, peer, tell)| Admitted { socket, peer, count: count(), tell })
        });
        drop(way);
        if !matches!(admitted, Ok(Some(_))) {
            self.end();
        }
        admitted?.ok_or_else(|| {
            self.dry_up();
            io::ErrorKind::WouldBlock.into()
        })
    }

    /// Takes a connection from a lane; none if no more will come.
    fn take(
        &self,
        lane: BorrowedFd<'_>,
        nonblocking: bool,
    ) -> io::Result<Option<(OwnedFd, Option<SockAddr>, bool)>> {
        if self.is_short.load(SeqCst) {
            drop(lane.try_clone_to_owned()?);
        }
        let Some(Passed { connection, tell }) = take(lane)? else { return Ok(None) };
        self.is_short.store(connection.as_raw_fd() >= self.last - NEAR, SeqCst);
        if !nonblocking {
            SockRef::from(&connection).set_nonblocking(false)?;
        }
        Ok(Some((connection, None, tell)))
    }

    /// The master has closed the lane; why is said in the channel.
    fn dry_up(&self) {
        let mut way = self.write();
        self.leave(&mut way);
        way.socket = None;
    }

    /// Counts a connection in advance, if there is room for it.
    fn reserve(&self) -> bool {
        let more = |live| (live < self.most).then_some(live + 1);
        self.live.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Runs something with the socket, while there is one.
    pub(crate) fn with_socket<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let way = self.read();
        let socket = way.socket.clone().filter(|_| !way.is_lane)?;
        drop(way); // no lock is held while others' code runs
        Some(act(socket.as_fd()))
    }

    /// Whether one more connection may come besides those waiting.
    pub(crate) fn has_room(&self, waiting: usize) -> bool {
        self.live.load(SeqCst).saturating_add(waiting) < self.most
    }

    /// Whether connections wait that were handed over.
    pub(crate) fn has_offers(&self) -> bool {
        self.has_offers.load(SeqCst)
    }

    pub(crate) fn set_has_offers(&self, on: bool) {
        self.has_offers.store(on, SeqCst);
    }

    /// Counts a connection that did not come from the socket.
    pub(crate) fn begin(&self) {
        self.live.fetch_add(1, SeqCst);
    }

    /// After each accept: makes way for other workers when it is time, or when there is no more
    /// room.
    pub(crate) fn make_way(&self) -> Turn {
        self.breath.store(true, SeqCst);
        let count = self.accepts.fetch_add(1, SeqCst).wrapping_add(1);
        let is_full = !self.has_room(0);
        if is_full {
            self.leave_if_full();
        } else if count.is_multiple_of(self.turn.load(SeqCst)) {
            self.go_to_the_end();
        }
        Turn { is_to_look: count.is_multiple_of(LOOK), is_full }
    }

    /// The end of a connection has us enter again, before or after.
    fn leave_if_full(&self) {
        let mut way = self.write();
        if !self.has_room(0) {
            self.make_room(&mut way);
        }
    }

    fn go_to_the_end(&self) {
        if self.is_lane() {
            return; // where nobody else waits
        }
        let mut way = self.write();
        if way.inside {
            self.leave(&mut way);
            if let Err(error) = self.enter(&mut way) {
                log::error!("cannot wait for connections any more: {error}");
            }
        }
    }

    /// A connection has ended; whether there is room since.
    pub(crate) fn end(&self) -> bool {
        let was_full = self.live.fetch_sub(1, SeqCst) == self.most;
        if was_full && let Err(error) = self.enter(&mut self.write()) {
            log::error!("cannot wait for connections any more: {error}");
        }
        was_full
    }
}
