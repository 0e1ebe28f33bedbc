//! Node servers that listen through our master.

use std::{
    collections::BTreeSet,
    net::{TcpListener, UdpSocket},
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use cluster::{Address, Event, Policy};
use serde_json::{Value, json};

use crate::{
    POLICIES, cluster, settings,
    support::{Client, Cluster, Lines, PATIENCE, get, node, wait_until},
};

/// Waits until a worker listens, and says where.
#[track_caller]
fn listening(cluster: &Cluster) -> Address {
    let event = cluster.event("listening", |event| matches!(event, Event::Listening { .. }));
    let Event::Listening { address, .. } = event else { unreachable!() };
    address
}

fn local(port: &Value) -> String {
    format!("127.0.0.1:{port}")
}

#[test]
fn http_is_served_by_all_workers() {
    if !node("http_is_served_by_all_workers") {
        return;
    }
    for policy in POLICIES {
        let cluster = Cluster::new(settings(policy, "server.js").arg("0"));
        cluster.fork(3);
        let ports: BTreeSet<_> = (0..3).map(|_| listening(&cluster).port().unwrap()).collect();
        assert_eq!(ports.len(), 1, "{policy:?}: {ports:?}");
        let address = format!("127.0.0.1:{}", ports.first().unwrap());

        let answers: Vec<_> = (0..60).map(|_| get(&address).unwrap()).collect();
        if policy == Policy::RoundRobin {
            assert_eq!(answers[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{answers:?}");
            assert!(answers.iter().zip(&answers[3..]).all(|(a, b)| a == b), "{answers:?}");
        }
        let mut client = Client::connect(&address).unwrap();
        let first = client.get("/").unwrap();
        assert!((0..50).all(|_| client.get("/").unwrap() == first), "one worker, one connection");
        assert_eq!(client.get("/slow").unwrap(), first);
    }
}

#[test]
fn listeners_of_port_0_each_get_one_and_share_it_with_other_workers() {
    if !node("listeners_of_port_0_each_get_one_and_share_it_with_other_workers") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(3);
        let anywhere = json!({ "port": 0, "host": "127.0.0.1" });
        let first = cluster.listen(&workers[..1], anywhere.clone());
        let second = cluster.listen(&workers[..1], anywhere.clone());
        assert_ne!(first, second, "{policy:?}");
        for worker in &workers[1..] {
            let one = std::slice::from_ref(worker);
            assert_eq!(cluster.listen(one, anywhere.clone()), first, "{policy:?}");
            assert_eq!(cluster.listen(one, anywhere.clone()), second, "{policy:?}");
        }
        for address in [first, second] {
            assert_eq!(address["family"], "IPv4");
            assert!(Lines::connect(&local(&address["port"])).unwrap().ask("hello").is_ok());
        }
    }
}

#[test]
fn the_master_knows_where_workers_listen() {
    if !node("the_master_knows_where_workers_listen") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(1);
        let path = folder.path().join("a.sock");
        for (options, ip) in [
            (json!({ "port": 0, "host": "127.0.0.1" }), Some("127.0.0.1")),
            (json!({ "port": 0, "host": "::1" }), Some("::1")),
            (json!({ "port": 0 }), None),
            (json!({ "path": &path }), None),
        ] {
            let said = cluster.listen(&workers, options);
            let address = listening(&cluster);
            match address.port() {
                Some(port) => assert_eq!(said["port"], port, "{policy:?}"),
                None => assert_eq!(address, Address::Unix(path.clone()), "{policy:?}"),
            }
            if let Some(ip) = ip {
                assert_eq!(address.ip().unwrap().to_string(), ip, "{policy:?}");
            }
            assert!(workers[0].addresses().contains(&address), "{policy:?}: {address}");
        }
    }
}

#[test]
fn a_path_may_be_for_everybody() {
    if !node("a_path_may_be_for_everybody") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for policy in POLICIES {
        let path = folder.path().join("all.sock");
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let options = json!({ "path": &path, "readableAll": true, "writableAll": true });
        cluster.listen(&workers, options);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o777, "{policy:?}");
        assert!(Lines::connect(path.to_str().unwrap()).unwrap().ask("hello").is_ok());
        for worker in &workers {
            worker.disconnect();
            assert_eq!(cluster.end(worker), (Some(0), true), "{policy:?}");
        }
        wait_until("no file", || !path.exists());
    }
}

#[test]
fn datagrams_are_answered() {
    if !node("datagrams_are_answered") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let ports: BTreeSet<u64> = workers
            .iter()
            .map(|worker| {
                cluster.tell(worker, json!({ "do": "bind", "port": 0 }));
                cluster.message(worker, "listening").value["listening"]["port"].as_u64().unwrap()
            })
            .collect();
        let port = *ports.first().unwrap() as u16;
        assert_eq!(ports.len(), 1, "{policy:?}");
        assert_eq!(listening(&cluster), Address::Udp(([127, 0, 0, 1], port).into()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..20 {
            client.send_to(format!("{number}").as_bytes(), ("127.0.0.1", port)).unwrap();
            let mut answer = [0; 64];
            let length = client.recv(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(["1", "2"].iter().any(|worker| answer == format!("{worker} {number}")));
        }
    }
}

#[test]
fn a_taken_place_is_told() {
    if !node("a_taken_place_is_told") {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(1);
        for command in [
            json!({ "do": "listen", "options": { "port": port, "host": "127.0.0.1" } }),
            json!({ "do": "listen", "options": { "path": &path } }),
            json!({ "do": "bind", "port": udp_port }),
        ] {
            cluster.tell(&workers[0], command.clone());
            let said = cluster.message(&workers[0], "failed").value;
            assert_eq!(said["failed"], "EADDRINUSE", "{policy:?}: {command}");
        }
        // Nothing of it is left.
        let again = cluster.listen(&workers, json!({ "port": 0, "host": "127.0.0.1" }));
        assert!(Lines::connect(&local(&again["port"])).unwrap().ask("hello").is_ok());
    }
}

#[test]
fn only_what_is_allowed_is_listened_on() {
    if !node("only_what_is_allowed_is_listened_on") {
        return;
    }
    for policy in POLICIES {
        let settings = settings(policy, "worker.js").allow_listen(["127.0.0.1:0"]);
        let cluster = Cluster::new(settings);
        let workers = cluster.fork(1);
        for host in ["127.0.0.2", "::1"] {
            let options = json!({ "port": 0, "host": host });
            cluster.tell(&workers[0], json!({ "do": "listen", "options": options }));
            assert_eq!(
                cluster.message(&workers[0], "failed").value["failed"],
                "EACCES",
                "{policy:?}"
            );
        }
        let allowed = cluster.listen(&workers, json!({ "port": 0, "host": "127.0.0.1" }));
        assert!(Lines::connect(&local(&allowed["port"])).unwrap().ask("hello").is_ok());
    }
}
