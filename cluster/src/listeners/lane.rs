//! The master's side of a lane, over which one worker takes the connections of one socket.

use std::{
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use worker_api::wire::{self, Luggage, Packing};

/// So many connections wait in a lane at most, unless said otherwise; and at most at all, for
/// what the system takes into a socket has an end.
pub(crate) const WINDOW: u32 = 64;
pub(crate) const WIDEST: u32 = 128;

/// A lane, and what is known of the connections in it.
#[derive(Debug)]
pub(super) struct Lane {
    ours: Arc<OwnedFd>,
    /// A copy of the worker's end: so connections outlive the worker, and are counted.
    theirs: Arc<OwnedFd>,
    window: usize,
    /// How many are in it at most: none can be there that we did not put in.
    depth: usize,
    /// How many were put into it and not taken back.
    sent: u64,
    /// The worker is to say when it takes one of those in it.
    is_awaited: bool,
    /// The worker was stuck: it gets one, until it has taken that.
    is_on_trial: bool,
    /// The worker wants no more.
    pub(super) is_shut: bool,
    last_look: Progress,
}

/// A lane that is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LaneState {
    ours: RawFd,
    theirs: RawFd,
    is_awaited: bool,
    is_on_trial: bool,
    is_shut: bool,
}

/// What has become of the connections in a lane since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// None is there.
    Empty,
    /// So many were taken, ever; others wait.
    Taken(u64),
    /// The same ones wait.
    Stuck(u64),
}

/// Whether a connection is in the lane now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is, and there is room for more.
    Room,
    /// It is the last one for now.
    Last,
    /// It is not.
    Full,
}

impl Lane {
    pub(super) fn new(window: u32) -> io::Result<Self> {
        let (ours, theirs) = wire::lane()?;
        Ok(Self::over(ours.into(), theirs.into(), window))
    }

    fn over(ours: Arc<OwnedFd>, theirs: Arc<OwnedFd>, window: u32) -> Self {
        Self {
            ours,
            theirs,
            window: window as usize,
            depth: 0,
            sent: 0,
            is_awaited: false,
            is_on_trial: false,
            is_shut: false,
            last_look: Progress::Empty,
        }
    }

    /// Written down; the connections in it stay there.
    pub(super) fn state(&self, packing: &mut Packing) -> LaneState {
        LaneState {
            ours: packing.add(&self.ours),
            theirs: packing.add(&self.theirs),
            is_awaited: self.is_awaited,
            is_on_trial: self.is_on_trial,
            is_shut: self.is_shut,
        }
    }

    pub(super) fn restore(state: LaneState, window: u32, luggage: &Luggage) -> io::Result<Self> {
        let (ours, theirs) = (luggage.share(state.ours)?, luggage.share(state.theirs)?);
        let LaneState { is_awaited, is_on_trial, is_shut, .. } = state;
        let mut lane =
            Self { is_awaited, is_on_trial, is_shut, ..Self::over(ours, theirs, window) };
        lane.sent = lane.count() as u64;
        Ok(lane)
    }

