//! What a supervisor remembers of its workers, for those who ask.

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitStatus,
};

use super::policy::{Failure, Verdict};
use crate::{Error, Result, WorkerRef};

/// So many ends of workers are remembered.
const ENDS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// How the last workers ended.
    ends: VecDeque<(u32, ExitStatus)>,
    /// How the last one that was not asked to ended, by slot.
    deaths: BTreeMap<usize, String>,
    /// Why the last start failed, or how the last worker that was not asked to ended.
    trouble: Option<String>,
}

impl Journal {
    pub(super) fn not_started(&mut self, error: &Error) {
        self.trouble = Some(format!("{error:?}"));
    }

    pub(super) fn ended(&mut self, worker: &WorkerRef, status: ExitStatus, slot: Option<usize>) {
        self.ends.push_back((worker.id(), status));
        if self.ends.len() > ENDS {
            self.ends.pop_front();
        }
        if !worker.exited_after_disconnect() {
            self.trouble = Some(format!("{worker} ended with {status}"));
            if let Some(slot) = slot {
                self.deaths.insert(slot, status.to_string());
            }
        }
    }

    pub(super) fn last_exit(&self, slot: usize) -> Option<String> {
        self.deaths.get(&slot).cloned()
    }

    /// The deaths, for a program that takes over.
    pub(super) fn deaths(&self) -> BTreeMap<usize, String> {
        self.deaths.clone()
    }

    pub(super) fn with(deaths: BTreeMap<usize, String>) -> Self {
        Self { deaths, ..Self::default() }
    }

    /// What went wrong last.
    pub(super) fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// A verdict in words.
    pub(super) fn outcome(&self, verdict: Verdict) -> Result<u64> {
        let reason = match verdict {
            Verdict::Done { generation } => return Ok(generation),
            Verdict::Superseded => "another reload took its place".into(),
            Verdict::Stopped => "all workers were asked to leave".into(),
            Verdict::Failed(failure) => self.reason(failure),
        };
        Err(Error::Reload { reason })
    }

    fn reason(&self, failure: Failure) -> String {
        match failure {
            Failure::Start => self.trouble.clone().unwrap_or_else(|| "no worker starts".into()),
            Failure::Ended { worker } => {
                format!("worker {worker} ended before it was ready{}", self.end(worker))
            }
            Failure::TooLate { worker } => format!("worker {worker} was not ready in time"),
            Failure::Died { worker } => {
                format!("worker {worker} was ready, and died{}", self.end(worker))
            }
        }
    }

    fn end(&self, worker: u32) -> String {
        let end = self.ends.iter().rev().find(|(id, _)| *id == worker);
        end.map(|(_, status)| format!(" ({status})")).unwrap_or_default()
    }
}
