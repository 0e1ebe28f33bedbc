//! Asking the master for a place to listen.

use nix::libc::{EACCES, EADDRINUSE, EIO};
use socket2::{Domain, SockAddr, Socket, Type};

use super::*;

/// Asks in a thread; the line in which the worker asks, which is then answered with an error.
fn asked(worker: &Worker, master: &mut Master, ask: impl Fn(&Worker) + Send + 'static) -> String {
    let worker = worker.clone();
    let task = start(move || ask(&worker));
    let line = master.line();
    let query: Value = serde_json::from_str(&line).unwrap();
    master.send(&answer((-EACCES).into(), "any", &query["seq"]));
    task.end();
    line
}

fn expected(rest: &str, seq: u64) -> String {
    format!(
        r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,{rest},"seq":{seq}}}"#
    )
}

#[test]
fn questions_are_written_as_node_writes_them() {
    let (worker, mut master) = pair();
    let tcp = [
        ("127.0.0.1:0", r#""address":"127.0.0.1","port":0,"addressType":4,"flags":0,"backlog":0"#),
        ("8080", r#""address":null,"port":8080,"addressType":4,"backlog":0"#),
        ("/abs/rel.sock", r#""address":"/abs/rel.sock","port":-1,"addressType":-1,"backlog":0"#),
        ("[::1]:0", r#""address":"::1","port":0,"addressType":6,"flags":0,"backlog":0"#),
        ("fd:40", r#""address":null,"port":null,"addressType":null,"fd":40,"backlog":0"#),
    ];
    let mut seq = 0;
    for (address, rest) in tcp {
        seq += 1;
        let line = asked(&worker, &mut master, move |worker| {
            assert_eq!(os_error(worker.listen(address), &address.parse().unwrap()), EACCES);
        });
        assert_eq!(line, expected(rest, seq));
    }
    let udp = [
        ("0.0.0.0:0", r#""address":"0.0.0.0","port":0,"addressType":"udp4","fd":-1,"flags":0"#),
        ("8080", r#""address":"0.0.0.0","port":8080,"addressType":"udp4","fd":-1,"flags":0"#),
        ("[::1]:0", r#""address":"::1","port":0,"addressType":"udp6","fd":-1,"flags":0"#),
        ("fd:40", r#""address":null,"port":null,"addressType":"udp4","fd":40,"flags":0"#),
    ];
    for (address, rest) in udp {
        seq += 1;
        let line = asked(&worker, &mut master, move |worker| {
            assert_eq!(os_error(worker.bind(address), &address.parse().unwrap()), EACCES);
        });
        assert_eq!(line, expected(rest, seq));
    }
}

#[test]
fn options_are_asked_for() {
    let (worker, mut master) = pair();
    let line = asked(&worker, &mut master, |worker| {
        let options = ListenOptions::new().readable_all(true);
        drop(worker.listen_with("/abs/rel.sock", &options).unwrap_err());
    });
    let rest =
        r#""address":"/abs/rel.sock","port":-1,"addressType":-1,"backlog":0,"readableAll":true"#;
    assert_eq!(line, expected(rest, 1));
    let line = asked(&worker, &mut master, |worker| {
        let options = ListenOptions::new().ipv6_only(true).backlog(64);
        drop(worker.listen_with("[::1]:0", &options).unwrap_err());
    });
    let rest = r#""address":"::1","port":0,"addressType":6,"flags":1,"backlog":64"#;
    assert_eq!(line, expected(rest, 2));
    let line = asked(&worker, &mut master, |worker| {
        let options = ListenOptions::new().reuse_address(true);
        drop(worker.bind_with("127.0.0.1:9", &options).unwrap_err());
    });
    let rest = r#""address":"127.0.0.1","port":9,"addressType":"udp4","fd":-1,"flags":4"#;
    assert_eq!(line, expected(rest, 3));
    let line = asked(&worker, &mut master, |worker| {
        drop(worker.listen("[fe80::1%lo]:9").unwrap_err());
    });
    let rest = r#""address":"fe80::1%lo","port":9,"addressType":6,"flags":0,"backlog":0"#;
    assert_eq!(line, expected(rest, 4));
    let line = asked(&worker, &mut master, |worker| drop(worker.listen("@a").unwrap_err()));
    let rest = r#""address":"\u0000a","port":-1,"addressType":-1,"backlog":0"#;
    assert_eq!(line, expected(rest, 5));
}

#[test]
fn data_goes_to_all_and_the_first_ones_comes_back() {
    let (worker, mut master) = pair();
    let task = start(move || {
        let options = ListenOptions::new().data("ours");
        worker.listen_with("127.0.0.1:0", &options).unwrap().data().clone()
    });
    let query = master.message();
    assert_eq!(query["data"], "ours");
    master.send(&format!(
        r#"{{"cmd":"NODE_CLUSTER","errno":null,"key":"k","ack":{},"data":"theirs","seq":0}}"#,
        query["seq"]
    ));
    assert_eq!(task.end(), "theirs");
}

#[test]
fn a_shared_socket_s_file_is_opened_up_where_the_master_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (worker, mut master) = pair();
    let task = {
        let path = path.clone();
        start(move || {
            let options = ListenOptions::new().readable_all(true).writable_all(true);
            drop(worker.listen_with(&path, &options).unwrap());
        })
    };
    master.share("k", &socket);
    task.end();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o666, 0o666);
}

#[test]
fn a_relative_path_is_asked_for_from_the_root() {
    let (worker, mut master) = pair();
    let line = asked(&worker, &mut master, |worker| drop(worker.listen("./a.sock").unwrap_err()));
    let path = std::env::current_dir().unwrap().join("a.sock");
    let query: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(query["address"], path.to_str().unwrap());
}

fn unbound() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

#[test]
fn a_socket_that_is_only_bound_is_listened_on() {
    let (worker, mut master) = pair();
    let socket = unbound();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let task = {
        let worker = worker.clone();
        start(move || worker.listen("127.0.0.1:0").unwrap())
    };
    let key = "127.0.0.1:0:4:undefined:0";
    master.share(key, &socket);
    master.expect(&format!(
        r#"{{"cmd":"NODE_CLUSTER","act":"listening","index":0,"data":null,"address":"127.0.0.1","port":{},"addressType":4,"flags":0,"backlog":0,"seq":2}}"#,
        address.port()
    ));
    let listener = task.end();
    assert!(socket.is_listener().unwrap());
    assert_eq!(*listener.local_addr(), Address::Tcp(address));
    let client = client(address);
    greet(accept(&listener));
    assert_eq!(read_all(client), "hello");
    drop(listener);
    master.expect(&format!(r#"{{"cmd":"NODE_CLUSTER","act":"close","key":"{key}","seq":3}}"#));
}

#[test]
fn a_port_in_use_is_found_behind_an_answer_that_says_yes() {
    let (worker, mut master) = pair();
    let (elsewhere, _) = tcp();
    for socket in [unbound().into(), OwnedFd::from(elsewhere)] {
        let task = {
            let worker = worker.clone();
            start(move || worker.listen("127.0.0.1:1"))
        };
        master.share("k", &socket);
        let asked = Address::Tcp(([127, 0, 0, 1], 1).into());
        assert_eq!(os_error(task.end(), &asked), EADDRINUSE);
        master.expect_close("k");
    }
}

#[test]
fn an_error_of_the_master_is_the_systems() {
    let (worker, mut master) = pair();
    let asked: Address = "127.0.0.1:80".parse().unwrap();
    for (errno, code) in [(-13, EACCES), (-98, EADDRINUSE), (i64::MIN, EIO)] {
        let task = {
            let worker = worker.clone();
            start(move || worker.listen("127.0.0.1:80"))
        };
        master.refuse(errno);
        assert_eq!(os_error(task.end(), &asked), code);
    }
    master.expect_silence();
}

#[test]
fn a_socket_that_does_not_arrive_is_an_error_and_given_back() {
    let (worker, mut master) = pair();
    let task = {
        let worker = worker.clone();
        start(move || worker.listen("127.0.0.1:0"))
    };
    let query = master.message();
    master.send(handle(&answer(0.into(), "k", &query["seq"])).trim_end());
    assert!(matches!(task.end(), Err(Error::Listen { .. })));
    master.expect(NACK);
    master.expect_close("k");
}

#[test]
fn a_key_is_taken_once() {
    let (worker, mut master) = pair();
    let first = promise(&worker, &mut master, "k", ListenOptions::new());
    let task = {
        let worker = worker.clone();
        start(move || worker.listen("127.0.0.1:0"))
    };
    master.promise("k");
    assert!(matches!(task.end(), Err(Error::Listen { .. })));
    master.expect_silence();
    drop(first);
    master.expect_close("k");
}

#[test]
fn listeners_on_the_same_address_are_told_apart_by_an_index() {
    let (worker, mut master) = pair();
    let listen = |master: &mut Master, address: &'static str, key: &str| {
        let worker = worker.clone();
        let task = start(move || worker.listen(address).unwrap());
        let index = master.promise(key)["index"].as_u64().unwrap();
        assert_eq!(master.expect_listening()["index"], index);
        (task.end(), index)
    };
    let (first, index) = listen(&mut master, "127.0.0.1:0", "a");
    assert_eq!(index, 0);
    let (second, index) = listen(&mut master, "127.0.0.1:0", "b");
    assert_eq!(index, 1);
    let (_other, index) = listen(&mut master, "127.0.0.1:1", "c");
    assert_eq!(index, 0);
    drop(first);
    master.expect_close("a");
    let (third, index) = listen(&mut master, "127.0.0.1:0", "d");
    assert_eq!(index, 2);
    drop((second, third));
    master.expect_close("b");
    master.expect_close("d");
    let (_last, index) = listen(&mut master, "127.0.0.1:0", "e");
    assert_eq!(index, 0);
}

#[test]
fn a_promise_says_where_the_master_listens() {
    let (worker, mut master) = pair();
    let task = {
        let worker = worker.clone();
        start(move || worker.listen("0").unwrap())
    };
    let seq = &master.message()["seq"];
    master.send(&format!(
        r#"{{"cmd":"NODE_CLUSTER","errno":null,"key":"k","ack":{seq},"data":null,"sockname":{{"address":"::","family":"IPv6","port":38893}},"seq":0}}"#
    ));
    assert_eq!(master.expect_listening()["port"], 38893);
    let listener = task.end();
    assert_eq!(listener.local_addr().to_string(), "[::]:38893");
    assert!(listener.with_socket(|_| ()).is_none());
    let path = {
        let worker = worker.clone();
        start(move || worker.listen("/abs/rel.sock").unwrap())
    };
    master.promise("p");
    assert_eq!(master.expect_listening()["port"], -1);
    assert_eq!(path.end().local_addr().to_string(), "/abs/rel.sock");
}