    /// The worker's end.
    pub(super) fn theirs(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.theirs)
    }

    /// Counts what is in it, unless that is known.
    pub(super) fn look(&mut self) -> usize {
        if self.depth == 0 { 0 } else { self.count() }
    }

    fn count(&mut self) -> usize {
        match wire::unread(self.theirs.as_fd()) {
            Ok(depth) => self.depth = depth,
            Err(error) => log::error!("cannot count the connections in a lane: {error}"),
        }
        self.depth
    }

    pub(super) fn credit(&self) -> u32 {
        match self.is_shut {
            true => 0,
            false => self.room().saturating_sub(self.depth) as u32,
        }
    }

    fn room(&self) -> usize {
        if self.is_on_trial { 1 } else { self.window }
    }

    /// The worker was stuck.
    pub(super) fn try_it(&mut self) {
        self.is_on_trial = true;
    }

    /// Puts a connection in. From half of the window on the worker is asked to say when it takes
    /// one: so a worker that keeps up says nothing, and a full lane is heard of in time.
    pub(super) fn put(&mut self, connection: &OwnedFd) -> io::Result<Put> {
        let half = self.room() / 2;
        if self.depth >= half {
            self.look();
        }
        if self.credit() == 0 {
            return Ok(Put::Full);
        }
        let ask = self.depth >= half && !self.is_awaited;
        match wire::put(self.ours.as_fd(), connection.as_fd(), ask) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Put::Full),
            Err(error) => return Err(error),
        }
        self.is_awaited |= ask;
        self.sent += 1;
        self.depth += 1;
        Ok(if self.credit() == 0 { Put::Last } else { Put::Room })
    }

    /// The worker has said what it was asked to.
    pub(super) fn was_taken(&mut self) {
        (self.is_awaited, self.is_on_trial) = (false, false);
        self.look();
    }

    /// What has happened since the last call.
    pub(super) fn progress(&mut self) -> Progress {
        let depth = self.look() as u64;
        let taken = self.sent.saturating_sub(depth);
        self.last_look = match self.last_look {
            _ if depth == 0 => Progress::Empty,
            Progress::Taken(before) | Progress::Stuck(before) if before == taken => {
                Progress::Stuck(taken)
            }
            _ => Progress::Taken(taken),
        };
        self.last_look
    }

    /// Takes back the oldest connection in it.
    pub(super) fn take_back(&mut self) -> Option<OwnedFd> {
        // The kernel drops a connection for which this process has no number left.
        let taken = self.theirs.try_clone().and_then(|_| wire::take(self.theirs.as_fd()));
        match taken {
            Ok(passed) => {
                let connection = passed?.connection;
                self.sent = self.sent.saturating_sub(1);
                self.depth = self.depth.saturating_sub(1);
                self.last_look = Progress::Empty;
                self.is_awaited = false; // it may have been that one
                Some(connection)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                log::error!("cannot take connections back: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use worker_api::wire::{Passed, take};

    fn connection() -> OwnedFd {
        UnixStream::pair().unwrap().0.into()
    }

    fn take_from(lane: &Lane) -> Passed {
        take(lane.theirs.as_fd()).unwrap().unwrap()
    }

    #[test]
    fn a_window_is_kept_and_its_end_is_heard_of() {
        for window in [1, 2, 3, 64, WIDEST] {
            let mut lane = Lane::new(window).unwrap();
            for round in 0..3 * window {
                let expected = if lane.look() as u32 + 1 < window { Put::Room } else { Put::Last };
                assert_eq!(lane.put(&connection()).unwrap(), expected, "{round} of {window}");
                if expected == Put::Last {
                    assert_eq!(lane.put(&connection()).unwrap(), Put::Full);
                    let asked = (0..window).filter(|_| take_from(&lane).tell).count();
                    assert_eq!(asked, 1);
                    lane.was_taken();
                }
            }
        }
    }

    #[test]
    fn who_keeps_up_is_asked_nothing() {
        let mut lane = Lane::new(8).unwrap();
        for _ in 0..100 {
            assert_eq!(lane.put(&connection()).unwrap(), Put::Room);
            assert!(!take_from(&lane).tell);
        }
    }

    #[test]
    fn who_takes_nothing_between_two_looks_is_stuck() {
        let mut lane = Lane::new(8).unwrap();
        assert_eq!(lane.progress(), Progress::Empty);
        lane.put(&connection()).unwrap();
        lane.put(&connection()).unwrap();
        assert_eq!(lane.progress(), Progress::Taken(0), "they have just come");
        assert_eq!(lane.progress(), Progress::Stuck(0));
        take_from(&lane);
        assert_eq!(lane.progress(), Progress::Taken(1));
        assert_eq!(lane.progress(), Progress::Stuck(1));
        assert!(lane.take_back().is_some() && lane.take_back().is_none());
        assert_eq!(lane.progress(), Progress::Empty);
        lane.put(&connection()).unwrap();
        assert_eq!(lane.progress(), Progress::Taken(1));
    }

    #[test]
    fn who_was_stuck_gets_one_until_it_has_taken_that() {
        let mut lane = Lane::new(8).unwrap();
        lane.try_it();
        assert_eq!(lane.put(&connection()).unwrap(), Put::Last);
        assert_eq!(lane.put(&connection()).unwrap(), Put::Full);
        assert!(take_from(&lane).tell);
        lane.was_taken();
        assert_eq!(lane.put(&connection()).unwrap(), Put::Room);
    }

    #[test]
    fn what_a_dead_worker_has_not_taken_is_still_there() {
        let mut lane = Lane::new(8).unwrap();
        let copy = lane.theirs.try_clone().unwrap(); // which the worker would have
        for _ in 0..5 {
            lane.put(&connection()).unwrap();
        }
        take(copy.as_fd()).unwrap();
        drop(copy);
        assert_eq!(std::iter::from_fn(|| lane.take_back()).count(), 4);
        assert_eq!(lane.put(&connection()).unwrap(), Put::Room, "nothing has closed");
    }
}
