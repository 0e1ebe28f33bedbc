//! The molds of a supervisor.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use mio::{Events, Poll, unix::SourceFd};

use super::{Mold, Plan, Spare, Trouble};
use crate::{Master, Result, orphans};

/// How soon a mold that was no good is replaced, and how much later each time: times 3/2, at
/// most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The mold that makes the workers, and those that come before and after it.
#[derive(Debug)]
pub(crate) struct Molds {
    pub(super) poll: Poll,
    events: Events,
    pub(super) serving: Option<Mold>,
    /// The one of the workers that are being replaced, until its successor is proven.
    pub(super) former: Option<Mold>,
    /// The one that is to make the workers of the next reload, and loads.
    pub(super) coming: Option<Mold>,
    /// Why that one could not even be started.
    unborn: Option<String>,
    /// There is no mold: when another is made, though no worker needs one just now.
    missed: Option<Instant>,
    /// How long to wait for that the next time.
    pause: Duration,
}

impl Molds {
    pub(crate) fn new() -> io::Result<Self> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(16));
        Ok(Self {
            poll,
            events,
            serving: None,
            former: None,
            coming: None,
            unborn: None,
            missed: None,
            pause: FIRST_PAUSE,
        })
    }

    /// Takes note of what has happened to the mold that serves; why it, or a copy of it, is not
    /// to be had. `is_urgent`: a worker is to be started.
    pub(crate) fn tend(&mut self, now: Instant, is_urgent: bool) -> Option<String> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            log::debug!("cannot look at the molds: {error}"); // they are looked at all the same
        }
        orphans::sweep(); // among them the molds and copies that were ended
        if let Some(former) = &mut self.former
            && let Err(Trouble::Lost(reason)) = former.tend(now, self.poll.registry(), false)
        {
            log::warn!("the former mold is gone: {reason}");
            self.former = None;
        }
        let serving = self.serving.as_mut()?;
        match serving.tend(now, self.poll.registry(), is_urgent) {
            Ok(()) => None,
            Err(Trouble::NoCopy(reason)) => Some(reason),
            Err(Trouble::Lost(reason)) => {
                let has_served = serving.has_served(now);
                log::warn!("the mold (pid {}) is gone: {reason}", serving.process.pid());
                self.serving = None;
                self.miss(has_served, now);
                (!has_served).then_some(reason)
            }
        }
    }

    /// One that has served is replaced at once, one that was no good later and later.
    fn miss(&mut self, has_served: bool, now: Instant) {
        if has_served {
            (self.missed, self.pause) = (Some(now), FIRST_PAUSE);
        } else {
            self.missed = Some(now + self.pause);
            self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// The same for the mold of the next reload: nothing while it loads.
    pub(crate) fn tend_coming(&mut self, now: Instant) -> Option<Result<(), String>> {
        if let Some(reason) = self.unborn.take() {
            return Some(Err(reason));
        }
        let coming = self.coming.as_mut()?;
        let outcome = coming.tend(now, self.poll.registry(), false);
        match outcome {
            Err(Trouble::Lost(reason) | Trouble::NoCopy(reason)) => {
                self.coming = None;
                Some(Err(reason))
            }
            Ok(()) => coming.is_loaded().then_some(Ok(())),
        }
    }

    /// Whether a worker can be had now.
    pub(crate) fn has_spare(&self) -> bool {
        self.serving.as_ref().is_some_and(|mold| mold.spare.is_some())
    }

    pub(crate) fn take_spare(&mut self) -> Option<Spare> {
        let spare = self.serving.as_mut()?.spare.take()?;
        if let Some(process) = spare.process() {
            let mut source = SourceFd(&process.as_fd().as_raw_fd());
            if let Err(error) = self.poll.registry().deregister(&mut source) {
                log::debug!("cannot stop watching a copy of a mold: {error}");
            }
        }
        Some(spare)
    }

    /// Whether a mold is to be started, for a worker that is to be or to be ready for one.
    pub(crate) fn is_missing(&self, now: Instant, is_urgent: bool) -> bool {
        self.serving.is_none() && (is_urgent || self.due().is_some_and(|due| due <= now))
    }

    /// When to start one that no worker needs just now; the one that loads may be enough.
    fn due(&self) -> Option<Instant> {
        self.missed.filter(|_| self.serving.is_none() && self.coming.is_none())
    }

    /// There is none that goes on from before: one is to be started.
    pub(crate) fn begin(&mut self) {
        if self.serving.is_none() {
            self.miss(true, Instant::now());
        }
    }

    /// Starts the mold that is missing.
    pub(crate) fn start(&mut self, master: &mut Master, plan: Result<Plan>) -> Result<()> {
        let registry = self.poll.registry();
        match plan.and_then(|plan| Mold::start(master, plan, registry)) {
            Ok(mold) => (self.serving, self.missed) = (Some(mold), None),
            Err(error) => {
                self.miss(false, Instant::now());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Starts the mold of the next reload, in place of another that has not loaded yet.
    pub(crate) fn renew(&mut self, master: &mut Master, plan: Result<Plan>) {
        let registry = self.poll.registry();
        match plan.and_then(|plan| Mold::start(master, plan, registry)) {
            Ok(mold) => self.coming = Some(mold),
            Err(error) => self.unborn = Some(format!("{error:?}")),
        }
    }

    /// Whether the next reload's mold loads; it is given up with this.
    pub(crate) fn give_up(&mut self) -> bool {
        self.coming.take().is_some() | self.unborn.take().is_some()
    }

    pub(crate) fn is_renewing(&self) -> bool {
        self.coming.is_some() || self.unborn.is_some()
    }

    /// The new mold makes the workers from now on. The one whose workers have served is kept.
    pub(crate) fn promote(&mut self) {
        let serving = std::mem::replace(&mut self.serving, self.coming.take());
        self.former = self.former.take().or(serving);
        self.missed = None;
        // It shall not have a spare, which is memory.
        if let Some(former) = &mut self.former {
            (former.spare, former.rests) = (None, true);
        }
    }

    /// All workers are of the new mold.
    pub(crate) fn proven(&mut self) {
        self.former = None;
    }

    /// Workers of the new mold do not work: the former one makes them again.
    pub(crate) fn fall_back(&mut self) {
        if let Some(former) = self.former.take() {
            self.serving = Some(former);
            self.serving.iter_mut().for_each(|mold| mold.rests = false);
        }
    }

    /// No more workers are to be made.
    pub(crate) fn clear(&mut self) {
        (self.serving, self.former, self.coming) = (None, None, None);
        self.missed = None;
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.all().filter_map(|mold| mold.deadline).chain(self.due()).min()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Mold> {
        [&self.serving, &self.former, &self.coming].into_iter().flatten()
    }
}

impl AsRawFd for Molds {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
