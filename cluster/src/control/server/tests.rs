use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::control::{Client, Error};

/// A server in a folder of its own.
fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(&folder.path().join("s")).unwrap();
    (folder, server)
}

fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(server.path()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Serves until there is an order.
fn order(server: &mut Server) -> Order {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(order) = server.orders().pop() {
            return order;
        }
        assert!(Instant::now() < deadline, "no order came");
        wait(server);
    }
}

fn wait(server: &Server) {
    let mut all = [nix::poll::PollFd::new(server.as_fd(), nix::poll::PollFlags::POLLIN)];
    let soon = Instant::now() + Duration::from_millis(100);
    crate::process::poll_until(&mut all, Some(soon)).unwrap();
}

fn is_quiet(server: &Server) -> bool {
    let mut all = [nix::poll::PollFd::new(server.as_fd(), nix::poll::PollFlags::POLLIN)];
    !crate::process::poll_until(&mut all, Some(Instant::now())).unwrap()
}

fn line(stream: &UnixStream) -> String {
    let mut line = String::new();
    // One byte at a time, so that nothing is read too much.
    BufReader::with_capacity(1, stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_request_is_answered() {
    let (_folder, mut server) = server();
    let mut client = connect(&server);
    client.write_all(b"{\"do\":").unwrap();
    assert!(server.orders().is_empty());
    client.write_all(b"\"reload\"}\n").unwrap();
    let Order { asker, request } = order(&mut server);
    assert_eq!(request, Request::Reload);
    server.begin(asker, "reload");
    server.answer(asker, &Answer::Done("all new".into()));
    assert_eq!(line(&client), r#"{"begun":"reload"}"#);
    assert_eq!(line(&client), r#"{"done":"all new"}"#);
    assert!(is_quiet(&server));
}

#[test]
fn two_requests_at_once_are_served_one_after_the_other() {
    let (_folder, mut server) = server();
    let mut client = connect(&server);
    client.write_all(b"{\"do\":\"status\"}\n{\"do\":\"stop\"}\n").unwrap();
    let first = order(&mut server);
    assert_eq!(first.request, Request::Status);
    assert!(server.orders().is_empty(), "the second waits");
    assert!(is_quiet(&server), "and does not keep the master busy");
    server.answer(first.asker, &Answer::Done("one".into()));
    assert_eq!(order(&mut server).request, Request::Stop);
}

#[test]
fn nonsense_is_refused_in_words() {
    let (_folder, mut server) = server();
    let mut client = connect(&server);
    client.write_all(b"hello\n{\"do\":\"dance\"}\n{\"do\":\"status\"}\n").unwrap();
    assert_eq!(order(&mut server).request, Request::Status);
    assert!(line(&client).contains("not a request"));
    assert!(line(&client).contains("unknown variant `dance`"));
}

#[test]
fn an_endless_line_is_cut_off() {
    let (_folder, mut server) = server();
    let mut client = connect(&server);
    let sender = thread::spawn(move || {
        while client.write_all(&[b'x'; 4096]).is_ok() {}
        client
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while !sender.is_finished() {
        assert!(server.orders().is_empty());
        assert!(Instant::now() < deadline);
        wait(&server);
    }
    assert!(server.callers.is_empty());
    drop(sender.join());
}

#[test]
fn who_reads_nothing_is_dropped_and_the_others_are_served() {
    let (_folder, mut server) = server();
    let (mut deaf, mut keen) = (connect(&server), connect(&server));
    for client in [&mut deaf, &mut keen] {
        client.write_all(b"{\"do\":\"events\"}\n").unwrap();
    }
    while server.callers.values().filter(|one| one.state == State::Listening).count() < 2 {
        server.orders();
        wait(&server);
    }
    let (heard, hears) = mpsc::channel();
    let reader = thread::spawn(move || {
        let lines = BufReader::new(keen).lines().map_while(Result::ok);
        lines.filter(|line| line.contains("\"exit\"")).for_each(|_| heard.send(()).unwrap());
    });
    let mut happening = Happening::new("exit");
    happening.detail = Some("x".repeat(1000));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut published = 0;
    while server.callers.len() > 1 {
        server.publish(&happening);
        published += 1;
        hears.recv_timeout(Duration::from_secs(30)).expect("the other one hears all");
        assert!(Instant::now() < deadline && published < 10_000);
    }
    assert!(published > 256, "a queue of its own: {published}");
    assert_eq!(server.callers.len(), 1);
    drop(server);
    reader.join().unwrap();
    drop(deaf);
}

#[test]
fn a_crowd_does_not_keep_others_out() {
    let (_folder, mut server) = server();
    let crowd: Vec<UnixStream> = (0..3 * MOST_CLIENTS)
        .map(|_| {
            let client = connect(&server);
            server.orders();
            client
        })
        .collect();
    assert_eq!(server.callers.len(), MOST_CLIENTS);
    let mut client = connect(&server);
    client.write_all(b"{\"do\":\"status\"}\n").unwrap();
    let Order { asker, .. } = order(&mut server);
    server.answer(asker, &Answer::Done("here".into()));
    assert_eq!(line(&client), r#"{"done":"here"}"#);
    let mut first = crowd.first().unwrap();
    assert_eq!(first.read(&mut [0; 8]).unwrap(), 0, "the oldest had to go");
}

#[test]
fn who_has_gone_is_forgotten_also_while_it_waits() {
    let (_folder, mut server) = server();
    let mut client = connect(&server);
    client.write_all(b"{\"do\":\"reload\"}\n").unwrap();
    let Order { asker, .. } = order(&mut server);
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.callers.is_empty() {
        assert!(Instant::now() < deadline);
        assert!(server.orders().is_empty());
        wait(&server);
    }
    server.answer(asker, &Answer::Done("nobody hears".into()));
    assert!(is_quiet(&server));
}

#[test]
fn a_client_and_a_server() {
    let (_folder, mut server) = server();
    let path = server.path().to_owned();
    let asking = thread::spawn(move || {
        let mut client = Client::connect(&path).unwrap();
        assert_eq!(client.master(), std::process::id());
        client.ask(&Request::Scale { workers: 3 })
    });
    let Order { asker, request } = order(&mut server);
    assert_eq!(request, Request::Scale { workers: 3 });
    server.begin(asker, "scale");
    server.answer(asker, &Answer::Failed("no".into()));
    assert_eq!(asking.join().unwrap().unwrap(), Answer::Failed("no".into()));

    let path = server.path().to_owned();
    let mut client = Client::connect(&path).unwrap();
    drop(server);
    assert!(matches!(client.ask(&Request::Status), Err(Error::Closed)));
    assert!(matches!(Client::connect(&path), Err(Error::NoMaster { .. })));
}
