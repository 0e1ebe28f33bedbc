//! Connections that the master hands over.

use super::*;

fn handed() -> (Worker, Master, Listener) {
    handed_with(ListenOptions::new())
}

fn handed_with(options: ListenOptions) -> (Worker, Master, Listener) {
    let (worker, mut master) = pair();
    let listener = promise(&worker, &mut master, "k", options);
    (worker, master, listener)
}

/// Has the worker read what was sent; nothing of it is a user message.
#[track_caller]
fn serve(worker: &Worker) {
    assert!(worker.try_recv().unwrap().is_none());
}

#[test]
fn an_offer_is_accepted_when_the_user_takes_it() {
    let (worker, mut master, listener) = handed();
    let (client, connection) = connection();
    let (there, here) = (client.local_addr().unwrap(), connection.local_addr().unwrap());
    master.offer("k", 5, connection);
    serve(&worker);
    master.expect_ack();
    master.expect_silence();
    assert_eq!(worker.connections(), 0);
    let connection = accept(&listener);
    master.expect(r#"{"cmd":"NODE_CLUSTER","ack":5,"accepted":true,"seq":3}"#);
    assert_eq!(worker.connections(), 1);
    assert_eq!(*connection.peer_addr(), Address::Tcp(there));
    assert_eq!(*connection.local_addr(), Address::Tcp(here));
    greet(connection);
    assert_eq!(read_all(client), "hello");
    assert_eq!(worker.connections(), 0);
}

#[test]
fn an_accepted_connection_blocks_and_a_tried_one_does_not() {
    let (_worker, mut master, listener) = handed();
    for nonblocking in [false, true] {
        let (mut one, connection) = connection_that(nonblocking);
        master.offer("k", 1, connection);
        let taken = start_reading(accept(&listener));
        taken.wait_until_it_sleeps();
        one.write_all(b"!").unwrap();
        assert_eq!(taken.end().unwrap(), 1);
        let (_keep, connection) = connection_that(nonblocking);
        master.offer("k", 2, connection);
        let taken = listener.try_accept().unwrap();
        let error = start_reading(taken).end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
    master.expect_ack();
}

fn start_reading(connection: Connection) -> Task<io::Result<usize>> {
    start(move || (&connection).read(&mut [0]))
}

fn connection_that(nonblocking: bool) -> (TcpStream, TcpStream) {
    let (client, connection) = connection();
    connection.set_nonblocking(nonblocking).unwrap();
    (client, connection)
}

#[test]
fn unix_connections_are_handed_over_as_well() {
    let (worker, mut master) = pair();
    for address in ["/abs/rel.sock", "fd:9"] {
        let task = {
            let worker = worker.clone();
            start(move || worker.listen(address).unwrap())
        };
        master.promise("k");
        let listener = task.end();
        master.expect_listening();
        let (_client, connection) = UnixStream::pair().unwrap();
        master.offer("k", 1, connection);
        let connection = accept(&listener);
        master.expect_ack();
        master.expect_answer(1, true);
        assert!(matches!(connection.into_std(), crate::Stream::Unix(_)), "{address}");
        drop(listener);
        master.expect_close("k");
    }
}

#[test]
fn what_is_nobodys_is_refused() {
    let (worker, mut master, listener) = handed();
    let (client, one) = connection();
    master.offer("unknown", 1, one);
    serve(&worker);
    master.expect_ack();
    master.expect_answer(1, false);
    assert_eq!(read_all(client), "", "the worker must have closed its copy");
    listener.close();
    master.expect_close("k");
    master.offer("k", 2, connection().1);
    serve(&worker);
    master.expect_ack();
    master.expect_answer(2, false);
    assert!(listener.accept().unwrap().is_none());
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_offer_without_its_socket_is_refused() {
    let (worker, mut master, listener) = handed();
    master.send(handle(&offer("k", 1)).trim_end());
    serve(&worker);
    master.expect(NACK);
    master.expect_answer(1, false);
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_listener_takes_no_more_than_its_limit() {
    let (worker, mut master, listener) = handed_with(ListenOptions::new().max_connections(2));
    master.offer("k", 1, connection().1);
    let first = accept(&listener);
    master.expect_ack();
    master.expect_answer(1, true);
    master.offer("k", 2, connection().1);
    serve(&worker); // one is live and one waits
    master.expect_ack();
    master.offer("k", 3, connection().1);
    serve(&worker);
    master.expect_ack();
    master.expect_answer(3, false);
    drop(first);
    master.offer("k", 4, connection().1);
    serve(&worker);
    master.expect_ack();
    let second = listener.try_accept().unwrap();
    master.expect_answer(2, true);
    let third = listener.try_accept().unwrap();
    master.expect_answer(4, true);
    assert_eq!(worker.connections(), 2);
    drop((second, third));
    assert_eq!(worker.connections(), 0);
}

#[test]
fn offers_that_nobody_took_go_back() {
    for told in [true, false] {
        let (worker, mut master, listener) = handed();
        let (client, one) = connection();
        for seq in [1, 2] {
            master.offer("k", seq, one.try_clone().unwrap());
            serve(&worker);
            master.expect_ack();
        }
        drop(one);
        if told {
            master.send(DISCONNECT);
            serve(&worker);
        } else {
            listener.close();
        }
        master.expect_answer(1, false);
        master.expect_answer(2, false);
        master.expect_close("k");
        assert_eq!(read_all(client), "");
        assert!(listener.accept().unwrap().is_none());
    }
}

#[test]
fn several_threads_share_the_offers() {
    let (worker, mut master, listener) = handed();
    let listener = Arc::new(listener);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let listener = Arc::clone(&listener);
            start(move || listener.incoming().map(|one| greet(one.unwrap())).count())
        })
        .collect();
    for seq in 0..200 {
        let (client, connection) = connection();
        master.offer("k", seq, connection);
        master.expect_ack();
        master.expect_answer(seq, true);
        assert_eq!(read_all(client), "hello");
    }
    master.send(DISCONNECT);
    assert_eq!(tasks.into_iter().map(Task::end).sum::<usize>(), 200);
    master.expect_close("k");
    master.expect_end();
    assert!(!worker.is_connected());
}

#[test]
fn a_thread_that_waits_for_offers_is_calm() {
    let (worker, mut master, listener) = handed();
    let task = start(move || listener.accept().unwrap().is_some());
    task.expect_calm();
    worker.disconnect();
    assert!(!task.end());
    master.expect_close("k");
}
