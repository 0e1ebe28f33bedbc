//! What comes in over a worker's channel.

use worker_api::{
    Error as WorkerError,
    wire::{
        Act, Attachment, Cluster, Fill, Letter, Packet, Received, Reply, Rider, Sockets, unpack,
    },
};

use super::Master;
use crate::{Event, State, WorkerRef, listeners::News};

/// What one look at a channel has found.
enum Look {
    More,
    Nothing,
    /// The channel is at its end, or the worker has broken the protocol.
    Over(Option<WorkerError>),
}

impl Master {
    /// Reads once from a worker's channel and does what it says; whether more may be there.
    pub(super) fn read(&mut self, id: u32) -> bool {
        let Some(member) = self.workers.get(&id) else { return false };
        let worker = member.worker.clone();
        match self.look(&worker) {
            Look::Nothing => false,
            Look::More => true,
            Look::Over(error) => {
                if error.is_none() && self.is_foreign(id) {
                    return false; // it has closed what it does not know
                }
                if let Some(error) = error {
                    log::warn!("{worker} loses its channel: {error:?}");
                    self.report(Event::Error { worker, error });
                }
                self.disconnected(id);
                false
            }
        }
    }

    fn look(&mut self, worker: &WorkerRef) -> Look {
        let fill = worker.outlet().fill(&mut self.scratch);
        match fill {
            Ok(Fill::Bytes) => {}
            Ok(Fill::Empty) => return Look::Nothing,
            Ok(Fill::Closed) => return Look::Over(None),
            Err(error) => return Look::Over(Some(error)),
        }
        let outcome = self.take_in(worker);
        worker.outlet().flush(); // acknowledgements, and what they released
        match outcome {
            Ok(()) => Look::More,
            Err(error) => Look::Over(Some(error)),
        }
    }

    fn take_in(&mut self, worker: &WorkerRef) -> worker_api::Result<()> {
        loop {
            // The lock is not held while the message is dealt with: that may send.
            let received = worker.outlet().next_received()?;
            let Some(received) = received else { return Ok(()) };
            match received {
                Received::Message { packet, attachment } => {
                    self.heard(worker, packet, attachment)?;
                }
                Received::Lost(Rider { tag: Some(number), .. }) => {
                    self.answered(worker.id(), number, false);
                }
                Received::Lost(_) | Received::Delivered(_) => {}
            }
        }
    }

    fn heard(
        &mut self,
        worker: &WorkerRef,
        packet: Packet,
        attachment: Attachment,
    ) -> worker_api::Result<()> {
        match packet {
            Packet::Unread(text) => self.heard_of_user(worker, text, attachment)?,
            Packet::User(value) => self.heard_of_user(worker, value, attachment)?,
            Packet::Structured(value) => self.heard_of_user(worker, value, attachment)?,
            Packet::Unreadable(error) => {
                let (worker, error) = (worker.clone(), error.into());
                self.report(Event::Error { worker, error });
            }
            Packet::Cluster(message) => self.heard_of_cluster(worker, message),
            Packet::Sockets(Sockets::NotifyClose(key)) => {
                answer(worker, &Sockets::AllClosed(key));
            }
            Packet::Sockets(Sockets::GetCount(key)) => answer(worker, &Sockets::Count(key, 0)),
            Packet::Sockets(_) => {}
            Packet::Unknown(cmd) => log::debug!("ignored an unknown {cmd} of {worker}"),
            Packet::Handle { .. } | Packet::Ack | Packet::Nack => {}
        }
        Ok(())
    }

    fn heard_of_user(
        &mut self,
        worker: &WorkerRef,
        content: impl Into<Letter>,
        attachment: Attachment,
    ) -> worker_api::Result<()> {
        if let Some(letter) = unpack(content, attachment)? {
            self.report(Event::Message { worker: worker.clone(), message: letter.read()? });
        }
        Ok(())
    }

    fn heard_of_cluster(&mut self, worker: &WorkerRef, Cluster { seq, act }: Cluster) {
        let id = worker.id();
        self.has_spoken(id);
        match act {
            Act::Online { lane } => {
                if let Some(member) = self.workers.get_mut(&id) {
                    member.takes_lanes = lane;
                }
                if worker.state() == State::Starting {
                    worker.set_state(State::Online);
                    log::debug!("{worker} is online");
                    self.report(Event::Online { worker: worker.clone() });
                }
            }
            Act::Query(query) => self.asked(worker, &query, seq),
            Act::Listening(query) => self.listening(worker, &query),
            Act::Ready => {
                worker.set_state(State::Listening);
                self.report(Event::Ready { worker: worker.clone() });
            }
            Act::Close { key } => self.let_go(worker, &key),
            Act::Taken { key } => self.listeners.hear(id, &key, News::Taken),
            Act::Full { key } => self.listeners.hear(id, &key, News::Full),
            Act::Room { key } => self.listeners.hear(id, &key, News::Room),
            Act::ExitedAfterDisconnect => {
                worker.set_exited_after_disconnect();
                if let Some(member) = self.workers.get_mut(&id) {
                    member.is_leaving = true;
                }
                let reply = Reply { ack: number(seq), ..Reply::default() };
                self.post(worker, Act::Reply(reply));
            }
            Act::Reply(Reply { ack, accepted: Some(accepted), .. }) => {
                if let Some(number) = ack.and_then(|ack| u64::try_from(ack).ok()) {
                    self.answered(id, number, accepted);
                }
            }
            other => log::debug!("ignored {other:?} of {worker}"),
        }
    }

    /// Sends a message of the cluster module; its number.
    pub(super) fn post(&mut self, worker: &WorkerRef, act: Act) -> u64 {
        let seq = self.next_seq();
        let message = Cluster { seq: Some(seq), act };
        match worker.serialization().encode(&message.to_json()) {
            Ok(message) => worker.outlet().post(message, None),
            Err(error) => log::error!("cannot tell {worker}: {error:?}"),
        }
        seq
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        let seq = self.seq;
        self.seq += 1;
        seq
    }

    /// Tells a worker to leave, once: a Node worker that is told twice throws. Its sockets
    /// are let go of now.
    pub(super) fn tell_to_leave(&mut self, id: u32) {
        let Some(member) = self.workers.get_mut(&id) else { return };
        let worker = member.worker.clone();
        if std::mem::replace(&mut member.is_leaving, true) || !worker.is_connected() {
            return;
        }
        log::debug!("{worker} is told to leave");
        match self.is_foreign(id) {
            true => self.dismiss_foreigner(&worker),
            false => _ = self.post(&worker, Act::Disconnect),
        }
        self.listeners.retire(id, self.last_id);
        worker.left_all();
    }

    /// A worker's channel is at its end.
    pub(super) fn disconnected(&mut self, id: u32) {
        let Some(member) = self.workers.get_mut(&id) else { return };
        let worker = member.worker.clone();
        member.offers.clear();
        if !worker.outlet().close(|channel| self.unwatch(channel)) {
            return;
        }
        self.listeners.release(id, self.last_id);
        worker.left_all();
        worker.set_state(State::Disconnected);
        log::debug!("{worker} is disconnected");
        self.report(Event::Disconnect { worker });
    }
}

/// Sockets that were received belong to the user as std's types, so none is counted.
fn answer(worker: &WorkerRef, answer: &Sockets) {
    if let Ok(message) = worker.serialization().encode_sockets(answer) {
        worker.outlet().post(message, None);
    }
}

pub(super) fn number(seq: Option<u64>) -> Option<i64> {
    seq.and_then(|seq| i64::try_from(seq).ok())
}
