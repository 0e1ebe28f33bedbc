//! Messages and sockets between master and workers.

use std::thread;

use cluster::{Event, Handle, Policy, State};
use nix::sys::signal::Signal::SIGCONT;
use serde_json::{Value, json};

use crate::{
    obedient, says, stop,
    support::{
        handles::{GREETING, KINDS, make, take},
        kill, wait_until,
    },
};

#[test]
fn messages_go_both_ways_in_order() {
    let cluster = obedient(Policy::Shared);
    let workers = cluster.fork(2);
    let values = [
        json!(null),
        json!(1.5),
        json!("ü\u{2028}\n\"\0"),
        json!([[], {}, [1, [2]]]),
        json!({ "cmd": "NODE_" }),
        json!({ "cmd": 7, "a": null }),
        json!("x".repeat(1 << 20)),
    ];
    for worker in &workers {
        for value in &values {
            worker.send(value).unwrap();
        }
        for value in &values {
            assert_eq!(says(&cluster, worker, |_| true), *value);
        }
    }
}

#[test]
fn other_threads_send() {
    const EACH: u64 = 2000;
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    thread::scope(|scope| {
        for sender in 0..4u64 {
            scope.spawn(move || {
                for number in 0..EACH {
                    worker.send(&json!([sender, number])).unwrap();
                    assert!(worker.is_connected() && worker.state() != State::Dead);
                }
            });
        }
    });
    let mut next = [0; 4];
    while next != [EACH; 4] {
        let message = says(&cluster, worker, Value::is_array);
        let (sender, number) = (message[0].as_u64().unwrap(), message[1].as_u64().unwrap());
        let next = &mut next[sender as usize];
        assert_eq!(number, *next, "of {sender}");
        *next += 1;
    }
}

#[test]
fn sockets_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = obedient(Policy::Shared);
    let options = cluster::ForkOptions::new().cwd(folder.path());
    let worker = &cluster.with(move |master| master.fork_with(&options).unwrap());
    for kind in KINDS {
        let (handle, ear) = make(kind, folder.path()).unwrap();
        assert!(worker.send_handle(&json!({ "do": "take", "kind": kind }), handle).unwrap());
        assert_eq!(ear.hear().unwrap(), GREETING, "{kind}");
        says(&cluster, worker, |value| value["kind"] == kind && value.get("took").is_some());

        cluster.tell(worker, json!({ "do": "give", "kind": kind }));
        let event = cluster.event(kind, |event| {
            matches!(event, Event::Message { message, .. } if message.value["do"] == "take")
        });
        let Event::Message { message, .. } = event else { unreachable!() };
        take(message.handle.unwrap()).unwrap();
        let heard = says(&cluster, worker, |value| value.get("said").is_some());
        assert_eq!(heard, json!({ "kind": kind, "said": GREETING }));
    }
}

#[test]
fn what_is_no_socket_is_not_sent() {
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    let file = std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let error = worker.send_handle("file", Handle::Native(file)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(worker.send("x").unwrap());
    assert_eq!(says(&cluster, worker, |_| true), "x");
}

#[test]
fn a_worker_that_does_not_read_is_told_of_and_gets_all_when_it_does() {
    const LONGEST: usize = 8 << 20;
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    cluster.tell(worker, json!(0));
    says(&cluster, worker, |_| true);
    stop(worker);
    let text = "x".repeat(1000);
    let mut sent = 0;
    while worker.send(&json!([sent, text])).unwrap() {
        sent += 1;
        assert!(sent * text.len() < LONGEST, "it never said that enough is enough");
    }
    assert!(sent > 128, "{sent}");
    let more = 1000; // it is up to the sender, and nothing is lost
    assert!((1..=more).all(|n| !worker.send(&json!([sent + n, text])).unwrap()));
    kill(worker.pid(), SIGCONT);
    for number in 0..=sent + more {
        assert_eq!(says(&cluster, worker, |_| true)[0], number);
    }
    wait_until("it keeps up again", || worker.send("again").unwrap());
}

#[test]
fn many_sockets_for_a_worker_that_does_not_take_them() {
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    cluster.tell(worker, json!(0));
    says(&cluster, worker, |_| true);
    stop(worker);
    let message = json!({ "do": "passed", "count": 100 });
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |_| worker.send_handle(&message, udp.try_clone().unwrap()).unwrap();
    let kept_up = (0..100).map(send).filter(|kept_up| *kept_up).count();
    assert_eq!(kept_up, 63);
    kill(worker.pid(), SIGCONT);
    assert_eq!(says(&cluster, worker, |value| value.get("all").is_some()), json!({ "all": 100 }));
}
