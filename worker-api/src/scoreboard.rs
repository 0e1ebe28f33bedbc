//! What a worker writes down about itself, where its master reads it without asking.
//!
//! One page of shared memory for each worker: it outlives the worker, and its file can be
//! handed on to the next master. What stands there is the worker's word: a master believes it
//! as far as it believes the worker.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

use crate::sys::Page;

/// The variable that tells a worker which descriptor is its page's.
pub const SCOREBOARD: &str = "CLUSTER_SCOREBOARD";

/// Marks a page that somebody writes who knows this layout.
const LAYOUT: u64 = u64::from_be_bytes(*b"cluster1");

/// How many counters a program may have of its own, and how long their names may be.
pub(crate) const MOST_COUNTERS: usize = 16;
const LONGEST_NAME: usize = 24;

/// The layout of the page, the same in all processes.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Board {
    /// Whose it is, written by the master.
    worker: AtomicU64,
    /// [`LAYOUT`] as soon as the worker writes here; a Node worker never does.
    layout: AtomicU64,
    leaving: AtomicU64,
    ticks: AtomicU64,
    /// When it last ticked: milliseconds of the system's monotonic clock, and one more.
    ticked: AtomicU64,
    accepted: AtomicU64,
    active: AtomicU64,
    counters: [Row; MOST_COUNTERS],
}

/// A counter on a line of its own, so that threads which count different things do not wait
/// for each other.
#[repr(C, align(64))]
#[derive(Debug)]
struct Row {
    /// The name, filled up with zeros. The first part is written last.
    name: [AtomicU64; LONGEST_NAME / 8],
    value: AtomicU64,
}

fn milliseconds() -> u64 {
    // Cannot fail: Linux has had this clock since 2.6.32.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |now| Duration::from(now).as_millis() as u64)
}

impl Board {
    fn is_of(&self, worker: u32) -> bool {
        self.worker.load(Acquire) == u64::from(worker)
    }

    pub(crate) fn began(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    pub(crate) fn leaves(&self) {
        self.leaving.store(1, Relaxed);
    }

    pub(crate) fn tick(&self) {
        self.ticked.store(milliseconds() + 1, Relaxed);
        self.ticks.fetch_add(1, Relaxed);
    }

    /// As if it had never ticked.
    pub(crate) fn forget_ticks(&self) {
        self.ticked.store(0, Relaxed);
        self.ticks.store(0, Relaxed);
    }

    fn is_written(&self) -> bool {
        self.layout.load(Acquire) == LAYOUT
    }

    pub(crate) fn score(&self) -> Score {
        let ticked = self.ticked.load(Relaxed).checked_sub(1);
        let ago = ticked.and_then(|ticked| milliseconds().checked_sub(ticked));
        Score {
            ticks: self.ticks.load(Relaxed),
            since_tick: ago.map(Duration::from_millis),
            accepted: self.accepted.load(Relaxed),
            active: self.active.load(Relaxed),
            is_leaving: self.leaving.load(Relaxed) != 0,
            counters: self.counters.iter().filter_map(Row::read).collect(),
        }
    }
}

impl Row {
    fn write_name(&self, name: &str) {
        let mut bytes = [0; LONGEST_NAME];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let (parts, _) = bytes.as_chunks();
        for (place, part) in self.name.iter().zip(parts).rev() {
            place.store(u64::from_ne_bytes(*part), Release);
        }
    }

