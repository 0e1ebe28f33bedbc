//! Who is at the other end of a Unix socket.

use std::{io, os::fd::AsFd};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};

/// A process, as the kernel knows it since it connected or listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) pid: u32,
    pub(super) uid: u32,
}

impl Peer {
    pub(super) fn of(socket: impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(&socket, PeerCredentials)?;
        Ok(Self { pid: credentials.pid().cast_unsigned(), uid: credentials.uid() })
    }

    /// The master's own user, and root.
    pub(super) fn may_command(self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }
}
