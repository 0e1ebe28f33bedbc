//! The sockets of one port, one for each worker.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use socket2::SockAddr;
use worker_api::wire::{self, Luggage, Packing, Query, bind_beside_others, pass_on};

use super::{
    Asker,
    steering::{Choice, Steering},
};
use crate::sys;

/// A group of sockets among which the kernel chooses (`SO_REUSEPORT`). None closes before all do:
/// what is queued at one, and what is on its way to it, would be reset. So their order is the
/// kernel's as well, which puts a socket that comes behind the others.
#[derive(Debug)]
pub(super) struct Group {
    seats: Vec<Seat>,
    /// How the kernel was asked to choose; `None`: as another program has asked it.
    steering: Option<Steering>,
}

#[derive(Debug)]
struct Seat {
    socket: Arc<OwnedFd>,
    /// Whose it is, or was: two workers have it while one replaces the other.
    slot: usize,
    /// The CPU whose connections are for it.
    cpu: Option<usize>,
    holders: BTreeSet<u32>,
    /// Nobody accepts from it: the loop watches it.
    is_watched: bool,
}

/// A socket of a group that is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeatState {
    socket: RawFd,
    slot: usize,
    #[serde(default)]
    cpu: Option<usize>,
    holders: Vec<u32>,
}

impl Seat {
    fn new(socket: Arc<OwnedFd>, slot: usize) -> Self {
        Self { socket, slot, cpu: None, holders: BTreeSet::new(), is_watched: false }
    }

    fn choice(&self) -> Choice {
        Choice { is_served: !self.holders.is_empty(), cpu: self.cpu }
    }
}

impl Group {
    pub(super) fn new(first: Arc<OwnedFd>) -> Self {
        Self { seats: vec![Seat::new(first, 0)], steering: Some(Steering::default()) }
    }

    /// The socket of a worker: that of its slot, else one that nobody has, else a new one, which
    /// the query opens.
    pub(super) fn seat(&mut self, asker: Asker, query: &Query) -> io::Result<Arc<OwnedFd>> {
        let of_slot = self.seats.iter().position(|seat| seat.slot == asker.slot);
        let orphan = || self.seats.iter().position(|seat| seat.holders.is_empty());
        let place = match of_slot.or_else(orphan) {
            Some(place) => place,
            None => {
                let socket = bind_beside_others(query)?.socket;
                self.seats.push(Seat::new(Arc::new(socket), asker.slot));
                self.seats.len() - 1
            }
        };
        let seat = &mut self.seats[place];
        seat.slot = asker.slot;
        seat.cpu = asker.cpu;
        seat.holders.insert(asker.id);
        Ok(Arc::clone(&seat.socket))
    }

    /// A worker no longer accepts from its socket.
    pub(super) fn leave(&mut self, worker: u32) {
        for seat in &mut self.seats {
            seat.holders.remove(&worker);
        }
    }

    /// Somebody was woken and did not accept: who else has the socket is to look.
    pub(super) fn pass_on(&self) {
        for seat in &self.seats {
            pass_on(seat.socket.as_fd());
        }
    }

    /// Has the kernel choose among the sockets that workers accept from: a connection that begins
    /// now needs nobody to hand it over.
    pub(super) fn steer(&mut self) -> io::Result<()> {
        let wanted = Steering::of(self.seats.iter().map(Seat::choice));
        if self.steering.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let Some(seat) = self.seats.first() else { return Ok(()) };
        let outcome = sys::steer(seat.socket.as_fd(), &wanted.program());
        self.steering = Some(wanted); // what fails is not tried again before it is to be another
        outcome
    }

    /// Begins to watch the sockets that nobody has, if there are workers for their connections,
    /// and ends it for others.
    pub(super) fn watch(
        &mut self,
        is_served: bool,
        mut watch: impl FnMut(BorrowedFd<'_>, bool) -> io::Result<()>,
    ) -> io::Result<()> {
        for seat in &mut self.seats {
            let on = is_served && seat.holders.is_empty();
            if on != seat.is_watched {
                watch(seat.socket.as_fd(), on)?;
                seat.is_watched = on;
            }
        }
        Ok(())
    }

    pub(super) fn watched(self) -> Vec<Arc<OwnedFd>> {
        let watched = self.seats.into_iter().filter(|seat| seat.is_watched);
        watched.map(|seat| seat.socket).collect()
    }

    /// Accepts from the sockets that nobody has.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, SockAddr)> {
        for seat in self.seats.iter().filter(|seat| seat.is_watched) {
            match wire::accept(seat.socket.as_fd(), true) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn state(&self, packing: &mut Packing) -> Vec<SeatState> {
        let write = |seat: &Seat| SeatState {
            socket: packing.add(&seat.socket),
            slot: seat.slot,
            cpu: seat.cpu,
            holders: seat.holders.iter().copied().collect(),
        };
        self.seats.iter().map(write).collect()
    }

    /// What was written down; without sockets there was no group.
    pub(super) fn restore(states: Vec<SeatState>, luggage: &Luggage) -> io::Result<Option<Self>> {
        let read = |state: SeatState| -> io::Result<Seat> {
            let mut seat = Seat::new(luggage.share(state.socket)?, state.slot);
            seat.cpu = state.cpu;
            seat.holders.extend(state.holders);
            Ok(seat)
        };
        let seats = states.into_iter().map(read).collect::<io::Result<Vec<_>>>()?;
        Ok((!seats.is_empty()).then_some(Self { seats, steering: None }))
    }
}
