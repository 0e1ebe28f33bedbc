//! One socket of the master's.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{OwnedFd, RawFd},
    sync::Arc,
};

use nix::errno::Errno;
use serde_json::Value;
use socket2::SockRef;
use worker_api::{
    Address, Handle,
    wire::{Bound, Query, SocketFile, Sockname, backlog, bind, host_text, socket_path},
};

use super::{desk::Desk, inherited};
use crate::Settings;

/// One socket, and the workers that have asked for it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) file: Option<SocketFile>,
    pub(super) key: String,
    pub(super) local: Address,
    /// The first worker's data, which all get.
    pub(super) data: Value,
    pub(super) members: BTreeSet<u32>,
    /// The youngest worker when the last member went; 0 while there was none.
    pub(super) deserted: u32,
    /// Stays open without workers: it was asked for in the settings.
    pub(super) is_pinned: bool,
    /// A worker has asked for it on its channel, and such workers never wait in `accept`.
    pub(super) was_asked_for: bool,
    /// Present: connections are handed over.
    pub(super) desk: Option<Desk>,
}

impl Socket {
    /// Opens what a query asks for; with a desk TCP and Unix connections are handed over.
    pub(super) fn open(
        key: String,
        query: &Query,
        settings: &Settings,
        desk: Option<Desk>,
    ) -> io::Result<Self> {
        let Bound { socket, file } = match query.fd.filter(|&number| number >= 0) {
            Some(number) => Bound { socket: passed(number, query, settings)?, file: None },
            None => match inherited::find(query, settings) {
                Some(socket) => Bound { socket: inherited::open(socket, query)?, file: None },
                None => bind(query)?,
            },
        };
        let local = match SockRef::from(&socket).local_addr()?.as_socket() {
            Some(local) if query.family.is_udp() => Address::Udp(local),
            Some(local) => Address::Tcp(local),
            None => Address::Unix(socket_path(query.address.as_deref().unwrap_or_default()).into()),
        };
        log::debug!("opened {local} for {key}");
        Ok(Self {
            descriptor: Arc::new(socket),
            file,
            key,
            local,
            data: Value::Null,
            members: BTreeSet::new(),
            deserted: 0,
            is_pinned: false,
            was_asked_for: false,
            desk: desk.filter(|_| !query.family.is_udp()),
        })
    }

    /// Where it is, for workers that get connections handed over.
    pub(super) fn sockname(&self) -> Option<Sockname> {
        let (Address::Tcp(local) | Address::Udp(local)) = &self.local else { return None };
        let family = if local.is_ipv6() { "IPv6" } else { "IPv4" };
        Some(Sockname { address: host_text(local), family: family.into(), port: local.port() })
    }

    /// Whether `accept` on it does not wait; the master itself never waits.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.was_asked_for || self.desk.is_some()
    }

    /// A worker lets go of it.
    pub(super) fn forget(&mut self, worker: u32) {
        self.members.remove(&worker);
        if let Some(desk) = &mut self.desk {
            desk.leave(worker);
        }
    }

    /// A worker goes; `youngest` is the last one that was started.
    pub(super) fn desert(&mut self, worker: u32, youngest: u32) {
        if self.members.remove(&worker) {
            self.deserted = youngest;
        }
    }
}

/// A copy of a socket that was passed in on purpose: nobody gets the master's others.
fn passed(number: i64, query: &Query, settings: &Settings) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(number).map_err(|_| Errno::EINVAL)?;
    if query.address.is_some() {
        return Err(Errno::EINVAL.into());
    }
    let socket = settings.passed(number).ok_or(Errno::EACCES)?.try_clone()?;
    let kind = Handle::of(socket.try_clone()?).map_err(|_| Errno::EINVAL)?;
    if matches!(kind, Handle::UdpSocket(_)) != query.family.is_udp() {
        return Err(Errno::EINVAL.into());
    }
    let reference = SockRef::from(&socket);
    reference.set_nonblocking(true)?;
    if !query.family.is_udp() {
        reference.listen(backlog(query))?;
    }
    Ok(socket)
}
