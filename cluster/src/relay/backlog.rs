//! Lines that wait to be written, and what becomes of them when nobody reads. Without I/O and
//! without a clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// So many bytes may wait before the workers' pipes are left alone.
pub(super) const LIMIT: usize = 1 << 20;

/// How long the workers' pipes are left alone unless said otherwise. After that lines are
/// dropped, for a worker that waits to say something serves nobody.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What is written at once, so that on a pipe nobody else's bytes come in between (`PIPE_BUF`).
const BATCH: usize = 4096;

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Not before there is room again, or this time.
    Wait(Instant),
}

/// The lines for one output.
#[derive(Debug)]
pub(super) struct Backlog {
    patience: Duration,
    /// With their ends.
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Until half of it is written.
    full_since: Option<Instant>,
    is_dropping: bool,
    /// Since the last word about it.
    untold: u64,
    /// Since the last write that succeeded: a word about it would fail as well.
    failed: u64,
    dropped: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            lines: VecDeque::new(),
            bytes: 0,
            full_since: None,
            is_dropping: false,
            untold: 0,
            failed: 0,
            dropped: 0,
        }
    }
}

impl Backlog {
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(super) fn room(&mut self, now: Instant) -> Room {
        if self.is_dropping || (self.bytes < LIMIT && self.full_since.is_none()) {
            return Room::Free;
        }
        let since = *self.full_since.get_or_insert(now);
        let until = since.checked_add(self.patience).unwrap_or(now + PATIENCE);
        if now < until {
            return Room::Wait(until);
        }
        self.is_dropping = true;
        Room::Free
    }

    /// One more line, with its end. Twice the limit is held for last words, which do not ask
    /// for room.
    pub(super) fn push(&mut self, line: Vec<u8>) {
        if self.is_dropping || self.bytes >= 2 * LIMIT {
            self.untold += 1;
            self.dropped += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// Lines were written, or could not be.
    pub(super) fn written(&mut self, count: u64, succeeded: bool) {
        if succeeded {
            self.untold += std::mem::take(&mut self.failed);
        } else {
            self.failed += count;
            self.dropped += count;
        }
    }

    /// The next lines to be written together, and how many they are.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, u64)> {
        let mut batch = self.lines.pop_front()?;
        let mut count = 1;
        while let Some(next) = self.lines.front()
            && batch.len() + next.len() <= BATCH
        {
            batch.extend_from_slice(next);
            self.lines.pop_front();
            count += 1;
        }
        self.bytes -= batch.len();
        if self.bytes <= LIMIT / 2 {
            self.relieve();
        }
        Some((batch, count))
    }

    fn relieve(&mut self) {
        self.full_since = None;
        self.is_dropping = false;
        let count = std::mem::take(&mut self.untold);
        if count > 0 {
            self.push(format!("cluster: {count} lines of output were dropped\n").into_bytes());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many lines were dropped, in all.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(now: Instant) -> Backlog {
        let mut backlog = Backlog::default();
        while backlog.room(now) == Room::Free {
            backlog.push(vec![b'x'; 1024]);
        }
        backlog
    }

    #[test]
    fn lines_go_together() {
        let mut backlog = Backlog::default();
        for line in ["one\n", "two\n"] {
            backlog.push(line.into());
        }
        backlog.push(vec![b'x'; BATCH]);
        assert_eq!(backlog.take(), Some((b"one\ntwo\n".to_vec(), 2)));
        assert_eq!(backlog.take().map(|(batch, count)| (batch.len(), count)), Some((BATCH, 1)));
        assert_eq!(backlog.take(), None);
    }

    #[test]
    fn a_slow_reader_makes_workers_wait_and_loses_nothing() {
        let now = Instant::now();
        let mut backlog = filled(now);
        let mut written = 0;
        assert_eq!(backlog.room(now), Room::Wait(now + PATIENCE));
        while let Room::Wait(_) = backlog.room(now + PATIENCE / 2) {
            written += backlog.take().map_or(0, |(_, count)| count);
        }
        assert!(written >= 512 && backlog.bytes <= LIMIT / 2, "half of it is written");
        assert_eq!(backlog.dropped(), 0);
    }

    #[test]
    fn nobody_who_reads_makes_no_worker_wait_for_long() {
        let now = Instant::now();
        let mut backlog = filled(now);
        let later = now + PATIENCE;
        for _ in 0..5000 {
            assert_eq!(backlog.room(later), Room::Free);
            backlog.push(b"lost\n".to_vec());
        }
        assert_eq!(backlog.dropped(), 5000);
        assert!(backlog.bytes <= LIMIT + 1024);
        let mut written = Vec::new();
        while let Some((batch, _)) = backlog.take() {
            written.extend(batch);
        }
        assert!(written.ends_with(b"cluster: 5000 lines of output were dropped\n"));
        assert_eq!(backlog.room(later), Room::Free);
        backlog.push(b"kept\n".to_vec());
        assert_eq!(backlog.take(), Some((b"kept\n".to_vec(), 1)));
    }

    #[test]
    fn what_cannot_be_written_is_told_when_it_can() {
        let mut backlog = Backlog::default();
        for line in ["one\n", "two\n", "three\n"] {
            backlog.push(line.into());
            assert_eq!(backlog.take(), Some((line.into(), 1)), "and no word about a loss");
            backlog.written(1, line == "three\n");
        }
        assert_eq!(backlog.dropped(), 2);
        backlog.push(b"four\n".to_vec());
        assert_eq!(backlog.take(), Some((b"four\n".to_vec(), 1)));
        let told = b"cluster: 2 lines of output were dropped\n".to_vec();
        assert_eq!(backlog.take(), Some((told, 1)));
    }

    proptest! {
        /// Whatever happens, every line is written in its order or counted, and there is a bound.
        #[test]
        fn written_or_counted(steps in proptest::collection::vec((0..4_u8, 1..90_000_usize), 0..300)) {
            let (mut backlog, mut now) = (Backlog::default(), Instant::now());
            let (mut pushed, mut written, mut told) = (0, 0, 0);
            let mut count = |batch: Option<(Vec<u8>, u64)>| match batch {
                Some((batch, count)) => {
                    let lines = batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                    for line in lines {
                        match std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("cluster: ")) {
                            Some(notice) => {
                                told += notice.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                            }
                            None => written += 1,
                        }
                    }
                    count > 0
                }
                None => false,
            };
            for (step, size) in steps {
                match step {
                    0 | 1 => {
                        if backlog.room(now) == Room::Free || step == 1 {
                            let mut line = vec![b'x'; size];
                            line.push(b'\n');
                            backlog.push(line);
                            pushed += 1;
                        }
                    }
                    2 => now += Duration::from_millis(size as u64 / 50),
                    _ => { count(backlog.take()); }
                }
                prop_assert!(backlog.bytes <= 2 * LIMIT + 90_001);
                let real: usize = backlog.lines.iter().map(Vec::len).sum();
                prop_assert_eq!(backlog.bytes, real);
            }
            while count(backlog.take()) {}
            prop_assert_eq!(pushed, written + backlog.dropped());
            prop_assert_eq!(told, backlog.dropped());
        }
    }
}
