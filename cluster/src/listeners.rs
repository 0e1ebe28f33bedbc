//! The master's sockets, keyed by address.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use serde_json::Value;
use socket2::SockRef;
use worker_api::{
    Address, Handle, ListenOptions,
    wire::{Bound, Family, Query, SocketFile, Sockname, accept, backlog, bind, query_for},
};

use crate::{Policy, Settings, schedule::Turns};

/// How long accepting pauses when the system has no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest data, as JSON, that is kept for a socket's workers.
const LONGEST_DATA: usize = 64 << 10;

/// One socket, and the workers that have asked for it.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: Arc<OwnedFd>,
    _file: Option<SocketFile>,
    key: String,
    local: Address,
    /// The first worker's data, which all get.
    data: Value,
    members: BTreeSet<u32>,
    /// The youngest worker when the last member went; 0 while there was none.
    deserted: u32,
    /// Stays open without workers: it was asked for in the settings.
    is_pinned: bool,
    /// Present: connections are handed over.
    desk: Option<Desk>,
}

/// Where the connections of a socket are handed over.
#[derive(Debug)]
pub(crate) struct Desk {
    turns: Turns<Arc<OwnedFd>>,
    /// The loop has said that connections wait, and accepting has not found the end of them.
    is_ready: bool,
    /// The system had no room for a connection: not before this.
    pause: Option<Instant>,
}

/// What a worker gets for its query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) key: String,
    pub(crate) data: Value,
    /// The socket, or, without one, where the master listens for the worker.
    pub(crate) socket: Option<Arc<OwnedFd>>,
    pub(crate) sockname: Option<Sockname>,
    pub(crate) is_udp: bool,
    /// The socket's number, if the loop has to watch it from now on.
    pub(crate) watch: Option<usize>,
}

/// All sockets of a master, by number and by key.
#[derive(Debug)]
pub(crate) struct Listeners {
    policy: Policy,
    allowed: Option<Vec<Address>>,
    sockets: BTreeMap<usize, Socket>,
    numbers: HashMap<String, usize>,
    next: usize,
    /// Those where a connection may be handed over now.
    awake: BTreeSet<usize>,
    /// Those where one may be later, without any event.
    resting: BTreeSet<usize>,
}

impl Listeners {
    pub(crate) fn new(policy: Policy, allowed: Option<Vec<Address>>) -> Self {
        Self {
            policy,
            allowed,
            sockets: BTreeMap::new(),
            numbers: HashMap::new(),
            next: 0,
            awake: BTreeSet::new(),
            resting: BTreeSet::new(),
        }
    }

    pub(crate) fn allow(&mut self, allowed: Option<Vec<Address>>) {
        self.allowed = allowed;
    }

    /// Opens a socket that stays, before any worker asks; its number.
    pub(crate) fn pin(&mut self, address: &Address, settings: &Settings) -> io::Result<usize> {
        let query = query_for(address, &ListenOptions::new()).map_err(io::Error::from)?;
        let key = query.key();
        let number = match self.numbers.get(&key) {
            Some(&number) => number,
            None => self.open(key, &query, settings)?,
        };
        if let Some(socket) = self.sockets.get_mut(&number) {
            socket.is_pinned = true;
        }
        Ok(number)
    }

    /// Gives a worker the socket of this key, which is opened if it is not there yet. A
    /// failure is forgotten, so that another worker may try again.
    pub(crate) fn ask(
        &mut self,
        worker: u32,
        query: &Query,
        settings: &Settings,
    ) -> io::Result<Answer> {
        if serde_json::to_vec(&query.data).map_or(0, |data| data.len()) > LONGEST_DATA {
            return Err(Errno::EMSGSIZE.into());
        }
        let key = query.key();
        let known = self.numbers.get(&key).copied();
        let number = match known {
            Some(number) => number,
            None => {
                self.check_allowed(query)?;
                self.check_count(worker, settings)?;
                self.open(key.clone(), query, settings)?
            }
        };
        let Some(socket) = self.sockets.get_mut(&number) else {
            return Err(Errno::EINVAL.into());
        };
        if !socket.members.insert(worker) {
            return Err(Errno::EADDRINUSE.into()); // it has this one already
        }
        if socket.data.is_null() {
            socket.data = query.data.clone();
        }
        let handed = socket.desk.as_mut().map(|desk| desk.turns.join(worker)).is_some();
        self.awake.insert(number);
        Ok(Answer {
            key,
            data: socket.data.clone(),
            socket: (!handed).then(|| Arc::clone(&socket.descriptor)),
            sockname: if handed { sockname(&socket.local) } else { None },
            is_udp: query.family.is_udp(),
            watch: (handed && known.is_none()).then_some(number),
        })
    }

    fn check_allowed(&self, query: &Query) -> io::Result<()> {
        match (&self.allowed, address(query)) {
            (Some(allowed), Some(address)) if !allowed.contains(&address) => {
                Err(Errno::EACCES.into())
            }
            _ => Ok(()),
        }
    }

