//! How Node workers of our master end.

use cluster::{Event, Signal};
use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;

use crate::{
    POLICIES, cluster, settings,
    support::{
        Client, Cluster, Lines, Program, fixture, node, process_is_gone, script, wait_until,
    },
};

fn address(cluster: &Cluster, workers: &[cluster::WorkerRef]) -> String {
    let anywhere = json!({ "port": 0, "host": "127.0.0.1" });
    format!("127.0.0.1:{}", cluster.listen(workers, anywhere)["port"])
}

#[test]
fn a_worker_told_to_leave_finishes_first() {
    if !node("a_worker_told_to_leave_finishes_first") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(1);
        let address = address(&cluster, &workers);
        let mut client = Lines::connect(&address).unwrap();
        client.ask("before").unwrap();
        workers[0].disconnect();
        workers[0].disconnect(); // the worker hears it once
        wait_until("nobody listens", || Lines::connect(&address).is_err());
        client.ask("after").unwrap();
        drop(client);
        assert_eq!(cluster.end(&workers[0]), (Some(0), true), "{policy:?}");
    }
}

#[test]
fn an_http_server_told_to_leave_answers_the_slow_request() {
    if !node("an_http_server_told_to_leave_answers_the_slow_request") {
        return;
    }
    for policy in POLICIES {
        let cluster = Cluster::new(settings(policy, "server.js").arg("0"));
        let workers = cluster.fork(2);
        let mut port = None;
        for _ in &workers {
            let event =
                cluster.event("listening", |event| matches!(event, Event::Listening { .. }));
            let Event::Listening { address, .. } = event else { unreachable!() };
            port = address.port();
        }
        let address = format!("127.0.0.1:{}", port.unwrap());
        let mut busy = Client::connect(&address).unwrap();
        busy.ask("/slow", "keep-alive").unwrap();
        busy.wait_for_answer().unwrap();
        cluster.with(cluster::Master::disconnect);
        busy.answer().unwrap_or_else(|error| panic!("{policy:?}: {error}"));
        drop(busy); // Node would wait for it some seconds
        for worker in &workers {
            assert_eq!(cluster.end(worker), (Some(0), true), "{policy:?}");
        }
    }
}

#[test]
fn a_worker_that_leaves_by_itself_tells_that_it_is_on_purpose() {
    if !node("a_worker_that_leaves_by_itself_tells_that_it_is_on_purpose") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let address = address(&cluster, &workers);
        let mut client = Lines::connect(&address).unwrap();
        let id = client.ask("before").unwrap();
        let (one, other) = match id {
            1 => (&workers[0], &workers[1]),
            _ => (&workers[1], &workers[0]),
        };
        cluster.tell(one, json!({ "do": "leave" }));
        wait_until("it has stopped listening", || one.addresses().is_empty());
        for _ in 0..5 {
            assert_eq!(Lines::connect(&address).unwrap().ask("hello").unwrap(), other.id());
        }
        assert_eq!(client.ask("after").unwrap(), id);
        drop(client);
        assert_eq!(cluster.end(one), (Some(0), true), "{policy:?}");
    }
}

#[test]
fn a_worker_that_only_disconnects_is_not_on_purpose() {
    if !node("a_worker_that_only_disconnects_is_not_on_purpose") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(1);
        let address = address(&cluster, &workers);
        // A Node process that disconnects while a connection is on its way crashes.
        let mut client = Lines::connect(&address).unwrap();
        client.ask("before").unwrap();
        cluster.tell(&workers[0], json!({ "do": "disconnect" }));
        assert_eq!(cluster.end(&workers[0]), (Some(0), false), "{policy:?}");
    }
}

#[test]
fn workers_may_be_told_before_they_are_online() {
    if !node("workers_may_be_told_before_they_are_online") {
        return;
    }
    for policy in POLICIES {
        for file in ["worker.js", "server.js"] {
            let cluster = Cluster::new(settings(policy, file).arg("0"));
            let workers = cluster.fork(2);
            cluster.with(cluster::Master::disconnect);
            for worker in &workers {
                assert_eq!(cluster.end(worker), (Some(0), true), "{policy:?}: {file}");
            }
        }
    }
}

#[test]
fn a_script_that_crashes_ends_with_its_code() {
    if !node("a_script_that_crashes_ends_with_its_code") {
        return;
    }
    for policy in POLICIES {
        let cluster = Cluster::new(settings(policy, "worker.js").silent());
        let workers = cluster.fork(2);
        let address = address(&cluster, &workers);
        cluster.tell(&workers[0], json!({ "do": "crash" }));
        assert_eq!(cluster.end(&workers[0]), (Some(1), false), "{policy:?}");
        assert!(Lines::connect(&address).unwrap().ask("hello").is_ok(), "{policy:?}");
        workers[1].kill(Signal::TERM).unwrap();
        assert_eq!(cluster.end(&workers[1]), (None, false), "{policy:?}");
    }
}

#[test]
fn a_worker_that_writes_rubbish_loses_its_channel_and_others_go_on() {
    if !node("a_worker_that_writes_rubbish_loses_its_channel_and_others_go_on") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let address = address(&cluster, &workers);
        let is_one = |worker: &cluster::WorkerRef| *worker == workers[0];
        cluster.tell(&workers[0], json!({ "do": "rubbish" }));
        cluster
            .event("error", |event| matches!(event, Event::Error { worker, .. } if is_one(worker)));
        cluster.event(
            "disconnect",
            |event| matches!(event, Event::Disconnect { worker } if is_one(worker)),
        );
        assert_eq!(cluster.end(&workers[0]), (Some(0), false), "{policy:?}");
        for _ in 0..4 {
            assert_eq!(Lines::connect(&address).unwrap().ask("hello").unwrap(), 2, "{policy:?}");
        }
        assert!(!cluster.has_seen(|event| matches!(event, Event::Error { .. })), "{policy:?}");
    }
}

#[test]
fn nobody_outlives_a_dropped_master() {
    if !node("nobody_outlives_a_dropped_master") {
        return;
    }
    for policy in POLICIES {
        let cluster = cluster(policy);
        let workers = cluster.fork(2);
        let address = address(&cluster, &workers);
        drop(cluster);
        assert!(workers.iter().all(cluster::WorkerRef::is_dead), "{policy:?}");
        assert!(workers.iter().all(|worker| process_is_gone(worker.pid())), "{policy:?}");
        assert!(Lines::connect(&address).is_err(), "{policy:?}");
    }
}

#[test]
fn nobody_outlives_a_killed_master() {
    if !node("nobody_outlives_a_killed_master") {
        return;
    }
    for policy in ["rr", "none"] {
        let program = Program::start(
            std::process::Command::new(fixture())
                .args(["master", "node"])
                .arg(script("server.js"))
                .arg("0")
                .env("NODE_CLUSTER_SCHED_POLICY", policy),
        );
        let line = program.nth_line("listens on", 1);
        let workers = program.children();
        assert_eq!(workers.len(), 2);
        let port = line.rsplit(':').next().unwrap();
        let _idle = Lines::connect(&format!("127.0.0.1:{port}")).unwrap();
        program.signal(SIGKILL);
        wait_until("the workers' end", || workers.iter().all(|&pid| process_is_gone(pid)));
    }
}
