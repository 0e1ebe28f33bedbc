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
    wire::{
        Bound, Family, Query, SocketFile, Sockname, backlog, bind, bind_before_others, host_text,
        socket_path,
    },
};

use super::{Asker, desk::Desk, group::Group, inherited};
use crate::Settings;

/// One socket, and the workers that have asked for it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) file: Option<SocketFile>,
    pub(super) key: Arc<str>,
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
    /// Present: connections are handed over; in a group those that nobody else accepts.
    pub(super) desk: Option<Desk>,
    /// Present: each worker has a socket of its own, and `descriptor` is one of them.
    pub(super) group: Option<Group>,
}

impl Socket {
    /// Opens what a query asks for; with a desk TCP and Unix connections are handed over, or in a
    /// group each worker gets a TCP socket of its own. A socket that others have opened is shared
    /// where it cannot be in a group.
    pub(super) fn open(
        key: String,
        query: &Query,
        settings: &Settings,
        desk: Option<Desk>,
        in_group: bool,
    ) -> io::Result<Self> {
        let mut begins_group = false;
        let Bound { socket, file } = match query.fd.filter(|&number| number >= 0) {
            Some(number) => Bound { socket: passed(number, query, settings)?, file: None },
            None => match inherited::find(query, settings) {
                Some(socket) => Bound { socket: inherited::open(socket, query)?, file: None },
                None if in_group && matches!(query.family, Family::V4 | Family::V6) => {
                    begins_group = true;
                    bind_before_others(query)?
                }
                None => bind(query)?,
            },
        };
        let local = match SockRef::from(&socket).local_addr()?.as_socket() {
            Some(local) if query.family.is_udp() => Address::Udp(local),
            Some(local) => Address::Tcp(local),
            None => Address::Unix(socket_path(query.address.as_deref().unwrap_or_default()).into()),
        };
        log::debug!("opened {local} for {key}");
        let descriptor = Arc::new(socket);
        let has_desk = !query.family.is_udp() && begins_group == in_group;
        Ok(Self {
            group: begins_group.then(|| Group::new(Arc::clone(&descriptor))),
            descriptor,
            file,
            key: key.into(),
            local,
            data: Value::Null,
            members: BTreeSet::new(),
            deserted: 0,
            is_pinned: false,
            was_asked_for: false,
            desk: desk.filter(|_| has_desk),
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
        self.was_asked_for || self.desk.is_some() && self.group.is_none()
    }

    /// The socket that a worker accepts from, if it does that itself.
    pub(super) fn for_worker(&mut self, asker: Asker, query: &Query) -> io::Result<Arc<OwnedFd>> {
        match (&mut self.group, &self.local) {
            (Some(group), Address::Tcp(local)) => {
                let address = Some(host_text(local));
                let port = Some(local.port().into());
                group.seat(asker, &Query { address, port, ..query.clone() })
            }
            _ => Ok(Arc::clone(&self.descriptor)),
        }
    }

    /// A worker lets go of it.
    pub(super) fn forget(&mut self, worker: u32) {
        self.members.remove(&worker);
        if let Some(group) = &mut self.group {
            group.leave(worker);
        }
        if let Some(desk) = &mut self.desk {
            desk.leave(worker);
        }
    }

    /// A worker goes; `youngest` is the last one that was started.
    pub(super) fn desert(&mut self, worker: u32, youngest: u32) {
        if self.members.remove(&worker) {
            self.deserted = youngest;
        }
        if let Some(group) = &mut self.group {
            group.leave(worker);
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
