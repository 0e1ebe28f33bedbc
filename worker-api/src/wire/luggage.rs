//! What a process takes along when it becomes another program by `exec`: its descriptors keep
//! their numbers, and everything else is written down.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::sys::claim;

/// The descriptors that a process has from the program that it was before.
///
/// They are claimed all at once, close-on-exec, and those that nobody [takes](Self::take) are
/// closed with this.
#[derive(Debug, Default)]
pub struct Luggage {
    descriptors: BTreeMap<RawFd, Arc<OwnedFd>>,
}

impl Luggage {
    /// Claims these numbers. Nothing else in this process may know them: it is to be done once,
    /// early in `main`, with what the former program has written down.
    ///
    /// # Errors
    ///
    /// `EBADF` if one is not open.
    pub fn claim(numbers: impl IntoIterator<Item = RawFd>) -> io::Result<Self> {
        let mut luggage = Self::default();
        for number in numbers {
            if number > 2 && !luggage.descriptors.contains_key(&number) {
                luggage.descriptors.insert(number, Arc::new(claim(number)?));
            }
        }
        Ok(luggage)
    }

    /// The descriptor of this number, which others may have as well.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is not there.
    pub fn share(&self, number: RawFd) -> io::Result<Arc<OwnedFd>> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
        self.descriptors.get(&number).cloned().ok_or_else(missing)
    }

    /// The descriptor of this number, for one owner.
    ///
    /// # Errors
    ///
    /// As [`share`](Self::share); also if it is another's already.
    pub fn take(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        let shared = self.share(number)?;
        self.descriptors.remove(&number);
        let taken = |_| io::Error::new(io::ErrorKind::InvalidData, "a descriptor is taken twice");
        Arc::try_unwrap(shared).map_err(taken)
    }
}

/// Writes down the numbers of the descriptors that go along.
#[derive(Debug, Default)]
pub struct Packing {
    numbers: std::collections::BTreeSet<RawFd>,
}

impl Packing {
    /// This one goes along, under its number.
    pub fn add(&mut self, descriptor: impl AsFd) -> RawFd {
        let descriptor: BorrowedFd<'_> = descriptor.as_fd();
        self.numbers.insert(descriptor.as_raw_fd());
        descriptor.as_raw_fd()
    }

    /// All that go along.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.numbers.iter().copied()
    }
}

/// A [`Link`](super::Link) that is written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct LinkState {
    pub(super) socket: RawFd,
    pub(super) is_advanced: bool,
    pub(super) inflow: InflowState,
    pub(super) descriptors: Vec<(RawFd, u64)>,
    pub(super) outbox: OutboxState,
}

/// What was received and is no whole message yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InflowState {
    pub(crate) unread: Vec<u8>,
    pub(crate) position: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OutboxState {
    pub(super) chunks: Vec<(Vec<u8>, Option<RawFd>)>,
    pub(super) held: Vec<(Vec<u8>, Option<RiderState>)>,
    pub(super) in_flight: Option<(RiderState, Vec<u8>, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RiderState {
    pub(super) descriptor: RawFd,
    pub(super) resend: bool,
    pub(super) tag: Option<u64>,
}
