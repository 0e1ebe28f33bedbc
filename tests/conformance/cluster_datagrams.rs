//! UDP in a cluster.

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::{
    house::{Form, House, local, rows},
    support::{PATIENCE, Port7000},
};

rows! {
    cluster_child_index_dgram: rust worker primary;
    cluster_dgram_1: rust worker primary;
    cluster_dgram_2: rust worker primary;
    cluster_dgram_bind_fd: rust worker primary;
    cluster_dgram_ipv6only: rust worker primary;
    cluster_dgram_reuse: rust worker primary;
    cluster_dgram_reuseport: rust primary;
    dgram_bind_socket_close_before_cluster_reply: rust worker;
    dgram_cluster_bind_error: rust worker;
    dgram_cluster_close_during_bind: rust worker primary;
    dgram_cluster_close_in_listening: rust worker primary;
    dgram_unref_in_cluster: rust worker;
}

const WORKERS: u32 = 4;
const PACKETS: u32 = 40;

fn anywhere() -> Value {
    json!({ "port": 0, "address": "127.0.0.1" })
}

fn cluster_child_index_dgram(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.index("bind", anywhere());
}

/// Sends datagrams, each when the one before was answered; all are.
fn all_arrive(house: &House, address: &str) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..PACKETS {
        client.send_to(format!("{number}").as_bytes(), address).unwrap();
        let mut answer = [0; 64];
        let length = client.recv(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        let (worker, text) = answer.split_once(' ').unwrap();
        assert_eq!(text, number.to_string());
        assert!((1..=WORKERS).contains(&worker.parse().unwrap()));
    }
    house.events(PACKETS as usize, json!({ "report": "datagram" }));
    (1..=WORKERS).for_each(|worker| house.tell(json!({ "do": "leave", "worker": worker })));
    (1..=WORKERS).for_each(|worker| drop(house.exits(worker, 0)));
}

fn cluster_dgram_1(form: Form) {
    let house = House::new(form, "rr");
    house.fork(WORKERS);
    let bound: Vec<_> = (1..=WORKERS).map(|one| house.bind(one, "a", anywhere())).collect();
    assert!(bound.iter().all(|one| local(one) == local(&bound[0])), "{bound:?}");
    let at = json!({ "addressType": "udp4", "address": "127.0.0.1", "port": bound[0]["port"] });
    house.events(WORKERS as usize, json!({ "event": "listening", "at": at }));
    all_arrive(&house, &local(&bound[0]));
}

fn cluster_dgram_2(form: Form) {
    let house = House::new(form, "rr");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = server.local_addr().unwrap().port();
    house.fork(WORKERS);
    for worker in 1..=WORKERS {
        house.bind(worker, "a", anywhere());
        for _ in 0..10 {
            house.order(worker, json!({ "do": "datagram", "text": "hello world", "port": port }));
        }
    }
    for _ in 0..WORKERS * 10 {
        let mut text = [0; 64];
        let length = server.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"hello world");
    }
    house.tell(json!({ "do": "leave all" }));
    (1..=WORKERS).for_each(|worker| drop(house.exits(worker, 0)));
}

fn cluster_dgram_bind_fd(form: Form) {
    let house = House::new(form, "rr");
    house.tell(json!({ "do": "open", "type": "udp4" }));
    let opened = house.event(json!({ "event": "opened" }));
    house.fork(WORKERS);
    for worker in 1..=WORKERS {
        let bound = house.bind(worker, "a", json!({ "fd": opened["fd"] }));
        assert_eq!(bound["port"], opened["port"], "{bound}");
    }
    all_arrive(&house, &format!("127.0.0.1:{}", opened["port"]));
}

/// Two sockets of one worker on the same port.
fn two(form: Form, first: Value, second: Value) {
    let _port = Port7000::take();
    let house = House::new(form, "rr");
    house.fork(1);
    for (name, mut command) in [("a", first), ("b", second)] {
        command["do"] = "bind".into();
        command["name"] = name.into();
        house.order(1, command);
        assert_eq!(house.outcome(1, name)["report"], "listening", "{name}");
    }
    for name in ["a", "b"] {
        house.order(1, json!({ "do": "close", "name": name }));
        house.event(json!({ "report": "closed", "name": name }));
    }
    house.order(1, json!({ "do": "leave" }));
    house.exits(1, 0);
}

