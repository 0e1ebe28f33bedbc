//! Nothing that a worker opens stays open. Alone in its program, for other tests open things, too.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
};

use mio::{Interest, Poll, Token};
use support::{Again, CHANNEL, ID, Master, is_again, reply};
use worker_api::{
    Address, ListenOptions, Worker,
    wire::{Act, Family, Packet, Query},
};

const ROUNDS: u64 = 1000;

/// The master refuses this port.
const REFUSED: u16 = 1;
/// The master hands over connections for this one.
const HANDED: u16 = 2;

#[test]
fn a_thousand_listeners_leave_nothing_open() {
    if is_again() {
        return be_a_worker();
    }
    let (mut master, theirs) = Master::pair();
    let variables = [(CHANNEL, "0"), (ID, "1")];
    let child = Again::start("a_thousand_listeners_leave_nothing_open", theirs, &variables);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let mut closed = 0;
    while let Some(packet) = master.hear() {
        let Packet::Cluster(message) = packet else {
            master.send(&"everything is read".into());
            continue;
        };
        match message.act {
            Act::Query(query) => answer(&mut master, &query, message.seq, &tcp, &udp),
            Act::Listening(query) if query.port == Some(HANDED.into()) => {
                let offer = Act::NewConnection { key: query.key() };
                master.post_with(offer, "net.Native", client.try_clone().unwrap());
            }
            Act::Close { .. } => closed += 1,
            _ => {}
        }
    }
    child.succeeds();
    assert_eq!(closed, 3 * ROUNDS);
}

fn answer(
    master: &mut Master,
    query: &Query,
    seq: Option<u64>,
    tcp: &TcpListener,
    udp: &UdpSocket,
) {
    let key = query.key();
    match (query.family, query.port) {
        (Family::Udp4, _) => {
            let reply = reply(seq, Some(0), key);
            master.post_with(reply, "dgram.Native", udp.try_clone().unwrap());
        }
        (_, Some(0)) => {
            let reply = reply(seq, Some(0), key);
            master.post_with(reply, "net.Native", tcp.try_clone().unwrap());
        }
        (_, port) => {
            let errno = (port == Some(REFUSED.into())).then_some(-98);
            master.post(reply(seq, errno, key));
        }
    }
}

fn be_a_worker() {
    let worker = worker_api::worker().unwrap().unwrap();
    let mut poll = Poll::new().unwrap();
    round(&worker, &mut poll);
    let before = open_descriptors(&worker);
    for _ in 1..ROUNDS {
        round(&worker, &mut poll);
    }
    assert_eq!(open_descriptors(&worker), before);
}

/// Everything that a worker can listen on, some of it with a connection.
fn round(worker: &Worker, poll: &mut Poll) {
    let mut shared = worker.listen("127.0.0.1:0").unwrap();
    let Address::Tcp(address) = *shared.local_addr() else { panic!("no TCP address") };
    let _client = TcpStream::connect(address).unwrap();
    drop(shared.accept().unwrap());
    poll.registry().register(&mut shared, Token(0), Interest::READABLE).unwrap();
    let _handed = worker.listen(("127.0.0.1", HANDED)).unwrap();
    worker.listen(("127.0.0.1", REFUSED)).unwrap_err();
    let own = ListenOptions::new().exclusive(true);
    drop(worker.listen_with("127.0.0.1:0", &own).unwrap());
    drop(worker.bind("127.0.0.1:0").unwrap());
}

/// How many are open once the worker has read all that the master wrote.
fn open_descriptors(worker: &Worker) -> usize {
    worker.send("is there more?").unwrap();
    assert_eq!(worker.recv().unwrap().unwrap().value, "everything is read");
    fs::read_dir("/proc/self/fd").unwrap().count()
}
