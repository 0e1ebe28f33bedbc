//! How a supervisor's workers are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Supervised, policy::Phase};
use crate::mold::{MoldStatus, Molds};

/// How a supervisor and its workers are.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The supervisor's process.
    pub pid: u32,
    /// The number of the last reload, from 0.
    pub generation: u64,
    /// How many workers there are to be.
    pub size: usize,
    /// Whether a reload is under way.
    pub is_reloading: bool,
    /// Whether it is coming to its end.
    pub is_stopping: bool,
    /// The workers by slot, and in a slot by age; then those that leave.
    pub workers: Vec<WorkerStatus>,
    /// The processes that workers are copies of ([`preload`](super::Supervisor::preload)): the one
    /// that is copied now first.
    #[serde(default)]
    pub molds: Vec<MoldStatus>,
}

/// How one worker is, or one slot that has none.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its slot, from 0.
    pub slot: usize,
    /// Its number; `None`: the slot waits for a worker.
    pub worker: Option<u32>,
    /// Its process.
    pub pid: Option<u32>,
    /// The reload that started it.
    pub generation: Option<u64>,
    /// How far it is.
    pub state: WorkerState,
    /// Since it was started.
    pub age: Option<Duration>,
    /// How many workers the slot has had before.
    pub restarts: u64,
    /// How the slot's last worker ended that was not asked to.
    pub last_exit: Option<String>,
}

/// How far a worker is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// There is none; one is to be started.
    Waiting,
    /// Started, and not ready yet.
    Starting,
    /// It serves.
    Ready,
    /// It was asked to leave, or does so by itself.
    Leaving,
}

impl Supervised {
    /// How the workers are.
    pub fn status(&self) -> Status {
        let mut workers: Vec<_> =
            self.master.workers().iter().filter_map(|one| self.worker_status(one)).collect();
        for (slot, starts) in self.policy.slots() {
            if workers.iter().all(|one| one.slot != slot || one.state == WorkerState::Leaving) {
                workers.push(self.vacancy(slot, starts));
            }
        }
        workers.sort_by_key(|one| (one.state == WorkerState::Leaving, one.slot, one.worker));
        Status {
            pid: std::process::id(),
            generation: self.policy.generation(),
            size: self.policy.size(),
            is_reloading: self.is_reloading(),
            is_stopping: self.policy.is_stopping(),
            workers,
            molds: self.molds.as_ref().map(Molds::status).unwrap_or_default(),
        }
    }

    fn worker_status(&self, worker: &crate::WorkerRef) -> Option<WorkerStatus> {
        let (slot, generation, phase) = self.policy.place_of(worker.id())?;
        let starts = self.policy.slots().nth(slot).map_or(1, |(_, starts)| starts);
        Some(WorkerStatus {
            worker: Some(worker.id()),
            pid: Some(worker.pid()),
            generation: Some(generation),
            state: match phase {
                Phase::Starting { .. } => WorkerState::Starting,
                Phase::Ready => WorkerState::Ready,
                Phase::Leaving { .. } => WorkerState::Leaving,
            },
            age: Some(worker.age()),
            ..self.vacancy(slot, starts)
        })
    }

    fn vacancy(&self, slot: usize, starts: u64) -> WorkerStatus {
        WorkerStatus {
            slot,
            worker: None,
            pid: None,
            generation: None,
            state: WorkerState::Waiting,
            age: None,
            restarts: starts.saturating_sub(1),
            last_exit: self.journal.last_exit(slot),
        }
    }
}
