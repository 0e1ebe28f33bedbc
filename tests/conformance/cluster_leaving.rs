//! How workers leave: told to, on their own wish, and in all races.

use serde_json::json;

use crate::{
    house::{Form, House, POLICIES, anywhere, ask, local, rows},
    support::{Lines, kill, wait_until},
};

rows! {
    cluster_concurrent_disconnect: rust worker primary;
    cluster_disconnect: rust worker primary;
    cluster_disconnect_before_exit: rust worker primary;
    cluster_disconnect_exited_after_disconnect_race: rust worker primary;
    cluster_disconnect_idle_worker: rust worker;
    cluster_disconnect_leak: rust worker primary;
    cluster_disconnect_race: rust worker primary;
    cluster_disconnect_unshared_tcp: rust worker primary;
    cluster_disconnect_unshared_udp: rust worker primary;
    cluster_disconnect_with_no_workers: rust;
    cluster_ipc_throw: rust worker primary;
    cluster_kill_disconnect: rust worker primary;
    cluster_shared_leak: rust worker primary;
    cluster_worker_destroy: rust worker primary;
    cluster_worker_disconnect: rust worker primary;
    cluster_worker_disconnect_on_error: rust worker primary;
    cluster_worker_forced_exit: rust worker primary;
    cluster_worker_wait_server_close: rust worker primary;
}

fn cluster_concurrent_disconnect(form: Form) {
    const WORKERS: u32 = 4;
    let house = House::new(form, "rr");
    for _ in 0..WORKERS {
        let leave = json!([{ "do": "broadcast", "message": { "do": "leave" } }]);
        house.when(json!({ "event": "disconnect" }), leave);
    }
    house.fork(WORKERS);
    let all_at_once = (1..=WORKERS).map(|worker| {
        let act = if worker % 2 == 0 { "leave" } else { "destroy" };
        json!({ "do": "send", "worker": worker, "message": { "do": act } })
    });
    let all_at_once: Vec<_> = all_at_once.collect();
    house.when(json!({ "event": "message", "message": "now" }), json!(all_at_once));
    house.order(1, json!({ "do": "say", "message": "now" }));
    (1..=WORKERS).for_each(|worker| drop(house.exits(worker, 0)));
    for error in house.so_far(json!({ "event": "error" })) {
        assert_eq!(error["syscall"], "write", "{error}");
        assert!(["EPIPE", "ECONNRESET"].iter().any(|code| error["code"] == *code), "{error}");
    }
}

fn cluster_disconnect(form: Form) {
    const WORKERS: u64 = 4;
    let house = House::new(form, "rr");
    for first in [1, 1 + WORKERS] {
        house.tell(json!({ "do": "fork", "count": WORKERS }));
        let mut ports = std::collections::BTreeSet::new();
        for worker in first..first + WORKERS {
            house.event(json!({ "event": "online", "worker": worker }));
            for name in ["a", "b"] {
                ports.insert(local(&house.listen(worker as u32, name, anywhere())));
            }
        }
        assert_eq!(ports.len(), 2);
        for address in &ports {
            assert!((first..first + WORKERS).contains(&ask(address).into()));
        }
        house.tell(json!({ "do": "leave all" }));
        (first..first + WORKERS).for_each(|worker| drop(house.exits(worker as u32, 0)));
        wait_until("closed ports", || ports.iter().all(|one| Lines::connect(one).is_err()));
    }
}

fn cluster_disconnect_before_exit(form: Form) {
    let house = House::new(form, "rr");
    house.when(json!({ "event": "online" }), json!([{ "do": "leave", "worker": 1 }]));
    house.when(json!({ "event": "disconnect" }), json!([{ "do": "leave all" }]));
    house.tell(json!({ "do": "fork" }));
    house.exits(1, 0);
    house.event(json!({ "event": "gone" }));
}

fn cluster_disconnect_exited_after_disconnect_race(form: Form) {
    let house = House::new(form, "rr");
    house.play(json!([{ "do": "leave" }, { "do": "state" }]));
    // The channel is still open behind the call: it waits for the primary's word.
    house.event(json!({ "report": "state", "connected": true }));
    assert_eq!(house.exits(1, 0)["wanted"], true);
}

fn cluster_disconnect_idle_worker(form: Form) {
    let house = House::new(form, "rr");
    house.tell(json!({ "do": "fork", "count": 2 }));
    house.tell(json!({ "do": "leave all" }));
    assert_eq!(house.event(json!({ "event": "gone" }))["left"], json!([]));
    (1..=2).for_each(|worker| drop(house.exits(worker, 0)));
}

fn cluster_disconnect_leak(form: Form) {
    let house = House::new(form, "none");
    house.play(json!([{ "do": "listen", "options": anywhere() }]));
    house.tell(json!({ "do": "leave all" }));
    house.exits(1, 0);
    assert_eq!(house.so_far(json!({ "event": "disconnect", "worker": 1 })).len(), 1);
}

fn cluster_disconnect_race(form: Form) {
    let house = House::new(form, "none");
    house.fork(1);
    house.listen(1, "a", anywhere());
    let leave = json!([{ "do": "leave", "worker": "it" }]);
    house.when(json!({ "event": "online", "worker": 2 }), leave);
    house.play(json!([{ "do": "listen", "options": anywhere() }]));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
    house.exits(2, 0);
}

