//! The examples as a person runs them: servers with workers.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Write},
    net::{TcpStream, UdpSocket},
    process::Command,
};

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use support::{PATIENCE, Port7000, Program, example, hear, kill, process_is_gone, wait_until};

const ADDRESS: &str = "127.0.0.1:7000";
const POLICIES: [&str; 2] = ["none", "rr"];

fn start(name: &str, policy: &str) -> Program {
    Program::start(Command::new(example(name)).env("NODE_CLUSTER_SCHED_POLICY", policy))
}

/// A connection on which lines go both ways.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn connect() -> io::Result<Self> {
        let stream = TcpStream::connect(ADDRESS)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn say(&self, text: &str) {
        self.0.get_ref().write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads on until the line that says this; who said it.
    #[track_caller]
    fn until(&mut self, text: &str) -> u32 {
        loop {
            let line = self.next();
            let (from, said) = line.split_once(": ").expect("the connection has ended");
            if said == text {
                return from.parse().unwrap();
            }
        }
    }
}

#[test]
fn udp_datagrams_are_answered_by_the_workers() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = start("udp", policy);
        (0..2).for_each(|worker| drop(program.nth_line("answers on 127.0.0.1:7000", worker)));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut seen = BTreeSet::new();
        let mut buffer = [0; 64];
        for number in 0..1000 {
            let text = format!("datagram {number}");
            socket.send_to(text.as_bytes(), ADDRESS).unwrap();
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            let answer = String::from_utf8_lossy(&buffer[..length]);
            let who = answer.strip_suffix(&format!(" got {text}")).expect(&answer);
            seen.insert(who.to_owned());
        }
        assert_eq!(Vec::from_iter(seen), ["worker 1", "worker 2"], "{policy}");
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn a_udp_port_in_use_is_told_in_one_line() {
    let _port = Port7000::take();
    let _hold = UdpSocket::bind(ADDRESS).unwrap();
    let mut program = start("udp", "none");
    assert_eq!(program.wait().code(), Some(1));
    assert_eq!(
        program.line("Error: "),
        "Error: cannot listen on udp:127.0.0.1:7000: Address already in use (os error 98)"
    );
}

#[test]
fn chat_reaches_clients_of_all_workers() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = start("chat", policy);
        (0..4).for_each(|worker| drop(program.nth_line("on 127.0.0.1:7000", worker)));
        // Clients until two workers have one: a client's own line tells who its worker is.
        let mut clients = BTreeMap::new();
        for number in 0..1000 {
            let mut client = Lines::connect().unwrap();
            let text = format!("hello from {number}");
            client.say(&text);
            clients.entry(client.until(&text)).or_insert(client);
            if clients.len() == 2 {
                break;
            }
        }
        let (first, second) = (*clients.keys().next().unwrap(), *clients.keys().last().unwrap());
        assert_ne!(first, second, "{policy}: one worker has all");
        for (from, text) in [(first, "how are you?"), (second, "fine")] {
            clients[&from].say(text);
            assert!(clients.values_mut().all(|client| client.until(text) == from), "{policy}");
        }

        let workers = program.children();
        program.signal(SIGTERM);
        program.wait();
        wait_until("the workers' end", || workers.iter().all(|&worker| process_is_gone(worker)));
        for client in clients.values_mut() {
            while !client.next().is_empty() {} // what others said, then the end
        }
    }
}

#[test]
fn mio_workers_answer_and_finish_what_they_have() {
    let _port = Port7000::take();
    for policy in POLICIES {
        for signal in [SIGTERM, SIGINT] {
            let mut program = start("mio_worker", policy);
            let workers = cluster::available_parallelism();
            (0..workers).for_each(|worker| drop(program.nth_line("on 127.0.0.1:7000", worker)));
            let ask = || {
                let mut client = Lines::connect().unwrap();
                client.say("hello?");
                client.next()
            };
            let mut seen = BTreeSet::new();
            for _ in 0..1000 {
                seen.insert(ask());
                if seen.len() == workers {
                    break;
                }
            }
            assert_eq!(seen.len(), workers, "{policy}: {seen:?}");
            assert!(seen.iter().all(|answer| answer.starts_with("hello from worker ")));

            let mut late = Lines::connect().unwrap();
            (0..workers * 2).for_each(|_| drop(ask())); // by now somebody has accepted it
            program.signal(signal);
            // The others, who have nothing to do any more, have gone.
            wait_until("the others' end", || program.children().len() == 1);
            late.say("am I too late?");
            assert!(late.next().starts_with("hello from worker "), "{policy}, {signal}");
            assert_eq!(program.wait().code(), Some(0), "{policy}, {signal}");
        }
    }
}

#[test]
fn embedded_master_replaces_a_worker_and_ends_on_a_signal() {
    let _port = Port7000::take();
    for policy in POLICIES {
        for signal in [SIGTERM, SIGINT] {
            let mut program = start("embedded_master", policy);
            (0..2).for_each(|worker| drop(program.nth_line("on 127.0.0.1:7000", worker)));
            assert!(hear(ADDRESS).unwrap().starts_with("hello from worker "));
            kill(program.children()[0], SIGKILL);
            program.line("left: signal: 9");
            program.nth_line("on 127.0.0.1:7000", 2);
            assert!((0..20).all(|_| hear(ADDRESS).unwrap().starts_with("hello from worker ")));
            program.signal(signal);
            assert_eq!(program.wait().code(), Some(0), "{policy}, {signal}");
            assert!(hear(ADDRESS).is_err(), "still listening");
        }
    }
}

#[test]
fn preload_counts_once_for_all_workers() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = start("preload", policy);
        program.line("listens on 127.0.0.1:7000");
        for (number, answer) in [("9999991", "yes"), ("9999990", "no"), ("ten", "who knows")] {
            let mut client = Lines::connect().unwrap();
            client.say(number);
            assert_eq!(client.next(), answer, "{policy}");
        }
        let counts = |line: &&String| line.contains("counts primes");
        assert_eq!(program.lines().iter().filter(counts).count(), 1, "{policy}");
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}