    /// Name and value; nothing for a name that no worker of ours has written.
    fn read(&self) -> Option<(String, u64)> {
        let mut bytes = [0; LONGEST_NAME];
        for (part, place) in bytes.as_chunks_mut().0.iter_mut().zip(&self.name) {
            *part = place.load(Acquire).to_ne_bytes();
        }
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(LONGEST_NAME);
        let name = str::from_utf8(&bytes[..end]).ok().filter(|name| is_name(name))?;
        Some((name.to_owned(), self.value.load(Relaxed)))
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a worker has written down about itself.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// How often it served its channel, or said [`tick`](crate::Worker::tick). 0: it does not
    /// tick.
    pub ticks: u64,
    /// How long ago it last did; to a few milliseconds.
    pub since_tick: Option<Duration>,
    /// How many connections it has taken.
    pub accepted: u64,
    /// How many of them it has now.
    pub active: u64,
    /// Whether it knows that it is to leave, or has left.
    pub is_leaving: bool,
    /// What the program counts: see [`counter`](crate::Worker::counter).
    pub counters: Vec<(String, u64)>,
}

/// The worker's own side.
#[derive(Debug)]
pub(crate) struct Scorecard {
    page: Arc<Page>,
    /// The names that have a row, in order.
    names: Mutex<Vec<String>>,
    /// Only the program itself ticks.
    by_hand: AtomicBool,
}

impl Scorecard {
    pub(crate) fn new(page: Page) -> Self {
        page.layout.store(LAYOUT, Release);
        Self { page: page.into(), names: Mutex::default(), by_hand: AtomicBool::new(false) }
    }

    /// The one that the master made for this worker, as the variable says; else one that
    /// nobody sees, as under a Node primary.
    pub(crate) fn of_environment(variable: Option<&str>, worker: u32) -> io::Result<Self> {
        let found = variable.and_then(|number| {
            let page = number
                .parse()
                .map_err(io::Error::other)
                .and_then(|number| Page::claim(number, |board| board.is_of(worker)));
            page.inspect_err(|error| log::warn!("{SCOREBOARD} is {number}: {error}")).ok()
        });
        Ok(Self::new(found.map_or_else(Page::alone, Ok)?))
    }

    pub(crate) fn board(&self) -> &Board {
        &self.page
    }

    /// The channel is served.
    pub(crate) fn served(&self) {
        if !self.by_hand.load(Relaxed) {
            self.page.tick();
        }
    }

    /// From now on only [`Board::tick`] ticks.
    pub(crate) fn tick_by_hand(&self) {
        self.by_hand.store(true, Relaxed);
        self.page.forget_ticks();
    }

    pub(crate) fn counter(&self, name: &str) -> io::Result<Counter> {
        let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !is_name(name) {
            return refuse("a counter's name has 1 to 24 visible ASCII characters");
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| known == name);
        let index = known.unwrap_or(names.len());
        let Some(row) = self.page.counters.get(index) else {
            return refuse("this worker has 16 counters, which is the most");
        };
        if known.is_none() {
            row.write_name(name);
            names.push(name.to_owned());
        }
        Ok(Counter { page: Arc::clone(&self.page), index })
    }
}

/// A number that the master sees change, without a message: requests served, the length of a
/// queue. Clones are the same number, for any thread.
#[derive(Clone)]
pub struct Counter {
    page: Arc<Page>,
    index: usize,
}

impl Counter {
    fn value(&self) -> &AtomicU64 {
        &self.page.counters[self.index].value
    }

    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.value().fetch_add(count, Relaxed);
    }

    /// Says what it is.
    pub fn set(&self, value: u64) {
        self.value().store(value, Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.value().load(Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.get()).finish()
    }
}

/// A worker's page as its master has it.
#[derive(Debug)]
pub struct Scoreboard {
    page: Page,
    file: OwnedFd,
}

impl Scoreboard {
    /// One for the worker of this number, to whom the file is to be passed: see
    /// [`SCOREBOARD`].
    ///
    /// # Errors
    ///
    /// What the system says, when too many descriptors are open.
    pub fn new(worker: u32) -> io::Result<Self> {
        let (page, file) = Page::shared()?;
        page.worker.store(worker.into(), Release);
        Ok(Self { page, file })
    }

    /// The one that an earlier master made.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file is no scoreboard, else what the system says.
    pub fn from_file(file: OwnedFd) -> io::Result<Self> {
        Ok(Self { page: Page::of(file.as_fd())?, file })
    }

    /// What the worker has written; `None` if it has not, as a Node worker never does.
    pub fn score(&self) -> Option<Score> {
        self.page.is_written().then(|| self.page.score())
    }

    /// How many connections the worker has: that part of [`score`](Self::score) alone.
    pub fn active(&self) -> Option<u64> {
        self.page.is_written().then(|| self.page.active.load(Relaxed))
    }
}

impl AsFd for Scoreboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests;
