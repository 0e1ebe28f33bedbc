//! Connections that come by a lane.

use mio::{Events, Interest, Poll, Token};

use super::*;
use crate::wire;

/// A worker that listens, its master, and the master's ends of the lane.
struct Lane {
    worker: Worker,
    master: Master,
    listener: Listener,
    ours: OwnedFd,
    theirs: OwnedFd,
}

fn lane(options: ListenOptions) -> Lane {
    let (worker, mut master) = pair();
    let (ours, theirs) = wire::lane().unwrap();
    let task = {
        let worker = worker.clone();
        start(move || worker.listen_with("127.0.0.1:0", &options).unwrap())
    };
    let query = master.message();
    let answer = format!(
        r#"{{"cmd":"NODE_CLUSTER","errno":null,"key":"k","ack":{},"data":null,"lane":true,"seq":1}}"#,
        query["seq"]
    );
    master.send_with(&answer, &theirs);
    master.expect_ack();
    master.expect_listening();
    Lane { worker, master, listener: task.end(), ours, theirs }
}

impl Lane {
    /// Puts a connection in: the client.
    fn put(&self, tell: bool) -> TcpStream {
        let (client, connection) = connection();
        connection.set_nonblocking(true).unwrap();
        wire::put(self.ours.as_fd(), connection.as_fd(), tell).unwrap();
        client
    }

    fn unread(&self) -> usize {
        wire::unread(self.theirs.as_fd()).unwrap()
    }

    #[track_caller]
    fn expect(&mut self, act: &str) {
        let message = self.master.message();
        assert_eq!((&message["act"], &message["key"]), (&act.into(), &"k".into()));
    }
}

#[test]
fn a_connection_leaves_the_lane_when_the_user_takes_it() {
    let mut lane = lane(ListenOptions::new());
    let clients: Vec<_> = (0..3).map(|_| lane.put(false)).collect();
    assert!(lane.worker.try_recv().unwrap().is_none());
    for (taken, client) in clients.into_iter().enumerate() {
        assert_eq!((lane.unread(), lane.worker.connections()), (3 - taken, 0));
        let connection = accept(&lane.listener);
        assert_eq!(lane.worker.connections(), 1);
        assert_eq!(*connection.peer_addr(), Address::Tcp(client.local_addr().unwrap()));
        greet(connection);
        assert_eq!(read_all(client), "hello");
    }
    lane.master.expect_silence();
    assert_eq!(lane.listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(lane.listener.with_socket(|_| ()).is_none());
}

#[test]
fn the_master_hears_what_it_wants_to_hear() {
    let mut lane = lane(ListenOptions::new());
    let _clients = [false, true, false].map(|tell| lane.put(tell));
    accept(&lane.listener);
    lane.master.expect_silence();
    accept(&lane.listener);
    lane.expect("taken");
    accept(&lane.listener);
    lane.master.expect_silence();
}

#[test]
fn accepted_connections_block_and_tried_ones_do_not() {
    let lane = lane(ListenOptions::new());
    let mut client = lane.put(false);
    let connection = accept(&lane.listener);
    let task = start(move || (&connection).read(&mut [0]));
    task.wait_until_it_sleeps();
    client.write_all(b"!").unwrap();
    assert_eq!(task.end().unwrap(), 1);
    let _client = lane.put(false);
    let tried = lane.listener.try_accept().unwrap();
    assert_eq!((&tried).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn what_was_not_taken_stays_in_the_lane() {
    for told in [true, false] {
        let mut lane = lane(ListenOptions::new());
        let _clients = [lane.put(false), lane.put(false)];
        match told {
            true => {
                lane.master.send(DISCONNECT);
                assert!(lane.worker.try_recv().unwrap().is_none());
            }
            false => lane.listener.close(),
        }
        lane.master.expect_close("k");
        assert!(lane.listener.accept().unwrap().is_none());
        assert_eq!(lane.unread(), 2);
    }
}

#[test]
fn a_limit_is_told_when_it_is_reached_and_when_it_is_left() {
    let mut lane = lane(ListenOptions::new().max_connections(2));
    let _clients = [(); 3].map(|()| lane.put(false));
    let first = accept(&lane.listener);
    lane.master.expect_silence();
    let second = accept(&lane.listener);
    lane.expect("full");
    assert_eq!(lane.listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(!is_ready(&lane.listener), "what is there is not for us");
    drop(first);
    lane.expect("room");
    let third = accept(&lane.listener);
    lane.expect("full");
    drop((second, third));
    lane.expect("room");
    lane.master.expect_silence();
}

#[test]
fn the_end_of_a_lane_wakes_nobody_for_ever() {
    let Lane { worker, master, listener, ours, theirs } = lane(ListenOptions::new());
    drop((ours, theirs));
    let task = start(move || listener.accept().unwrap().is_some());
    task.expect_calm();
    master.send(DISCONNECT);
    assert!(!task.end());
    drop(worker);
}

#[test]
fn a_mio_loop_is_woken_for_what_is_in_a_lane() {
    let mut lane = lane(ListenOptions::new());
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    poll.registry().register(&mut lane.listener, Token(7), Interest::READABLE).unwrap();
    for _ in 0..3 {
        let clients = [lane.put(false), lane.put(false)];
        poll.poll(&mut events, Some(DEADLINE)).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(7)));
        greet(lane.listener.try_accept().unwrap());
        greet(lane.listener.try_accept().unwrap());
        let nothing = lane.listener.try_accept().unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for client in clients {
            assert_eq!(read_all(client), "hello");
        }
    }
}

#[test]
fn several_threads_share_a_lane() {
    let mut lane = lane(ListenOptions::new());
    let listener = Arc::new(lane.listener);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let listener = Arc::clone(&listener);
            start(move || listener.incoming().map(|one| greet(one.unwrap())).count())
        })
        .collect();
    for _ in 0..200 {
        let (client, connection) = connection();
        wire::put(lane.ours.as_fd(), connection.as_fd(), false).unwrap();
        drop(connection);
        assert_eq!(read_all(client), "hello");
    }
    lane.master.send(DISCONNECT);
    assert_eq!(tasks.into_iter().map(Task::end).sum::<usize>(), 200);
    lane.master.expect_close("k");
    lane.master.expect_end();
}
