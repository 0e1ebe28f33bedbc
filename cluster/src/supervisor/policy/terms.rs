//! What goes into the policy, and what comes out.

use std::time::Duration;

use crate::Signal;

/// How a supervisor is set up.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// From its start until a worker is ready.
    pub(crate) start_timeout: Duration,
    /// How long a worker that is replaced may finish what it has.
    pub(crate) drain_timeout: Duration,
    /// The same in a stop.
    pub(crate) stop_timeout: Duration,
    pub(crate) quorum: usize,
    pub(crate) quorum_timeout: Duration,
    /// So many workers more than slots while they are replaced.
    pub(crate) max_surge: usize,
    /// So many fewer ready ones than slots meanwhile.
    pub(crate) max_unavailable: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            quorum: 1,
            quorum_timeout: Duration::from_secs(60),
            max_surge: 1,
            max_unavailable: 0,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker for this slot and say so with [`Policy::started`] or [`Policy::failed`],
    /// before the next action.
    Start { slot: usize },
    /// Ask this worker to leave.
    Disconnect { worker: u32 },
    /// Send this worker a signal.
    Kill { worker: u32, signal: Signal },
    /// Tell whoever asked how the reload went.
    Reloaded(Verdict),
    /// Give up: too few workers become ready.
    GiveUp,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All workers are of this generation.
    Done { generation: u64 },
    /// The old workers that were left serve on.
    Failed(Failure),
    /// A later reload took its place.
    Superseded,
    /// The supervisor stops.
    Stopped,
}

/// Why a reload failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A worker could not be started at all.
    Start,
    /// This worker ended, or lost its channel, before it was ready.
    Ended { worker: u32 },
    /// This one was not ready in time.
    TooLate { worker: u32 },
    /// This one was ready and died before the reload was over.
    Died { worker: u32 },
}
