//! A mold that goes along when its master's process becomes another program.

use std::{
    ffi::OsString,
    io,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use worker_api::wire::{Luggage, Packing};

use super::{Mold, Molds, Origin, State};
use crate::process::Process;

/// A mold, and what its copies are to differ from. The new program has others made; until they
/// are proven this one makes the workers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MoldState {
    pid: u32,
    control: RawFd,
    variables: Vec<(OsString, OsString)>,
    numbers: usize,
    #[serde(default)]
    generation: u64,
}

impl MoldState {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Molds {
    /// The mold that serves, written down.
    pub(crate) fn state(&self, packing: &mut Packing) -> Option<MoldState> {
        let mold = self.serving.as_ref().filter(|mold| mold.is_loaded())?;
        Some(MoldState {
            pid: mold.process.pid(),
            control: packing.add(&mold.control),
            variables: mold.origin.variables.clone().into_iter().collect(),
            numbers: mold.origin.numbers,
            generation: mold.generation,
        })
    }

    /// The numbers of all processes but that mold. They end when this process lets go of them.
    pub(crate) fn others(&self) -> Vec<u32> {
        let spares = self.all().filter_map(|mold| mold.spare.as_ref()?.process());
        let molds = self.all().filter(|mold| !self.is_kept(mold)).map(|mold| &mold.process);
        molds.chain(spares).map(Process::pid).collect()
    }

    fn is_kept(&self, mold: &Mold) -> bool {
        self.serving.as_ref().is_some_and(|serving| std::ptr::eq(serving, mold)) && mold.is_loaded()
    }

    /// The mold that was written down serves.
    pub(crate) fn restore(
        &mut self,
        state: MoldState,
        luggage: &mut Luggage,
        patience: Duration,
    ) -> io::Result<()> {
        let origin =
            Origin { variables: state.variables.into_iter().collect(), numbers: state.numbers };
        let mold = Mold {
            process: Process::of_copy(state.pid)?, // whose copies are ours only if it is
            control: luggage.take(state.control)?,
            origin: Arc::new(origin),
            state: State::Loaded { since: Instant::now() },
            generation: state.generation,
            voice: None,
            patience,
            deadline: None,
            ordered: None,
            spare: None,
            rests: false,
        };
        mold.watch(self.poll.registry())?;
        self.serving = Some(mold);
        Ok(())
    }
}
