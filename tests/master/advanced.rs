//! Channels that carry V8's structured values, between processes of ours.

use cluster::{Event, Policy, Serialization, structured::Value};
use serde_json::json;

use crate::{
    listen, role, says,
    support::{
        Cluster, Lines,
        handles::{GREETING, make},
        values::values,
    },
};

fn cluster(policy: Policy) -> Cluster {
    Cluster::new(role("worker").policy(policy).serialization(Serialization::Advanced))
}

#[test]
fn values_go_both_ways() {
    let cluster = cluster(Policy::Shared);
    let worker = cluster.fork(1).remove(0);
    for (name, value) in values() {
        worker.send_structured(&value).unwrap();
        let event = cluster.event(name, |event| matches!(event, Event::Message { .. }));
        let Event::Message { message, .. } = event else { unreachable!() };
        assert_eq!(message.into_structured(), Some(value), "{name}");
    }
    let numbers = json!([u64::MAX, i64::MIN, 1.5, null]);
    worker.send(&numbers).unwrap();
    assert_eq!(says(&cluster, &worker, |_| true), numbers);
}

#[test]
fn sockets_go_with_messages() {
    let cluster = cluster(Policy::Shared);
    let worker = cluster.fork(1).remove(0);
    let folder = tempfile::tempdir().unwrap();
    for kind in ["net.Server", "net.Socket", "dgram.Socket"] {
        let (handle, ear) = make(kind, folder.path()).unwrap();
        worker.send_handle(&json!({ "do": "take", "kind": kind }), handle).unwrap();
        assert_eq!(ear.hear().unwrap(), GREETING, "{kind}");
    }
}

#[test]
fn workers_listen_and_leave() {
    for policy in [Policy::Shared, Policy::RoundRobin] {
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let address = listen(&cluster, &workers[0], "127.0.0.1:0").unwrap();
        let again = listen(&cluster, &workers[1], "127.0.0.1:0");
        assert_eq!(again.as_ref(), Ok(&address), "{policy:?}");
        let mut clients: Vec<_> = (0..8).map(|_| Lines::connect(&address).unwrap()).collect();
        for client in &mut clients {
            client.ask("hello").unwrap();
        }
        drop(clients);
        cluster.tell(&workers[0], json!({ "do": "leave" }));
        workers[1].disconnect();
        for worker in &workers {
            assert_eq!(cluster.end(worker), (Some(0), true), "{policy:?}");
        }
    }
}

#[test]
fn the_settings_of_a_fork_are_those_of_its_time() {
    let cluster = Cluster::new(role("worker"));
    let plain = cluster.fork(1).remove(0);
    let advanced = role("worker").serialization(Serialization::Advanced);
    cluster.with(move |master| master.setup(advanced)).unwrap();
    let later = cluster.fork(1).remove(0);
    assert!(plain.send_structured(&Value::Date(0.0)).is_err());
    assert!(later.send_structured(&Value::Date(0.0)).unwrap());
    assert_eq!(says(&cluster, &later, |_| true), "1970-01-01T00:00:00.000Z");
    plain.send("plain").unwrap();
    assert_eq!(says(&cluster, &plain, |_| true), "plain");
}