fn unshared(form: Form, act: &str, options: serde_json::Value) {
    let house = House::new(form, "none");
    house.fork(1);
    house.play(json!([{ "do": act, "options": options }]));
    house.event(json!({ "event": "listening", "worker": 2 }));
    house.when(json!({ "event": "disconnect", "worker": 1 }), json!([{ "do": "leave all" }]));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
    house.exits(2, 0);
}

fn cluster_disconnect_unshared_tcp(form: Form) {
    unshared(form, "listen", anywhere());
}

fn cluster_disconnect_unshared_udp(form: Form) {
    unshared(form, "bind", json!({ "port": 0, "address": "127.0.0.1" }));
}

fn cluster_disconnect_with_no_workers(form: Form) {
    let house = House::new(form, "rr");
    house.tell(json!({ "do": "leave all" }));
    house.event(json!({ "event": "gone", "left": [] }));
}

fn cluster_ipc_throw(form: Form) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let house = House::new(form, "rr");
    house.fork(1);
    let then = json!([{ "do": "leave" }, { "do": "throw" }]);
    house.prepare(1, json!({ "report": "failed" }), then);
    let failed = house.listen(1, "a", json!({ "port": port, "host": "127.0.0.1" }));
    assert_eq!(failed["code"], "EADDRINUSE");
    house.event(json!({ "report": "uncaught" }));
    assert_eq!(house.exits(1, 0)["wanted"], true);
}

fn cluster_kill_disconnect(form: Form) {
    let house = House::new(form, "rr");
    house.play(json!([{ "do": "leave" }]));
    house.play(json!([{ "do": "destroy" }]));
    for worker in 1..=2 {
        assert_eq!(house.exits(worker, 0)["wanted"], true);
        house.event(json!({ "event": "disconnect", "worker": worker, "wanted": true }));
    }
}

fn cluster_shared_leak(form: Form) {
    let house = House::new(form, "none");
    house.fork(2);
    let address = local(&house.listen(1, "a", anywhere()));
    let client = Lines::connect(&address).unwrap();
    (1..=2).for_each(|worker| house.tell(json!({ "do": "leave", "worker": worker })));
    drop(client);
    (1..=2).for_each(|worker| drop(house.exits(worker, 0)));
    wait_until("a closed port", || Lines::connect(&address).is_err());
}

fn cluster_worker_destroy(form: Form) {
    let house = House::new(form, "rr");
    house.fork(2);
    house.prepare(1, json!({ "report": "disconnect" }), json!([{ "do": "destroy" }]));
    house.order(1, json!({ "do": "leave" }));
    house.order(2, json!({ "do": "destroy" }));
    for worker in 1..=2 {
        house.exits(worker, 0);
        assert_eq!(house.so_far(json!({ "event": "disconnect", "worker": worker })).len(), 1);
    }
}

fn cluster_worker_disconnect(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.when(json!({ "event": "listening" }), json!([{ "do": "leave", "worker": "it" }]));
        house.fork(1);
        let exit = json!([{ "do": "exit", "code": 42 }]);
        house.prepare(1, json!({ "report": "disconnect" }), exit);
        house.listen(1, "a", anywhere());
        house.exits(1, 42);
        let disconnect = house.event(json!({ "event": "disconnect" }));
        assert_eq!(
            (&disconnect["wanted"], &disconnect["connected"]),
            (&json!(true), &json!(false))
        );
    }
}

fn cluster_worker_disconnect_on_error(form: Form) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let house = House::new(form, "none");
    house.fork(1);
    house.prepare(1, json!({ "report": "failed" }), json!([{ "do": "leave" }]));
    house.listen(1, "a", json!({ "port": port, "host": "127.0.0.1" }));
    assert_eq!(house.exits(1, 0)["wanted"], true);
}

fn cluster_worker_forced_exit(form: Form) {
    let house = House::new(form, "rr");
    house.fork(2);
    let exit = json!([{ "do": "exit", "code": 42, "later": true }]);
    house.prepare(1, json!({ "report": "disconnect" }), exit.clone());
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 42);
    match form {
        // A Rust program goes on as it likes when its channel is gone, and ours returns.
        Form::Rust => {
            kill(house.pid(), nix::sys::signal::Signal::SIGKILL);
            house.event(json!({ "report": "disconnect", "worker": 2, "connected": false }));
            return;
        }
        Form::Worker => {
            house.prepare(2, json!({ "report": "disconnect" }), exit);
            house.order(2, json!({ "do": "rubbish" })); // which costs it the channel
        }
        Form::Primary => house.tell(json!({ "do": "cut", "worker": 2 })),
    }
    assert_eq!(house.exits(2, 0)["wanted"], false);
}

fn cluster_worker_wait_server_close(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        let address = local(&house.listen(1, "a", anywhere()));
        let mut client = Lines::connect(&address).unwrap();
        client.ask("before").unwrap();
        house.tell(json!({ "do": "leave", "worker": 1 }));
        wait_until("nobody listens", || Lines::connect(&address).is_err());
        client.ask("after").unwrap();
        assert!(house.so_far(json!({ "report": "disconnect" })).is_empty());
        assert!(house.so_far(json!({ "event": "disconnect" })).is_empty());
        drop(client);
        house.exits(1, 0);
    }
}
