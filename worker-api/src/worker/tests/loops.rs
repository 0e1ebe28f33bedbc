//! A worker in a mio loop.

use mio::{Events, Interest, Poll, Token};

use super::*;

const WORKER: Token = Token(0);
const LISTENER: Token = Token(1);

/// A server as the guide shows it: answers messages, greets who connects, leaves when told.
struct Server {
    poll: Poll,
    worker: Worker,
    listener: Listener,
    /// Keeps its connections until a message comes.
    keeps: bool,
    kept: Vec<Connection>,
}

impl Server {
    fn new(mut worker: Worker, mut listener: Listener) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut worker, WORKER, Interest::READABLE).unwrap();
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        Self { poll, worker, listener, keeps: false, kept: Vec::new() }
    }

    /// Serves until it is to leave, and then goes on until the channel is closed.
    fn run(mut self) {
        let mut events = Events::with_capacity(4);
        while self.worker.is_connected() {
            self.poll.poll(&mut events, None).unwrap();
            for event in &events {
                match event.token() {
                    WORKER => self.answer(),
                    _ => self.accept(),
                }
            }
            if self.worker.is_disconnecting() {
                self.kept.clear();
            }
        }
    }

    fn answer(&mut self) {
        while let Some(message) = self.worker.try_recv().unwrap() {
            self.kept.clear();
            self.worker.send(&message).unwrap();
        }
    }

    fn accept(&mut self) {
        while let Some(mut connection) = try_accept(&self.listener) {
            connection.write_all(b"hello").unwrap();
            if self.keeps {
                self.kept.push(connection);
            }
        }
    }
}

fn try_accept(listener: &Listener) -> Option<Connection> {
    match listener.try_accept() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        outcome => Some(outcome.unwrap()),
    }
}

/// Whether one wait brings this token.
fn brings(poll: &mut Poll, token: Token) -> bool {
    let mut events = Events::with_capacity(4);
    poll.poll(&mut events, Some(DEADLINE)).unwrap();
    events.iter().any(|event| event.token() == token)
}

/// Acts in many orders; whatever an edge is lost for never comes.
#[test]
fn a_loop_over_a_shared_socket_misses_nothing() {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let listener = share(&worker, &mut master, "k", &socket);
    let server = start(move || Server::new(worker, listener).run());
    for round in 0_u32..600 {
        // Two bits for each act: a message, a connection, or a pause for the worker.
        let mut clients = Vec::new();
        let mut acts = round.wrapping_mul(2_654_435_761);
        for _ in 0..round % 6 {
            match acts & 3 {
                0 => master.send(&round.to_string()),
                1 | 2 => clients.push(client(address)),
                _ => server.wait_until_it_sleeps(),
            }
            acts >>= 2;
        }
        clients.into_iter().for_each(|client| assert_eq!(read_all(client), "hello"));
        master.send("\"end\"");
        while master.message() != "end" {}
    }
    server.expect_calm();
    master.send(DISCONNECT);
    master.expect_close("k");
    master.expect_end();
    server.end();
}

#[test]
fn a_loop_over_handed_connections_misses_nothing() {
    let (worker, mut master) = pair();
    let listener = promise(&worker, &mut master, "k", ListenOptions::new());
    let server = start(move || Server::new(worker, listener).run());
    for round in 0..600_u64 {
        let (client, connection) = connection();
        if round % 3 == 0 {
            server.wait_until_it_sleeps();
        }
        if round % 2 == 0 {
            master.send("\"before\"");
        }
        master.offer("k", round, connection);
        if round % 5 == 0 {
            master.send("\"after\"");
        }
        assert_eq!(read_all(client), "hello");
        let mut wanted = 2 + u64::from(round % 2 == 0) + u64::from(round % 5 == 0);
        while wanted > 0 {
            let message = master.message();
            assert_ne!(message["accepted"], false);
            wanted -= 1;
        }
    }
    server.expect_calm();
    master.send(DISCONNECT);
    master.expect_close("k");
    master.expect_end();
    server.end();
}

/// The worker itself is not in the loop, so the listener has to tell.
#[test]
fn a_connection_does_not_hide_the_channel() {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let mut listener = share(&worker, &mut master, "k", &socket);
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    let client = client(address);
    master.send(DISCONNECT);
    wait_until("the connection is there", || is_ready(&socket));
    let mut kept = Vec::new();
    while !worker.is_disconnecting() {
        assert!(brings(&mut poll, LISTENER), "it waits though it was told to leave");
        kept.extend(std::iter::from_fn(|| try_accept(&listener)));
    }
    master.expect_close("k");
    kept.into_iter().for_each(greet);
    assert_eq!(read_all(client), "hello");
    master.expect_end();
}

