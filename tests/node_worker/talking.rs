//! Messages and handles between our master, or parent, and Node.

use std::thread;

use cluster::{
    Event, Handle, Message, Policy, Serialization,
    child_process::{Child, Command},
};
use serde_json::{Value, json};

use crate::{
    BOTH, speaking,
    support::{
        PATIENCE,
        handles::{self, GREETING, KINDS},
        node, script,
    },
};

const NODES_GREETING: &str = "hello from node";

fn values() -> [Value; 7] {
    [
        json!("text"),
        json!(1.5),
        json!(true),
        json!([1, [2, { "three": null }]]),
        json!({ "cmd": "NODE_", "unicode": "\u{2028}\u{2029}é\u{1F980}\0\n\r" }),
        json!({ "cmd": "node_x", "seq": 1, "act": "disconnect" }),
        Value::String("\u{2028}x".repeat(200_000)),
    ]
}

pub(crate) fn fork(how: Serialization) -> Child {
    let mut command = Command::new("node");
    command.arg(script("worker.js")).env("NODE_NO_WARNINGS", "1");
    command.serialization(how).fork().unwrap()
}

/// A child that nobody talks to ends by itself.
pub(crate) fn part(mut child: Child) {
    child.disconnect();
    let status = child.wait_timeout(PATIENCE).unwrap();
    assert!(status.expect("the child ends").success());
}

#[test]
fn values_go_to_the_worker_and_back() {
    if !node("values_go_to_the_worker_and_back") {
        return;
    }
    for how in BOTH {
        let cluster = speaking(how);
        let workers = cluster.fork(1);
        for value in values() {
            workers[0].send(&value).unwrap();
            let event = cluster.event("message", |event| matches!(event, Event::Message { .. }));
            let Event::Message { message, .. } = event else { unreachable!() };
            assert_eq!(message.value, value);
        }
    }
}

#[test]
fn values_go_to_the_child_and_back() {
    if !node("values_go_to_the_child_and_back") {
        return;
    }
    for how in BOTH {
        let child = fork(how);
        for value in values() {
            child.send(&value).unwrap();
            assert_eq!(child.recv().unwrap().unwrap().value, value);
        }
        part(child);
    }
}

#[test]
fn many_messages_keep_their_order() {
    if !node("many_messages_keep_their_order") {
        return;
    }
    for how in BOTH {
        const COUNT: u32 = 20_000;
        let cluster = speaking(how);
        let workers = cluster.fork(1);
        for number in 0..COUNT {
            workers[0].send(&number).unwrap();
        }
        let child = fork(how);
        (0..COUNT).for_each(|number| child.send(&number).unwrap());
        for number in 0..COUNT {
            let event = cluster.event("message", |event| matches!(event, Event::Message { .. }));
            let Event::Message { message, .. } = event else { unreachable!() };
            assert_eq!(message.value, number);
            assert_eq!(child.recv().unwrap().unwrap().value, number);
        }
        part(child);
    }
}

/// What Rust says that it has got from Node.
fn took(kind: &str) -> &'static str {
    match kind {
        "net.Server" => "TcpListener",
        "net.Server unix" => "UnixListener",
        "net.Socket" => "TcpStream",
        "net.Socket unix" => "UnixStream",
        "net.Native" => "Native TcpStream",
        "dgram.Socket" => "UdpSocket",
        _ => "Native UdpSocket",
    }
}

