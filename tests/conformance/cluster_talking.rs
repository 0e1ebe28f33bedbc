//! Messages and handles.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::{
    house::{Form, House, anywhere, local, rows},
    support::{Lines, PATIENCE, handles},
};

rows! {
    cluster_advanced_serialization: rust worker primary;
    cluster_invalid_message: rust worker primary;
    cluster_message: rust worker primary;
    cluster_net_send: rust worker primary;
    cluster_send_deadlock: rust worker primary;
    cluster_send_handle_large_payload: rust worker primary;
    cluster_send_handle_twice: rust worker primary;
    cluster_send_socket_to_worker_http_server: rust worker primary;
    cluster_worker_events: rust worker primary;
    listen_fd_cluster: rust worker primary;
    net_listen_handle_in_cluster_1: rust worker primary;
    net_listen_handle_in_cluster_2: rust worker primary;
}

/// Node's own value refers to itself, which is no tree, and ours are trees.
fn cluster_advanced_serialization(form: Form) {
    for policy in crate::house::POLICIES {
        let house = House::new(form, policy);
        house.tell(json!({ "do": "setup", "settings": { "serialization": "advanced" } }));
        house.fork(1);
        assert_eq!(house.listen(1, "a", anywhere())["report"], "listening");
        house.order(1, json!({ "do": "reflect" }));
        for name in ["map", "set", "date", "bytes", "undefined", "holes"] {
            house.tell(json!({ "do": "value", "worker": 1, "name": name }));
            assert_eq!(house.event(json!({ "event": "reflected", "name": name }))["same"], true);
        }
        house.tell(json!({ "do": "leave", "worker": 1 }));
        house.exits(1, 0);
    }
}

fn cluster_invalid_message(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "cmd": "NODE_CLUSTER", "ack": -1 }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_message(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let address = local(&house.listen(1, "a", anywhere()));
    let mut client = Lines::connect(&address).unwrap();
    house.order(1, json!("message from primary"));
    house.event(json!({ "report": "message", "message": "message from primary" }));
    assert_eq!(client.ask("hello").unwrap(), 1);
    house.order(1, json!({ "do": "say", "message": "message from worker" }));
    house.event(json!({ "event": "message", "worker": 1, "message": "message from worker" }));
    drop(client);
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

/// A worker sends its end of a connection up, and the primary talks through it.
fn cluster_net_send(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "give", "kind": "net.Socket" }));
    let said = if form == Form::Primary { "hello from node" } else { handles::GREETING };
    house.event(json!({ "report": "heard", "said": said }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

/// Has the primary send connections to the worker, each with this message.
fn lend(house: &House, message: Value, count: usize) -> Vec<TcpStream> {
    house.tell(json!({ "do": "lend", "worker": 1, "message": message }));
    let port = house.event(json!({ "event": "lending" }))["port"].as_u64().unwrap() as u16;
    (0..count)
        .map(|_| {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        })
        .collect()
}

/// Sockets go to the worker and come back, and many are on their way in both directions.
fn cluster_send_deadlock(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    for client in lend(&house, json!({ "do": "bounce" }), 20) {
        let mut said = String::new();
        BufReader::new(client).read_line(&mut said).unwrap();
        assert_eq!(said, "back\n");
    }
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_send_handle_large_payload(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let payload = "a".repeat(800_004);
    let mut said = String::new();
    let clients = lend(&house, json!({ "do": "bounce", "payload": payload }), 1);
    (&clients[0]).read_to_string(&mut said).unwrap();
    assert_eq!(said, "back\n");
    let message = house.event(json!({ "event": "message" }));
    assert!(message["message"]["payload"] == *payload, "the payload is another");
    let kind = if form == Form::Primary { "Socket" } else { "TcpStream" };
    assert_eq!(message["type"], kind);
}

/// Node sends the message alone the second time; who has a copy of a socket may send that.
fn cluster_send_handle_twice(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "twice" }));
    let first = house.event(json!({ "event": "message", "message": { "time": 1 } }));
    let second = house.event(json!({ "event": "message", "message": { "time": 2 } }));
    let socket = if form == Form::Primary { "Socket" } else { "TcpStream" };
    assert_eq!(first["type"], socket);
    let again = if form == Form::Worker { Value::Null } else { json!(socket) };
    assert_eq!(second.get("type").unwrap_or(&Value::Null), &again);
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_send_socket_to_worker_http_server(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let client = lend(&house, json!({ "do": "adopt" }), 1).remove(0);
    let mut client = Lines::over(client).unwrap();
    assert_eq!(client.ask("hello").unwrap(), 1);
    drop(client);
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_worker_events(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let like = json!({ "report": "message", "message": "SOME MESSAGE" });
    house.prepare(1, like.clone(), json!([{ "do": "exit", "code": 2 }]));
    house.order(1, json!("SOME MESSAGE"));
    house.exits(1, 2);
    assert_eq!(house.so_far(like).len(), 1);
}

/// A number is that of the primary.
fn listen_fd_cluster(form: Form) {
    for policy in crate::house::POLICIES {
        let house = House::new(form, policy);
        house.tell(json!({ "do": "open", "type": "tcp" }));
        let opened = house.event(json!({ "event": "opened" }));
        house.fork(1);
        let listening = house.listen(1, "a", json!({ "fd": opened["fd"] }));
        assert_eq!(listening["report"], "listening", "{listening}");
        assert_eq!(crate::house::ask(&format!("127.0.0.1:{}", opened["port"])), 1);
    }
}

/// A listening socket that was sent to a worker needs no primary.
fn net_listen_handle_in_cluster_1(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.tell(json!({ "do": "give", "worker": 1, "kind": "net.Server" }));
    let said = if form == Form::Worker { "hello from node" } else { handles::GREETING };
    house.event(json!({ "event": "heard", "said": said }));
    house.order(1, json!({ "do": "exit", "code": 0 }));
    house.exits(1, 0);
    assert!(house.so_far(json!({ "event": "listening" })).is_empty());
}

fn net_listen_handle_in_cluster_2(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "own" }));
    let listening = house.outcome(1, "a");
    assert_eq!(crate::house::ask(&local(&listening)), 1);
    house.order(1, json!({ "do": "exit", "code": 0 }));
    house.exits(1, 0);
    assert!(house.so_far(json!({ "event": "listening" })).is_empty());
}
