//! What only an advanced channel carries, between Node and our workers or children.

use cluster::Serialization;
use serde_json::json;

use crate::{
    POLICIES,
    support::{
        Lines, Parent, fixture, node,
        values::{LARGE, SIZES, values},
    },
    talking::both,
};

#[test]
fn values_that_json_has_not_come_back() {
    if !node("values_that_json_has_not_come_back") {
        return;
    }
    for (worker, parent) in both(Serialization::Advanced) {
        for (name, _) in values() {
            parent.tell(json!({ "do": "value", "worker": worker, "name": name }));
            parent.event(json!({ "event": "value", "worker": worker, "name": name, "same": true }));
        }
    }
}

#[test]
fn large_messages_and_cut_lengths_arrive_whole() {
    if !node("large_messages_and_cut_lengths_arrive_whole") {
        return;
    }
    for (worker, parent) in both(Serialization::Advanced) {
        for lengths in [&LARGE[..], &SIZES] {
            parent.tell(json!({ "do": "bytes", "worker": worker, "lengths": lengths }));
            for (length, byte) in lengths.iter().zip(0..) {
                let like = json!({ "event": "bytes", "length": length, "all": byte });
                parent.event(like);
            }
        }
    }
}

#[test]
fn after_a_cycle_comes_the_next_message() {
    if !node("after_a_cycle_comes_the_next_message") {
        return;
    }
    for (worker, parent) in both(Serialization::Advanced) {
        parent.tell(json!({ "do": "cycle", "worker": worker }));
        parent.send(worker, json!({ "after": "cycle" }));
        let unreadable = "cannot read the message: an object is inside itself";
        parent.message(worker, json!({ "unreadable": unreadable }));
        parent.message(worker, json!({ "after": "cycle" }));
    }
}

#[test]
fn servers_listen_over_an_advanced_channel() {
    if !node("servers_listen_over_an_advanced_channel") {
        return;
    }
    for policy in POLICIES {
        let how = Serialization::Advanced;
        let primary = Parent::cluster_speaking(how, policy, fixture(), "worker", 2);
        primary.events(2, json!({ "event": "online" }));
        for worker in [1, 2] {
            primary.send(worker, json!({ "do": "listen", "address": "127.0.0.1:0" }));
        }
        let listening = primary.events(2, json!({ "event": "listening" }));
        let address = format!("127.0.0.1:{}", listening[0]["info"]["port"]);
        let mut clients: Vec<_> = (0..8).map(|_| Lines::connect(&address).unwrap()).collect();
        for client in &mut clients {
            let worker = client.ask("hello").unwrap();
            assert_eq!(client.ask("again").unwrap(), worker, "{policy}");
        }
        drop(clients);
        primary.send(1, json!({ "do": "leave" }));
        primary.event(json!({ "event": "exit", "worker": 1, "code": 0, "wanted": true }));
        primary.tell(json!({ "do": "disconnect", "worker": 2 }));
        primary.event(json!({ "event": "exit", "worker": 2, "code": 0, "wanted": true }));
    }
}
