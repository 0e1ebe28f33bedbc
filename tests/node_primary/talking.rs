//! Messages and handles between Node and our workers or children.

use cluster::Serialization;
use serde_json::{Value, json};

use crate::{
    BOTH,
    support::{
        Parent, fixture,
        handles::{GREETING, KINDS},
        node,
    },
};

/// A parent's child, which is number 0, and a primary's worker, number 1.
pub(crate) fn both(how: Serialization) -> [(u32, Parent); 2] {
    let primary = Parent::cluster_speaking(how, "rr", fixture(), "worker", 1);
    [(0, Parent::fork_speaking(how, fixture(), "worker")), (1, primary)]
}

#[test]
fn values_go_to_the_worker_and_back() {
    if !node("values_go_to_the_worker_and_back") {
        return;
    }
    for how in BOTH {
        let values = [
            json!("text"),
            json!(1.5),
            json!(true),
            json!([1, [2, { "three": null }]]),
            json!({ "cmd": "NODE_", "unicode": "\u{2028}\u{2029}é\u{1F980}\0\n\r" }),
            json!({ "cmd": "node_x", "seq": 1, "act": "disconnect" }),
            Value::String("\u{2028}x".repeat(200_000)),
        ];
        for (worker, parent) in both(how) {
            for value in &values {
                parent.send(worker, value.clone());
                let like = json!({ "event": "message", "worker": worker, "message": value });
                assert_eq!(&parent.event(like)["message"], value);
            }
        }
    }
}

#[test]
fn many_messages_keep_their_order() {
    if !node("many_messages_keep_their_order") {
        return;
    }
    for how in BOTH {
        for (worker, parent) in both(how) {
            parent.tell(json!({ "do": "flood", "worker": worker, "count": 20_000 }));
            parent.event(json!({ "event": "all", "worker": worker, "count": 20_000 }));
            assert!(!parent.has_seen(&json!({ "event": "disorder" })));
        }
    }
}

#[test]
fn handles_of_every_kind_come_from_node() {
    if !node("handles_of_every_kind_come_from_node") {
        return;
    }
    for how in BOTH {
        for (worker, parent) in both(how) {
            for kind in KINDS {
                parent.tell(json!({ "do": "give", "worker": worker, "kind": kind }));
                let heard = json!({ "event": "heard", "worker": worker, "kind": kind });
                assert_eq!(parent.event(heard)["said"], GREETING, "{kind}");
                let took = match kind {
                    "net.Server" => "TcpListener",
                    "net.Server unix" => "UnixListener",
                    "net.Socket" => "TcpStream",
                    "net.Socket unix" => "UnixStream",
                    "net.Native" => "Native TcpStream",
                    "dgram.Socket" => "UdpSocket",
                    _ => "Native UdpSocket",
                };
                parent.message(worker, json!({ "kind": kind, "took": took }));
            }
        }
    }
}

#[test]
fn handles_of_every_kind_go_to_node() {
    if !node("handles_of_every_kind_go_to_node") {
        return;
    }
    for how in BOTH {
        for (worker, parent) in both(how) {
            for kind in KINDS {
                parent.send(worker, json!({ "do": "give", "kind": kind }));
                parent.message(worker, json!({ "kind": kind, "said": "hello from node" }));
                let node_type = match kind {
                    "net.Server" | "net.Server unix" => "Server",
                    "net.Socket" | "net.Socket unix" => "Socket",
                    "net.Native" => "TCP",
                    "dgram.Socket" => "Socket",
                    _ => "UDP",
                };
                let like = json!({ "message": { "do": "take", "kind": kind }, "type": node_type });
                parent.event(like);
            }
        }
    }
}

#[test]
fn handles_that_cross_do_not_block_each_other() {
    if !node("handles_that_cross_do_not_block_each_other") {
        return;
    }
    for how in BOTH {
        for (worker, parent) in both(how) {
            parent.tell(json!({ "do": "pass", "worker": worker, "count": 200 }));
            parent.message(worker, json!({ "all": 200 }));
            parent
                .event(json!({ "event": "all", "worker": worker, "count": 200, "type": "Socket" }));
        }
    }
}
