//! Sockets and connections on their way to the workers.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    time::Instant,
};

use mio::{Interest, unix::SourceFd};
use nix::errno::Errno;
use worker_api::{
    Serialization,
    wire::{Act, Cluster, Label, Query, Reply, Rider, encode_offer},
};

use super::{Master, channel::number};
use crate::{
    Event, WorkerRef,
    listeners::{Answer, Asker, HandOver, Turn},
    place::Place,
};

/// How sockets are announced: what Node's cluster module expects.
const STREAM: Label = Label { kind: "net.Native", dgram_type: None };
const DATAGRAM: Label = Label { kind: "dgram.Native", dgram_type: None };

/// What a turn of the loop hands over at most, before it looks at anything else.
const BATCH: usize = 64;

impl Master {
    /// A worker wants to listen. One that was told to leave gets no answer, as in Node: it
    /// has given up waiting for one.
    pub(super) fn asked(&mut self, worker: &WorkerRef, query: &Query, seq: Option<u64>) {
        if self.workers.get(&worker.id()).is_none_or(|member| member.is_leaving) {
            return;
        }
        match self.admit_to(worker, query) {
            Ok(answer) => self.give(worker, answer, seq),
            Err(error) => {
                log::debug!("{worker} cannot listen on {}: {error}", query.key());
                let code = error.raw_os_error().unwrap_or(nix::libc::EINVAL);
                let errno = Some(-i64::from(code));
                let key = Some(query.key());
                let reply = Reply { ack: number(seq), errno, key, ..Reply::default() };
                self.post(worker, Act::Reply(reply));
            }
        }
    }

    fn admit_to(&mut self, worker: &WorkerRef, query: &Query) -> io::Result<Answer> {
        // Sockets on their way stay open until the worker has them.
        if worker.outlet().riders() >= self.settings.socket_limit() {
            return Err(Errno::EMFILE.into());
        }
        let member = self.workers.get(&worker.id()).ok_or(Errno::ESRCH)?;
        let (slot, takes_lanes) = (member.slot, member.takes_lanes);
        let cpu = self.settings.cpu_to_serve(slot);
        let asker = Asker { id: worker.id(), slot, cpu, takes_lanes };
        let answer = self.listeners.ask(asker, query, &self.settings)?;
        if let Some(number) = answer.watch
            && let Err(error) = self.watch(number)
        {
            self.listeners.close(worker.id(), &answer.key);
            return Err(error);
        }
        Ok(answer)
    }

    fn give(&mut self, worker: &WorkerRef, answer: Answer, seq: Option<u64>) {
        let reply = Reply {
            ack: number(seq),
            errno: (answer.socket.is_some() && !answer.is_lane).then_some(0),
            key: Some(answer.key),
            data: answer.data,
            sockname: answer.sockname,
            accepted: None,
            lane: answer.is_lane,
        };
        let Some(descriptor) = answer.socket else {
            self.post(worker, Act::Reply(reply));
            return;
        };
        let message = Cluster { seq: Some(self.next_seq()), act: Act::Reply(reply) };
        let label = if answer.is_udp { DATAGRAM } else { STREAM };
        let rider = Rider { descriptor, resend: false, tag: None };
        send_with(worker, label, &message, rider);
    }

    /// A worker listens.
    pub(super) fn listening(&mut self, worker: &WorkerRef, query: &Query) {
        let Some(address) = self.listeners.place_of(worker.id(), query).cloned() else {
            return log::debug!("{worker} listens on nothing of ours");
        };
        worker.listens(address.clone());
        log::debug!("{worker} listens on {address}");
        self.report(Event::Listening { worker: worker.clone(), address });
    }

    /// A worker no longer listens.
    pub(super) fn let_go(&mut self, worker: &WorkerRef, key: &str) {
        let Some(closed) = self.listeners.close(worker.id(), key) else { return };
        worker.left(&closed.local);
        if let Some(member) = self.workers.get_mut(&worker.id()) {
            member.offers.retain(|_, place| *place != closed.number); // they are others' now
        }
        for socket in closed.watched {
            self.unwatch(socket.as_fd());
        }
    }

    /// Has the kernel choose among the sockets that workers accept from, and watches those of
    /// their groups that no worker does.
    pub(super) fn tend_groups(&mut self) {
        let registry = self.poll.registry();
        self.listeners.tend_groups(|number, socket, on| {
            let (number, token) = (socket.as_raw_fd(), Place::Socket(number).token());
            let mut source = SourceFd(&number);
            match on {
                true => registry.register(&mut source, token, Interest::READABLE),
                false => registry.deregister(&mut source),
            }
        });
    }

    /// Hands over the connections that wait, while workers have room for them.
    pub(super) fn hand_over(&mut self) {
        let now = Instant::now();
        for _ in 0..BATCH {
            let open = |id: u32| self.workers.get(&id)?.worker.connections();
            let next = match self.listeners.hand_over(self.seq, now, &open) {
                Turn::Offer(next) => next,
                Turn::More => break,
                Turn::Over => return,
            };
            let number = self.next_seq();
            self.offer(next, number);
        }
        self.ring(); // and the loop comes back at once
    }

    fn offer(&mut self, next: HandOver, number: u64) {
        let HandOver { place, key, worker: id, connection } = next;
        let most = self.settings.socket_limit();
        let Some(member) =
            self.workers.get_mut(&id).filter(|member| member.worker.outlet().riders() <= most)
        else {
            self.listeners.settle(place, id, number, false);
            return;
        };
        member.offers.insert(number, place);
        let worker = member.worker.clone();
        let rider = Rider { descriptor: connection, resend: false, tag: Some(number) };
        match worker.serialization() {
            Serialization::Json => {
                worker.outlet().post(encode_offer(&key, number), Some(rider));
            }
            _ => {
                let act = Act::NewConnection { key: key.to_string() };
                send_with(&worker, STREAM, &Cluster { seq: Some(number), act }, rider);
            }
        }
    }

    /// A worker has said whether it takes a connection.
    pub(super) fn answered(&mut self, id: u32, number: u64, taken: bool) {
        let Some(member) = self.workers.get_mut(&id) else { return };
        let Some(place) = member.offers.remove(&number) else { return };
        self.listeners.settle(place, id, number, taken);
    }
}

fn send_with(worker: &WorkerRef, label: Label, message: &Cluster, rider: Rider) {
    match worker.serialization().encode_with(label, &message.to_json()) {
        Ok(message) => worker.outlet().post(message, Some(rider)),
        Err(error) => log::error!("cannot tell {worker}: {error:?}"),
    }
}
