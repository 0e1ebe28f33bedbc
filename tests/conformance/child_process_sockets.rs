//! Sockets that were sent away, and are still counted.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use cluster::SocketList;

use crate::{
    family::{End, TERM, all, child, expect, guarded, hear, under_node},
    house::{Form, rows},
    support::PATIENCE,
};

rows! {
    child_process_fork_getconnections: rust worker primary;
    child_process_fork_net: rust worker primary;
}

const COUNT: u64 = 12;

/// The children are asked how many they still have.
fn child_process_fork_getconnections(form: Form) {
    if form == Form::Primary {
        return under_node("count sockets", &["sockets"]);
    }
    let mut one = guarded(child(form, "sockets").fork());
    let channel = one.channel().unwrap().clone();
    let list = SocketList::new();
    assert_eq!(list.count(PATIENCE).unwrap(), 0);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(TcpStream::connect(server.local_addr().unwrap()).unwrap());
        list.send(&channel, "write", server.accept().unwrap().0).unwrap();
        assert_eq!(hear(&one).value, "done");
    }
    for left in (0..COUNT).rev() {
        assert_eq!(list.count(PATIENCE).unwrap(), left + 1);
        one.send("close one").unwrap();
        assert_eq!(hear(&one).value, "closed");
        assert_eq!(list.count(PATIENCE).unwrap(), left);
    }
    assert!(list.wait_closed(PATIENCE).unwrap());
    one.kill(cluster::Signal::TERM).unwrap();
    assert_eq!(one.end(), TERM);
    assert_eq!(list.count(PATIENCE).unwrap(), 0, "who has gone has none");
}

/// A server waits until its connections are closed, which are with three children; one of them
/// loses its channel meanwhile.
fn child_process_fork_net(form: Form) {
    if form == Form::Primary {
        return under_node("sockets of three", &["sockets"]);
    }
    let mut children: Vec<_> = (0..3).map(|_| guarded(child(form, "sockets").fork())).collect();
    let list = SocketList::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Vec::new();
    for number in 0..COUNT as usize {
        let what = if number < 6 { "end" } else { "write" };
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let channel = children[number % 3].channel().unwrap();
        list.send(channel, what, server.accept().unwrap().0).unwrap();
        clients.push(client);
    }
    drop(server);
    for client in clients.drain(..6) {
        assert_eq!(all(OwnedFd::from(client)), "child");
    }
    for client in &clients {
        expect(&OwnedFd::from(client.try_clone().unwrap()).into(), "child");
    }
    assert!(!list.wait_closed(Duration::from_millis(50)).unwrap(), "six are open");
    children[0].send("close").unwrap();
    children[1].send("close").unwrap();
    children[2].disconnect();
    for client in clients {
        assert_eq!(all(OwnedFd::from(client)), "");
    }
    assert!(list.wait_closed(PATIENCE).unwrap());
    assert_eq!(children[2].end(), End::Code(0));
}
