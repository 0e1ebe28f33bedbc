//! Workers that share a socket get the same share of the connections.

use mio::{Events, Interest, Poll, Token};

use super::*;

const WORKERS: usize = 4;
const CONNECTIONS: usize = 400;

/// One of the workers, which answers each connection with its number.
fn serve_blocking(listener: &Listener, number: u8) {
    while let Some(mut connection) = listener.accept().unwrap() {
        connection.write_all(&[number]).unwrap();
    }
}

fn serve_in_a_loop(worker: &Worker, mut listener: Listener, number: u8) {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(16);
    poll.registry().register(&mut worker.clone(), Token(0), Interest::READABLE).unwrap();
    poll.registry().register(&mut listener, Token(1), Interest::READABLE).unwrap();
    while !worker.is_disconnecting() {
        poll.poll(&mut events, None).unwrap();
        while let Ok(mut connection) = listener.try_accept() {
            connection.write_all(&[number]).unwrap();
        }
        while worker.try_recv().unwrap().is_some() {}
    }
}

/// Workers with channels and epolls of their own, as in processes of their own; the kernel tells
/// them apart by these alone.
fn check(serve: fn(Worker, Listener, u8)) {
    let (socket, address) = tcp();
    let (masters, tasks): (Vec<_>, Vec<_>) = (0..WORKERS as u8)
        .map(|number| {
            let (worker, mut master) = pair();
            let listener = share(&worker, &mut master, "k", &socket);
            (master, start(move || serve(worker, listener, number)))
        })
        .unzip();
    let mut counts = [0; WORKERS];
    for _ in 0..CONNECTIONS {
        tasks.iter().for_each(Task::wait_until_it_sleeps);
        let mut number = [0];
        client(address).read_exact(&mut number).unwrap();
        counts[usize::from(number[0])] += 1;
    }
    let most = counts.iter().max().unwrap();
    assert!(most * 10 <= CONNECTIONS / WORKERS * 11, "{counts:?}");
    masters.iter().for_each(|master| master.send(DISCONNECT));
    tasks.into_iter().for_each(Task::end);
}

#[test]
fn workers_that_block_get_the_same_share() {
    check(|_, listener, number| serve_blocking(&listener, number));
}

#[test]
fn workers_with_loops_get_the_same_share() {
    check(|worker, listener, number| serve_in_a_loop(&worker, listener, number));
}

/// Who is woken for a connection, alone, may never take it.
#[test]
fn a_connection_that_woke_one_who_then_leaves_is_for_another() {
    let (socket, address) = tcp();
    let ((first, mut first_master), (second, mut second_master)) = (pair(), pair());
    let mut listener = share(&first, &mut first_master, "k", &socket);
    let other = share(&second, &mut second_master, "k", &socket);
    let woken = start(move || {
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut listener, Token(0), Interest::READABLE).unwrap();
        poll.poll(&mut Events::with_capacity(16), None).unwrap();
        drop(listener);
    });
    woken.wait_until_it_sleeps();
    let waiting = start(move || greet(other.accept().unwrap().unwrap()));
    waiting.wait_until_it_sleeps();
    let client = client(address);
    woken.end();
    waiting.end();
    assert_eq!(read_all(client), "hello");
}

#[test]
fn a_connection_that_woke_one_who_has_no_more_room_is_for_another() {
    let (socket, address) = tcp();
    let ((first, mut first_master), (second, mut second_master)) = (pair(), pair());
    let options = ListenOptions::new().max_connections(1);
    let full = Arc::new(share_with(&first, &mut first_master, "k", &socket, options));
    let other = share(&second, &mut second_master, "k", &socket);
    let threads = [0, 1].map(|_| {
        let full = Arc::clone(&full);
        start(move || full.accept().unwrap())
    });
    threads.iter().for_each(Task::wait_until_it_sleeps);
    let waiting = start(move || greet(other.accept().unwrap().unwrap()));
    waiting.wait_until_it_sleeps();
    let _clients = [client(address), client(address)];
    waiting.end();
    full.close();
    let taken = threads.into_iter().filter_map(Task::end);
    assert_eq!(taken.count(), 1);
}
