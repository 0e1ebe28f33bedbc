//! The example `hello` as a person runs it.

mod support;

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use nix::{
    sys::signal::{
        Signal::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
        kill,
    },
    unistd::Pid,
};
use support::{Client, Port7000, Program, example, get, process_is_gone, wait_until};

const ADDRESS: &str = "127.0.0.1:7000";
const POLICIES: [&str; 2] = ["none", "rr"];

fn start(policy: &str, workers: usize) -> Program {
    let program = Program::start(
        Command::new(example("hello"))
            .env("NODE_CLUSTER_SCHED_POLICY", policy)
            .env("WORKERS", workers.to_string())
            .env("RUST_LOG", "debug")
            .process_group(0),
    );
    (0..workers).for_each(|worker| drop(program.nth_line("listens on", worker)));
    program
}

/// Answers by worker's pid, of so many connections one at a time.
fn spread(connections: usize) -> BTreeMap<u32, usize> {
    let mut spread = BTreeMap::new();
    for _ in 0..connections {
        let answer = get(ADDRESS).unwrap();
        let pid = answer.split(' ').nth(1).and_then(|pid| pid.parse().ok());
        *spread.entry(pid.expect(&answer)).or_default() += 1;
    }
    spread
}

#[test]
fn all_workers_serve_evenly() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy, 4);
        // A worker that says it listens may not wait for connections yet.
        let mut seen = BTreeMap::new();
        wait_until("an answer of each worker", || {
            seen.extend(spread(1));
            seen.len() == 4
        });
        let spread = spread(400);
        assert_eq!(spread.len(), 4, "{policy}: {spread:?}");
        assert!(spread.values().all(|&count| count <= 110), "{policy}: {spread:?}");
        drop(program);
    }
}

#[test]
fn a_killed_worker_is_replaced_and_nobody_else_notices() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy, 4);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(|| {
                    let end = Instant::now() + std::time::Duration::from_millis(500);
                    let mut failures = 0;
                    while Instant::now() < end {
                        failures += usize::from(get(ADDRESS).is_err());
                    }
                    failures
                })
            })
            .collect();
        let victim = program.children()[0];
        wait_until("a few answers", || get(ADDRESS).is_ok());
        kill(Pid::from_raw(victim as i32), SIGKILL).unwrap();
        // Only a request in the victim's hands may fail: each client has one at a time.
        let failures: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(failures <= 4, "{policy}: {failures} failed");
        program.nth_line("listens on", 4);
        wait_until("four workers", || program.children().len() == 4);
        assert!((0..100).all(|_| get(ADDRESS).is_ok()), "{policy}");
    }
}

#[test]
fn nobody_outlives_a_killed_master() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy, 3);
        let workers = program.children();
        assert_eq!(workers.len(), 3);
        let _idle = Client::connect(ADDRESS).unwrap();
        program.signal(SIGKILL);
        wait_until("the workers' end", || workers.iter().all(|&pid| process_is_gone(pid)));
    }
}

#[test]
fn a_signal_ends_everything_but_not_the_request_in_hand() {
    let _port = Port7000::take();
    for policy in POLICIES {
        for signal in [SIGTERM, SIGINT] {
            let mut program = start(policy, 2);
            let group = Pid::from_raw(-(program.pid() as i32));
            let mut slow = Client::connect(ADDRESS).unwrap();
            slow.get("/").unwrap();
            slow.ask("/slow", "keep-alive").unwrap();
            match signal {
                SIGINT => kill(group, SIGINT).unwrap(), // as a terminal does it: to all
                _ => program.signal(signal),
            }
            let answer = slow.answer();
            assert!(answer.is_ok(), "{policy}, {signal}: {answer:?}");
            assert_eq!(program.wait().code(), Some(0), "{policy}, {signal}");
            assert!(get(ADDRESS).is_err(), "{policy}, {signal}: still listening");
        }
    }
}

