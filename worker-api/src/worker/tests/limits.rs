//! A limit of connections on a shared socket.

use super::*;

fn limited(most: usize) -> (Worker, Master, Listener, SocketAddr) {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let options = ListenOptions::new().max_connections(most);
    let listener = share_with(&worker, &mut master, "k", &socket, options);
    (worker, master, listener, address)
}

#[test]
fn a_full_listener_pauses_and_goes_on() {
    let (worker, _master, listener, address) = limited(2);
    let listener = Arc::new(listener);
    let _clients = [(); 4].map(|()| client(address));
    let first = accept(&listener);
    let second = accept(&listener);
    let accepting = {
        let listener = Arc::clone(&listener);
        start(move || listener.accept().unwrap())
    };
    accepting.expect_calm();
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(first);
    let third = accepting.end().unwrap();
    let accepting = start(move || listener.accept().unwrap());
    accepting.expect_calm();
    drop((second, third));
    let last = accepting.end().unwrap();
    assert_eq!(worker.connections(), 1);
    drop(last);
}

#[test]
fn a_full_listener_ends_when_told() {
    let (worker, mut master, listener, address) = limited(1);
    let _clients = [client(address), client(address)];
    let connection = accept(&listener);
    let accepting = start(move || listener.accept().unwrap().is_none());
    accepting.wait_until_it_sleeps();
    master.send(DISCONNECT);
    assert!(accepting.end());
    master.expect_close("k");
    drop(connection);
    master.expect_end();
    assert!(!worker.is_connected());
}

/// Threads that accept and end connections all the time: the limit holds, and nobody waits for
/// ever because one thread left the socket while another came back.
#[test]
fn the_limit_holds_for_many_threads() {
    const MOST: usize = 2;
    let (worker, mut master, listener, address) = limited(MOST);
    let listener = Arc::new(listener);
    let (live, highest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (listener, live) = (Arc::clone(&listener), Arc::clone(&live));
            let highest = Arc::clone(&highest);
            start(move || {
                for mut connection in listener.incoming().map(io::Result::unwrap) {
                    let now = live.fetch_add(1, SeqCst) + 1;
                    highest.fetch_max(now, SeqCst);
                    thread::yield_now();
                    connection.write_all(b"hello").unwrap();
                    live.fetch_sub(1, SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        let clients: Vec<_> = (0..8).map(|_| client(address)).collect();
        clients.into_iter().for_each(|client| assert_eq!(read_all(client), "hello"));
    }
    assert!(highest.load(SeqCst) <= MOST);
    master.send(DISCONNECT);
    tasks.into_iter().for_each(Task::end);
    wait_until("the connections end", || worker.connections() == 0);
    master.expect_close("k");
    master.expect_end();
}
