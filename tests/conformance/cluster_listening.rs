//! Listening on TCP ports and Unix paths.

use std::{
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use serde_json::json;

use crate::{
    house::{Form, House, POLICIES, anywhere, ask, local, rows},
    support::{Lines, Port7000, open_descriptors, wait_until},
};

rows! {
    cluster_accept_fail: rust worker;
    cluster_bind_privileged_port: rust worker primary;
    cluster_bind_twice: rust worker primary;
    cluster_child_index_net: rust worker primary;
    cluster_eaccess: rust worker primary;
    cluster_eaddrinuse: rust worker primary;
    cluster_http_pipe: rust worker primary;
    cluster_listen_pipe_readable_writable: rust worker primary;
    cluster_listening_port: rust worker primary;
    cluster_net_listen: rust worker primary;
    cluster_net_listen_backlog: rust worker primary;
    cluster_net_listen_ipv6only_false: rust worker primary;
    cluster_net_listen_ipv6only_none: rust worker primary;
    cluster_net_listen_ipv6only_rr: rust worker primary;
    cluster_net_listen_relative_path: rust worker primary;
    cluster_net_reuseport: rust primary;
    cluster_net_server_drop_connection: rust worker primary;
    cluster_port_reuse_between_workers: rust primary;
    cluster_rr_handle_close: rust worker;
    cluster_rr_handle_keep_loop_alive: rust worker;
    cluster_rr_handle_ref_unref: rust worker;
    cluster_rr_ref: rust worker;
    cluster_server_restart_none: rust worker primary;
    cluster_server_restart_rr: rust worker primary;
    cluster_shared_handle_bind_error: rust worker primary;
    cluster_shared_handle_bind_privileged_port: rust worker primary;
    cluster_worker_handle_close: rust worker primary;
    http_server_drop_connections_in_cluster: rust primary;
}

/// How many descriptors the primary may have.
fn limit_descriptors(house: &House, count: usize) {
    let mut command = std::process::Command::new("prlimit");
    command.arg(format!("--pid={}", house.pid())).arg(format!("--nofile={count}:"));
    assert!(command.status().unwrap().success());
}

fn cluster_accept_fail(form: Form) {
    let mut house = House::new(form, "rr");
    house.fork(1);
    let address = local(&house.listen(1, "a", anywhere()));
    let used = open_descriptors(house.pid());
    let free = (0..).find(|number| !used.contains_key(number)).unwrap();
    limit_descriptors(&house, free as usize); // so the next accept fails
    let mut client = Lines::connect(&address).unwrap();
    client.say("hello").unwrap();
    house.program().line("cannot accept a connection now");
    assert!(house.so_far(json!({ "report": "connection" })).is_empty());
    limit_descriptors(&house, 1024);
    assert_eq!(client.hear("hello").unwrap(), 1);
    house.tell(json!({ "do": "leave", "worker": 1 }));
    drop(client);
    house.exits(1, 0);
}

/// A worker is refused a port below 1024, or where everybody may have that, a path in a folder
/// that is not the primary's. Who runs this as root gives up the right to both.
fn privileged(form: Form, policy: &str) {
    let house = House::without_rights(form, policy);
    let free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let place = match free.is_ok_and(|free| free.trim().parse().is_ok_and(|port: u16| port <= 42)) {
        true => {
            let mut mode = house.folder().metadata().unwrap().permissions();
            mode.set_mode(0o500);
            std::fs::set_permissions(house.folder(), mode).unwrap();
            json!({ "path": house.folder().join("a.sock") })
        }
        false => json!({ "port": 42, "host": "127.0.0.1" }),
    };
    house.fork(1);
    let failed = house.listen(1, "a", place);
    assert_eq!((&failed["report"], &failed["code"]), (&json!("failed"), &json!("EACCES")));
    house.order(1, json!({ "do": "cut" }));
    house.exits(1, 0);
}

fn cluster_bind_privileged_port(form: Form) {
    privileged(form, "rr");
}

fn cluster_shared_handle_bind_privileged_port(form: Form) {
    privileged(form, "none");
}

fn cluster_bind_twice(form: Form) {
    for policy in POLICIES {
        let (one, two) = (House::new(form, policy), House::new(form, policy));
        one.fork(1);
        two.fork(1);
        let port = one.listen(1, "a", anywhere())["port"].take();
        let failed = two.listen(1, "a", json!({ "port": port, "host": "127.0.0.1" }));
        assert_eq!((&failed["report"], &failed["code"]), (&json!("failed"), &json!("EADDRINUSE")));
    }
}

fn cluster_child_index_net(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        house.index("listen", anywhere());
    }
}