    /// Nobody uses up the master's descriptors.
    fn check_count(&self, worker: u32, settings: &Settings) -> io::Result<()> {
        let has = |socket: &&Socket| socket.members.contains(&worker);
        match self.sockets.values().filter(has).count() < settings.socket_limit() {
            true => Ok(()),
            false => Err(Errno::EMFILE.into()),
        }
    }

    fn open(&mut self, key: String, query: &Query, settings: &Settings) -> io::Result<usize> {
        let number_there = query.fd.filter(|&number| number >= 0);
        let Bound { socket, file } = match number_there {
            Some(number) => Bound { socket: passed(number, query, settings)?, file: None },
            None => bind(query)?,
        };
        let local = match SockRef::from(&socket).local_addr()?.as_socket() {
            Some(local) if query.family.is_udp() => Address::Udp(local),
            Some(local) => Address::Tcp(local),
            None => Address::Unix(query.address.clone().unwrap_or_default().into()),
        };
        let handed = self.policy == Policy::RoundRobin && !query.family.is_udp();
        let number = self.next;
        self.next += 1;
        log::debug!("opened {local} for {key}");
        self.numbers.insert(key.clone(), number);
        let socket = Socket {
            descriptor: Arc::new(socket),
            _file: file,
            key,
            local,
            data: Value::Null,
            members: BTreeSet::new(),
            deserted: 0,
            is_pinned: false,
            desk: handed.then(Desk::new),
        };
        self.sockets.insert(number, socket);
        Ok(number)
    }

    /// The socket with this number, to be watched.
    pub(crate) fn descriptor(&self, number: usize) -> Option<BorrowedFd<'_>> {
        self.sockets.get(&number).map(|socket| socket.descriptor.as_fd())
    }

    pub(crate) fn is_handed(&self, number: usize) -> bool {
        self.sockets.get(&number).is_some_and(|socket| socket.desk.is_some())
    }

    /// Where the socket of this number is.
    pub(crate) fn local(&self, number: usize) -> Option<&Address> {
        self.sockets.get(&number).map(|socket| &socket.local)
    }

    /// Where a worker listens that says so: its query again, but with the real port in place
    /// of 0, or of none.
    pub(crate) fn place_of(&self, worker: u32, query: &Query) -> Option<&Address> {
        [query.port, Some(0), None].into_iter().find_map(|port| {
            let asked = Query { port, data: Value::Null, ..query.clone() };
            let socket = self.sockets.get(self.numbers.get(&asked.key())?)?;
            socket.members.contains(&worker).then_some(&socket.local)
        })
    }

    /// A worker lets go of one socket, which closes if that was the last one; its number
    /// then. Connections that the worker has not taken go to others.
    pub(crate) fn close(&mut self, worker: u32, key: &str) -> Option<Closed> {
        let &number = self.numbers.get(key)?;
        let socket = self.sockets.get_mut(&number)?;
        if !socket.members.contains(&worker) {
            return None;
        }
        socket.forget(worker);
        self.awake.insert(number);
        let local = socket.local.clone();
        let is_last = socket.members.is_empty() && !socket.is_pinned;
        let descriptor = if is_last { self.remove(number) } else { None };
        Some(Closed { number, local, descriptor })
    }

    /// A worker is to leave, and lets go of all its sockets, which stay open for others to
    /// come; `youngest` is the last worker that was started. Connections that it holds it may
    /// still take.
    pub(crate) fn retire(&mut self, worker: u32, youngest: u32) {
        for socket in self.sockets.values_mut() {
            socket.desert(worker, youngest);
            if let Some(desk) = &mut socket.desk {
                desk.turns.retire(worker);
            }
        }
    }

    /// A worker is gone: as [`retire`](Self::retire), and connections that it has not taken go
    /// to others.
    pub(crate) fn release(&mut self, worker: u32, youngest: u32) {
        for (&number, socket) in &mut self.sockets {
            socket.desert(worker, youngest);
            if let Some(desk) = &mut socket.desk {
                desk.turns.leave(worker);
                self.awake.insert(number);
            }
        }
    }

    /// The sockets asked for in the settings close with their last worker as well from now on.
    pub(crate) fn unpin(&mut self) {
        self.sockets.values_mut().for_each(|socket| socket.is_pinned = false);
    }

    /// Closes the sockets that nobody has, unless somebody is expected, who came after the
    /// worker with this number; those that the loop has watched. Of those that wait for
    /// somebody only the last `most` do.
    pub(crate) fn sweep(
        &mut self,
        most: usize,
        expects: impl Fn(u32) -> bool,
    ) -> Vec<Arc<OwnedFd>> {
        let (mut unused, mut waiting) = (Vec::new(), Vec::new());
        for (&number, socket) in &self.sockets {
            match socket.members.is_empty() && !socket.is_pinned {
                true if expects(socket.deserted) => waiting.push(number),
                true => unused.push(number),
                false => {}
            }
        }
        let surplus = waiting.len().saturating_sub(most);
        unused.extend(waiting.drain(..surplus));
        unused.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    fn remove(&mut self, number: usize) -> Option<Arc<OwnedFd>> {
        let socket = self.sockets.remove(&number)?;
        self.numbers.remove(&socket.key);
        self.resting.remove(&number);
        log::debug!("closed {} of {}", socket.local, socket.key);
        socket.desk.is_some().then_some(socket.descriptor)
    }

    /// The loop says that connections wait at this socket.
    pub(crate) fn is_ready(&mut self, number: usize) {
        if let Some(desk) = self.sockets.get_mut(&number).and_then(|socket| socket.desk.as_mut()) {
            desk.is_ready = true;
            self.awake.insert(number);
        }
    }

    /// The next connection to hand over: the socket's number and key, the worker, the
    /// connection. `number` is that of the message which hands it over.
    pub(crate) fn hand_over(&mut self, number: u64, now: Instant) -> Option<HandOver> {
        while let Some(&place) = self.awake.first() {
            let socket = self.sockets.get_mut(&place);
            if let Some(Socket { desk: Some(desk), descriptor, key, .. }) = socket {
                if let Some((worker, connection)) = desk.next(descriptor, number, now) {
                    return Some(HandOver { place, key: key.clone(), worker, connection });
                }
                match desk.deadline() {
                    Some(_) => self.resting.insert(place),
                    None => self.resting.remove(&place),
                };
            }
            self.awake.remove(&place);
        }
        None
    }

    /// Some time has passed.
    pub(crate) fn wake(&mut self) {
        self.awake.append(&mut self.resting);
    }

    /// What a worker has said about a connection.
    pub(crate) fn settle(&mut self, place: usize, worker: u32, number: u64, taken: bool) {
        let Some(desk) = self.sockets.get_mut(&place).and_then(|socket| socket.desk.as_mut())
        else {
            return;
        };
        match taken {
            true => desk.turns.taken(worker, number),
            false => desk.turns.refused(worker, number, Instant::now()),
        }
        self.awake.insert(place);
    }

    /// When to call [`wake`](Self::wake).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let resting = self.resting.iter().filter_map(|number| self.sockets.get(number));
        resting.filter_map(|socket| socket.desk.as_ref()?.deadline()).min()
    }
}