#[test]
fn a_loop_learns_what_another_thread_has_read() {
    let (mut worker, mut master) = pair();
    let (socket, address) = tcp();
    let listener = share(&worker, &mut master, "k", &socket);
    let _client = client(address);
    let _connection = listener.accept().unwrap();
    let accepting = start(move || listener.accept().unwrap().is_none());
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut worker, WORKER, Interest::READABLE).unwrap();
    for round in 0..100 {
        master.send(&round.to_string());
        wait_until("it is read", || !is_ready(worker.core.endpoint.socket()));
        assert!(brings(&mut poll, WORKER), "a message");
        assert_eq!(worker.try_recv().unwrap().unwrap().value, round);
        assert!(worker.try_recv().unwrap().is_none());
    }
    master.send(DISCONNECT);
    assert!(accepting.end());
    assert!(brings(&mut poll, WORKER), "it is to leave");
    assert!(worker.try_recv().unwrap().is_none() && worker.is_disconnecting());
    assert!(worker.is_connected(), "a connection lives");
}

#[test]
fn a_loop_writes_what_did_not_fit() {
    let (mut worker, mut master) = pair();
    let text = "x".repeat(4 << 20);
    assert!(!worker.try_send(&text).unwrap());
    let waiting = start(move || {
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut worker, WORKER, Interest::READABLE).unwrap();
        while worker.is_connected() {
            assert!(brings(&mut poll, WORKER), "the rest waits for ever");
            assert!(worker.try_recv().unwrap().is_none());
        }
    });
    waiting.expect_calm();
    assert_eq!(master.message(), text.as_str());
    waiting.expect_calm();
    master.send(DISCONNECT);
    waiting.end();
    master.expect_end();
}

#[test]
fn a_full_loop_rests_and_goes_on() {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let options = ListenOptions::new().max_connections(2);
    let listener = share_with(&worker, &mut master, "k", &socket, options);
    let mut server = Server::new(worker, listener);
    server.keeps = true;
    let server = start(move || server.run());
    let mut clients = [(); 5].map(|()| client(address)).into_iter();
    let mut greeted = |count| {
        clients.by_ref().take(count).inspect(|mut one| one.read_exact(&mut [0; 5]).unwrap()).count()
    };
    assert_eq!(greeted(2), 2);
    server.expect_calm();
    master.send("\"end them\"");
    master.expect("\"end them\"");
    assert_eq!(greeted(2), 2);
    server.expect_calm();
    master.send("\"end them\"");
    master.expect("\"end them\"");
    assert_eq!(greeted(1), 1);
    master.send(DISCONNECT);
    master.expect_close("k");
    master.expect_end();
    server.end();
}

#[test]
fn a_loop_with_a_closed_listener_is_calm() {
    let (worker, mut master) = pair();
    let (socket, _) = tcp();
    let listener = share(&worker, &mut master, "k", &socket);
    let server = Server::new(worker, listener);
    server.listener.close();
    master.expect_close("k");
    let server = start(move || server.run());
    master.send("1");
    master.expect("1");
    server.expect_calm();
    let _client = client(socket.local_addr().unwrap());
    server.expect_calm();
    drop(master);
    server.end();
}

#[test]
fn a_listener_moves_from_loop_to_loop_and_back() {
    let (socket, address) = tcp();
    let mut listener = Listener::from_socket(socket).unwrap();
    let (mut one, mut other) = (Poll::new().unwrap(), Poll::new().unwrap());
    one.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    let first = client(address);
    assert!(brings(&mut one, LISTENER));
    greet(try_accept(&listener).unwrap());
    assert_eq!(read_all(first), "hello");
    one.registry().deregister(&mut listener).unwrap();
    other.registry().register(&mut listener, Token(5), Interest::READABLE).unwrap();
    other.registry().reregister(&mut listener, LISTENER, Interest::READABLE).unwrap();
    drop(one);
    let second = client(address);
    assert!(brings(&mut other, LISTENER));
    wait_until("it is accepted", || try_accept(&listener).map(greet).is_some());
    assert_eq!(read_all(second), "hello");
    other.registry().deregister(&mut listener).unwrap();
    let third = client(address);
    greet(accept(&listener));
    assert_eq!(read_all(third), "hello");
}