fn cluster_eaccess(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        let path = house.folder().join("taken.sock");
        let _taken = UnixListener::bind(&path).unwrap();
        house.fork(1);
        assert_eq!(house.listen(1, "a", json!({ "path": path }))["code"], "EADDRINUSE");
        house.tell(json!({ "do": "leave", "worker": 1 }));
        house.exits(1, 0);
    }
}

fn cluster_eaddrinuse(form: Form) {
    let _port = Port7000::take();
    let house = House::new(form, "rr");
    house.fork(1);
    let taken = TcpListener::bind("127.0.0.1:7000").unwrap();
    let place = json!({ "port": 7000, "host": "127.0.0.1", "exclusive": true });
    assert_eq!(house.listen(1, "a", place.clone())["code"], "EADDRINUSE");
    drop(taken);
    house.order(1, json!({ "do": "listen", "name": "a", "options": place }));
    house.event(json!({ "report": "listening", "name": "a" }));
    assert_eq!(ask("127.0.0.1:7000"), 1);
    assert!(house.so_far(json!({ "event": "listening" })).is_empty(), "it is its own");
}

fn cluster_http_pipe(form: Form) {
    let house = House::new(form, "rr");
    let path = house.folder().join("a.sock");
    house.fork(1);
    assert_eq!(house.listen(1, "a", json!({ "path": path }))["path"], json!(path));
    assert_eq!(ask(path.to_str().unwrap()), 1);
    house.event(json!({ "report": "connection", "peer": null }));
    house.order(1, json!({ "do": "exit", "code": 0 }));
    house.exits(1, 0);
}

fn cluster_listen_pipe_readable_writable(form: Form) {
    let house = House::new(form, "rr");
    let path = house.folder().join("a.sock");
    house.fork(1);
    house.listen(1, "a", json!({ "path": path, "readableAll": true, "writableAll": true }));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o777);
    house.order(1, json!({ "do": "close" }));
    house.event(json!({ "report": "closed" }));
    house.order(1, json!({ "do": "cut" }));
    house.exits(1, 0);
}

fn cluster_listening_port(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        let reported = house.listen(1, "a", json!({ "port": 0 }));
        let event = house.event(json!({ "event": "listening" }));
        assert!(event["at"]["port"].as_u64().unwrap() > 0);
        assert_eq!(event["at"]["port"], reported["port"]);
    }
}

fn cluster_net_listen(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        house.prepare(1, json!({ "report": "listening" }), json!([{ "do": "exit", "code": 0 }]));
        house.order(1, json!({ "do": "listen" }));
        house.exits(1, 0);
    }
}

/// A Unix socket refuses who comes when its backlog is full, so there it can be counted.
fn cluster_net_listen_backlog(form: Form) {
    let house = House::new(form, "none");
    let path = house.folder().join("a.sock");
    house.fork(1);
    house.listen(1, "a", json!({ "path": path, "backlog": 3 }));
    let stopped = house.stop(1);
    let clients: Vec<_> = (0..8).map(|_| knock(&path)).collect();
    let waiting = clients.iter().filter(|client| client.is_some()).count();
    drop(stopped);
    assert_eq!(waiting, 4); // Linux lets one more wait
}

/// Connects, if that can be had at once.
fn knock(path: &std::path::Path) -> Option<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&socket2::SockAddr::unix(path).unwrap()).is_ok().then_some(socket)
}

fn cluster_net_listen_ipv6only_false(form: Form) {
    let house = House::new(form, "rr");
    house.fork(3);
    let reports: Vec<_> = (1..=3)
        .map(|worker| local(&house.listen(worker, "a", json!({ "port": 0, "host": "::" }))))
        .collect();
    assert!(reports.iter().all(|one| *one == reports[0]), "{reports:?}");
    let infos = house.events(3, json!({ "event": "listening", "at": { "addressType": 6 } }));
    assert!(infos.iter().all(|one| one["at"] == infos[0]["at"]), "{infos:?}");
    assert!((1..=3).contains(&ask(&reports[0])), "by IPv4");
    (1..=3).for_each(|worker| house.tell(json!({ "do": "leave", "worker": worker })));
    (1..=3).for_each(|worker| drop(house.exits(worker, 0)));
}

