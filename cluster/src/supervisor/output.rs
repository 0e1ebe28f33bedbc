//! What a supervisor does with its workers' output.

use std::{io, os::fd::RawFd, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use worker_api::wire::{Luggage, Packing};

use super::Supervised;
use crate::{
    Result, WorkerRef,
    relay::{Follower, Pipe, Relay, Stream},
};

/// How long an upgrade waits until what workers have printed is written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where it goes.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// The workers have this process's streams.
    Own,
    Relayed,
    File(PathBuf),
}

impl Output {
    /// To be called where this process is the master, and not when it is on trial or on guard.
    pub(super) fn relay(&self) -> io::Result<Option<Relay>> {
        match self {
            Self::Own => Ok(None),
            Self::Relayed => Relay::new().map(Some),
            Self::File(path) => Relay::to_file(path).map(Some).map_err(|error| {
                let text = format!("cannot open the log {}: {error}", path.display());
                io::Error::new(error.kind(), text)
            }),
        }
    }
}

/// A worker's stream that the next program relays.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PipeState {
    worker: u32,
    is_error: bool,
    descriptor: RawFd,
    rest: Vec<u8>,
}

impl PipeState {
    pub(super) fn of(pipe: &Pipe, packing: &mut Packing) -> Self {
        Self {
            worker: pipe.worker,
            is_error: pipe.stream == Stream::Err,
            descriptor: packing.add(&pipe.descriptor),
            rest: pipe.rest.clone(),
        }
    }

    fn restore(self, luggage: &mut Luggage) -> io::Result<Pipe> {
        Ok(Pipe {
            worker: self.worker,
            stream: if self.is_error { Stream::Err } else { Stream::Out },
            descriptor: luggage.take(self.descriptor)?,
            rest: self.rest,
        })
    }
}

impl Supervised {
    /// The workers' output on its way, to [follow](Relay::follow) it, say; `None` if the workers
    /// have this process's streams.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// Starts a worker, whose output is relayed if that is wanted.
    pub(super) fn fork(&mut self, slot: usize) -> Result<WorkerRef> {
        let options = self.options.clone().slot(slot);
        if self.relaying().is_none() {
            return self.bear(&options);
        }
        let ((out, stdout), (err, stderr)) = (io::pipe()?, io::pipe()?);
        let worker = self.bear(&options.output(stdout, stderr))?;
        if let Some(relay) = &self.relay
            && let Err(error) = relay.add(worker.id(), Some(out), Some(err))
        {
            log::error!("the output of {worker} is lost: {error}");
        }
        Ok(worker)
    }

    /// The relay, if what is started now is to print through it.
    pub(super) fn relaying(&self) -> Option<&Relay> {
        self.relay.as_ref().filter(|_| !matches!(self.output, Output::Own))
    }

    /// The last lines of the workers, and those to come.
    pub(super) fn follow_output(&self, lines: Option<usize>) -> Result<Follower, String> {
        let relay = self.relay.as_ref();
        let relay = relay.ok_or("the workers print by themselves, not through the master")?;
        relay.follow(lines.unwrap_or(usize::MAX)).map_err(|error| error.to_string())
    }

    pub(super) fn reopen_log(&self) {
        match &self.relay {
            Some(relay) => relay.reopen(),
            None => log::warn!("there is no log to open again"),
        }
    }

    /// Reads nothing more from the workers: another program may. Their streams, for it.
    pub(super) fn pause_output(&mut self) -> Vec<Pipe> {
        let Some(relay) = &mut self.relay else { return Vec::new() };
        relay.pause(FAREWELL);
        if let Some(desk) = &mut self.desk {
            desk.part_with_lines();
        }
        relay.pipes()
    }

    pub(super) fn go_on_with_output(&mut self) {
        if let Some(relay) = &mut self.relay
            && let Err(error) = relay.go_on()
        {
            log::error!("workers' output is no longer relayed: {error}");
        }
    }

    /// Clients that were told lines by the former program are told what comes now.
    pub(super) fn resume_readers(&mut self) {
        let (relay, desk) = (&self.relay, &mut self.desk);
        if let Some(desk) = desk {
            desk.go_on_with_lines(|| match relay {
                Some(relay) => relay.follow(usize::MAX),
                None => Err(io::Error::other("the workers print by themselves now")),
            });
        }
    }

    /// Goes on with the streams that the former program has relayed, also if this one wants to
    /// relay nothing: the old workers have no others.
    pub(super) fn resume_output(
        &mut self,
        pipes: Vec<PipeState>,
        luggage: &mut Luggage,
    ) -> io::Result<()> {
        if !pipes.is_empty() && self.relay.is_none() {
            self.relay = Some(Relay::new()?);
        }
        let Some(relay) = &self.relay else { return Ok(()) };
        for pipe in pipes {
            let worker = pipe.worker;
            relay.resume(pipe.restore(luggage)?)?;
            if self.master.worker(worker).is_none() {
                relay.closed(worker); // somebody else holds it, of whose end nobody hears
            }
        }
        Ok(())
    }
}
