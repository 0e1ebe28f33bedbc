//! The master's sockets, keyed by address.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use nix::errno::Errno;
use serde_json::Value;
use socket2::SockRef;
pub(crate) use state::ListenersState;
use worker_api::{
    Address, ListenOptions,
    wire::{Query, Sockname, accept, pass_on, query_for},
};

use crate::{Policy, Settings, schedule::Rule};

mod arrived;
mod desk;
mod group;
mod inherited;
mod lane;
mod rules;
mod socket;
mod state;
mod steering;

use desk::{Desk, Step};
pub(crate) use desk::{News, Open};
pub(crate) use inherited::local_address;
pub(crate) use lane::{WIDEST, WINDOW};
use socket::Socket;

/// What a worker gets for its query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) key: String,
    pub(crate) data: Value,
    /// The socket, or a lane; without one connections are offered in messages.
    pub(crate) socket: Option<Arc<OwnedFd>>,
    pub(crate) is_lane: bool,
    /// Where the master listens for the worker.
    pub(crate) sockname: Option<Sockname>,
    pub(crate) is_udp: bool,
    /// The socket's number, if the loop has to watch it from now on.
    pub(crate) watch: Option<usize>,
}

/// All sockets of a master, by number and by key.
#[derive(Debug)]
pub(crate) struct Listeners {
    policy: Policy,
    /// Who gets a connection that is handed over; without it workers take turns.
    rule: Option<Rule>,
    allowed: Option<Vec<Address>>,
    sockets: BTreeMap<usize, Socket>,
    numbers: HashMap<String, usize>,
    next: usize,
    /// Those where a connection may be handed over now.
    awake: BTreeSet<usize>,
    /// Those where one may be later, without any event.
    resting: BTreeSet<usize>,
    /// Those whose workers have changed, if each worker has a socket of its own there.
    changed: BTreeSet<usize>,
}

/// A worker that asks for a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) id: u32,
    pub(crate) slot: usize,
    /// Where it runs, if connections that come in there are to be its.
    pub(crate) cpu: Option<usize>,
    pub(crate) takes_lanes: bool,
}

