//! What a worker has asked of its master: listeners, offered connections, leaving.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use serde_json::Value;

use crate::{
    Serialization,
    endpoint::{Port, Router},
    gate::Gate,
    latch::Signal,
    scoreboard::Scorecard,
    wire::{Act, Attachment, Cluster, Family, Query, Reply, Sockname, encode_answer},
};

/// A master has one connection in flight to a worker, for each listener; one that sends many
/// without waiting is refused.
const MOST_OFFERS: usize = 1024;

/// What the threads of a worker may know without a lock.
#[derive(Debug)]
pub(crate) struct Census {
    /// Connections that the user has.
    pub(crate) live: AtomicUsize,
    leaving: AtomicBool,
    /// The same for the master to see.
    pub(crate) card: Scorecard,
}

impl Census {
    pub(crate) fn new(card: Scorecard) -> Self {
        Self { live: AtomicUsize::new(0), leaving: AtomicBool::new(false), card }
    }

    /// A connection more.
    pub(crate) fn begin(&self) {
        self.live.fetch_add(1, SeqCst);
        self.card.board().began();
    }

    /// A connection fewer; whether it was the last.
    pub(crate) fn end(&self) -> bool {
        self.card.board().ended();
        self.live.fetch_sub(1, SeqCst) == 1
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(SeqCst)
    }

    fn leave(&self) {
        self.leaving.store(true, SeqCst);
        self.card.board().leaves();
    }
}

/// What the master answered to a query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) key: String,
    /// Present: accept yourself. Absent: connections come over the channel.
    pub(crate) socket: Option<OwnedFd>,
    /// The socket is a lane, from which to take connections.
    pub(crate) is_lane: bool,
    pub(crate) sockname: Option<Sockname>,
    /// What the first worker on this address had for all.
    pub(crate) data: Value,
}

/// A connection that the master has handed over and the user has not yet taken.
#[derive(Debug)]
struct Offer {
    socket: OwnedFd,
    seq: Option<u64>,
}

#[derive(Debug)]
struct Asked {
    query: Query,
    signal: Signal,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Serving {
    /// Tells this listener from a later one with the same key.
    id: u64,
    /// Absent: a socket of our own, of which the master knows nothing.
    tuple: Option<Tuple>,
    signal: Signal,
    offers: VecDeque<Offer>,
    gate: Arc<Gate>,
    /// The master was told that there is no room.
    is_full: bool,
}

/// Listeners with the same tuple are told apart by an index.
type Tuple = (Option<String>, Option<i64>, Family, Option<i64>);

#[derive(Debug, Default)]
struct Index {
    next: u64,
    open: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// The master said so: the channel closes after the last connection.
    Told,
    /// We want to: the master has to know first that it is on purpose.
    OnPurpose,
    /// The master is being told, in the message of this number.
    Announced(u64),
}

#[derive(Debug)]
pub(crate) struct Roster {
    seq: u64,
    asked: HashMap<u64, Asked>,
    answers: HashMap<u64, io::Result<Answer>>,
    /// Questions whose answer nobody waits for any more.
    given_up: HashSet<u64>,
    serving: HashMap<String, Serving>,
    indexes: HashMap<Tuple, Index>,
    leaving: Option<Leaving>,
    census: Arc<Census>,
}

fn tuple(query: &Query) -> Tuple {
    (query.address.clone(), query.port, query.family, query.fd)
}

/// The error of an errno as libuv writes it.
fn system_error(negative: i64) -> io::Error {
    let code = i32::try_from(negative.unsigned_abs()).unwrap_or(nix::libc::EIO);
    io::Error::from_raw_os_error(code)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this worker is leaving")
}

impl Roster {
    pub(crate) fn new(census: Arc<Census>) -> Self {
        Self {
            seq: 0,
            asked: HashMap::new(),
            answers: HashMap::new(),
            given_up: HashSet::new(),
            serving: HashMap::new(),
            indexes: HashMap::new(),
            leaving: None,
            census,
        }
    }

    /// Sends a message of ours; its number.
    pub(crate) fn post(&mut self, act: Act, port: &mut Port) -> u64 {
        let seq = self.next_number();
        let message = Cluster { seq: Some(seq), act };
        port.post(port.serialization().encode(&message.to_json()), None);
        seq
    }

    fn next_number(&mut self) -> u64 {
        self.seq += 1;
        self.seq - 1
    }

    fn accept(&mut self, accepted: bool, question: Option<u64>, port: &mut Port) {
        let Some(ack) = question else { return }; // nobody could match an answer
        match port.serialization() {
            Serialization::Json => {
                let seq = self.next_number();
                port.post(Ok(encode_answer(ack, accepted, seq)), None);
            }
            Serialization::Advanced => {
                let ack = i64::try_from(ack).ok();
                let reply = Reply { ack, accepted: Some(accepted), ..Reply::default() };
                self.post(Act::Reply(reply), port);
            }
        }
    }