fn ipv6_only(form: Form, policy: &str) {
    let _port = Port7000::take();
    let house = House::new(form, policy);
    house.fork(2);
    let place = json!({ "port": 7000, "host": "::", "ipv6Only": true });
    for worker in 1..=2 {
        assert_eq!(house.listen(worker, "a", place.clone())["port"], 7000);
    }
    let at = json!({ "addressType": 6, "address": "::", "port": 7000 });
    house.events(2, json!({ "event": "listening", "at": at }));
    TcpListener::bind("0.0.0.0:7000").unwrap();
    (1..=2).for_each(|worker| house.tell(json!({ "do": "leave", "worker": worker })));
    (1..=2).for_each(|worker| drop(house.exits(worker, 0)));
}

fn cluster_net_listen_ipv6only_none(form: Form) {
    ipv6_only(form, "none");
}

fn cluster_net_listen_ipv6only_rr(form: Form) {
    ipv6_only(form, "rr");
}

fn cluster_net_listen_relative_path(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        let folder = house.folder().join("unix-socket-dir");
        std::fs::create_dir(&folder).unwrap();
        let name = "A".repeat(85);
        let path = folder.join(&name);
        assert!(path.as_os_str().len() > 100);
        house.fork(1);
        house.order(1, json!({ "do": "chdir", "to": folder }));
        let listening = house.listen(1, "a", json!({ "path": name }));
        assert_eq!(listening["report"], "listening", "{listening}");
        assert!(path.exists());
        house.order(1, json!({ "do": "cut" }));
        house.exits(1, 0);
        wait_until("no file", || !path.exists());
    }
}

/// Two listeners of one worker on a port, of which the primary hears nothing.
fn cluster_net_reuseport(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let place = json!({ "port": 0, "host": "127.0.0.1", "reusePort": true });
    let first = house.listen(1, "a", place);
    let place = json!({ "port": first["port"], "host": "127.0.0.1", "reusePort": true });
    assert_eq!(local(&house.listen(1, "b", place)), local(&first));
    assert_eq!(ask(&local(&first)), 1);
    house.order(1, json!({ "do": "leave" }));
    house.exits(1, 0);
    assert!(house.so_far(json!({ "event": "listening" })).is_empty());
}

fn cluster_net_server_drop_connection(form: Form) {
    let house = House::new(form, "rr");
    let path = house.folder().join("a.sock");
    house.fork(3);
    // Node 20 takes a limit of 0 for none.
    let first = if form == Form::Worker { 2 } else { 1 };
    for (worker, most) in [(1, 0), (2, 1), (3, 9)].into_iter().filter(|&(one, _)| one >= first) {
        let options = json!({ "path": path });
        house.order(worker, json!({ "do": "listen", "options": options, "most": most }));
        assert_eq!(house.outcome(worker, "a")["report"], "listening");
    }
    let clients: Vec<_> =
        (0..10).map(|_| Lines::connect(path.to_str().unwrap()).unwrap()).collect();
    house.events(10, json!({ "report": "connection" }));
    for (worker, count) in [(1, 0), (2, 1), (3, 9)] {
        let connections = house.so_far(json!({ "report": "connection", "worker": worker }));
        assert_eq!(connections.len(), count, "of worker {worker}");
    }
    drop(clients);
}

fn cluster_port_reuse_between_workers(form: Form) {
    let _port = Port7000::take();
    let house = House::new(form, "rr");
    let place = json!({ "port": 7000, "host": "::" });
    house.fork(2);
    assert_eq!(house.listen(1, "a", place.clone())["report"], "listening");
    // A second of the same is another socket, which finds the port taken.
    assert_eq!(house.listen(1, "b", place.clone())["code"], "EADDRINUSE");
    house.order(1, json!({ "do": "close", "name": "a" }));
    house.event(json!({ "report": "closed", "name": "a" }));
    assert_eq!(house.listen(2, "a", place.clone())["report"], "listening");
    assert_eq!(house.listen(1, "c", place)["report"], "listening");
    assert!((1..=2).contains(&ask("127.0.0.1:7000")));
    house.order(1, json!({ "do": "close", "name": "c" }));
    house.event(json!({ "report": "closed", "name": "c" }));
    assert_eq!(ask("127.0.0.1:7000"), 2);
    assert!(house.so_far(json!({ "event": "error" })).is_empty());
}

/// A worker that closes its only listener, and whose program has nothing else to do then.
fn closes(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.prepare(
        1,
        json!({ "report": "listening" }),
        json!([{ "do": "unref" }, { "do": "close" }]),
    );
    house.listen(1, "a", anywhere());
    house.event(json!({ "report": "closed" }));
    house.exits(1, 0);
}