#[test]
fn an_idle_connection_holds_up_an_end_for_a_while_only() {
    let _port = Port7000::take();
    for asks_again in [true, false] {
        let mut program = start("none", 1);
        let mut idle = Client::connect(ADDRESS).unwrap();
        idle.get("/").unwrap();
        program.signal(SIGTERM);
        wait_until("no listener", || get(ADDRESS).is_err());
        if asks_again {
            idle.get("/").unwrap();
            assert!(idle.is_closing, "the last answer says so");
        }
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn a_reload_costs_a_kept_connection_nothing() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy, 2);
        let is_over = AtomicBool::new(false);
        let answers: usize = thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| keep_asking(&is_over))).collect();
            for round in 1..=3 {
                program.signal(SIGHUP);
                program.nth_line("listens on", 2 * round + 1);
                let ended = |line: &&String| line.contains("ended: exit status: 0");
                wait_until("the end of the old workers", || {
                    program.lines().iter().filter(ended).count() == 2 * round
                });
            }
            is_over.store(true, Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert!(answers > 4, "{policy}");
    }
}

/// Asks over one connection until the server says that it ends, then over the next one. No
/// request is repeated.
fn keep_asking(is_over: &AtomicBool) -> usize {
    let mut client = Client::connect(ADDRESS).unwrap();
    let mut answers = 0;
    while !is_over.load(Relaxed) {
        client.get("/").unwrap();
        answers += 1;
        if client.is_closing {
            client = Client::connect(ADDRESS).unwrap();
        }
    }
    answers
}

#[test]
fn a_signal_to_a_worker_cuts_nobody_off() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy, 1);
        let worker = Pid::from_raw(program.children()[0] as i32);
        let mut client = Client::connect(ADDRESS).unwrap();
        let first = client.get("/").unwrap();
        for signal in [SIGINT, SIGHUP, SIGUSR1, SIGUSR2] {
            kill(worker, signal).unwrap();
            assert_eq!(client.get("/").unwrap(), first, "{policy}: {signal}");
        }
        drop(client);
        for signal in [SIGTERM, SIGQUIT] {
            let worker = Pid::from_raw(program.children()[0] as i32);
            let mut client = Client::connect(ADDRESS).unwrap();
            let first = client.get("/").unwrap();
            client.ask("/slow", "keep-alive").unwrap();
            kill(worker, signal).unwrap();
            assert_eq!(client.answer().unwrap(), first, "{policy}: {signal}");
            drop(client);
            wait_until("another worker", || get(ADDRESS).is_ok_and(|answer| answer != first));
            wait_until("its end", || process_is_gone(worker.as_raw() as u32));
        }
        let ends: Vec<_> =
            program.lines().into_iter().filter(|line| line.contains("ended:")).collect();
        assert!(ends.iter().all(|line| line.contains("exit status: 0")), "{ends:?}");
    }
}

#[test]
fn keep_alive_pipelines_and_slow_requests_are_answered() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let _program = start(policy, 2);
        let mut client = Client::connect(ADDRESS).unwrap();
        let first = client.get("/").unwrap();
        assert!((0..50).all(|_| client.get("/").unwrap() == first), "one worker, one connection");
        let start = Instant::now();
        assert_eq!(client.get("/slow").unwrap(), first);
        assert!(start.elapsed().as_millis() >= 50);
    }
}

#[test]
fn mistakes_are_told_in_one_line() {
    let _port = Port7000::take();
    let hold = std::net::TcpListener::bind(ADDRESS).unwrap();
    let hello = |change: fn(&mut Command) -> &mut Command| {
        let mut command = Command::new(example("hello"));
        change(&mut command);
        let mut program = Program::start(&mut command);
        assert_eq!(program.wait().code(), Some(1));
        program.line("Error: ")
    };
    assert_eq!(
        hello(|command| command),
        "Error: cannot listen on 127.0.0.1:7000: Address already in use (os error 98)"
    );
    drop(hold);
    assert!(hello(|command| command.env("WORKERS", "many")).contains("WORKERS"));
    assert!(hello(|command| command.env("WORKERS", "0")).contains("at least 1"));
    assert!(hello(|command| command.arg("nonsense")).contains("expected host:port"));
    let policy = hello(|command| command.env("NODE_CLUSTER_SCHED_POLICY", "x"));
    assert!(policy.contains("`none` or `rr`"), "{policy}");
    let long = hello(|command| command.arg(format!("/{}", "x".repeat(200))));
    assert!(long.contains("File name too long"), "{long}");
}