    /// Asks the master to listen; the number to ask [`answer`](Self::answer) for, and the
    /// query as it was sent.
    pub(crate) fn ask(
        &mut self,
        mut query: Query,
        signal: Signal,
        gate: Arc<Gate>,
        port: &mut Port,
    ) -> (u64, Query) {
        if self.leaving.is_some() || !port.is_open() {
            let seq = self.next_number();
            self.answers.insert(seq, Err(gone()));
            return (seq, query);
        }
        let index = self.indexes.entry(tuple(&query)).or_default();
        query.index = index.next;
        index.next += 1;
        index.open += 1;
        let seq = self.post(Act::Query(query.clone()), port);
        self.asked.insert(seq, Asked { query: query.clone(), signal, gate });
        (seq, query)
    }

    /// What the master answered, once it has.
    pub(crate) fn answer(&mut self, seq: u64) -> Option<io::Result<Answer>> {
        let answer = self.answers.remove(&seq)?;
        if let Ok(Answer { key, .. }) = &answer
            && let Some(serving) = self.serving.get_mut(key)
        {
            // It told of the answer; from now on it tells of connections and of the end.
            serving.count_offers();
        }
        Some(answer)
    }

    fn release(&mut self, tuple: &Tuple) {
        if let Some(index) = self.indexes.get_mut(tuple) {
            index.open -= 1;
            if index.open == 0 {
                self.indexes.remove(tuple);
            }
        }
    }

    fn answered(&mut self, seq: u64, reply: Reply, attachment: Attachment, port: &mut Port) {
        let Some(mut asked) = self.asked.remove(&seq) else {
            return self.answered_too_late(seq, reply, port);
        };
        asked.signal.set(true);
        let key = reply.key.unwrap_or_else(|| asked.query.key());
        let outcome = match (reply.errno, attachment) {
            (Some(errno), _) if errno < 0 => Err(system_error(errno)),
            _ if self.serving.contains_key(&key) => {
                Err(io::Error::other(format!("the master gave the key {key} twice")))
            }
            (_, Attachment::Missing) => {
                self.post(Act::Close { key }, port);
                Err(io::Error::other("the socket did not arrive: are too many files open?"))
            }
            (_, Attachment::Descriptor(socket, _)) => Ok((key, Some(socket))),
            (_, Attachment::Nothing) => Ok((key, None)),
        };
        let Asked { query, signal, gate } = asked;
        let answer = match outcome {
            Err(error) => {
                self.release(&tuple(&query));
                Err(error)
            }
            Ok((key, socket)) => {
                let tuple = Some(tuple(&query));
                let serving = Serving {
                    id: seq,
                    tuple,
                    signal,
                    offers: VecDeque::new(),
                    gate,
                    is_full: false,
                };
                self.serving.insert(key.clone(), serving);
                let is_lane = reply.lane && socket.is_some();
                Ok(Answer { key, socket, is_lane, sockname: reply.sockname, data: reply.data })
            }
        };
        self.answers.insert(seq, answer);
    }

    /// The master now believes that we listen.
    fn answered_too_late(&mut self, seq: u64, reply: Reply, port: &mut Port) {
        let listens = reply.errno.is_none_or(|errno| errno >= 0);
        if self.given_up.remove(&seq)
            && listens
            && let Some(key) = reply.key
        {
            self.post(Act::Close { key }, port);
        }
    }

    /// Takes in a listener of our own, which is to end with the others; its key and number.
    pub(crate) fn adopt(&mut self, signal: Signal, gate: Arc<Gate>) -> io::Result<(String, u64)> {
        if self.leaving.is_some() {
            return Err(gone());
        }
        let id = self.next_number();
        let key = format!("own:{id}");
        let serving =
            Serving { id, tuple: None, signal, offers: VecDeque::new(), gate, is_full: false };
        self.serving.insert(key.clone(), serving);
        Ok((key, id))
    }

    /// A connection that was handed over, which is the user's from now on.
    pub(crate) fn take(&mut self, key: &str, id: u64, port: &mut Port) -> Option<OwnedFd> {
        let serving = self.serving.get_mut(key).filter(|serving| serving.id == id)?;
        let offer = serving.offers.pop_front();
        serving.count_offers();
        let Offer { socket, seq } = offer?;
        self.accept(true, seq, port);
        Some(socket)
    }

    /// Gives back what was handed over: there is no room for it any more.
    pub(crate) fn refuse(&mut self, key: &str, id: u64, port: &mut Port) {
        let Some(serving) = self.serving.get_mut(key).filter(|one| one.id == id) else { return };
        let offers = std::mem::take(&mut serving.offers);
        serving.count_offers();
        for offer in offers {
            self.accept(false, offer.seq, port);
        }
    }

    pub(crate) fn tell_taken(&mut self, key: &str, id: u64, port: &mut Port) {
        if self.serving.get(key).is_some_and(|serving| serving.id == id) {
            self.post(Act::Taken { key: key.to_owned() }, port);
        }
    }

