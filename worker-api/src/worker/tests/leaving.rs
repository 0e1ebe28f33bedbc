//! Leaving: told to, on purpose, and because the master has gone.

use super::*;

const LEAVES: &str = r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":"#;

/// A worker with a shared listener and a connection, and the client's end of it.
fn busy() -> (Worker, Master, Listener, Connection, TcpStream) {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let listener = share(&worker, &mut master, "k", &socket);
    let client = client(address);
    let connection = accept(&listener);
    (worker, master, listener, connection, client)
}

#[test]
fn told_to_leave_a_worker_closes_its_listeners_and_then_the_channel() {
    let (worker, mut master, shared, connection, client) = busy();
    let handed = promise(&worker, &mut master, "h", ListenOptions::new());
    let listeners = [Arc::new(shared), Arc::new(handed)];
    let tasks: Vec<_> = listeners
        .iter()
        .chain(&listeners)
        .map(|listener| {
            let listener = Arc::clone(listener);
            start(move || listener.incoming().next().is_none())
        })
        .collect();
    tasks.iter().for_each(Task::wait_until_it_sleeps);
    master.send(DISCONNECT);
    assert!(tasks.into_iter().all(Task::end));
    let mut closed = [master.message(), master.message()].map(|message| {
        assert_eq!(message["act"], "close");
        message["key"].as_str().unwrap().to_owned()
    });
    closed.sort();
    assert_eq!(closed, ["h", "k"]);
    assert!(worker.is_disconnecting() && worker.is_connected());
    master.expect_silence();
    let clone = connection.try_clone().unwrap();
    drop(connection);
    master.expect_silence();
    greet(clone);
    assert_eq!(read_all(client), "hello");
    master.expect_end();
    assert!(!worker.is_connected());
    assert!(worker.recv().unwrap().is_none());
    assert!(matches!(worker.send("late"), Err(Error::Disconnected)));
    assert!(matches!(worker.ready(), Err(Error::Disconnected)));
}

