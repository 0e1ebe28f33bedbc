//! Workers that know nothing of the channel, when the master becomes another program.

use std::{io, os::fd::RawFd, time::Instant};

use serde::{Deserialize, Serialize};
use worker_api::wire::{Luggage, Packing};

use super::{FIRST_LOOK, Foreigners, Readiness, Watched, notice::Notices};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForeignersState {
    readiness: Readiness,
    notices: Vec<(u32, RawFd, u32)>,
    watched: Vec<WatchedState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WatchedState {
    id: u32,
    pid: u32,
    /// By inode, and where they listen.
    sockets: Vec<(u64, String)>,
}

impl Foreigners {
    /// Written down, with the descriptors added to those that go along.
    pub(crate) fn state(&self, packing: &mut Packing) -> ForeignersState {
        let notices = self.notices.iter();
        let watched = self.watched.iter().map(|(&id, watched)| {
            let sockets = watched.sockets.iter();
            let sockets = sockets.map(|(&inode, address)| (inode, address.to_string())).collect();
            WatchedState { id, pid: watched.pid, sockets }
        });
        ForeignersState {
            readiness: self.readiness,
            notices: notices.map(|(&id, one)| (id, packing.add(one), one.uid())).collect(),
            watched: watched.collect(),
        }
    }

    /// Takes over what the master that this process was before knew; whose notices there are.
    pub(crate) fn restore(
        &mut self,
        state: ForeignersState,
        luggage: &mut Luggage,
    ) -> io::Result<Vec<u32>> {
        self.readiness = state.readiness;
        for (id, number, uid) in state.notices {
            self.notices.insert(id, Notices::of(luggage.take(number)?, uid)?);
        }
        let (due, pause) = (Instant::now(), FIRST_LOOK);
        for WatchedState { id, pid, sockets } in state.watched {
            let sockets =
                sockets.into_iter().filter_map(|(inode, text)| Some((inode, text.parse().ok()?)));
            let sockets = sockets.collect();
            self.watched.insert(id, Watched { pid, sockets, due, pause });
        }
        Ok(self.notices.keys().copied().collect())
    }
}
