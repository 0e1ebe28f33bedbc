//! A supervisor whose workers are copies of a mold.

use std::{io, time::Instant};

use worker_api::wire::Luggage;

use super::{Supervised, policy::Verdict};
use crate::{
    Error, ForkOptions, Result, WorkerRef,
    mold::{MoldState, Molds, Plan},
    process::Process,
    relay::Voice,
};

impl Supervised {
    /// Starts a worker: a copy of the mold, if workers are to be that.
    pub(super) fn bear(&mut self, options: &ForkOptions) -> Result<WorkerRef> {
        let Some(molds) = &mut self.molds else { return self.master.fork_with(options) };
        let spare = molds.take_spare().ok_or_else(|| failure("there is no copy of the mold"))?;
        self.master.fork_by(options, |birth| spare.become_worker(birth))
    }

    /// Whether no worker can be started just now.
    pub(super) fn lacks_spare(&self) -> bool {
        self.molds.as_ref().is_some_and(|molds| !molds.has_spare())
    }

    /// Looks after the molds; whether there may be something to do now.
    pub(super) fn tend_molds(&mut self) -> bool {
        let Some(molds) = &mut self.molds else { return false };
        if self.policy.is_stopping() {
            molds.clear();
            return false;
        }
        let (now, wanted) = (Instant::now(), self.policy.wanted_start());
        let trouble = molds.tend(now, wanted.is_some());
        let is_renewed = molds.tend_coming(now);
        let has_spare = molds.has_spare();
        if let Some(reason) = trouble {
            self.no_copy(&failure(&reason), wanted);
            return true;
        }
        match is_renewed {
            Some(Ok(())) => self.reload_from_new_mold(),
            Some(Err(reason)) => self.report_reload(Err(reload_failure(&reason))),
            None if has_spare => return wanted.is_some(),
            None => return self.make_mold(wanted),
        }
        true
    }

    /// A worker cannot be started for want of a copy.
    fn no_copy(&mut self, error: &Error, wanted: Option<usize>) {
        log::error!("{error:?}");
        self.journal.not_started(error);
        if let Some(slot) = wanted {
            self.policy.failed(slot, Instant::now());
        }
    }

    /// Makes a mold if there is none; whether that failed.
    fn make_mold(&mut self, wanted: Option<usize>) -> bool {
        let (now, is_urgent) = (Instant::now(), wanted.is_some());
        if !self.molds.as_ref().is_some_and(|molds| molds.is_missing(now, is_urgent)) {
            return false;
        }
        let plan = self.plan(self.policy.generation());
        let Some(molds) = &mut self.molds else { return false };
        match molds.start(&mut self.master, plan) {
            Ok(()) => false,
            Err(error) => {
                self.no_copy(&error, wanted);
                true
            }
        }
    }

    /// How a mold is to be started that makes this reload's workers.
    fn plan(&self, generation: u64) -> Result<Plan> {
        let (options, patience) = (self.options.clone(), self.policy.start_timeout());
        let Some(relay) = self.relaying() else {
            return Ok(Plan { options, patience, generation, voice: None });
        };
        let ((out, stdout), (err, stderr)) = (io::pipe()?, io::pipe()?);
        let voice = Some(Voice::of(relay, out, err)?);
        Ok(Plan { options: options.output(stdout, stderr), patience, generation, voice })
    }

    /// Begins a reload with a new mold, if workers are copies of one. `None`: they are not.
    pub(super) fn renew_mold(&mut self) -> Option<u64> {
        if self.molds.is_none() || self.policy.is_stopping() {
            return None;
        }
        let plan = self.plan(self.policy.generation() + 1);
        let molds = self.molds.as_mut()?;
        let was_renewing = molds.give_up();
        molds.renew(&mut self.master, plan);
        if was_renewing {
            self.report_verdict(Verdict::Superseded);
        }
        self.policy.supersede();
        Some(self.policy.generation() + 1)
    }

    /// The mold of a reload has loaded.
    fn reload_from_new_mold(&mut self) {
        if let Some(molds) = &mut self.molds {
            molds.promote();
        }
        self.policy.reload(Instant::now());
    }

    pub(super) fn is_reloading(&self) -> bool {
        self.policy.is_reloading() || self.molds.as_ref().is_some_and(Molds::is_renewing)
    }

    /// A reload whose mold is not there yet comes to nothing.
    pub(super) fn give_up_mold(&mut self, verdict: Verdict) {
        if self.molds.as_mut().is_some_and(Molds::give_up) {
            self.report_verdict(verdict);
        }
    }

    /// The mold of the program that this process was before makes the workers until there is
    /// another; it ends if this program has no use for one.
    pub(super) fn take_over_mold(&mut self, state: Option<MoldState>, luggage: &mut Luggage) {
        let patience = self.policy.start_timeout();
        let outcome = match (&mut self.molds, state) {
            (Some(molds), Some(state)) => molds.restore(state, luggage, patience),
            (None, Some(state)) => Process::of_child(state.pid()).map(drop),
            (_, None) => Ok(()),
        };
        if let Err(error) = outcome {
            log::warn!("the mold is lost: {error}");
        }
        if let Some(molds) = &mut self.molds {
            molds.begin();
        }
    }

    /// A reload is over, and shows which mold is to stay.
    pub(super) fn judge_molds(&mut self, verdict: Verdict) {
        let Some(molds) = &mut self.molds else { return };
        match verdict {
            Verdict::Done { .. } => molds.proven(),
            Verdict::Failed(_) => molds.fall_back(),
            Verdict::Superseded | Verdict::Stopped => {}
        }
    }
}

fn failure(reason: &str) -> Error {
    Error::Preload { reason: reason.into() }
}

fn reload_failure(reason: &str) -> Error {
    Error::Reload { reason: failure(reason).to_string() }
}
