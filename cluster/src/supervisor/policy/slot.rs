//! A place that is to have a worker.

use std::time::{Duration, Instant};

/// A worker that dies before it is ready waits so long for its next start: at first, times
/// so much after each such death, at most. Einhorn's and pm2's figures.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const GROWTH: (u32, u32) = (3, 2);
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// It has no worker, and gets one then.
    pub(super) due: Option<Instant>,
    /// The worker that was to replace its worker has failed: the next one not before this.
    pub(super) rests: Option<Instant>,
    /// How long to wait after the next death before ready.
    pub(super) delay: Duration,
    /// How many workers it has had.
    pub(super) starts: u64,
}

impl Slot {
    pub(super) fn due(now: Instant) -> Self {
        Self { due: Some(now), rests: None, delay: FIRST_DELAY, starts: 0 }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Its rest is over, if it is.
    pub(super) fn wake(&mut self, now: Instant) {
        self.rests.take_if(|until| *until <= now);
    }

    /// A worker of it is ready.
    pub(super) fn recover(&mut self) {
        (self.delay, self.rests) = (FIRST_DELAY, None);
    }

    /// It no longer waits for what it waited for.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.recover();
        self.due = self.due.map(|_| now);
    }

    /// A worker of it died before it was ready, and leaves it vacant or not.
    pub(super) fn suffer(&mut self, now: Instant, is_vacant: bool) {
        let next = now + self.delay;
        self.delay = (self.delay * GROWTH.0 / GROWTH.1).min(LONGEST_DELAY);
        match is_vacant {
            true => self.due = Some(next),
            false => self.rests = Some(next),
        }
    }
}
