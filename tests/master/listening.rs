//! Workers listen through the master.

use std::io::Write as _;
use std::{net::TcpListener, os::unix::process::CommandExt, process::Command};

use cluster::{Address, Error, Event, Master, Policy, Signal, State};
use serde_json::Value;

use crate::{
    ANYWHERE, POLICIES, listen, listen_soon, listens, obedient, role,
    support::{Cluster, Lines, Program, fixture, wait_for, wait_until},
};

#[test]
fn workers_share_one_port_that_the_system_chose() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let workers = cluster.fork(3);
        let addresses: Vec<_> =
            workers.iter().map(|worker| listen(&cluster, worker, ANYWHERE).unwrap()).collect();
        assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
        for worker in &workers {
            assert_eq!(listens(&cluster, worker).to_string(), addresses[0]);
        }
        let mut answers = Vec::new();
        wait_until("an answer of each", || {
            answers.push(Lines::connect(&addresses[0]).unwrap().ask("x").unwrap());
            (1..=3).all(|id| answers.contains(&id))
        });
    }
}

#[test]
fn one_worker_has_several_sockets() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        let addresses: Vec<_> = (0..3)
            .map(|_| {
                let address = listen(&cluster, worker, ANYWHERE).unwrap();
                assert_eq!(listens(&cluster, worker).to_string(), address);
                address
            })
            .collect();
        assert_ne!(addresses[0], addresses[1]);
        let known: Vec<_> = worker.addresses().iter().map(Address::to_string).collect();
        assert_eq!(known, addresses);
        for address in &addresses {
            assert_eq!(Lines::connect(address).unwrap().ask("x").unwrap(), 1);
        }
    }
}

#[test]
fn all_addresses_and_udp_are_reported_as_they_are() {
    let cluster = obedient(Policy::RoundRobin);
    let worker = &cluster.fork(1)[0];
    listen(&cluster, worker, "0").unwrap();
    let Address::Tcp(all) = listens(&cluster, worker) else { panic!("{:?}", worker.addresses()) };
    assert!(all.ip().is_unspecified() && all.port() > 0, "{all}");
    assert_eq!(Lines::connect(&format!("127.0.0.1:{}", all.port())).unwrap().ask("x").unwrap(), 1);
    let address = crate::ask(&cluster, worker, "bind", ANYWHERE).unwrap();
    assert_eq!(listens(&cluster, worker), Address::Udp(address.parse().unwrap()));
    assert_eq!(worker.addresses().len(), 2);
}

#[test]
fn a_port_in_use_is_the_worker_s_error_and_may_be_tried_again() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let workers = cluster.fork(2);
        let taken = TcpListener::bind(ANYWHERE).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert_eq!(listen(&cluster, &workers[0], &address), Err("EADDRINUSE".into()));
        assert_eq!(workers[0].state(), State::Online);
        drop(taken);
        assert_eq!(listen_soon(&cluster, &workers[1], &address), address);
        assert_eq!(listen(&cluster, &workers[0], &address), Ok(address.clone()));
        assert!(Lines::connect(&address).unwrap().ask("x").is_ok());
    }
}

/// As a user who may not: the test's own user may be root.
#[test]
fn a_privileged_port_is_refused() {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if start.is_ok_and(|start| start.trim() == "0") {
        return writeln!(
            std::io::stderr(),
            "SKIPPED a_privileged_port_is_refused: none is privileged here"
        )
        .unwrap();
    }
    let mut command = Command::new(fixture());
    command.args(["once", "127.0.0.1:1"]);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534).current_dir("/");
        if Command::new(fixture()).uid(65534).current_dir("/").output().is_err() {
            return writeln!(
                std::io::stderr(),
                "SKIPPED a_privileged_port_is_refused: the fixture is out of reach"
            )
            .unwrap();
        }
    }
    for policy in ["none", "rr"] {
        let mut program = Program::start(command.env("NODE_CLUSTER_SCHED_POLICY", policy));
        assert_eq!(program.line("{"), r#"{"failed":"EACCES"}"#);
        assert!(program.wait().success());
    }
}