/// A socket that a worker let go of.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) number: usize,
    pub(crate) local: Address,
    /// Present: the loop has watched it, and must no longer.
    pub(crate) descriptor: Option<Arc<OwnedFd>>,
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct HandOver {
    pub(crate) place: usize,
    pub(crate) key: String,
    pub(crate) worker: u32,
    pub(crate) connection: Arc<OwnedFd>,
}

impl Socket {
    fn forget(&mut self, worker: u32) {
        self.members.remove(&worker);
        if let Some(desk) = &mut self.desk {
            desk.turns.leave(worker);
        }
    }

    fn desert(&mut self, worker: u32, youngest: u32) {
        if self.members.remove(&worker) {
            self.deserted = youngest;
        }
    }
}

impl Desk {
    fn new() -> Self {
        Self { turns: Turns::new(), is_ready: true, pause: None }
    }

    fn next(&mut self, socket: &OwnedFd, number: u64, now: Instant) -> Option<(u32, Arc<OwnedFd>)> {
        self.turns.wake(now);
        if self.pause.is_some_and(|pause| pause <= now) {
            self.pause = None;
        }
        while self.is_ready && self.pause.is_none() && self.turns.has_room() {
            match accept(socket.as_fd(), true) {
                Ok((connection, _)) => self.turns.arrived(Arc::new(connection)),
                Err(error) => self.failed(&error, now),
            }
        }
        self.turns.hand_over(number)
    }

    /// What is wrong with one connection says nothing about the next; want of room passes.
    fn failed(&mut self, error: &io::Error, now: Instant) {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.is_ready = false,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => {
                log::warn!("cannot accept a connection now: {error}");
                self.pause = Some(now + PAUSE);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.pause, self.turns.deadline()].into_iter().flatten().min()
    }
}

/// The address that a query means, as a user writes it in the settings.
fn address(query: &Query) -> Option<Address> {
    let port = query.port.and_then(|port| u16::try_from(port).ok());
    let socket = |port| {
        let ip: IpAddr = query.address.as_ref()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    };
    match query.family {
        Family::Fd => None, // it was passed in on purpose
        Family::Path => Some(Address::Unix(query.address.clone()?.into())),
        Family::Udp4 | Family::Udp6 => socket(port?).map(Address::Udp),
        Family::V4 | Family::V6 if query.address.is_none() => port.map(Address::Port),
        Family::V4 | Family::V6 => socket(port?).map(Address::Tcp),
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

fn sockname(local: &Address) -> Option<Sockname> {
    let ip = local.ip()?;
    let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
    Some(Sockname { address: ip.to_string(), family: family.into(), port: local.port()? })
}
