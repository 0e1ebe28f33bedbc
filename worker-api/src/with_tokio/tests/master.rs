//! A master of a few lines, for threads that may block.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Instant,
};

use nix::poll::PollFlags;
use serde_json::Value;
use socket2::SockRef;

use super::LONG;
use crate::{
    Serialization, Worker,
    latch::wait,
    wire::{
        Act, Attachment, Cluster, Fill, LONGEST_LINE, Label, Link, Packet, Query, Received, Reply,
        Rider, Sockname, bind, encode, encode_with,
    },
};

pub(super) struct Master {
    link: Link,
    seq: u64,
    /// What the worker said for the user.
    pub(super) heard: Vec<Value>,
    /// Where the connections come in that are handed over.
    door: TcpListener,
}

/// What a worker listens on.
pub(super) struct Server {
    pub(super) key: String,
    pub(super) address: SocketAddr,
}

/// A master and its worker.
pub(super) fn pair() -> (Master, Worker) {
    let (one, other) = UnixStream::pair().unwrap();
    let link = Link::new(one, LONGEST_LINE, Serialization::Json).unwrap();
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    (
        Master { link, seq: 0, heard: Vec::new(), door },
        Worker::new(1, other, Serialization::Json).unwrap(),
    )
}

impl Master {
    fn write(&mut self, line: Vec<u8>, rider: Option<Rider>) {
        self.link.send(line, rider).unwrap();
        while !self.link.flush().unwrap() {
            self.wait(PollFlags::POLLOUT);
        }
    }

    fn wait(&self, events: PollFlags) {
        let ready = wait(&[(self.link.as_fd(), events)], Some(Instant::now() + LONG)).unwrap();
        assert!(ready, "nothing in time");
    }

    pub(super) fn say(&mut self, value: &Value) {
        self.write(encode(value).unwrap(), None);
    }

    pub(super) fn post(&mut self, act: Act, descriptor: Option<OwnedFd>) -> u64 {
        let seq = self.seq;
        self.seq += 1;
        let message = Cluster { seq: Some(seq), act };
        match descriptor {
            None => self.write(message.encode().unwrap(), None),
            Some(descriptor) => {
                let label = Label { kind: "net.Native", dgram_type: None };
                let line = encode_with(label, &message.to_json()).unwrap();
                let rider = Rider { descriptor: Arc::new(descriptor), resend: false, tag: None };
                self.write(line, Some(rider));
            }
        }
        seq
    }

    /// The next message; `None` once the channel is closed.
    pub(super) fn next(&mut self) -> Option<(Packet, Attachment)> {
        let mut scratch = [0; 1 << 16];
        loop {
            while let Some(received) = self.link.next_received().unwrap() {
                if let Received::Message { packet, attachment } = received {
                    let _ = self.link.flush(); // an ACK; the worker may have gone
                    return Some((packet, attachment));
                }
            }
            match self.link.fill(&mut scratch).unwrap() {
                Fill::Bytes => {}
                Fill::Empty => self.wait(PollFlags::POLLIN),
                Fill::Closed => return None,
            }
        }
    }

    fn next_cluster(&mut self) -> Cluster {
        loop {
            match self.next().expect("the worker has gone").0 {
                Packet::Cluster(message) => return message,
                Packet::User(value) => self.heard.push(value),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    pub(super) fn next_query(&mut self) -> (u64, Query) {
        loop {
            if let Cluster { seq: Some(seq), act: Act::Query(query) } = self.next_cluster() {
                return (seq, query);
            }
        }
    }

    /// Answers the next wish to listen and waits until the worker listens.
    pub(super) fn serve(&mut self, handed: bool) -> Server {
        let (seq, query) = self.next_query();
        let server = self.answer(seq, &query, handed);
        while !matches!(self.next_cluster().act, Act::Listening(_)) {}
        server
    }

    pub(super) fn answer(&mut self, seq: u64, query: &Query, handed: bool) -> Server {
        let socket = bind(query).unwrap().socket;
        let address = SockRef::from(&socket).local_addr().unwrap().as_socket().unwrap();
        let sockname = Sockname {
            address: address.ip().to_string(),
            family: "IPv4".into(),
            port: address.port(),
        };
        let key = query.key();
        let reply = Reply {
            ack: i64::try_from(seq).ok(),
            errno: (!handed).then_some(0),
            key: Some(key.clone()),
            sockname: handed.then_some(sockname),
            ..Reply::default()
        };
        let sent = (!handed).then(|| socket.try_clone().unwrap());
        self.post(Act::Reply(reply), sent);
        Server { key, address }
    }

    /// Hands over a connection; our client's end, and whether the worker took the other.
    pub(super) fn hand(&mut self, key: &str) -> (TcpStream, bool) {
        let client = TcpStream::connect(self.door.local_addr().unwrap()).unwrap();
        let (connection, _) = self.door.accept().unwrap();
        let seq = self.post(Act::NewConnection { key: key.into() }, Some(connection.into()));
        loop {
            if let Act::Reply(Reply { ack, accepted: Some(accepted), .. }) = self.next_cluster().act
            {
                assert_eq!(ack, i64::try_from(seq).ok());
                return (client, accepted);
            }
        }
    }

    /// Waits until the worker says this.
    pub(super) fn expect(&mut self, act: &Act) {
        while self.next_cluster().act != *act {}
    }

    /// Waits until the worker has said so much for the user.
    pub(super) fn hear(&mut self, count: usize) {
        while self.heard.len() < count {
            if let Packet::User(value) = self.next().expect("the worker has gone").0 {
                self.heard.push(value);
            }
        }
    }

    /// Reads until the worker closes the channel; what it said for the user.
    pub(super) fn finish(mut self) -> Vec<Value> {
        while let Some((packet, _)) = self.next() {
            match packet {
                Packet::User(value) => self.heard.push(value),
                Packet::Cluster(Cluster { seq, act: Act::ExitedAfterDisconnect }) => {
                    let ack = seq.and_then(|seq| i64::try_from(seq).ok());
                    self.post(Act::Reply(Reply { ack, ..Reply::default() }), None);
                }
                _ => {}
            }
        }
        self.heard
    }
}
