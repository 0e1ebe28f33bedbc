//! What a master, a mold and a worker that is not one yet say to each other. Each message is one
//! of a `SOCK_SEQPACKET` socket, in JSON.
//!
//! The master asks a mold for a copy by a message of one byte, with a descriptor: the copy's end
//! of a pair of its own, over which it gets its [`MoldOrder`] later, or finds that it is not
//! wanted.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use nix::sys::socket::{MsgFlags, send};
use serde::{Deserialize, Serialize};

/// In the environment of a mold: the descriptor over which its master asks for copies.
pub const MOLD: &str = "CLUSTER_MOLD";

/// The most bytes of a [`MoldNotice`] and of a [`MoldOrder`].
pub const LONGEST_NOTICE: usize = 4 << 10;
/// See [`LONGEST_NOTICE`].
pub const LONGEST_ORDER: usize = 128 << 10;

/// What a mold tells its master.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoldNotice {
    /// It has called `preload`, and loads.
    Begun,
    /// It has loaded, and can be copied.
    Loaded,
    /// It cannot be copied, and ends: why.
    Refused(String),
    /// The copy that was asked for is the process with this number.
    Forked(u32),
    /// The copy that was asked for could not be made: why.
    Failed(String),
}

impl MoldNotice {
    /// Says so to the master.
    pub(crate) fn send(&self, control: &OwnedFd) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        send(control.as_raw_fd(), &text, MsgFlags::MSG_NOSIGNAL)?;
        Ok(())
    }
}

/// What makes a copy of a mold a worker. Its descriptors come along.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoldOrder {
    /// Where its environment is not the mold's; `None`: not there.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// Which numbers the descriptors are to have.
    pub numbers: Vec<RawFd>,
    /// The variable that gets the number of one descriptor more, the last.
    pub passed: Option<OsString>,
    /// The variable that gets the worker's process number.
    pub own_pid: Option<OsString>,
    /// The CPUs it may use, if not the mold's.
    pub cpus: Option<Vec<usize>>,
    /// The signal that it gets at the end of this process, its parent.
    pub death_signal: Option<(i32, u32)>,
}
