//! What a supervisor remembers of its workers, for those who ask.

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitStatus,
};

use super::policy::{Failure, Verdict};
use crate::{Error, Result, WorkerRef, relay::Relay};

/// So many ends of workers are remembered.
const ENDS: usize = 256;

/// Of a worker's last words so many bytes are told with its failure, and in its slot's status.
const LONGEST_SAYING: usize = 2048;
const LONGEST_WORD: usize = 80;

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

/// The last words as the end of a sentence, on one line: as many of the last lines as have room.
fn saying(words: &[String]) -> String {
    let mut room = LONGEST_SAYING;
    let fits = |line: &&String| {
        let has_room = line.len() <= room;
        room = room.saturating_sub(line.len());
        has_room
    };
    let mut lines: Vec<String> =
        words.iter().rev().take_while(fits).map(|line| printable(line)).collect();
    lines.reverse();
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() { String::new() } else { format!(", saying: {}", lines.join(" / ")) }
}

/// The last line of them if it is short, but for what Rust says after each panic.
fn last_word(words: &[String]) -> String {
    let lines = words.iter().rev().map(|line| printable(line));
    let last = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with("note: "));
    let short = last.filter(|line| line.len() <= LONGEST_WORD);
    short.map(|line| format!(", saying: {line}")).unwrap_or_default()
}

fn printable(line: &str) -> String {
    let text = line.replace(char::is_control, " ");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn last_words_are_one_line() {
        assert_eq!(saying(&[]), "");
        assert_eq!(saying(&words(&["", " "])), "");
        assert_eq!(saying(&words(&["no database"])), ", saying: no database");
        let panic = words(&["panicked at main.rs:1:", "\x1b[31mno file\r", "note: run with X"]);
        let text = ", saying: panicked at main.rs:1: / [31mno file / note: run with X";
        assert_eq!(saying(&panic), text);
        assert_eq!(last_word(&panic), ", saying: [31mno file");
    }

    #[test]
    fn they_have_a_bound() {
        let many: Vec<String> = (0..20).map(|line| format!("{line:1000}")).collect();
        assert_eq!(saying(&many), ", saying: 18 / 19");
        assert_eq!(last_word(&words(&["first", &"x".repeat(81)])), "");
    }
}
