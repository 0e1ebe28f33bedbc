//! Sockets that go along when the master becomes another program.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker_api::wire::{Luggage, Packing, SocketFile};

use super::{
    Listeners,
    arrived::Arrived,
    desk::Desk,
    group::{Group, SeatState},
    lane::{Lane, LaneState, WINDOW},
    socket::Socket,
};
use crate::schedule::Rule;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListenersState {
    next: usize,
    sockets: Vec<(usize, SocketState)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SocketState {
    descriptor: RawFd,
    file: Option<PathBuf>,
    key: String,
    local: String,
    data: Value,
    members: Vec<u32>,
    deserted: u32,
    was_asked_for: bool,
    desk: Option<DeskState>,
    /// The sockets of a group.
    #[serde(default)]
    seats: Vec<SeatState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeskState {
    /// Who may have connections, and who is leaving.
    members: Vec<(u32, bool)>,
    /// The connections, each with the worker that has it and the number of its message.
    connections: Vec<(RawFd, Option<(u32, u64)>)>,
    /// The lanes of workers that have one.
    #[serde(default)]
    lanes: Vec<(u32, LaneState)>,
    #[serde(default = "usual_window")]
    window: u32,
}

fn usual_window() -> u32 {
    WINDOW
}

impl Listeners {
    /// Written down, with the sockets added to those that go along.
    pub(crate) fn state(&self, packing: &mut Packing) -> ListenersState {
        let sockets = self.sockets.iter().map(|(&number, socket)| (number, socket.state(packing)));
        ListenersState { next: self.next, sockets: sockets.collect() }
    }

    /// Takes over the sockets of the master that this process was before. Those that its
    /// settings asked for have to be asked for again.
    pub(crate) fn restore(
        &mut self,
        state: ListenersState,
        luggage: &mut Luggage,
    ) -> io::Result<()> {
        self.next = state.next;
        for (number, state) in state.sockets {
            let socket = Socket::restore(state, self.rule.as_ref(), luggage)?;
            self.numbers.insert(socket.key.to_string(), number);
            self.sockets.insert(number, socket);
            self.awake.insert(number);
            self.changed.insert(number);
        }
        Ok(())
    }

    /// The numbers of all sockets.
    pub(crate) fn all(&self) -> Vec<usize> {
        self.sockets.keys().copied().collect()
    }
}

impl Socket {
    fn state(&self, packing: &mut Packing) -> SocketState {
        SocketState {
            descriptor: packing.add(&self.descriptor),
            file: self.file.as_ref().map(|file| file.path().to_owned()),
            key: self.key.to_string(),
            local: self.local.to_string(),
            data: self.data.clone(),
            members: self.members.iter().copied().collect(),
            deserted: self.deserted,
            was_asked_for: self.was_asked_for,
            desk: self.desk.as_ref().map(|desk| desk.state(packing)),
            seats: self.group.as_ref().map_or(Vec::new(), |group| group.state(packing)),
        }
    }

    fn restore(state: SocketState, rule: Option<&Rule>, luggage: &Luggage) -> io::Result<Self> {
        let local = state.local.parse().map_err(io::Error::other)?;
        let desk = state.desk.map(|desk| Desk::restore(desk, rule, luggage)).transpose()?;
        Ok(Self {
            // It may also be on its way to a worker.
            descriptor: luggage.share(state.descriptor)?,
            group: Group::restore(state.seats, luggage)?,
            file: state.file.as_deref().map(SocketFile::of).transpose()?,
            key: state.key.into(),
            local,
            data: state.data,
            members: state.members.into_iter().collect(),
            deserted: state.deserted,
            is_pinned: false,
            was_asked_for: state.was_asked_for,
            desk,
        })
    }
}

impl Desk {
    fn state(&self, packing: &mut Packing) -> DeskState {
        let connections = self.turns.inventory();
        DeskState {
            members: self.turns.members().collect(),
            connections: connections
                .filter_map(|(one, with)| Some((packing.add(one.socket()?), with)))
                .collect(),
            lanes: self.lanes.iter().map(|(&id, lane)| (id, lane.state(packing))).collect(),
            window: self.window,
        }
    }

    fn restore(state: DeskState, rule: Option<&Rule>, luggage: &Luggage) -> io::Result<Self> {
        let mut desk = Self::new(rule.map(Rule::for_listener), state.window);
        desk.look_at = Some(Instant::now());
        for (worker, lane) in state.lanes {
            desk.lanes.insert(worker, Lane::restore(lane, state.window, luggage)?);
        }
        for (worker, _) in &state.members {
            desk.turns.join(*worker, desk.lanes.contains_key(worker));
        }
        for (number, with) in state.connections {
            let socket: Arc<OwnedFd> = luggage.share(number)?;
            desk.turns.resume(Arrived::of(socket), with);
        }
        for (worker, is_leaving) in state.members {
            if is_leaving {
                desk.turns.retire(worker);
            }
        }
        Ok(desk)
    }
}