fn cluster_rr_handle_close(form: Form) {
    closes(form);
}

fn cluster_rr_handle_keep_loop_alive(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.prepare(1, json!({ "report": "listening" }), json!([{ "do": "unref" }]));
    let address = local(&house.listen(1, "a", anywhere()));
    house.event(json!({ "report": "unref" }));
    for _ in 0..20 {
        assert_eq!(ask(&address), 1);
    }
    assert!(house.so_far(json!({ "event": "exit" })).is_empty());
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_rr_handle_ref_unref(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let then = json!([{ "do": "unref", "name": "a" }]);
    house.prepare(1, json!({ "report": "listening" }), then);
    house.listen(1, "a", anywhere());
    house.exits(1, 0);
}

fn cluster_rr_ref(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.prepare(1, json!({ "report": "listening" }), json!([{ "do": "close" }]));
    let address = local(&house.listen(1, "a", anywhere()));
    house.event(json!({ "report": "closed" }));
    wait_until("a closed port", || Lines::connect(&address).is_err());
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn restart(form: Form, policy: &str) {
    let house = House::new(form, policy);
    house.fork(2);
    let address = local(&house.listen(1, "a", anywhere()));
    let listen = json!({ "do": "listen", "name": "a", "options": anywhere() });
    house.prepare(2, json!({ "report": "closed" }), json!([listen]));
    assert_eq!(local(&house.listen(2, "a", anywhere())), address);
    house.order(2, json!({ "do": "close", "name": "a" }));
    let again = house.events(2, json!({ "report": "listening", "worker": 2 }));
    assert_eq!(local(&again[1]), address);
    house.order(2, json!({ "do": "close", "name": "a" }));
    house.events(2, json!({ "report": "closed", "worker": 2 }));
    house.order(2, json!({ "do": "cut" }));
    house.exits(2, 0);
    assert_eq!(ask(&address), 1);
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_server_restart_none(form: Form) {
    restart(form, "none");
}

fn cluster_server_restart_rr(form: Form) {
    restart(form, "rr");
}

fn cluster_shared_handle_bind_error(form: Form) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let house = House::new(form, "none");
    house.fork(1);
    let failed = house.listen(1, "a", json!({ "port": port, "host": "127.0.0.1" }));
    assert_eq!((&failed["report"], &failed["code"]), (&json!("failed"), &json!("EADDRINUSE")));
    house.order(1, json!({ "do": "cut" }));
    house.exits(1, 0);
}

/// A connection that reaches a worker whose listener is closed before it is taken goes to
/// another.
fn cluster_worker_handle_close(form: Form) {
    let house = House::new(form, "rr");
    house.fork(2);
    let idle = json!({ "do": "listen", "options": anywhere(), "idle": true });
    house.order(1, idle);
    let address = local(&house.outcome(1, "a"));
    house.listen(2, "a", anywhere());
    // Node takes a connection as soon as it comes: there the order to close comes before it.
    let stopped = (form == Form::Worker).then(|| {
        let stopped = house.stop(1);
        house.order(1, json!({ "do": "close" }));
        house.order(2, json!({ "do": "state" }));
        house.event(json!({ "report": "state" })); // so the order has been written
        stopped
    });
    let mut clients: Vec<_> = (0..2).map(|_| Lines::connect(&address).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.say("hello").unwrap());
    house.event(json!({ "report": "connection", "worker": 2 })); // one each
    match stopped {
        Some(stopped) => drop(stopped),
        None => house.order(1, json!({ "do": "close" })),
    }
    for client in &mut clients {
        assert_eq!(client.hear("hello").unwrap(), 2);
    }
    house.event(json!({ "report": "closed", "worker": 1 }));
    assert!(house.so_far(json!({ "report": "connection", "worker": 1 })).is_empty());
}

/// A worker takes what is too much for it and closes it, instead of leaving it to others.
fn http_server_drop_connections_in_cluster(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        house.order(1, json!({ "do": "listen", "options": anywhere(), "drop": 1 }));
        let address = local(&house.outcome(1, "a"));
        let mut first = Lines::connect(&address).unwrap();
        assert_eq!(first.ask("hello").unwrap(), 1);
        Lines::connect(&address).unwrap().hear("nothing").unwrap_err();
        house.event(json!({ "report": "dropped" }));
        assert_eq!(first.ask("still there").unwrap(), 1);
    }
}
