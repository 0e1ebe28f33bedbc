//! What a process is, as its environment says. Each test in a process of its own, for a process
//! finds it out once.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{env, fs, net::TcpListener, process::Stdio};

use serde_json::json;
use support::{Again, CHANNEL, ID, MODE, Master, is_again, reply};
use worker_api::wire::Packet;
use worker_api::{Error, become_master, bind, is_worker, listen, parent, wire::Act, worker};

fn nothing_is_left_in_the_environment() {
    for name in [CHANNEL, ID, MODE] {
        assert!(env::var_os(name).is_none(), "{name}");
    }
}

fn closes_on_exec(number: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}

/// All functions that ask say what is wrong, and this process becomes no master either: a
/// program that took itself for one would fork.
fn is_refused(why: &str) {
    let error = worker().unwrap_err();
    assert!(matches!(error, Error::Channel { .. }));
    assert!(format!("{error:?}").contains(why), "{error:?}");
    nothing_is_left_in_the_environment();
    assert!(worker().is_err() && parent().is_err() && become_master().is_err());
    assert!(listen("127.0.0.1:0").is_err());
}

#[test]
fn a_program_without_variables_runs_alone() {
    if !is_again() {
        return Again::start("a_program_without_variables_runs_alone", Stdio::null(), &[])
            .succeeds();
    }
    assert!(!is_worker());
    assert!(worker().unwrap().is_none() && parent().unwrap().is_none());
    drop(listen("127.0.0.1:0").unwrap());
    drop(bind("127.0.0.1:0").unwrap());
    assert!(become_master().unwrap() && become_master().unwrap());
    assert!(matches!(listen("127.0.0.1:0"), Err(Error::NotWorker)));
    assert!(matches!(bind("127.0.0.1:0"), Err(Error::NotWorker)));
    assert!(worker().unwrap().is_none());
}

#[test]
fn a_worker_finds_its_channel() {
    if is_again() {
        assert!(!closes_on_exec(0));
        assert!(is_worker());
        assert!(closes_on_exec(0));
        nothing_is_left_in_the_environment();
        let worker = worker().unwrap().unwrap();
        assert_eq!(worker.id(), 7);
        assert!(parent().unwrap().is_none() && !become_master().unwrap());
        let listener = listen("127.0.0.1:0").unwrap();
        assert!(listener.accept().unwrap().is_some());
        assert!(listener.accept().unwrap().is_none());
        return assert!(worker.recv().unwrap().is_none());
    }
    let (mut master, theirs) = Master::pair();
    let variables = [(CHANNEL, "0"), (ID, "7"), (MODE, "json")];
    let child = Again::start("a_worker_finds_its_channel", theirs, &variables);
    assert_eq!(master.act(), (Act::Online { lane: true }, Some(0)));
    let (Act::Query(query), seq) = master.act() else { panic!("no question") };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    master.post_with(reply(seq, Some(0), query.key()), "net.Native", socket);
    assert!(matches!(master.act().0, Act::Listening(_)));
    master.post(Act::Disconnect);
    assert_eq!(master.act().0, Act::Close { key: query.key() });
    master.expect_end();
    child.succeeds();
}

#[test]
fn a_child_that_is_no_worker_has_a_parent() {
    if is_again() {
        assert!(worker().unwrap().is_none() && !is_worker());
        nothing_is_left_in_the_environment();
        let parent = parent().unwrap().unwrap();
        let message = parent.recv().unwrap().unwrap();
        parent.send(&message).unwrap();
        drop(listen("127.0.0.1:0").unwrap()); // it binds by itself
        assert!(become_master().unwrap(), "a child may have children");
        parent.send("still here").unwrap();
        return parent.disconnect();
    }
    let (mut master, theirs) = Master::pair();
    let child = Again::start("a_child_that_is_no_worker_has_a_parent", theirs, &[(CHANNEL, "0")]);
    master.send(&json!({"hello": 1}));
    assert_eq!(master.hear(), Some(Packet::User(json!({"hello": 1}))));
    assert_eq!(master.hear(), Some(Packet::User("still here".into())));
    master.expect_end();
    child.succeeds();
}

#[test]
fn what_node_reads_as_zero_is_a_worker_as_well() {
    if is_again() {
        return assert_eq!(worker().unwrap().unwrap().id(), 0);
    }
    let (mut master, theirs) = Master::pair();
    let variables = [(CHANNEL, "0"), (ID, "none")];
    let child = Again::start("what_node_reads_as_zero_is_a_worker_as_well", theirs, &variables);
    assert_eq!(master.act().0, Act::Online { lane: true });
    master.expect_end();
    child.succeeds();
}

#[test]
fn another_way_to_write_values_is_refused() {
    if is_again() {
        return is_refused("neither json nor advanced");
    }
    let (mut master, theirs) = Master::pair();
    let variables = [(CHANNEL, "0"), (ID, "7"), (MODE, "xml")];
    let child = Again::start("another_way_to_write_values_is_refused", theirs, &variables);
    master.expect_end();
    child.succeeds();
}

#[test]
fn a_number_without_a_channel_is_refused() {
    if !is_again() {
        let test = "a_number_without_a_channel_is_refused";
        return Again::start(test, Stdio::null(), &[(ID, "7")]).succeeds();
    }
    is_refused(CHANNEL);
}

#[test]
fn a_channel_that_is_no_socket_is_refused() {
    if !is_again() {
        let test = "a_channel_that_is_no_socket_is_refused";
        return Again::start(test, Stdio::null(), &[(ID, "7"), (CHANNEL, "0")]).succeeds();
    }
    is_refused("no open Unix socket");
}

#[test]
fn a_channel_that_is_no_number_is_refused() {
    if !is_again() {
        let test = "a_channel_that_is_no_number_is_refused";
        return Again::start(test, Stdio::null(), &[(ID, "7"), (CHANNEL, "three")]).succeeds();
    }
    is_refused("no number");
}

#[test]
fn who_asks_whether_it_is_a_worker_gets_no_for_a_broken_channel() {
    if !is_again() {
        let test = "who_asks_whether_it_is_a_worker_gets_no_for_a_broken_channel";
        return Again::start(test, Stdio::null(), &[(ID, "7"), (CHANNEL, "-1")]).succeeds();
    }
    assert!(!is_worker());
    nothing_is_left_in_the_environment();
}