#[test]
fn handles_of_every_kind_go_to_the_worker_and_back() {
    if !node("handles_of_every_kind_go_to_the_worker_and_back") {
        return;
    }
    for how in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            crate::settings(Policy::Shared, "worker.js").cwd(folder.path()).serialization(how);
        let cluster = crate::support::Cluster::new(settings);
        let workers = cluster.fork(1);
        for kind in KINDS {
            if kind == "net.Server unix" {
                continue; // a Node worker would ask its master to listen on its own descriptor
            }
            let (handle, ear) = handles::make(kind, folder.path()).unwrap();
            assert!(
                workers[0].send_handle(&json!({ "do": "take", "kind": kind }), handle).unwrap()
            );
            assert_eq!(ear.hear().unwrap(), NODES_GREETING, "{kind}");

            cluster.tell(&workers[0], json!({ "do": "give", "kind": kind }));
            let event = cluster.event("handle", |event| {
                matches!(event, Event::Message { message: Message { handle: Some(_), .. }, .. })
            });
            let Event::Message { message: Message { handle: Some(handle), .. }, .. } = event else {
                unreachable!()
            };
            assert_eq!(handles::take(handle).unwrap(), took(kind));
            assert_eq!(cluster.message(&workers[0], "said").value["said"], GREETING, "{kind}");
        }
    }
}

#[test]
fn handles_of_every_kind_go_to_the_child_and_back() {
    if !node("handles_of_every_kind_go_to_the_child_and_back") {
        return;
    }
    for how in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("node");
        command.arg(script("worker.js")).cwd(folder.path()).serialization(how);
        let child = command.fork().unwrap();
        for kind in KINDS {
            let (handle, ear) = handles::make(kind, folder.path()).unwrap();
            child.send_handle(&json!({ "do": "take", "kind": kind }), handle).unwrap();
            // The channel has to be served meanwhile.
            let hearing = thread::spawn(|| ear.hear().unwrap());
            child.send(&json!("heard")).unwrap();
            assert_eq!(child.recv().unwrap().unwrap().value, "heard");
            assert_eq!(hearing.join().unwrap(), NODES_GREETING, "{kind}");

            child.send(&json!({ "do": "give", "kind": kind })).unwrap();
            let handle = child.recv().unwrap().unwrap().handle;
            assert_eq!(handles::take(handle.unwrap()).unwrap(), took(kind));
            assert_eq!(child.recv().unwrap().unwrap().value["said"], GREETING, "{kind}");
        }
        part(child);
    }
}

#[test]
fn handles_that_cross_do_not_block_each_other() {
    if !node("handles_that_cross_do_not_block_each_other") {
        return;
    }
    for how in BOTH {
        const COUNT: usize = 200;
        let pass = json!({ "do": "pass", "count": COUNT });
        let passed = json!({ "do": "passed", "count": COUNT });

        let cluster = speaking(how);
        let workers = cluster.fork(1);
        cluster.tell(&workers[0], pass.clone());
        for _ in 0..COUNT {
            workers[0].send_handle(&passed, handles::any().unwrap()).unwrap();
        }
        for _ in 0..COUNT {
            let event = cluster.message(&workers[0], "do");
            assert!(matches!(event.handle, Some(Handle::UdpSocket(_))));
        }
        assert_eq!(cluster.message(&workers[0], "all").value["all"], COUNT);

        let child = fork(how);
        child.send(&pass).unwrap();
        for _ in 0..COUNT {
            child.send_handle(&passed, handles::any().unwrap()).unwrap();
        }
        let (mut handles, mut all) = (0, false);
        while handles < COUNT || !all {
            let message = child.recv().unwrap().unwrap();
            all |= message.value["all"] == COUNT;
            handles += usize::from(message.handle.is_some());
        }
        part(child);
    }
}

#[test]
fn a_node_worker_has_no_score_and_does_not_mind_the_question() {
    if !node("a_node_worker_has_no_score_and_does_not_mind_the_question") {
        return;
    }
    let cluster = crate::cluster(Policy::Shared);
    let worker = cluster.fork(1).remove(0);
    worker.poke();
    cluster.tell(&worker, json!({ "echo": 1 }));
    cluster.message(&worker, "echo");
    assert!(worker.score().is_none() && worker.connections().is_none());
    assert!(worker.usage().unwrap().unwrap().memory > 1 << 20);
}
