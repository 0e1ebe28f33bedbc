//! What only an advanced channel carries, between our master, or parent, and Node.

use cluster::{
    Error, Event, Message, Serialization, WorkerRef,
    child_process::Child,
    structured::{DecodeError, Value, encode},
};
use serde_json::json;

use crate::{
    POLICIES, settings, speaking,
    support::{
        Cluster, Lines, PATIENCE, node,
        values::{LARGE, SIZES, bytes, message, values},
    },
    talking::{fork, part},
};

fn next(child: &Child) -> Message {
    child.recv_timeout(PATIENCE).unwrap().expect("a message in time")
}

fn next_of(cluster: &Cluster, worker: &WorkerRef) -> Message {
    let event = cluster.event(
        "message",
        |event| matches!(event, Event::Message { worker: of, .. } if of == worker),
    );
    let Event::Message { message, .. } = event else { unreachable!() };
    message
}

#[test]
fn values_that_json_has_not_are_the_same_on_both_sides() {
    if !node("values_that_json_has_not_are_the_same_on_both_sides") {
        return;
    }
    let cluster = speaking(Serialization::Advanced);
    let worker = cluster.fork(1).remove(0);
    let child = fork(Serialization::Advanced);
    for (name, value) in values() {
        let check =
            message([("do", "check".into()), ("name", name.into()), ("value", value.clone())]);
        let ask = json!({ "do": "value", "name": name });
        let (same, theirs) = (json!({ "name": name, "same": true }), ("name", name.into()));
        let theirs = message([theirs, ("value", value)]);

        assert!(worker.send_structured(&check).unwrap());
        assert_eq!(next_of(&cluster, &worker).value, same);
        assert!(worker.send(&ask).unwrap());
        assert_eq!(next_of(&cluster, &worker).into_structured().as_ref(), Some(&theirs));

        child.send_structured(&check).unwrap();
        assert_eq!(next(&child).value, same);
        child.send(&ask).unwrap();
        assert_eq!(next(&child).structured(), Some(&theirs));
    }
    part(child);
}

#[test]
fn a_json_channel_says_that_it_has_no_such_values() {
    if !node("a_json_channel_says_that_it_has_no_such_values") {
        return;
    }
    let is_typed = |error| matches!(error, Error::Worker(cluster::worker_api::Error::NotAdvanced));
    let cluster = speaking(Serialization::Json);
    let worker = cluster.fork(1).remove(0);
    assert!(is_typed(worker.send_structured(&Value::Date(0.0)).unwrap_err()));
    let child = fork(Serialization::Json);
    assert!(is_typed(child.send_structured(&Value::Date(0.0)).unwrap_err()));
    child.send("still there").unwrap();
    let message = next(&child);
    assert_eq!((message.structured(), &message.value), (None, &json!("still there")));
    part(child);
}

#[test]
fn large_messages_and_cut_lengths_arrive_whole() {
    if !node("large_messages_and_cut_lengths_arrive_whole") {
        return;
    }
    let cluster = speaking(Serialization::Advanced);
    let worker = cluster.fork(1).remove(0);
    let child = fork(Serialization::Advanced);
    for lengths in [&LARGE[..], &SIZES] {
        let ask = json!({ "do": "bytes", "lengths": lengths });
        worker.send(&ask).unwrap();
        child.send(&ask).unwrap();
        for (&length, byte) in lengths.iter().zip(0_u8..) {
            let expected = bytes(length, byte);
            assert!(next_of(&cluster, &worker).structured() == Some(&expected), "{length}");
            assert!(next(&child).structured() == Some(&expected), "{length}");
        }
        for (&length, byte) in lengths.iter().zip(0_u8..) {
            worker.send_structured(&bytes(length, byte)).unwrap();
            child.send_structured(&bytes(length, byte)).unwrap();
        }
        for (&length, byte) in lengths.iter().zip(0_u8..) {
            let got = json!({ "length": length, "all": byte });
            assert_eq!(next_of(&cluster, &worker).value, got);
            assert_eq!(next(&child).value, got);
        }
    }
    part(child);
}

fn is_cycle(error: &cluster::worker_api::Error) -> bool {
    let cluster::worker_api::Error::Decode { source } = error else { return false };
    source.downcast_ref() == Some(&DecodeError::Cycle)
}

#[test]
fn after_a_cycle_comes_the_next_message() {
    if !node("after_a_cycle_comes_the_next_message") {
        return;
    }
    let cluster = speaking(Serialization::Advanced);
    let worker = cluster.fork(1).remove(0);
    cluster.tell(&worker, json!({ "do": "cycle" }));
    for _ in 0..2 {
        let event = cluster.event("error", |event| matches!(event, Event::Error { .. }));
        let Event::Error { error, .. } = event else { unreachable!() };
        assert!(is_cycle(&error), "{error:?}");
    }
    assert_eq!(cluster.message(&worker, "after").value["after"], "cycles");
    assert!(worker.is_connected());

    let child = fork(Serialization::Advanced);
    child.send(&json!({ "do": "cycle" })).unwrap();
    for _ in 0..2 {
        let error = child.recv_timeout(PATIENCE).unwrap_err();
        assert!(matches!(&error, Error::Worker(error) if is_cycle(error)), "{error:?}");
    }
    assert_eq!(next(&child).value["after"], "cycles");
    part(child);
}

#[test]
fn what_is_nested_too_deeply_is_not_sent() {
    if !node("what_is_nested_too_deeply_is_not_sent") {
        return;
    }
    let mut deep = Value::Null;
    while encode(&deep).is_ok() {
        deep = Value::Array(vec![deep]);
    }
    let child = fork(Serialization::Advanced);
    let error = child.send_structured(&deep).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    child.send("still there").unwrap();
    assert_eq!(next(&child).value, "still there");
    part(child);
}

#[test]
fn servers_listen_over_an_advanced_channel() {
    if !node("servers_listen_over_an_advanced_channel") {
        return;
    }
    for policy in POLICIES {
        let settings = settings(policy, "worker.js").serialization(Serialization::Advanced);
        let cluster = Cluster::new(settings);
        let workers = cluster.fork(2);
        let anywhere = json!({ "port": 0, "host": "127.0.0.1" });
        let address = format!("127.0.0.1:{}", cluster.listen(&workers, anywhere)["port"]);
        let mut clients: Vec<_> = (0..8).map(|_| Lines::connect(&address).unwrap()).collect();
        for client in &mut clients {
            let worker = client.ask("hello").unwrap();
            assert_eq!(client.ask("again").unwrap(), worker, "{policy:?}");
        }
        drop(clients);
        cluster.tell(&workers[0], json!({ "do": "leave" }));
        workers[1].disconnect();
        for worker in &workers {
            assert_eq!(cluster.end(worker), (Some(0), true), "{policy:?}");
        }
        assert!(!cluster.has_seen(|event| matches!(event, Event::Error { .. })), "{policy:?}");
    }
}