#[test]
fn a_worker_that_wants_to_leave_says_so_after_its_last_connection() {
    let (worker, mut master, listener, connection, _client) = busy();
    worker.disconnect();
    worker.disconnect();
    master.expect_close("k");
    assert!(listener.accept().unwrap().is_none());
    master.expect_silence();
    drop(connection);
    let line = master.line();
    assert!(line.starts_with(LEAVES), "{line}");
    worker.disconnect();
    assert!(worker.is_connected() && worker.try_recv().unwrap().is_none());
    master.expect_silence();
    let seq = &serde_json::from_str::<Value>(&line).unwrap()["seq"];
    master.send(&format!(r#"{{"cmd":"NODE_CLUSTER","ack":{seq},"seq":2}}"#));
    assert!(worker.recv_timeout(DEADLINE).unwrap().is_none());
    master.expect_end();
    assert!(!worker.is_connected());
    worker.disconnect();
}

#[test]
fn told_twice_is_told_once() {
    let (worker, mut master, _listener, connection, _client) = busy();
    master.send(DISCONNECT);
    master.send(DISCONNECT);
    assert!(worker.try_recv().unwrap().is_none());
    master.expect_close("k");
    worker.disconnect();
    master.expect_silence();
    drop(connection);
    master.expect_end();
}

#[test]
fn a_worker_that_is_told_while_it_wants_to_leave_need_not_wait_for_an_answer() {
    let (worker, mut master) = pair();
    worker.disconnect();
    assert!(master.line().starts_with(LEAVES));
    master.send(DISCONNECT);
    assert!(worker.recv_timeout(DEADLINE).unwrap().is_none());
    master.expect_end();
}

#[test]
fn without_its_master_everything_ends_at_once() {
    let (worker, mut master, shared, connection, client) = busy();
    let handed = promise(&worker, &mut master, "h", ListenOptions::new());
    let asking = {
        let worker = worker.clone();
        start(move || worker.listen("127.0.0.1:0").unwrap_err().kind())
    };
    assert_eq!(master.message()["act"], "queryServer");
    let shared = start(move || shared.incoming().count());
    let handed = start(move || handed.incoming().count());
    let messages = {
        let worker = worker.clone();
        start(move || worker.messages().count())
    };
    drop(master);
    assert_eq!((shared.end(), handed.end(), messages.end()), (0, 0, 0));
    assert_eq!(asking.end(), io::ErrorKind::NotConnected);
    assert!(worker.is_disconnecting() && !worker.is_connected());
    worker.disconnect();
    greet(connection);
    assert_eq!(read_all(client), "hello");
    assert!(worker.listen("127.0.0.1:0").is_err());
}

#[test]
fn a_question_does_not_hold_up_a_worker_that_leaves() {
    let (worker, mut master, _listener, connection, _client) = busy();
    let asking = {
        let worker = worker.clone();
        start(move || worker.listen("127.0.0.1:0").unwrap_err().kind())
    };
    let query = master.message();
    worker.disconnect();
    assert_eq!(asking.end(), io::ErrorKind::NotConnected);
    master.expect_close("k");
    assert_eq!(worker.listen("127.0.0.1:0").unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert!(worker.bind("127.0.0.1:0").is_err());
    master.expect_silence();
    master.send(&answer(Value::Null, "late", &query["seq"]));
    assert!(worker.try_recv().unwrap().is_none());
    master.expect_close("late");
    drop(connection);
    assert!(master.line().starts_with(LEAVES));
}

/// A worker that is told to leave while it accepts either has the connection, and then keeps the
/// channel for it, or has it not.
#[test]
fn a_connection_at_the_last_moment_is_waited_for() {
    let mut taken = 0;
    for round in 0..300 {
        let (worker, mut master) = pair();
        let (socket, address) = tcp();
        let listener = share(&worker, &mut master, "k", &socket);
        let accepting = start(move || listener.accept().unwrap());
        let reader = {
            let worker = worker.clone();
            start(move || worker.recv().unwrap().is_none())
        };
        if round % 2 == 0 {
            accepting.wait_until_it_sleeps();
        }
        let _client = client(address);
        master.send(DISCONNECT);
        if let Some(connection) = accepting.end() {
            taken += 1;
            master.expect_close("k");
            master.expect_silence();
            assert!(worker.is_connected(), "the channel does not wait for the connection");
            drop(connection);
        } else {
            master.expect_close("k");
        }
        assert!(reader.end());
        master.expect_end();
    }
    assert!(taken > 0);
}

#[test]
fn drain_waits_for_the_connections_of_other_threads() {
    let (worker, _master, _listener, connection, _client) = busy();
    assert_eq!(worker.drain(Duration::from_millis(1)), 1);
    let draining = {
        let worker = worker.clone();
        start(move || worker.drain(Duration::MAX))
    };
    draining.expect_calm();
    drop(connection);
    assert_eq!(draining.end(), 0);
    assert_eq!(worker.drain(Duration::ZERO), 0);
}

#[test]
fn messages_go_on_until_the_channel_closes() {
    let (worker, master) = pair();
    assert!(worker.recv_timeout(Duration::from_millis(1)).unwrap().is_none());
    for number in 0..3 {
        master.send(&number.to_string());
    }
    let first = worker.recv_timeout(Duration::MAX).unwrap().unwrap();
    assert_eq!(first.value, 0);
    master.send(DISCONNECT);
    let rest = start(move || {
        let rest: Vec<_> = worker.messages().map(|message| message.unwrap().value).collect();
        worker.send("late").unwrap_err();
        rest
    });
    assert_eq!(rest.end(), [1, 2]);
}

#[test]
fn a_message_that_an_accepting_thread_read_reaches_recv() {
    let (worker, mut master) = pair();
    let (socket, _) = tcp();
    let shared = share(&worker, &mut master, "k", &socket);
    let handed = promise(&worker, &mut master, "h", ListenOptions::new());
    let accepting =
        [shared, handed].map(|listener| start(move || listener.accept().unwrap().is_none()));
    for round in 0..100 {
        master.send(&round.to_string());
        wait_until("it is read", || !is_ready(worker.core.endpoint.socket()));
        assert_eq!(worker.try_recv().unwrap().unwrap().value, round);
    }
    for round in 0..100 {
        master.send(&round.to_string());
        assert_eq!(worker.recv_timeout(DEADLINE).unwrap().unwrap().value, round);
    }
    accepting.iter().for_each(Task::expect_calm);
    master.send(DISCONNECT);
    assert!(accepting.into_iter().all(Task::end));
}

#[test]
fn a_driven_worker_needs_nobody_who_waits() {
    let (worker, mut master) = pair();
    let handed = promise(&worker, &mut master, "k", ListenOptions::new());
    let driver = worker.drive().unwrap();
    master.offer("k", 1, connection().1);
    master.expect_ack();
    master.send("\"kept\"");
    master.send(DISCONNECT);
    master.expect_answer(1, false);
    master.expect_close("k");
    master.expect_end();
    start(move || driver.join()).end().unwrap();
    assert_eq!(worker.try_recv().unwrap().unwrap().value, "kept");
    assert!(worker.is_disconnecting() && handed.accept().unwrap().is_none());
}
