//! A supervisor that becomes another program.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd},
    time::Instant,
};

use mio::{Interest, Token, unix::SourceFd};
use serde::{Deserialize, Serialize};
use worker_api::wire::Packing;

use super::{
    FORKS_ITSELF, Supervised, Supervisor,
    journal::Journal,
    manager::{Manager, ManagerState},
    output::PipeState,
    policy::{Policy, PolicyState, Verdict},
};
use crate::{
    Error, Event, Master, Result,
    control::{Desk, DeskState},
    files,
    mold::{MoldState, Molds},
    orphans,
    process::Process,
    relay::Pipe,
    upgrade::{Heir, State, Trial, taken},
};

/// The trial's place in the loop.
const TRIAL: Token = Token(100);
/// A process that nobody here waits for has ended.
pub(super) const ORPHAN: Token = Token(101);

/// Why the old program is at work again.
const DIED: &str = "the new program ended before it had taken over; \
                    the old one goes on as another process";

/// What a supervisor writes down for the program that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SupervisedState {
    policy: PolicyState,
    /// How many workers the program wanted; what it has may be another number.
    wanted: usize,
    /// The limit of open files that workers get.
    #[serde(default)]
    files: Option<u64>,
    deaths: BTreeMap<usize, String>,
    desk: Option<DeskState>,
    /// The workers' streams that are relayed.
    #[serde(default)]
    pipes: Vec<PipeState>,
    #[serde(default)]
    manager: Option<ManagerState>,
    #[serde(default)]
    mold: Option<MoldState>,
}

/// How far an upgrade is.
#[derive(Debug, Default)]
pub(super) enum Upgrading {
    #[default]
    Not,
    /// The new program is on trial.
    Trying(Box<Trial>),
    /// It has stood the trial: this process becomes it as soon as nothing is left to do.
    Due,
    /// This is the new program, and its first reload is under way.
    Done,
}

impl Supervised {
    /// Replaces this program, in this process, by the one that is there under its name now; then
    /// that one [reloads](Self::reload). The workers, their connections and all sockets stay.
    ///
    /// The new program is tried first: if it does not start, or does not get as far as
    /// [`Supervisor::start`], this one goes on. If it passes and still ends before it has taken
    /// over, this program goes on in another process; not as PID 1, with whom all ends. What a
    /// program does before it starts its supervisor it does on trial, too. The outcome is
    /// reported as [`Event::Upgrade`].
    pub fn upgrade(&mut self) {
        if self.policy.is_stopping() {
            return self.upgrade_failed("all workers were asked to leave");
        }
        if self.forks_itself {
            return self.upgrade_failed(FORKS_ITSELF);
        }
        if !matches!(self.upgrading, Upgrading::Not | Upgrading::Done) {
            return; // one is under way, and finds what is there now
        }
        let mut packing = Packing::default();
        let state = self.state(&mut packing, &[]);
        let started = Trial::start(&self.image, &state, self.policy.start_timeout());
        let watched = started.and_then(|trial| {
            let descriptor = trial.as_fd().as_raw_fd();
            let mut source = SourceFd(&descriptor);
            self.poll.registry().register(&mut source, TRIAL, Interest::READABLE)?;
            Ok(trial)
        });
        match watched {
            Ok(trial) => self.upgrading = Upgrading::Trying(Box::new(trial)),
            Err(error) => self.upgrade_failed(&format!("{error:?}")),
        }
    }

    fn upgrade_failed(&mut self, reason: &str) {
        self.upgrading = Upgrading::Not;
        let error = Error::Upgrade { reason: reason.into() };
        log::error!("{error:?}");
        self.report(Event::Upgrade { outcome: Err(error) });
    }

    /// When the trial has to be over.
    pub(super) fn trial_deadline(&self) -> Option<Instant> {
        match &self.upgrading {
            Upgrading::Trying(trial) => Some(trial.deadline()),
            _ => None,
        }
    }

    /// Looks whether the trial is over; whether something has changed.
    pub(super) fn check_trial(&mut self) -> bool {
        let Upgrading::Trying(trial) = &mut self.upgrading else { return false };
        if self.policy.is_stopping() {
            self.upgrade_failed("all workers were asked to leave");
            return true;
        }
        match trial.verdict(Instant::now()) {
            None => return false,
            Some(Ok(())) => {
                self.upgrading = Upgrading::Due;
                self.give_up_mold(Verdict::Superseded);
                self.policy.supersede();
            }
            Some(Err(reason)) => {
                let reason = format!("{}: {reason}", self.image.name());
                self.upgrade_failed(&reason);
            }
        }
        true
    }

