//! Sockets of this process's own, of which no master knows.

use std::{
    io,
    os::fd::{AsFd, RawFd},
};

use nix::errno::Errno;
use socket2::SockRef;

use crate::{
    ListenOptions, sys,
    wire::{Bound, Kind, Query, backlog, bind, bind_beside_others},
};

/// Opens what the query asks for; a number is one of this process's descriptors, of which a
/// copy is made.
pub(crate) fn open(query: &Query, options: &ListenOptions) -> io::Result<Bound> {
    match query.fd.filter(|&number| number >= 0) {
        Some(number) => adopt(number, query),
        None if options.reuse_port => bind_beside_others(query),
        None => bind(query),
    }
}

fn adopt(number: i64, query: &Query) -> io::Result<Bound> {
    let socket = sys::copy(RawFd::try_from(number).map_err(|_| Errno::EINVAL)?)?;
    let kind = Kind::of(socket.as_fd()).map_err(|_| Errno::EINVAL)?;
    match (kind, query.family.is_udp()) {
        (Kind::Udp { .. }, true)
        | (Kind::Tcp { listening: true } | Kind::Unix { listening: true }, false) => {}
        // A connection refuses to listen.
        (Kind::Tcp { .. } | Kind::Unix { .. }, false) => {
            SockRef::from(&socket).listen(backlog(query))?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(Bound { socket, file: None })
}
