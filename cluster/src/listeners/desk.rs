//! Where the connections of a socket are handed over.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockAddr;
use worker_api::Address;

use super::{
    arrived::Arrived,
    lane::{Lane, Progress, Put},
};
use crate::schedule::{Arrival, Choice, Next, Schedule, Standing, Turns};

/// How long accepting pauses when the system has no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A worker that has taken nothing from its lane between two looks, so long apart, is stuck, and
/// others get what is in it.
const PATIENCE: Duration = Duration::from_millis(100);

/// So many connections are put into lanes before the loop looks at anything else.
const BATCH: usize = 64;

/// Accepts while somebody is free, and knows who gets what.
pub(crate) struct Desk {
    pub(super) turns: Turns<Arrived>,
    /// Who gets a connection; without it workers take turns.
    rule: Option<Box<dyn Schedule>>,
    pub(super) lanes: BTreeMap<u32, Lane>,
    /// How many connections may wait in a lane.
    pub(super) window: u32,
    /// When to see whether workers take what is in their lanes.
    pub(super) look_at: Option<Instant>,
    /// The loop has said that connections wait, and accepting has not found the end of them.
    pub(super) is_ready: bool,
    /// The system had no room for a connection: not before this.
    pause: Option<Instant>,
}

/// What a desk has to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// A connection is to be offered to this worker in a message.
    Offer(u32, Arc<OwnedFd>),
    /// There is more to do, after a look at everything else.
    More,
    Nothing,
}

/// What a worker says about its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It has taken what it was asked to tell of.
    Taken,
    /// It wants no more.
    Full,
    /// It does again.
    Room,
}

/// How many connections a worker has open, if that is known.
pub(crate) type Open<'a> = &'a dyn Fn(u32) -> Option<u64>;

/// Where a desk's connections come from.
pub(super) type Source<'a> = &'a mut dyn FnMut() -> io::Result<(OwnedFd, SockAddr)>;

impl Desk {
    pub(super) fn new(rule: Option<Box<dyn Schedule>>, window: u32) -> Self {
        Self {
            turns: Turns::new(),
            rule,
            lanes: BTreeMap::new(),
            window,
            look_at: None,
            is_ready: true,
            pause: None,
        }
    }

    /// A worker listens. If it takes connections from a lane: the worker's end of one.
    pub(super) fn join(&mut self, worker: u32, wants_lane: bool) -> Option<Arc<OwnedFd>> {
        let lane = match wants_lane.then(|| Lane::new(self.window)) {
            Some(Err(error)) => {
                log::warn!("worker {worker} gets no lane: {error}");
                None
            }
            lane => lane.and_then(Result::ok),
        };
        self.turns.join(worker, lane.is_some());
        let lane = lane?;
        let theirs = lane.theirs();
        self.lanes.insert(worker, lane);
        Some(theirs)
    }

    /// A worker is to leave. What it was offered in a message it may have taken already.
    pub(super) fn retire(&mut self, worker: u32) {
        self.empty(worker);
        self.lanes.remove(&worker);
        self.turns.retire(worker);
    }

    /// A worker no longer listens, or is dead: what it has not taken goes to others.
    pub(super) fn leave(&mut self, worker: u32) {
        self.empty(worker);
        self.lanes.remove(&worker);
        self.turns.leave(worker);
    }

    /// Takes back what is in a worker's lane.
    fn empty(&mut self, worker: u32) {
        let Some(lane) = self.lanes.get_mut(&worker) else { return };
        let mut back = Vec::new();
        while let Some(socket) = lane.take_back() {
            back.push(Arrived::again(socket));
        }
        for arrived in back.into_iter().rev() {
            self.turns.give_back(worker, arrived);
        }
    }