#[test]
fn only_allowed_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s").to_str().unwrap().to_owned();
    for policy in POLICIES {
        let settings = role("worker").policy(policy).listen("127.0.0.3:0");
        let settings = settings.allow_listen([ANYWHERE, "*:0", &path]);
        let cluster = Cluster::new(settings);
        let worker = &cluster.fork(1)[0];
        for address in [ANYWHERE, "0", &path, "127.0.0.3:0"] {
            assert!(listen(&cluster, worker, address).is_ok(), "{address}");
        }
        for address in ["127.0.0.2:0", "0.0.0.0:0", "[::1]:0", "127.0.0.1:1", "fd:0"] {
            assert_eq!(listen(&cluster, worker, address), Err("EACCES".into()), "{address}");
        }
        let other = folder.path().join("other");
        assert_eq!(listen(&cluster, worker, other.to_str().unwrap()), Err("EACCES".into()));
        assert_eq!(crate::ask(&cluster, worker, "bind", ANYWHERE), Err("EACCES".into()), "UDP");
        cluster.with(|master| master.setup(role("worker").allow_listen(["127.0.0.2:0"])).unwrap());
        assert!(listen(&cluster, worker, "127.0.0.2:0").is_ok(), "the later setting counts");
    }
}

#[test]
fn a_socket_of_the_settings_is_there_before_and_after_any_worker() {
    for policy in POLICIES {
        let mut first = Master::new(role("worker").policy(policy)).unwrap();
        let Address::Tcp(address) = first.listen(ANYWHERE).unwrap() else { panic!() };
        assert!(address.port() > 0);
        assert_eq!(first.listen(ANYWHERE).unwrap(), Address::Tcp(address), "the same once more");
        let second = Master::new(role("worker").listen(address));
        let Err(Error::Worker(worker_api::Error::Listen { address: taken, source })) = second
        else {
            panic!("{second:?}");
        };
        assert_eq!(taken, Address::Tcp(address));
        assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
        drop(first);
        let settings = role("worker").policy(policy).listen(address);
        let second = wait_for("a free port", || Master::new(settings.clone()).ok());
        let cluster = Cluster::over(second);
        let mut early = Lines::connect(&address.to_string()).unwrap();
        early.say("early").unwrap();
        let workers = cluster.fork(1);
        listen(&cluster, &workers[0], &address.to_string()).unwrap();
        assert_eq!(early.hear("early").unwrap(), 1);
        workers[0].kill(Signal::KILL).unwrap();
        cluster.end(&workers[0]);
        let mut late = Lines::connect(&address.to_string()).unwrap();
        late.say("late").unwrap();
        let workers = cluster.fork(1);
        listen(&cluster, &workers[0], &address.to_string()).unwrap();
        assert_eq!(late.hear("late").unwrap(), 2);
    }
}

#[test]
fn the_socket_closes_with_its_last_worker() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let workers = cluster.fork(2);
        let address = listen(&cluster, &workers[0], ANYWHERE).unwrap();
        listen(&cluster, &workers[1], ANYWHERE).unwrap();
        workers[0].disconnect();
        cluster.end(&workers[0]);
        assert_eq!(Lines::connect(&address).unwrap().ask("x").unwrap(), 2);
        workers[1].disconnect();
        cluster.end(&workers[1]);
        wait_until("the socket's end", || Lines::connect(&address).is_err());
    }
}

/// A Unix socket refuses who comes when its backlog is full, so there it can be counted.
#[test]
fn the_first_worker_s_backlog_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s").to_str().unwrap().to_owned();
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    cluster.tell(
        worker,
        serde_json::json!({ "do": "listen", "address": path, "backlog": 3, "most": 0 }),
    );
    crate::says(&cluster, worker, |value| value.get("listening").is_some());
    let address = socket2::SockAddr::unix(&path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let kind = socket2::Type::STREAM.nonblocking();
        let client = socket2::Socket::new(socket2::Domain::UNIX, kind, None).unwrap();
        if client.connect(&address).is_err() {
            break;
        }
        waiting.push(client);
    }
    assert_eq!(waiting.len(), 4, "the kernel lets in one more");
}

#[test]
fn a_worker_listens_nowhere_by_itself() {
    let cluster = obedient(Policy::Shared);
    let worker = &cluster.fork(1)[0];
    cluster.event("online", |event| matches!(event, Event::Online { .. }));
    assert_eq!((worker.state(), worker.addresses()), (State::Online, vec![]));
    cluster.tell(worker, Value::from("hello"));
    assert_eq!(crate::says(&cluster, worker, |_| true), "hello");
}