fn cluster_dgram_ipv6only(form: Form) {
    let six = json!({ "port": 7000, "address": "::" });
    let four = json!({ "port": 7000, "address": "0.0.0.0" });
    let six = json!({ "type": "udp6", "ipv6Only": true, "options": six });
    two(form, six, json!({ "type": "udp4", "options": four }));
}

fn cluster_dgram_reuse(form: Form) {
    let place = json!({ "port": 7000, "address": "127.0.0.1" });
    let socket = json!({ "type": "udp4", "reuseAddr": true, "options": place });
    two(form, socket.clone(), socket);
}

/// Two sockets of one worker on a port, of which the primary hears nothing.
fn cluster_dgram_reuseport(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let first = house.bind(1, "a", json!({ "port": 0, "address": "127.0.0.1", "reusePort": true }));
    let place = json!({ "port": first["port"], "address": "127.0.0.1", "reusePort": true });
    assert_eq!(local(&house.bind(1, "b", place)), local(&first));
    house.order(1, json!({ "do": "leave" }));
    house.exits(1, 0);
    assert!(house.so_far(json!({ "event": "listening" })).is_empty());
}

/// A house whose master lets nobody bind anything, with a worker.
fn strict(form: Form) -> House {
    let house = House::new(form, "rr");
    house.tell(json!({ "do": "setup", "settings": { "allow": ["127.0.0.1:1"] } }));
    house.fork(1);
    house
}

fn dgram_bind_socket_close_before_cluster_reply(form: Form) {
    let house = strict(form);
    house.order(1, json!({ "do": "bind", "options": anywhere(), "close": true }));
    match form {
        Form::Worker => house.event(json!({ "report": "closed" })),
        _ => house.event(json!({ "report": "failed" })), // our `bind` waits for the reply
    };
    house.order(1, json!({ "do": "leave" }));
    house.exits(1, 0);
    assert!(form == Form::Rust || house.so_far(json!({ "report": "failed" })).is_empty());
}

fn dgram_cluster_bind_error(form: Form) {
    let house = strict(form);
    let failed = house.bind(1, "a", anywhere());
    assert_eq!((&failed["report"], &failed["code"]), (&json!("failed"), &json!("EACCES")));
    if form == Form::Worker {
        assert_eq!(failed["syscall"], "bind");
        house.order(1, json!({ "do": "close" }));
        house.event(json!({ "report": "closed" }));
    }
    house.tell(json!({ "do": "setup", "settings": { "allow": ["udp:127.0.0.1:0"] } }));
    assert_eq!(house.bind(1, "b", anywhere())["report"], "listening");
    house.order(1, json!({ "do": "leave" }));
    house.exits(1, 0);
}

fn dgram_cluster_close_during_bind(form: Form) {
    let house = House::new(form, "rr");
    house.fork(2);
    house.order(1, json!({ "do": "bind", "options": anywhere(), "close": true }));
    house.event(json!({ "report": "closed" }));
    // What the first has closed is not what the second gets, and does not disturb it.
    house.bind(1, "b", anywhere());
    house.order(1, json!({ "do": "leave" }));
    assert_eq!(house.exits(1, 0)["wanted"], true);
    assert_eq!(house.bind(2, "a", anywhere())["report"], "listening");
}

fn dgram_cluster_close_in_listening(form: Form) {
    let house = House::new(form, "rr");
    house.fork(3);
    for worker in 1..=3 {
        house.prepare(worker, json!({ "report": "listening" }), json!([{ "do": "close" }]));
        house.prepare(worker, json!({ "report": "closed" }), json!([{ "do": "leave" }]));
        house.order(worker, json!({ "do": "bind", "options": anywhere() }));
    }
    (1..=3).for_each(|worker| drop(house.exits(worker, 0)));
    assert!(house.so_far(json!({ "report": "failed" })).is_empty());
    assert!(house.so_far(json!({ "event": "error" })).is_empty());
}

fn dgram_unref_in_cluster(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.prepare(1, json!({ "report": "listening" }), json!([{ "do": "unref" }]));
    house.order(1, json!({ "do": "bind", "options": anywhere(), "unref": true }));
    house.exits(1, 0);
}
