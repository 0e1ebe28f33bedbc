//! Listening through a Node primary.

use std::{
    collections::BTreeMap,
    net::{TcpListener, UdpSocket},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    POLICIES,
    support::{Client, Lines, PATIENCE, Parent, example, fixture, get, node},
};

/// A primary with workers of the example `hello`, all of which listen, and where.
fn hello(policy: &str, workers: usize) -> (Parent, String) {
    let environment = [("HELLO_ADDRESS", "127.0.0.1:0")];
    let primary =
        Parent::cluster_with(policy, &example("hello"), "./hello.js", workers, &environment);
    let listening = primary.events(workers, json!({ "event": "listening" }));
    (primary, format!("127.0.0.1:{}", listening[0]["info"]["port"]))
}

#[test]
fn hello_is_served_by_all_workers() {
    if !node("hello_is_served_by_all_workers") {
        return;
    }
    for policy in POLICIES {
        let (primary, address) = hello(policy, 3);
        primary.events(3, json!({ "event": "online" }));
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let info = json!({ "addressType": 4, "address": "127.0.0.1", "port": port });
        for event in primary.events(3, json!({ "event": "listening", "info": info })) {
            assert_eq!(event["info"], info, "{policy}: no more and no less");
        }

        let mut spread = BTreeMap::<_, usize>::new();
        for _ in 0..90 {
            *spread.entry(get(&address).unwrap()).or_default() += 1;
        }
        match policy {
            "rr" => assert_eq!(spread.into_values().collect::<Vec<_>>(), [30, 30, 30]),
            _ => assert_eq!(spread.into_values().sum::<usize>(), 90),
        }

        let mut client = Client::connect(&address).unwrap();
        let first = client.get("/").unwrap();
        assert!((0..50).all(|_| client.get("/").unwrap() == first), "one worker, one connection");
        let start = Instant::now();
        assert_eq!(client.get("/slow").unwrap(), first);
        assert!(start.elapsed().as_millis() >= 50, "{policy}");
    }
}

#[test]
fn a_port_in_use_is_told_by_hello_which_ends() {
    if !node("a_port_in_use_is_told_by_hello_which_ends") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for policy in POLICIES {
        let environment = [("HELLO_ADDRESS", &*address)];
        let mut primary = Parent::cluster_with(policy, &example("hello"), "./x", 1, &environment);
        primary.event(json!({ "event": "exit", "code": 1, "wanted": false }));
        primary.program().line(&format!("cannot listen on {address}: Address already in use"));
    }
}

/// What a worker says when it was told to listen, or to bind.
fn listen(primary: &Parent, worker: u32, how: &str, address: &str) -> Value {
    primary.event(json!({ "event": "online", "worker": worker }));
    primary.send(worker, json!({ "do": how, "address": address }));
    let like = json!({ "event": "message", "worker": worker });
    primary.event(like)["message"].take()
}

#[test]
fn listeners_of_a_port_each_get_one_and_share_it_with_other_workers() {
    if !node("listeners_of_a_port_each_get_one_and_share_it_with_other_workers") {
        return;
    }
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 2);
        let told = |worker, count: usize| {
            let listen = json!({ "do": "listen", "address": "127.0.0.1:0" });
            primary.send(worker, listen);
            let messages = primary.events(count, json!({ "event": "message", "worker": worker }));
            messages[count - 1]["message"]["listening"].as_str().unwrap().to_owned()
        };
        primary.events(2, json!({ "event": "online" }));
        let (first, second) = (told(1, 1), told(1, 2));
        assert_ne!(first, second, "{policy}");
        assert_eq!((told(2, 1), told(2, 2)), (first.clone(), second.clone()), "{policy}");
        for address in [first, second] {
            let mut lines = Lines::connect(&address).unwrap();
            let worker = lines.ask("hello").unwrap();
            assert_eq!(lines.ask("again").unwrap(), worker);
        }
    }
}

#[test]
fn a_full_worker_leaves_connections_to_others() {
    if !node("a_full_worker_leaves_connections_to_others") {
        return;
    }
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 2);
        primary.events(2, json!({ "event": "online" }));
        for worker in [1, 2] {
            let most = if worker == 1 { json!(1) } else { Value::Null };
            let listen = json!({ "do": "listen", "address": "127.0.0.1:0", "most": most });
            primary.send(worker, listen);
        }
        let listening = primary.events(2, json!({ "event": "listening" }));
        let address = format!("127.0.0.1:{}", listening[0]["info"]["port"]);
        let mut clients: Vec<_> = (0..8).map(|_| Lines::connect(&address).unwrap()).collect();
        let answers: Vec<_> = clients.iter_mut().map(|one| one.ask("hello").unwrap()).collect();
        let first = answers.iter().filter(|&&worker| worker == 1).count();
        assert!(first <= 1, "{policy}: {answers:?}");
    }
}

#[test]
fn paths_are_listened_on() {
    if !node("paths_are_listened_on") {
        return;
    }
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 2);
        let path = primary.folder().canonicalize().unwrap().join("a.sock");
        let path = path.to_str().unwrap();
        for worker in [1, 2] {
            let said = listen(&primary, worker, "listen", "./a.sock");
            assert_eq!(said["listening"], path, "{policy}");
        }
        let info = json!({ "addressType": -1, "address": path, "port": -1 });
        primary.events(2, json!({ "event": "listening", "info": info }));
        assert!(Lines::connect(path).unwrap().ask("hello").is_ok(), "{policy}");
        primary.tell(json!({ "do": "disconnect", "worker": 1 }));
        primary.event(json!({ "event": "exit", "worker": 1, "code": 0 }));
        assert_eq!(Lines::connect(path).unwrap().ask("hello").unwrap(), 2, "{policy}");
    }
}

#[test]
fn a_taken_place_is_told() {
    if !node("a_taken_place_is_told") {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 3);
        let path = primary.folder().join("taken.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for (worker, how, address) in [
            (1, "listen", tcp.local_addr().unwrap().to_string()),
            (2, "bind", udp.local_addr().unwrap().to_string()),
            (3, "listen", path.to_str().unwrap().to_owned()),
        ] {
            let said = listen(&primary, worker, how, &address);
            assert_eq!(said, json!({ "failed": "EADDRINUSE" }), "{policy}: {how} {address}");
        }
    }
}

#[test]
fn datagrams_are_answered() {
    if !node("datagrams_are_answered") {
        return;
    }
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 2);
        let address = listen(&primary, 1, "bind", "127.0.0.1:0")["listening"].take();
        assert_eq!(listen(&primary, 2, "bind", "127.0.0.1:0")["listening"], address, "{policy}");
        let address = address.as_str().unwrap();
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let info = json!({ "addressType": "udp4", "address": "127.0.0.1", "port": port, "fd": -1 });
        primary.events(2, json!({ "event": "listening", "info": info }));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..20 {
            client.send_to(format!("{number}").as_bytes(), address).unwrap();
            let mut answer = [0; 64];
            let length = client.recv(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(["1", "2"].iter().any(|worker| answer == format!("{worker} {number}")));
        }
    }
}
