//! How a supervisor's molds are.

use serde::{Deserialize, Serialize};

use super::{Mold, Molds};
use crate::process::Process;

/// How one mold is: a process that loads, and is copied for each worker.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoldStatus {
    /// Its process.
    pub pid: u32,
    /// The reload that it was started for.
    pub generation: u64,
    /// What it does.
    pub state: MoldPhase,
    /// The process of the copy that waits to be a worker.
    pub spare: Option<u32>,
}

/// What a mold does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoldPhase {
    /// It loads: nobody can be copied.
    Loading,
    /// It is copied for workers.
    Ready,
    /// It loads, to be copied in the reload that has begun; another is copied until then.
    Coming,
    /// It waits until the workers of its successor serve, to be copied again if they do not.
    Former,
}

impl Molds {
    /// The one that makes the workers first.
    pub(crate) fn status(&self) -> Vec<MoldStatus> {
        let serving = self.serving.iter().map(|mold| {
            mold.status(if mold.is_loaded() { MoldPhase::Ready } else { MoldPhase::Loading })
        });
        let coming = self.coming.iter().map(|mold| mold.status(MoldPhase::Coming));
        let former = self.former.iter().map(|mold| mold.status(MoldPhase::Former));
        serving.chain(coming).chain(former).collect()
    }
}

impl Mold {
    fn status(&self, state: MoldPhase) -> MoldStatus {
        MoldStatus {
            pid: self.process.pid(),
            generation: self.generation,
            state,
            spare: self.spare.as_ref().and_then(|spare| spare.process()).map(Process::pid),
        }
    }
}
