//! Workers that may not know of their channel.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Instant,
};

use mio::{Interest, unix::SourceFd};
use worker_api::Address;

use super::Master;
use crate::{
    Event, ForkOptions, Result, Signal, State, WorkerRef, child_process::Command, foreign::Outfit,
    place::Place,
};

impl Master {
    /// The command that starts the worker with this number, its program's name, and what it is
    /// given.
    pub(super) fn command(
        &mut self,
        id: u32,
        slot: usize,
        options: &ForkOptions,
    ) -> Result<(Command, String, Outfit)> {
        let passed: Vec<(OwnedFd, Address)> = match self.settings.passes_listeners {
            true => self.listeners.pinned()?,
            false => Vec::new(),
        };
        let copies = passed.iter().map(|(socket, _)| socket.try_clone());
        let copies = copies.collect::<io::Result<_>>()?;
        let (mut command, program) = self.settings.command(options, slot, copies)?;
        command.env("NODE_UNIQUE_ID", id.to_string());
        let outfit = self.foreigners.equip(&self.settings, &passed, &mut command)?;
        Ok((command, program, outfit))
    }

    /// The command that starts a mold of such workers, and its program's name.
    pub(crate) fn mold_command(
        &mut self,
        options: &ForkOptions,
        control: OwnedFd,
    ) -> Result<(Command, String)> {
        let passed = match self.settings.passes_listeners {
            true => self.listeners.pinned()?.into_iter().map(|(socket, _)| socket).collect(),
            false => Vec::new(),
        };
        self.settings.mold_command(options, passed, control)
    }

    pub(super) fn admit_foreigner(&mut self, worker: &WorkerRef, outfit: Outfit) -> io::Result<()> {
        let (id, pid) = (worker.id(), worker.pid());
        self.foreigners.admit(id, pid, outfit, Instant::now());
        self.watch_notices(id)
    }

    /// Notices of this worker are heard, if it has somewhere to send them.
    pub(super) fn watch_notices(&self, id: u32) -> io::Result<()> {
        let Some(notices) = self.foreigners.notices(id) else { return Ok(()) };
        let mut source = SourceFd(&notices.as_raw_fd());
        self.poll.registry().register(&mut source, Place::Notices(id).token(), Interest::READABLE)
    }

    /// A worker that runs may be ready by that alone.
    pub(super) fn check_in(&mut self, worker: &WorkerRef) {
        if self.foreigners.is_ready_at_once() {
            self.is_ready(worker.id());
        }
    }

    /// Whether a worker is a program that does not know of its channel, as far as is known.
    pub(crate) fn is_foreign(&self, id: u32) -> bool {
        let has_spoken = || self.workers.get(&id).is_none_or(|member| member.has_spoken);
        self.foreigners.are_allowed() && !has_spoken()
    }

    /// A worker uses its channel.
    pub(super) fn has_spoken(&mut self, id: u32) {
        if let Some(member) = self.workers.get_mut(&id)
            && !std::mem::replace(&mut member.has_spoken, true)
        {
            self.foreigners.is_settled(id);
        }
    }

    /// It cannot be told on the channel.
    pub(super) fn dismiss_foreigner(&self, worker: &WorkerRef) {
        if let Err(error) = worker.kill(Signal::TERM) {
            log::error!("cannot tell {worker} to leave: {error}");
        }
    }

    pub(super) fn read_notices(&mut self, id: u32) {
        let news = self.foreigners.read(id);
        if news.is_ready {
            self.is_ready(id);
        }
        if news.has_more {
            self.unheard.insert(id);
            self.ring();
        }
    }

    fn is_ready(&mut self, id: u32) {
        let Some(member) = self.workers.get(&id).filter(|member| !member.is_leaving) else {
            return;
        };
        let worker = member.worker.clone();
        self.foreigners.is_settled(id);
        if matches!(worker.state(), State::Starting | State::Online) {
            worker.set_state(State::Listening);
        }
        self.report(Event::Ready { worker });
    }

    /// Reports who waits at a socket, as the kernel shows.
    pub(super) fn look_at_foreigners(&mut self) {
        for (id, address) in self.foreigners.look(Instant::now()) {
            let Some(member) = self.workers.get(&id) else { continue };
            let worker = member.worker.clone();
            if !member.is_leaving {
                log::debug!("{worker} waits at {address}");
                worker.listens(address.clone());
                self.report(Event::Listening { worker, address });
            }
        }
    }
}
