//! The control socket and its clients, when the master becomes another program.

use std::{
    io,
    os::{
        fd::RawFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::PathBuf,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use serde::{Deserialize, Serialize};
use worker_api::wire::{Luggage, Packing};

use super::{
    Asker,
    caller::{Caller, State},
    claim::Claim,
    desk::Desk,
    server::{LISTENER, Server},
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeskState {
    server: ServerState,
    name: String,
    started: f64,
    reloading: Vec<(u64, u64)>,
    begun: u64,
    over: u64,
    stopping: Vec<u64>,
    upgrading: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ServerState {
    listener: RawFd,
    path: PathBuf,
    callers: Vec<(u64, CallerState)>,
    last: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct CallerState {
    stream: RawFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    state: State,
}

fn numbers<'a>(askers: impl IntoIterator<Item = &'a Asker>) -> Vec<u64> {
    askers.into_iter().map(|asker| asker.0).collect()
}

impl Desk {
    /// Written down, with the descriptors added to those that go along.
    pub(crate) fn state(&self, packing: &mut Packing) -> DeskState {
        DeskState {
            server: self.server.state(packing),
            name: self.name.clone(),
            started: self.started,
            reloading: self.reloading.iter().map(|&(reload, asker)| (reload, asker.0)).collect(),
            begun: self.begun,
            over: self.over,
            stopping: numbers(&self.stopping),
            upgrading: numbers(&self.upgrading),
        }
    }

    /// The one that was written down.
    pub(crate) fn restore(state: DeskState, luggage: &mut Luggage) -> io::Result<Self> {
        let askers = |numbers: Vec<u64>| numbers.into_iter().map(Asker).collect();
        Ok(Self {
            server: Server::restore(state.server, luggage)?,
            name: state.name,
            started: state.started,
            reloading: state
                .reloading
                .into_iter()
                .map(|(one, asker)| (one, Asker(asker)))
                .collect(),
            begun: state.begun,
            over: state.over,
            stopping: askers(state.stopping),
            upgrading: askers(state.upgrading),
        })
    }
}

impl Server {
    fn state(&self, packing: &mut Packing) -> ServerState {
        let callers = self.callers.iter();
        ServerState {
            listener: packing.add(&self.claim.listener),
            path: self.claim.path().to_owned(),
            callers: callers.map(|(&number, one)| (number, one.state_of(packing))).collect(),
            last: self.last,
        }
    }

    fn restore(state: ServerState, luggage: &mut Luggage) -> io::Result<Self> {
        let claim = Claim::restore(luggage.take(state.listener)?, state.path)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&claim.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let mut server = Self::over(claim, epoll);
        server.last = state.last;
        for (number, caller) in state.callers {
            let caller = caller.restore(luggage)?;
            server.epoll.add(&caller, EpollEvent::new(EpollFlags::empty(), number))?;
            server.callers.insert(number, caller);
            server.settle(number);
        }
        Ok(server)
    }
}

impl Claim {
    fn restore(listener: std::os::fd::OwnedFd, path: PathBuf) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(&path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { listener: listener.into(), path, identity })
    }
}

impl Caller {
    fn state_of(&self, packing: &mut Packing) -> CallerState {
        CallerState {
            stream: packing.add(&self.stream),
            received: self.received.clone(),
            unsent: self.unsent.clone(),
            state: self.state,
        }
    }
}

impl CallerState {
    fn restore(self, luggage: &mut Luggage) -> io::Result<Caller> {
        let Self { stream, received, unsent, state } = self;
        let stream = UnixStream::from(luggage.take(stream)?);
        Ok(Caller { stream, received, unsent, state, reading: None, is_over: false })
    }
}