    /// Becomes the new program, if it is time for that: nothing is left to do and to report.
    /// Comes back only if that fails, or is not to be; whether anything has changed.
    pub(super) fn go_on(&mut self) -> bool {
        if !matches!(self.upgrading, Upgrading::Due) {
            return false;
        }
        if self.policy.is_stopping() {
            self.upgrade_failed("all workers were asked to leave");
            return true;
        }
        log::info!("becomes {}", self.image.name());
        let mut packing = Packing::default();
        let pipes = self.pause_output();
        let state = self.state(&mut packing, &pipes);
        if let Err(error) = state.go_on_as(&self.image) {
            let reason = format!("cannot become {}: {error:?}", self.image.name());
            self.upgrade_failed(&reason);
        }
        self.go_on_with_output();
        true
    }

    fn state(&mut self, packing: &mut Packing, pipes: &[Pipe]) -> State {
        let supervised = SupervisedState {
            policy: self.policy.state(Instant::now()),
            wanted: self.wanted,
            files: files::former(),
            deaths: self.journal.deaths(),
            desk: self.desk.as_ref().map(|desk| desk.state(packing)),
            pipes: pipes.iter().map(|pipe| PipeState::of(pipe, packing)).collect(),
            manager: self.manager.as_ref().and_then(Manager::state),
            mold: self.molds.as_ref().and_then(|molds| molds.state(packing)),
        };
        let master = self.master.state(packing);
        let mut orphans = orphans::all();
        orphans.extend(self.molds.iter().flat_map(Molds::others));
        State::new(packing.numbers().collect(), master, supervised, orphans)
    }

    /// The supervisor that this process was before the exec, as this program wants it.
    pub(super) fn take_over(supervisor: Supervisor, heir: Heir) -> Result<Self> {
        let (state, mut luggage, line) = heir.open();
        let State { master, supervised, orphans, .. } = state;
        files::set_former(supervised.files);
        let (settings, control) = supervisor.take_over_parts()?;
        let master = Master::restore(settings, master, &mut luggage)?;
        let desk = match (control, supervised.desk) {
            (Some(_), Some(state)) => Some(Desk::restore(state, &mut luggage)?),
            (Some(control), None) => Some(Desk::new(control)?),
            (None, _) => None,
        };
        let now = Instant::now();
        let mut policy = Policy::restore(supervised.policy, supervisor.limits.clone(), now);
        for lost in policy.known().into_iter().filter(|&id| master.worker(id).is_none()) {
            policy.exited(lost, now);
        }
        let mut new = Self::assemble(&supervisor, master, policy, desk)?;
        new.journal = Journal::with(supervised.deaths);
        new.resume_output(supervised.pipes, &mut luggage)?;
        new.resume_readers();
        if let Some(state) = supervised.manager.filter(|_| supervisor.speaks_to_systemd) {
            new.manager = Manager::restore(state, line.is_none());
        }
        new.take_over_orphans(orphans);
        new.take_over_mold(supervised.mold, &mut luggage);
        // A number that was changed at run time stays, unless the program wants another now.
        if new.wanted != supervised.wanted {
            new.scale(new.wanted);
        }
        match line {
            Some(line) => {
                new.upgrading = Upgrading::Done;
                new.reload();
                taken(line);
            }
            None => new.upgrade_failed(DIED),
        }
        Ok(new)
    }

    /// They are to be reaped when they end, unless this is not their parent any more.
    fn take_over_orphans(&self, orphans: Vec<u32>) {
        for pid in orphans.into_iter().filter(|&pid| pid != std::process::id()) {
            if let Err(error) = Process::of_child(pid).and_then(|orphan| self.watch_for(&orphan)) {
                log::debug!("process {pid} is gone: {error}");
            }
        }
    }

    fn watch_for(&self, orphan: &Process) -> io::Result<()> {
        let descriptor = orphan.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), ORPHAN, Interest::READABLE)
    }

    /// The first reload of a new program is over, and so is the upgrade.
    pub(super) fn note_reload(&mut self, outcome: &Result<u64>) {
        if !matches!(self.upgrading, Upgrading::Done) {
            return;
        }
        self.upgrading = Upgrading::Not;
        let outcome = match outcome {
            Ok(generation) => {
                log::info!("upgraded: generation {generation}");
                Ok(*generation)
            }
            Err(error) => Err(Error::Reload { reason: format!("{error}") }),
        };
        self.report(Event::Upgrade { outcome });
    }
}
