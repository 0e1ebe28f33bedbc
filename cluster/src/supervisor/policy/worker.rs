//! A worker as the policy sees it.

use std::time::{Duration, Instant};

use crate::Signal;

/// How long a worker has after SIGTERM before it is killed.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    pub(super) slot: usize,
    pub(super) generation: u64,
    /// It has its channel, and hears what we say there.
    pub(super) speaks: bool,
    /// It is to be replaced as soon as another is ready, though no reload asks for it.
    pub(super) is_spent: bool,
    /// There are too many that leave.
    pub(super) is_hurried: bool,
    pub(super) phase: Phase,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has until then to become ready.
    Starting { end: Instant },
    /// It serves.
    Ready,
    /// It was asked to leave, or does so by itself: then it gets the next signal, if there is
    /// one left.
    Leaving { end: Instant, next: Option<Signal> },
}

impl Worker {
    pub(super) fn new(slot: usize, generation: u64, end: Instant) -> Self {
        let phase = Phase::Starting { end };
        Self { slot, generation, speaks: false, is_spent: false, is_hurried: false, phase }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    /// It knows that it is to leave, and has until then.
    pub(super) fn leave(&mut self, end: Instant) {
        self.phase = Phase::Leaving { end, next: Some(Signal::TERM) };
    }

    /// It has got a signal that ends it, and has until then.
    pub(super) fn terminate(&mut self, end: Instant) {
        self.phase = Phase::Leaving { end, next: Some(Signal::KILL) };
    }

    /// It has less time than it had.
    pub(super) fn hurry(&mut self, limit: Instant) {
        if let Phase::Leaving { end, .. } = &mut self.phase {
            *end = limit.min(*end);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { end } | Phase::Leaving { end, next: Some(_) } => Some(end),
            Phase::Ready | Phase::Leaving { next: None, .. } => None,
        }
    }

    /// The signal that is due now.
    pub(super) fn escalate(&mut self, now: Instant) -> Option<Signal> {
        let signal = match self.phase {
            Phase::Starting { end } if end <= now => Signal::TERM,
            Phase::Leaving { end, next: Some(next) } if end <= now => next,
            _ => return None,
        };
        let next = (signal != Signal::KILL).then_some(Signal::KILL);
        self.phase = Phase::Leaving { end: now + LAST_WORD, next };
        Some(signal)
    }
}
