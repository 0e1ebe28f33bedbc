//! The master's end of the control socket.

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{
    Answer, Happening, Request,
    caller::{Caller, State},
    claim::Claim,
    logs::FOLLOWER,
    peer::Peer,
};

/// So many clients at a time. One more takes the place of one that asks nothing, or else of
/// one that only listens.
const MOST_CLIENTS: usize = 32;

/// Clients that are dealt with at a time.
const BATCH: usize = 16;

/// The listener's place in the epoll; clients have the numbers from 1 on.
pub(super) const LISTENER: u64 = 0;

/// Serves clients without ever waiting for one. Its descriptor is readable while there is
/// something to do.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) claim: Claim,
    pub(super) epoll: Epoll,
    pub(super) callers: BTreeMap<u64, Caller>,
    pub(super) last: u64,
    /// Accepting has failed, and is tried again when something else happens.
    is_deaf: bool,
    /// Lines were passed on, and there may be more of them.
    pub(super) is_busy: bool,
}

/// Who has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker(pub(super) u64);

/// A request that is to be answered, with [`Server::answer`].
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) asker: Asker,
    pub(crate) request: Request,
}

impl Server {
    /// Listens at this path. A dead master's socket is replaced, a living one's is an error.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let claim = Claim::new(path)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&claim.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self::over(claim, epoll))
    }

    pub(super) fn over(claim: Claim, epoll: Epoll) -> Self {
        Self {
            claim,
            epoll,
            callers: BTreeMap::new(),
            last: LISTENER,
            is_deaf: false,
            is_busy: false,
        }
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Gives the path up; those who are there already are still answered.
    pub(crate) fn withdraw(&self) {
        self.claim.withdraw();
    }

    /// What clients have asked since the last call; call again until it is nothing, and the
    /// server is not [busy](Self::is_busy). Those who want to know what happens are noted; all
    /// others are to be answered.
    pub(crate) fn orders(&mut self) -> Vec<Order> {
        self.is_busy = false;
        if self.is_deaf {
            self.listen(true);
        }
        let (mut ready, mut orders) = ([EpollEvent::empty(); BATCH], Vec::new());
        while orders.is_empty() && !self.is_busy {
            match self.epoll.wait(&mut ready, EpollTimeout::ZERO) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    for event in ready.iter().take(count) {
                        match event.data() {
                            LISTENER => self.admit(),
                            bell if bell & FOLLOWER != 0 => self.pass_on(bell & !FOLLOWER),
                            number => orders.extend(self.serve(number, event.events())),
                        }
                    }
                }
            }
        }
        orders
    }

    /// There is more to do than the last [`orders`](Self::orders) has done.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    fn admit(&mut self) {
        for _ in 0..BATCH {
            match self.claim.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.welcome(stream) {
                        log::warn!("a client of the control socket is turned away: {error}");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("cannot accept at the control socket: {error}");
                    self.listen(false); // it would be tried again and again at once
                    return;
                }
            }
        }
    }

    fn listen(&mut self, on: bool) {
        let wanted = if on { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(wanted, LISTENER);
        if let Err(error) = self.epoll.modify(&self.claim.listener, &mut event) {
            log::error!("cannot watch the control socket: {error}");
        }
        self.is_deaf = !on;
    }

    fn welcome(&mut self, stream: UnixStream) -> io::Result<()> {
        let peer = Peer::of(&stream)?;
        if !peer.may_command() {
            let text = format!("user {} (pid {}) may not command", peer.uid, peer.pid);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        stream.set_nonblocking(true)?;
        if self.callers.len() >= MOST_CLIENTS {
            self.make_room();
        }
        self.last += 1;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, self.last))?;
        self.callers.insert(self.last, Caller::new(stream));
        Ok(())
    }

    /// The oldest that asks nothing goes, else the oldest that only listens, else the oldest.
    fn make_room(&mut self) {
        let oldest = |state| {
            let mut all = self.callers.iter();
            all.find(|(_, caller)| caller.state == state).map(|(number, _)| *number)
        };
        let number = oldest(State::Idle).or_else(|| oldest(State::Listening));
        let number = number.or_else(|| oldest(State::Following));
        if let Some(number) = number.or_else(|| oldest(State::Waiting)) {
            self.dismiss(number);
        }
    }

    fn serve(&mut self, number: u64, what: EpollFlags) -> Option<Order> {
        let caller = self.callers.get_mut(&number)?;
        caller.flush();
        if what.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLERR) {
            caller.is_over = true;
        }
        let order = match caller.hear() {
            Some(Ok(Request::Events)) => {
                caller.state = State::Listening;
                caller.say(&Answer::Begun("events".into()));
                None
            }
            Some(Ok(request)) => {
                caller.state = State::Waiting;
                Some(Order { asker: Asker(number), request })
            }
            Some(Err(error)) => {
                caller.say(&Answer::Failed(format!("not a request: {error}")));
                None
            }
            None => None,
        };
        self.settle(number);
        self.pass_on(number);
        order
    }

    /// Says that something has begun that will be answered later.
    pub(crate) fn begin(&mut self, Asker(number): Asker, what: &str) {
        if let Some(caller) = self.callers.get_mut(&number) {
            caller.say(&Answer::Begun(what.to_owned()));
            self.settle(number);
        }
    }

    /// Answers a request. Who has gone meanwhile is not missed.
    pub(crate) fn answer(&mut self, Asker(number): Asker, answer: &Answer) {
        if let Some(caller) = self.callers.get_mut(&number) {
            caller.say(answer);
            caller.state = State::Idle;
            self.settle(number);
        }
    }

    /// Tells all who listen.
    pub(crate) fn publish(&mut self, happening: &Happening) {
        let is_listener = |(_, caller): &(&u64, &Caller)| caller.state == State::Listening;
        let listeners: Vec<u64> =
            self.callers.iter().filter(is_listener).map(|(number, _)| *number).collect();
        if listeners.is_empty() {
            return;
        }
        let answer = Answer::Event(happening.clone());
        for number in listeners {
            if let Some(caller) = self.callers.get_mut(&number) {
                caller.say(&answer);
                self.settle(number);
            }
        }
    }

    /// Watches a client for what it may do next, or lets it go.
    pub(super) fn settle(&mut self, number: u64) {
        let Some(caller) = self.callers.get(&number) else { return };
        if caller.is_over {
            self.dismiss(number);
            return;
        }
        let mut wanted = match caller.state {
            State::Idle => EpollFlags::EPOLLIN,
            State::Waiting => EpollFlags::empty(), // its end is always told
            State::Listening | State::Following => EpollFlags::EPOLLRDHUP,
        };
        if caller.has_unsent() || caller.has_more() {
            wanted |= EpollFlags::EPOLLOUT;
        }
        if self.epoll.modify(caller, &mut EpollEvent::new(wanted, number)).is_err() {
            self.dismiss(number);
        }
    }

    fn dismiss(&mut self, number: u64) {
        if let Some(caller) = self.callers.remove(&number) {
            let _ = self.epoll.delete(&caller); // closing it does the same, a moment later
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