    /// Tells the master whether the gate of a lane has room, if that is news. Under the lock, so
    /// that what is said last is true.
    pub(crate) fn tell_room(&mut self, gate: &Arc<Gate>, port: &mut Port) {
        let mut all = self.serving.iter_mut();
        let Some((key, serving)) = all.find(|(_, one)| Arc::ptr_eq(&one.gate, gate)) else {
            return;
        };
        let is_full = !gate.has_room(0);
        if std::mem::replace(&mut serving.is_full, is_full) == is_full {
            return;
        }
        let key = key.clone();
        self.post(if is_full { Act::Full { key } } else { Act::Room { key } }, port);
    }

    /// Lets go of a listener; connections that were handed over and not taken go back.
    pub(crate) fn close(&mut self, key: &str, id: u64, port: &mut Port) {
        if self.serving.get(key).is_none_or(|serving| serving.id != id) {
            return;
        }
        let Some(mut serving) = self.serving.remove(key) else { return };
        serving.gate.shut();
        serving.signal.set(true);
        for offer in serving.offers {
            self.accept(false, offer.seq, port);
        }
        if let Some(tuple) = serving.tuple {
            self.release(&tuple);
            self.post(Act::Close { key: key.to_owned() }, port);
        }
    }

    fn offered(&mut self, key: &str, seq: Option<u64>, attachment: Attachment, port: &mut Port) {
        match (self.serving.get_mut(key), attachment) {
            (Some(serving), Attachment::Descriptor(socket, _)) if serving.has_room() => {
                serving.offers.push_back(Offer { socket, seq });
                serving.count_offers();
            }
            // Without a descriptor as well: the master has it still, and waits for our word.
            _ => self.accept(false, seq, port),
        }
    }

    /// Begins to leave; `told`: the master wants it. Idempotent.
    pub(crate) fn leave(&mut self, told: bool, port: &mut Port) {
        if !port.is_open() {
            return;
        }
        let is_new = self.leaving.is_none();
        if told {
            self.leaving = Some(Leaving::Told); // so it need not be told of a wish of ours
        } else if is_new {
            self.leaving = Some(Leaving::OnPurpose);
        }
        if is_new {
            self.let_go(port);
        }
        self.go_on(port);
    }

    fn let_go(&mut self, port: &mut Port) {
        self.census.leave();
        port.announce();
        let open: Vec<_> = self.serving.iter().map(|(key, one)| (key.clone(), one.id)).collect();
        for (key, id) in open {
            self.close(&key, id, port);
        }
        self.give_up_questions();
    }

    fn give_up_questions(&mut self) {
        for answer in self.answers.values_mut() {
            *answer = Err(gone());
        }
        for (seq, mut asked) in self.asked.drain() {
            asked.signal.set(true);
            self.answers.insert(seq, Err(gone()));
            self.given_up.insert(seq);
        }
    }

    /// The next step of leaving, if its time has come: after the last connection.
    pub(crate) fn go_on(&mut self, port: &mut Port) {
        if self.census.live.load(SeqCst) > 0 {
            return;
        }
        match self.leaving {
            Some(Leaving::Told) => port.close_when_idle(),
            Some(Leaving::OnPurpose) => {
                let seq = self.post(Act::ExitedAfterDisconnect, port);
                self.leaving = Some(Leaving::Announced(seq));
            }
            Some(Leaving::Announced(_)) | None => {}
        }
    }
}

impl Serving {
    fn count_offers(&mut self) {
        self.signal.set(!self.offers.is_empty());
        self.gate.set_has_offers(!self.offers.is_empty());
    }

    fn has_room(&self) -> bool {
        self.gate.has_room(self.offers.len()) && self.offers.len() < MOST_OFFERS
    }
}

impl Router for Roster {
    fn route(&mut self, message: Cluster, attachment: Attachment, port: &mut Port) {
        match message.act {
            Act::Reply(reply) => {
                let Some(ack) = reply.ack.and_then(|ack| u64::try_from(ack).ok()) else { return };
                if self.leaving == Some(Leaving::Announced(ack)) {
                    port.close_when_idle();
                }
                self.answered(ack, reply, attachment, port);
            }
            Act::NewConnection { key } => self.offered(&key, message.seq, attachment, port),
            Act::Disconnect => self.leave(true, port),
            Act::Tick => {} // it was enough to look
            act => log::debug!("ignored {act:?} from the master"),
        }
    }

    fn served(&self) {
        self.census.card.served();
    }

    fn closed(&mut self) {
        self.leaving.get_or_insert(Leaving::Told);
        self.census.leave();
        for (_, mut serving) in self.serving.drain() {
            serving.gate.shut();
            serving.signal.set(true);
        }
        self.indexes.clear();
        self.give_up_questions();
    }
}

/// A query for an address, as Node's worker writes it.
pub(crate) fn query(address: Option<String>, port: Option<i64>, family: Family) -> Query {
    Query {
        index: 0,
        data: Value::Null,
        address,
        port,
        family,
        fd: None,
        flags: None,
        backlog: None,
        readable_all: None,
        writable_all: None,
    }
}
