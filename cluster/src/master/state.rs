//! A master that goes along when its process becomes another program.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use worker_api::{
    Address,
    wire::{LONGEST_LINE, Link, LinkState, Luggage, Packing, Scoreboard},
};

use super::Master;
use crate::{
    Result, Settings, State, WorkerRef,
    foreign::ForeignersState,
    listeners::ListenersState,
    member::Member,
    outlet::Outlet,
    process::Process,
    worker_ref::{Facts, Parts},
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MasterState {
    last_id: u32,
    seq: u64,
    workers: Vec<WorkerState>,
    listeners: ListenersState,
    foreigners: ForeignersState,
}

/// A worker, and what only the master's loop knows of it.
#[derive(Debug, Serialize, Deserialize)]
struct WorkerState {
    id: u32,
    pid: u32,
    age: Duration,
    /// `None`: its channel is closed.
    channel: Option<LinkState>,
    is_advanced: bool,
    state: State,
    addresses: Vec<String>,
    exited_after_disconnect: bool,
    stdio: Vec<Option<RawFd>>,
    board: Option<RawFd>,
    slot: usize,
    offers: Vec<(u64, usize)>,
    is_leaving: bool,
    has_spoken: bool,
    #[serde(default)]
    takes_lanes: bool,
}

impl Master {
    /// Written down, with its descriptors added to those that go along. To be called when
    /// [`poll`](Self::poll) has nothing to report.
    pub(crate) fn state(&mut self, packing: &mut Packing) -> MasterState {
        for member in self.workers.values() {
            member.worker.outlet().flush();
        }
        MasterState {
            last_id: self.last_id,
            seq: self.seq,
            workers: self.workers.values().map(|member| member.state(packing)).collect(),
            listeners: self.listeners.state(packing),
            foreigners: self.foreigners.state(packing),
        }
    }

    /// The master that this process was before, under new settings.
    ///
    /// The way that a socket is shared stays as it is.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn restore(
        settings: Settings,
        state: MasterState,
        luggage: &mut Luggage,
    ) -> Result<Self> {
        let mut master = Self::empty(settings)?;
        (master.last_id, master.seq) = (state.last_id, state.seq);
        master.listeners.restore(state.listeners, luggage)?;
        for number in master.listeners.all() {
            master.watch(number)?;
        }
        for worker in state.workers {
            let id = worker.id;
            if let Err(error) = master.readmit(worker, luggage) {
                // Only a process that is not its parent any more finds it gone.
                log::warn!("worker {id} was lost on the way: {error}");
                master.listeners.release(id, master.last_id);
            }
        }
        for id in master.foreigners.restore(state.foreigners, luggage)? {
            master.watch_notices(id)?;
        }
        master.open_pinned()?;
        Ok(master)
    }

    fn readmit(&mut self, state: WorkerState, luggage: &mut Luggage) -> io::Result<()> {
        let (id, slot) = (state.id, state.slot);
        let (offers, is_leaving, has_spoken) =
            (state.offers.iter().copied().collect(), state.is_leaving, state.has_spoken);
        let takes_lanes = state.takes_lanes;
        let worker = state.restore(self, luggage)?;
        let channel = worker.outlet().descriptor();
        self.watch_worker(&worker, channel)?;
        let member = Member { worker, slot, offers, is_leaving, has_spoken, takes_lanes };
        self.workers.insert(id, member);
        self.unread.insert(id);
        Ok(())
    }
}

impl Member {
    fn state(&self, packing: &mut Packing) -> WorkerState {
        let inner = &self.worker.inner;
        let stdio =
            inner.stdio().iter().map(|one| one.as_ref().map(|one| packing.add(one))).collect();
        WorkerState {
            id: inner.id,
            pid: inner.process.pid(),
            age: self.worker.age(),
            channel: self.worker.outlet().state(packing),
            is_advanced: self.worker.serialization() == worker_api::Serialization::Advanced,
            state: self.worker.state(),
            addresses: self.worker.addresses().iter().map(Address::to_string).collect(),
            exited_after_disconnect: self.worker.exited_after_disconnect(),
            stdio,
            board: inner.board.as_ref().map(|board| packing.add(board)),
            slot: self.slot,
            offers: self.offers.iter().map(|(&number, &place)| (number, place)).collect(),
            is_leaving: self.is_leaving,
            has_spoken: self.has_spoken,
            takes_lanes: self.takes_lanes,
        }
    }
}

impl WorkerState {
    fn restore(self, master: &Master, luggage: &mut Luggage) -> io::Result<WorkerRef> {
        let channel = self.channel.map(|state| Link::restore(state, LONGEST_LINE, luggage));
        let stdio = self.stdio.into_iter().map(|number| {
            number.map(|number| Ok(UnixStream::from(luggage.take(number)?))).transpose()
        });
        let stdio = stdio.collect::<io::Result<_>>()?;
        let board = self.board.map(|number| Scoreboard::from_file(luggage.take(number)?));
        let addresses = self.addresses.iter().filter_map(|text| text.parse().ok()).collect();
        Ok(WorkerRef::of(Parts {
            id: self.id,
            process: Process::of_child(self.pid)?,
            serialization: match self.is_advanced {
                true => worker_api::Serialization::Advanced,
                false => worker_api::Serialization::Json,
            },
            outlet: Outlet::restore(channel.transpose()?),
            facts: Facts {
                state: self.state,
                addresses,
                exited_after_disconnect: self.exited_after_disconnect,
            },
            stdio,
            mailbox: master.mailbox.clone(),
            board: board.transpose()?,
            age: self.age,
        }))
    }
}

impl Outlet {
    fn descriptor(&self) -> Option<RawFd> {
        self.link().map(|link| link.as_fd().as_raw_fd())
    }

    fn state(&self, packing: &mut Packing) -> Option<LinkState> {
        self.link().map(|link| link.state(packing))
    }
}
