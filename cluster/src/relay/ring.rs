//! The last lines of all workers, and those who follow them.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Line, bell::Bell};

/// The bytes that are kept for those who come later or read slowly.
const LIMIT: usize = 1 << 20;

/// What one line costs besides its text.
const LINE: usize = size_of::<Line>();

/// The last lines of all workers.
#[derive(Debug, Default)]
pub(super) struct Ring {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<Line>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
    bells: Vec<Weak<Bell>>,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, line: Line) {
        let mut inner = self.lock();
        inner.bytes += line.text.len() + LINE;
        inner.lines.push_back(line);
        while inner.bytes > LIMIT
            && let Some(old) = inner.lines.pop_front()
        {
            inner.bytes -= old.text.len() + LINE;
            inner.first += 1;
        }
        inner.bells.retain(|bell| bell.upgrade().inspect(|bell| bell.ring()).is_some());
    }

    /// A follower that begins with the last `most` lines.
    pub(super) fn follow(self: &Arc<Self>, most: usize) -> io::Result<Follower> {
        let bell = Arc::new(Bell::new(true)?);
        let mut inner = self.lock();
        let next = inner.first + inner.lines.len().saturating_sub(most) as u64;
        inner.bells.push(Arc::downgrade(&bell));
        drop(inner);
        Ok(Follower { ring: Arc::clone(self), next, bell })
    }
}

/// Somebody who is told what workers print: see [`Relay::follow`](super::Relay::follow). Its
/// descriptor is readable when there may be something to take.
///
/// One who takes slowly misses lines, and is told how many.
#[derive(Debug)]
pub struct Follower {
    ring: Arc<Ring>,
    next: u64,
    bell: Arc<Bell>,
}

/// What a follower has not seen before.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// How many lines were gone before these could be taken.
    pub missed: u64,
    /// Lines of all workers, in the order in which they came.
    pub lines: Vec<Line>,
}

impl Follower {
    /// The next lines, at most so many; none if there are no new ones. Never waits.
    pub fn take(&mut self, most: usize) -> News {
        self.take_within(most, usize::MAX)
    }

    /// How many lines there are to take, or to be missed.
    pub(crate) fn waiting(&self) -> u64 {
        let inner = self.ring.lock();
        (inner.first + inner.lines.len() as u64).saturating_sub(self.next)
    }

    /// As [`take`](Self::take), and no more than so many bytes, but for the first line.
    pub(crate) fn take_within(&mut self, most: usize, bytes: usize) -> News {
        self.bell.silence();
        let inner = self.ring.lock();
        let missed = inner.first.saturating_sub(self.next);
        self.next += missed;
        let skipped = usize::try_from(self.next - inner.first).unwrap_or(usize::MAX);
        let mut taken = 0_usize;
        let has_room = |line: &&Line| {
            let is_first = taken == 0;
            taken = taken.saturating_add(line.text.len() + LINE);
            is_first || taken <= bytes
        };
        let next = inner.lines.iter().skip(skipped).take(most);
        let lines: Vec<Line> = next.take_while(has_room).cloned().collect();
        self.next += lines.len() as u64;
        if self.next < inner.first + inner.lines.len() as u64 {
            self.bell.ring();
        }
        News { missed, lines }
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Stream, *};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn line(text: &str) -> Line {
        Line { worker: 1, stream: Stream::Out, text: text.as_bytes().into() }
    }

    fn texts(news: &News) -> Vec<String> {
        news.lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    fn is_rung(follower: &Follower) -> bool {
        let mut fds = [PollFd::new(follower.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_follower_begins_where_it_wants() {
        let ring = Arc::new(Ring::default());
        ["one", "two", "three"].into_iter().for_each(|text| ring.push(line(text)));
        let (mut all, mut last) = (ring.follow(100).unwrap(), ring.follow(1).unwrap());
        assert_eq!(texts(&all.take(2)), ["one", "two"]);
        assert!(is_rung(&all), "there is more");
        assert_eq!(texts(&all.take(2)), ["three"]);
        assert!(!is_rung(&all));
        assert_eq!(texts(&last.take(9)), ["three"]);
        ring.push(line("four"));
        assert!(is_rung(&all) && is_rung(&last));
        assert_eq!(texts(&all.take(9)), ["four"]);
        assert!(all.take(9).lines.is_empty());
    }

    #[test]
    fn a_slow_one_misses_some_and_knows() {
        let ring = Arc::new(Ring::default());
        let mut follower = ring.follow(0).unwrap();
        let count = 3 * LIMIT as u64 / 1000;
        (0..count).for_each(|_| ring.push(line(&"x".repeat(1000))));
        let news = follower.take(usize::MAX);
        assert_eq!(news.missed + news.lines.len() as u64, count);
        assert!(news.missed > count / 2 && ring.lock().bytes <= LIMIT);
    }

    #[test]
    fn one_that_is_gone_is_forgotten() {
        let ring = Arc::new(Ring::default());
        drop(ring.follow(0).unwrap());
        ring.push(line("one"));
        assert!(ring.lock().bells.is_empty());
    }
}
