//! What a master reports.

use std::process::ExitStatus;

use worker_api::{Address, Message};

use crate::{Result, Settings, WorkerRef};

/// What has happened, mostly to a worker. By the time it is reported the master has done its part;
/// nothing has to be done about any event.
#[non_exhaustive]
#[derive(Debug)]
pub enum Event {
    /// A worker was started.
    Fork {
        /// Which one.
        worker: WorkerRef,
    },
    /// A worker's program runs and has found its channel.
    Online {
        /// Which one.
        worker: WorkerRef,
    },
    /// A worker accepts connections.
    Listening {
        /// Which one.
        worker: WorkerRef,
        /// Where, with the real port.
        address: Address,
    },
    /// A worker says that it is ready.
    Ready {
        /// Which one.
        worker: WorkerRef,
    },
    /// A worker has sent a message.
    Message {
        /// Which one.
        worker: WorkerRef,
        /// What it said.
        message: Message,
    },
    /// A worker's channel is closed. Comes before its [`Exit`](Self::Exit), always.
    Disconnect {
        /// Which one.
        worker: WorkerRef,
    },
    /// A worker's process has ended; the last event of this worker.
    Exit {
        /// Which one.
        worker: WorkerRef,
        /// How.
        status: ExitStatus,
    },
    /// [`setup`](crate::setup) has changed the settings for later forks.
    Setup {
        /// All of them, as they are now.
        settings: Box<Settings>,
    },
    /// An upgrade of a [`Supervised`](crate::Supervised) master is over, its reload included.
    Upgrade {
        /// The number of the new generation, told by the new program; or why the upgrade failed:
        /// [`Error::Upgrade`](crate::Error::Upgrade) from the old program, which serves on,
        /// [`Error::Reload`](crate::Error::Reload) from the new one, over the old workers.
        outcome: Result<u64>,
    },
    /// A [`Supervised`](crate::Supervised) reload is over.
    Reload {
        /// The number of the new generation; or why the old workers that are left serve on.
        outcome: Result<u64>,
    },
    /// A worker broke the protocol, and lost its channel for that; with an error of `Decode` and
    /// an open channel it has only sent a message that is none here, say with an object inside
    /// itself ([`Serialization::Advanced`](crate::Serialization::Advanced)).
    Error {
        /// Which one.
        worker: WorkerRef,
        /// What it did.
        error: worker_api::Error,
    },
}