impl Listeners {
    pub(crate) fn new(policy: Policy, rule: Option<Rule>, allowed: Option<Vec<Address>>) -> Self {
        Self {
            policy,
            rule,
            allowed,
            sockets: BTreeMap::new(),
            numbers: HashMap::new(),
            next: 0,
            awake: BTreeSet::new(),
            resting: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        self.policy
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

    /// The sockets that were opened before any worker asked, in order: copies, and where they
    /// are. They wait in `accept` unless somebody of this protocol has asked for one.
    pub(crate) fn pinned(&self) -> io::Result<Vec<(OwnedFd, Address)>> {
        let pinned = self.sockets.values().filter(|socket| socket.is_pinned);
        pinned
            .map(|socket| {
                SockRef::from(&*socket.descriptor).set_nonblocking(socket.is_nonblocking())?;
                Ok((socket.descriptor.try_clone()?, socket.local.clone()))
            })
            .collect()
    }

    /// Gives a worker the socket of this key, which is opened if it is not there yet. A
    /// failure is forgotten, so that another worker may try again.
    pub(crate) fn ask(
        &mut self,
        asker: Asker,
        query: &Query,
        settings: &Settings,
    ) -> io::Result<Answer> {
        let worker = asker.id;
        rules::check_data(query)?;
        let key = query.key();
        let known = self.numbers.get(&key).copied();
        let number = match known {
            Some(number) => number,
            None => {
                if inherited::find(query, settings).is_none() {
                    rules::check_allowed(self.allowed.as_deref(), query)?;
                }
                self.check_count(worker, settings)?;
                self.open(key.clone(), query, settings)?
            }
        };
        let Some(socket) = self.sockets.get_mut(&number) else {
            return Err(Errno::EINVAL.into());
        };
        if socket.members.contains(&worker) {
            return Err(Errno::EADDRINUSE.into()); // it has this one already
        }
        let theirs = socket.for_worker(asker, query)?;
        socket.members.insert(worker);
        if !std::mem::replace(&mut socket.was_asked_for, true) {
            SockRef::from(&*socket.descriptor).set_nonblocking(true)?;
        }
        if socket.data.is_null() {
            socket.data = query.data.clone();
        }
        let has_own = socket.group.is_some();
        let wants_lane = asker.takes_lanes && !has_own;
        let lane = socket.desk.as_mut().map(|desk| desk.join(worker, wants_lane));
        let handed = lane.is_some() && !has_own;
        let is_lane = matches!(lane, Some(Some(_)));
        self.awake.insert(number);
        self.changed.insert(number);
        Ok(Answer {
            key,
            data: socket.data.clone(),
            socket: if handed { lane.flatten() } else { Some(theirs) },
            is_lane,
            sockname: if handed { socket.sockname() } else { None },
            is_udp: query.family.is_udp(),
            watch: (handed && known.is_none()).then_some(number),
        })
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
        let desk = match self.policy {
            Policy::Shared => None,
            Policy::RoundRobin | Policy::ReusePort => {
                let rule = self.rule.as_ref().map(Rule::for_listener);
                Some(Desk::new(rule, settings.chosen_window()))
            }
        };
        let in_group = self.policy == Policy::ReusePort;
        let socket = Socket::open(key.clone(), query, settings, desk, in_group)?;
        let number = self.next;
        self.next += 1;
        self.numbers.insert(key, number);
        self.sockets.insert(number, socket);
        Ok(number)
    }

    /// The socket with this number, to be watched.
    pub(crate) fn descriptor(&self, number: usize) -> Option<BorrowedFd<'_>> {
        self.sockets.get(&number).map(|socket| socket.descriptor.as_fd())
    }

    pub(crate) fn is_handed(&self, number: usize) -> bool {
        let handed = |socket: &Socket| socket.desk.is_some() && socket.group.is_none();
        self.sockets.get(&number).is_some_and(handed)
    }

    /// Where each worker has a socket of its own: has the kernel choose among those that workers
    /// accept from, and the loop watch what others have got before. `watch` begins that, or ends
    /// it, for a socket of this number. What fails there is tried again.
    pub(crate) fn tend_groups(
        &mut self,
        mut watch: impl FnMut(usize, BorrowedFd<'_>, bool) -> io::Result<()>,
    ) {
        for number in std::mem::take(&mut self.changed) {
            let Some(socket) = self.sockets.get_mut(&number) else { continue };
            let Some(group) = &mut socket.group else { continue };
            if let Err(error) = group.steer() {
                log::warn!("the kernel does not choose among workers at {}: {error}", socket.local);
            }
            let is_served = !socket.members.is_empty();
            if let Err(error) = group.watch(is_served, |seat, on| watch(number, seat, on)) {
                log::error!("cannot watch a socket of {}: {error}", socket.local);
                self.changed.insert(number);
            }
        }
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
        self.changed.insert(number);
        let local = socket.local.clone();
        let is_last = socket.members.is_empty() && !socket.is_pinned;
        let watched = if is_last { self.remove(number) } else { Vec::new() };
        Some(Closed { number, local, watched })
    }

    /// A worker is to leave, and lets go of all its sockets, which stay open for others to
    /// come; `youngest` is the last worker that was started. Connections that it holds it may
    /// still take.
    pub(crate) fn retire(&mut self, worker: u32, youngest: u32) {
        for (&number, socket) in &mut self.sockets {
            socket.desert(worker, youngest);
            if let Some(desk) = &mut socket.desk {
                desk.retire(worker);
                self.awake.insert(number);
            }
            self.changed.insert(number);
        }
    }

    /// A worker is gone: as [`retire`](Self::retire), and connections that it has not taken go
    /// to others.
    pub(crate) fn release(&mut self, worker: u32, youngest: u32) {
        for (&number, socket) in &mut self.sockets {
            socket.desert(worker, youngest);
            if let Some(desk) = &mut socket.desk {
                desk.leave(worker);
                self.awake.insert(number);
            }
            match &socket.group {
                Some(group) => group.pass_on(),
                None if socket.desk.is_none() => pass_on(socket.descriptor.as_fd()),
                None => {}
            }
            self.changed.insert(number);
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
        unused.into_iter().flat_map(|number| self.remove(number)).collect()
    }

    /// Those that the loop has watched.
    fn remove(&mut self, number: usize) -> Vec<Arc<OwnedFd>> {
        let Some(socket) = self.sockets.remove(&number) else { return Vec::new() };
        self.numbers.remove(&*socket.key);
        self.resting.remove(&number);
        log::debug!("closed {} of {}", socket.local, socket.key);
        match socket.group {
            Some(group) => group.watched(),
            None if socket.desk.is_some() => vec![socket.descriptor],
            None => Vec::new(),
        }
    }

    /// The loop says that connections wait at this socket.
    pub(crate) fn is_ready(&mut self, number: usize) {
        if let Some(desk) = self.sockets.get_mut(&number).and_then(|socket| socket.desk.as_mut()) {
            desk.is_ready = true;
            self.awake.insert(number);
        }
    }

    /// Hands connections over, and tells what is to be offered in the message of this number.
    pub(crate) fn hand_over(&mut self, number: u64, now: Instant, open: Open<'_>) -> Turn {
        while let Some(&place) = self.awake.first() {
            let socket = self.sockets.get_mut(&place);
            if let Some(Socket { desk: Some(desk), group, descriptor, local, key, .. }) = socket {
                let mut source = || match group {
                    Some(group) => group.accept(),
                    None => accept(descriptor.as_fd(), true),
                };
                match desk.next(&mut source, local, number, now, open) {
                    Step::Offer(worker, connection) => {
                        let key = Arc::clone(key);
                        return Turn::Offer(HandOver { place, key, worker, connection });
                    }
                    Step::More => return Turn::More,
                    Step::Nothing => {}
                }
                match desk.deadline() {
                    Some(_) => self.resting.insert(place),
                    None => self.resting.remove(&place),
                };
            }
            self.awake.remove(&place);
        }
        Turn::Over
    }

    /// Some time has passed.
    pub(crate) fn wake(&mut self) {
        self.awake.append(&mut self.resting);
    }

    /// What a worker has said about a connection.
    pub(crate) fn settle(&mut self, place: usize, worker: u32, number: u64, taken: bool) {
        if let Some(desk) = self.desk(place) {
            desk.settle(worker, number, taken);
            self.awake.insert(place);
        }
    }

    /// What a worker says about its lane.
    pub(crate) fn hear(&mut self, worker: u32, key: &str, news: News) {
        let Some(&place) = self.numbers.get(key) else { return };
        if let Some(desk) = self.desk(place) {
            desk.hear(worker, news);
            self.awake.insert(place);
        }
    }

    fn desk(&mut self, place: usize) -> Option<&mut Desk> {
        self.sockets.get_mut(&place)?.desk.as_mut()
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
    /// What the loop has watched, and must no longer.
    pub(crate) watched: Vec<Arc<OwnedFd>>,
}

/// What came of handing over.
#[derive(Debug)]
pub(crate) enum Turn {
    /// This is to be offered.
    Offer(HandOver),
    /// There is more to do, after a look at everything else.
    More,
    Over,
}

/// A connection to be offered to a worker in a message.
#[derive(Debug)]
pub(crate) struct HandOver {
    pub(crate) place: usize,
    pub(crate) key: Arc<str>,
    pub(crate) worker: u32,
    pub(crate) connection: Arc<OwnedFd>,
}
