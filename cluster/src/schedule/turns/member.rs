//! A worker among those that take turns.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::schedule::Candidate;

/// How long a worker that refused a connection is left alone, at first and at most. A Node
/// worker cannot say when it has room again, so it is asked.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What is in a worker's lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// How many connections may be put into it.
    pub(crate) credit: u32,
    /// How many are in it.
    pub(crate) coming: u64,
}

/// A worker, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Member<C> {
    pub(super) holds: Option<(u64, C)>,
    /// Present: it has a lane.
    pub(super) lane: Option<Standing>,
    /// What a rule wants it to have as soon as it is free.
    pub(super) queue: VecDeque<C>,
    /// How many it was handed and did not give back, and the fewest of the others when it came.
    pub(super) given: u64,
    pub(super) is_free: bool,
    pub(super) rests_until: Option<Instant>,
    rest: Duration,
    /// Goes as soon as it has said whether it takes what it holds.
    pub(super) is_leaving: bool,
}

impl<C> Member<C> {
    /// One that was given so many already, and is not free yet.
    pub(super) fn new(has_lane: bool, given: u64) -> Self {
        Self {
            holds: None,
            lane: has_lane.then(Standing::default),
            queue: VecDeque::new(),
            given,
            is_free: false,
            rests_until: None,
            rest: FIRST_REST,
            is_leaving: false,
        }
    }

    pub(super) fn begin_to_rest(&mut self, now: Instant) {
        self.rests_until = Some(now + self.rest);
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    pub(super) fn candidate(&self, id: u32, open: Option<u64>) -> Candidate {
        let coming = self.queue.len() as u64;
        let in_flight = self.lane.map_or(self.holds.is_some().into(), |lane| lane.coming);
        let connections =
            open.map_or(self.given, |open| open.saturating_add(in_flight)).saturating_add(coming);
        let credit = match self.is_free {
            true => self.lane.map_or(1, |lane| lane.credit.max(1)),
            false => 0,
        };
        Candidate { id, credit, connections }
    }

    /// It has taken something: its next rest is short again.
    pub(super) fn is_well(&mut self) {
        self.rest = FIRST_REST;
    }
}
