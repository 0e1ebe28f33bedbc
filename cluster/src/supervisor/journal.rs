//! What a supervisor remembers of its workers, for those who ask.

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitStatus,
};

use super::policy::{Failure, Verdict};
use crate::{
    Error, Result, WorkerRef,
    relay::{Relay, last_word, saying},
};

/// So many ends of workers are remembered.
const ENDS: usize = 256;

#[derive(Debug)]
struct End {
    worker: u32,
    status: ExitStatus,
    /// What it said last, if that is known, as the end of a sentence.
    saying: String,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// How the last workers ended.
    ends: VecDeque<End>,
    /// How the last one that was not asked to ended, by slot.
    deaths: BTreeMap<usize, String>,
    /// Why the last start failed, or how the last worker that was not asked to ended.
    trouble: Option<String>,
}

impl Journal {
    pub(super) fn not_started(&mut self, error: &Error) {
        self.trouble = Some(format!("{error:?}"));
    }

    /// A worker has ended, and these were its last words.
    pub(super) fn ended(
        &mut self,
        worker: &WorkerRef,
        status: ExitStatus,
        slot: Option<usize>,
        words: &[String],
    ) {
        let saying = saying(words);
        if !worker.exited_after_disconnect() {
            self.trouble = Some(format!("{worker} ended with {status}{saying}"));
            if let Some(slot) = slot {
                self.deaths.insert(slot, format!("{status}{}", last_word(words)));
            }
        }
        self.ends.push_back(End { worker: worker.id(), status, saying });
        if self.ends.len() > ENDS {
            self.ends.pop_front();
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
    pub(super) fn outcome(&self, verdict: Verdict, relay: Option<&Relay>) -> Result<u64> {
        let reason = match verdict {
            Verdict::Done { generation } => return Ok(generation),
            Verdict::Superseded => "another reload took its place".into(),
            Verdict::Stopped => "all workers were asked to leave".into(),
            Verdict::Failed(failure) => self.reason(failure, relay),
        };
        Err(Error::Reload { reason })
    }

    fn reason(&self, failure: Failure, relay: Option<&Relay>) -> String {
        match failure {
            Failure::Start => self.trouble.clone().unwrap_or_else(|| "no worker starts".into()),
            Failure::Ended { worker } => {
                format!("worker {worker} ended before it was ready{}", self.end(worker))
            }
            Failure::TooLate { worker } => {
                // It has not ended, so what it has said so far is its last word.
                let words = relay.map(|relay| relay.last_words(worker)).unwrap_or_default();
                format!("worker {worker} was not ready in time{}", saying(&words))
            }
            Failure::Died { worker } => {
                format!("worker {worker} was ready, and died{}", self.end(worker))
            }
        }
    }

    fn end(&self, worker: u32) -> String {
        let end = self.ends.iter().rev().find(|end| end.worker == worker);
        end.map(|End { status, saying, .. }| format!(" ({status}){saying}")).unwrap_or_default()
    }
}
