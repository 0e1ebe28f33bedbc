//! What a child finds at its descriptor numbers.

use crate::{Error, Result};
use std::{
    fs::File,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
};

/// One descriptor of a child.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// A pair of connected Unix stream sockets: one end for the child, one for us, which
    /// [`Child::stdio`](super::Child::stdio) gives.
    Pipe,
    /// `/dev/null` for the standard streams, nothing for the others.
    Ignore,
    /// Our own descriptor of the same number.
    Inherit,
    /// Node's channel; at most one. The child learns its number from `NODE_CHANNEL_FD`.
    Ipc,
    /// A copy of this descriptor. The [`Command`](super::Command) holds the original, so the
    /// other end of a pipe sees no end of file before the command is dropped.
    Fd(OwnedFd),
}

macro_rules! from_owned {
    ($($owner:ty),*) => {
        $(impl From<$owner> for Stdio {
            fn from(owner: $owner) -> Self {
                Self::Fd(owner.into())
            }
        })*
    };
}

from_owned!(
    OwnedFd,
    File,
    TcpListener,
    TcpStream,
    UdpSocket,
    UnixDatagram,
    UnixListener,
    UnixStream,
    std::io::PipeReader,
    std::io::PipeWriter,
    std::process::ChildStdin,
    std::process::ChildStdout,
    std::process::ChildStderr
);

/// What a child is started for: each has its own defaults and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Pipes; a channel if asked for.
    Spawn,
    /// Our standard streams and a channel.
    Fork,
    /// Pipes, no channel: nobody would serve it.
    Output,
}

/// The user's wishes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    list: Option<Vec<Stdio>>,
    /// Said of one stream alone; stronger than the list.
    standard: [Option<Stdio>; 3],
}

static PIPE: Stdio = Stdio::Pipe;
static INHERIT: Stdio = Stdio::Inherit;
static IPC: Stdio = Stdio::Ipc;

impl Layout {
    /// For all descriptors; forgets what was said before.
    pub(super) fn set(&mut self, list: impl IntoIterator<Item = Stdio>) {
        *self = Self { list: Some(list.into_iter().collect()), ..Self::default() };
    }

    /// For stdin (0), stdout (1) or stderr (2).
    pub(super) fn set_standard(&mut self, number: usize, stdio: Stdio) {
        if let Some(place) = self.standard.get_mut(number) {
            *place = Some(stdio);
        }
    }

    /// One entry for each descriptor, at least three.
    pub(super) fn resolve(&self, purpose: Purpose) -> Result<Vec<&Stdio>> {
        let invalid = |value: &str| Error::Settings { what: "stdio", value: value.to_owned() };
        let default = if purpose == Purpose::Fork { &INHERIT } else { &PIPE };
        let mut all: Vec<&Stdio> = match &self.list {
            Some(list) => list.iter().collect(),
            None => vec![default; 3],
        };
        all.resize(all.len().max(3), &PIPE);
        for (place, said) in all.iter_mut().zip(&self.standard) {
            *place = said.as_ref().unwrap_or(place);
        }
        let channels = all.iter().filter(|stdio| matches!(stdio, Stdio::Ipc)).count();
        match (purpose, channels) {
            (_, 2..) => Err(invalid("more than one Ipc")),
            (Purpose::Output, 1) => Err(invalid("Ipc, which output does not serve")),
            (Purpose::Fork, 0) if self.list.is_some() => Err(invalid("no Ipc, which fork needs")),
            (Purpose::Fork, 0) => {
                all.push(&IPC);
                Ok(all)
            }
            (Purpose::Spawn | Purpose::Fork | Purpose::Output, _) => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layout: &Layout, purpose: Purpose) -> String {
        match layout.resolve(purpose) {
            Ok(all) => format!("{all:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn layout(list: impl IntoIterator<Item = Stdio>) -> Layout {
        let mut layout = Layout::default();
        layout.set(list);
        layout
    }

    #[test]
    fn defaults() {
        let none = Layout::default();
        assert_eq!(names(&none, Purpose::Spawn), "[Pipe, Pipe, Pipe]");
        assert_eq!(names(&none, Purpose::Output), "[Pipe, Pipe, Pipe]");
        assert_eq!(names(&none, Purpose::Fork), "[Inherit, Inherit, Inherit, Ipc]");
    }

    #[test]
    fn a_short_list_is_padded() {
        assert_eq!(names(&layout([Stdio::Ignore]), Purpose::Spawn), "[Ignore, Pipe, Pipe]");
        assert_eq!(names(&layout([Stdio::Ipc]), Purpose::Fork), "[Ipc, Pipe, Pipe]");
    }

    #[test]
    fn one_stream_alone() {
        let mut silent = Layout::default();
        silent.set_standard(1, Stdio::Ignore);
        assert_eq!(names(&silent, Purpose::Spawn), "[Pipe, Ignore, Pipe]");
        assert_eq!(names(&silent, Purpose::Fork), "[Inherit, Ignore, Inherit, Ipc]");
        silent.set_standard(0, Stdio::Ipc);
        assert_eq!(names(&silent, Purpose::Fork), "[Ipc, Ignore, Inherit]");
        silent.set([Stdio::Inherit]);
        assert_eq!(names(&silent, Purpose::Spawn), "[Inherit, Pipe, Pipe]");
    }

    #[test]
    fn channels() {
        let two = || layout([Stdio::Ipc, Stdio::Pipe, Stdio::Pipe, Stdio::Ipc]);
        for purpose in [Purpose::Spawn, Purpose::Fork, Purpose::Output] {
            assert_eq!(names(&two(), purpose), "invalid stdio: more than one Ipc");
        }
        let none = layout([Stdio::Pipe]);
        assert_eq!(names(&none, Purpose::Fork), "invalid stdio: no Ipc, which fork needs");
        let one = layout([Stdio::Ipc]);
        let refused = "invalid stdio: Ipc, which output does not serve";
        assert_eq!(names(&one, Purpose::Output), refused);
    }
}