    /// What to do next, after everything was done that needs no message; an offer is the one of
    /// the message of this number.
    pub(super) fn next(
        &mut self,
        source: Source<'_>,
        local: &Address,
        number: u64,
        now: Instant,
        open: Open<'_>,
    ) -> Step {
        self.turns.wake(now);
        if self.pause.is_some_and(|pause| pause <= now) {
            self.pause = None;
        }
        self.look(now);
        for _ in 0..BATCH {
            self.accept(source, now);
            if self.pause.is_some() {
                return Step::Nothing;
            }
            match self.choose(local, number, open) {
                Some(Next::Lane(worker, arrived)) => self.put(worker, arrived, now),
                Some(Next::Offer(worker)) => {
                    if let Some(socket) = self.turns.held(worker).and_then(Arrived::share) {
                        return Step::Offer(worker, socket);
                    }
                }
                // What waits for one worker leaves room for others'.
                None if self.accepts() => {}
                None => return Step::Nothing,
            }
        }
        Step::More
    }

    fn accepts(&self) -> bool {
        self.is_ready && self.pause.is_none() && self.turns.has_room()
    }

    /// Accepts while somebody is free.
    fn accept(&mut self, source: Source<'_>, now: Instant) {
        while self.accepts() {
            match source() {
                Ok((connection, peer)) => {
                    self.turns.arrived(Arrived::new(connection, peer.as_socket()));
                }
                Err(error) => self.failed(&error, now),
            }
        }
    }

    fn choose(&mut self, local: &Address, number: u64, open: Open<'_>) -> Option<Next<Arrived>> {
        let Some(rule) = &mut self.rule else { return self.turns.hand_over(number, None) };
        for (&worker, lane) in &mut self.lanes {
            let coming = lane.look() as u64;
            self.turns.note(worker, Standing { credit: lane.credit(), coming });
        }
        let mut choose = |arrived: &Arrived, candidates: &[_]| {
            rule.choose(&Arrival::new(local, arrived.peer), candidates)
        };
        self.turns.hand_over(number, Some(Choice { rule: &mut choose, open }))
    }

    /// Puts a connection into a lane.
    fn put(&mut self, worker: u32, arrived: Arrived, now: Instant) {
        let (Some(lane), Some(socket)) = (self.lanes.get_mut(&worker), arrived.socket()) else {
            return self.turns.leave(worker); // neither happens
        };
        match lane.put(socket) {
            Ok(Put::Room) => {}
            Ok(Put::Last) => self.turns.full(worker),
            Ok(Put::Full) => {
                self.turns.full(worker);
                self.turns.give_back(worker, arrived);
            }
            Err(error) => {
                self.turns.give_back(worker, arrived);
                self.failed(&error, now);
            }
        }
        self.look_at.get_or_insert(now + PATIENCE);
    }

    /// Now and then: sees whether workers take what is in their lanes. What a stuck one has goes
    /// to others, if there are any who are not.
    fn look(&mut self, now: Instant) {
        if self.look_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let mut stuck = Vec::new();
        for (&worker, lane) in &mut self.lanes {
            let progress = lane.progress();
            if let Progress::Stuck(_) = progress {
                stuck.push(worker);
            }
            if progress != Progress::Empty {
                self.look_at = Some(now + PATIENCE);
            }
            if lane.credit() > 0 {
                self.turns.room(worker);
            }
        }
        if self.turns.has_others(&stuck) {
            for worker in stuck {
                self.empty(worker);
                self.turns.rest(worker, now);
                if let Some(lane) = self.lanes.get_mut(&worker) {
                    lane.try_it();
                }
            }
        }
    }

    /// A worker says something about its lane.
    pub(super) fn hear(&mut self, worker: u32, news: News) {
        let Some(lane) = self.lanes.get_mut(&worker) else { return };
        match news {
            News::Taken => {
                lane.was_taken();
                self.turns.is_well(worker);
            }
            News::Full => lane.is_shut = true,
            News::Room => lane.is_shut = false,
        }
        if lane.credit() > 0 {
            self.turns.room(worker);
        } else if news == News::Full {
            self.turns.full(worker);
            self.empty(worker);
        }
    }

    /// What a worker has said to an offer.
    pub(super) fn settle(&mut self, worker: u32, number: u64, taken: bool) {
        match taken {
            true => self.turns.taken(worker, number),
            false => self.turns.refused(worker, number, Instant::now()),
        }
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
        [self.pause, self.look_at, self.turns.deadline()].into_iter().flatten().min()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("turns", &self.turns).finish_non_exhaustive()
    }
}
