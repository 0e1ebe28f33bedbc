//! Connections that stay: the echo server of `ws`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use cluster::Policy;

use crate::{POLICIES, Service, WORKERS, file, installed, support::Program};

/// So many of one program.
const CLIENTS: usize = 40;

#[test]
fn websockets_outlive_another_worker() {
    if installed("websockets_outlive_another_worker") {
        POLICIES.iter().for_each(|&policy| echo(policy));
    }
}

/// With connections that are busy all the time: a worker is killed, its clients go to the
/// others, its successor gets new ones, all leave.
fn echo(policy: Policy) {
    let mut service = Service::start("ws_server.js", policy);
    let first = Clients::start(&service.address);
    let open = first.wait_for("open", CLIENTS);
    assert_eq!(first.count("lost"), BTreeMap::new(), "{policy:?}");

    let (victim, &lost) = open.iter().next().unwrap();
    service.kill_and_replace(victim);
    let all_lost = BTreeMap::from([(victim.clone(), lost)]);
    assert_eq!(first.wait_for("lost", lost), all_lost, "{policy:?}");
    first.wait_for("open", CLIENTS + lost);

    let second = Clients::start(&service.address);
    let reopened = second.wait_for("open", CLIENTS);
    if policy == Policy::RoundRobin {
        assert_eq!(open.len(), WORKERS, "{open:?}");
        assert_eq!(reopened.into_keys().collect::<BTreeSet<_>>(), service.pids());
    }
    assert_eq!(second.say_goodbye(), BTreeMap::new(), "{policy:?}");
    assert_eq!(first.say_goodbye(), all_lost, "{policy:?}");
    service.disconnect();
    service.assert_clean_end();
}

/// A program that is many clients.
struct Clients(Program);

/// How often something happened, for each process of the server.
type Counts = BTreeMap<String, usize>;

impl Clients {
    fn start(address: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(file("ws_client.js")).args([address, &CLIENTS.to_string()]);
        Self(Program::start_obedient(&mut command))
    }

    fn count(&self, word: &str) -> Counts {
        count(&self.0.lines(), word)
    }

    /// Waits until something has happened so often in all.
    fn wait_for(&self, word: &str, times: usize) -> Counts {
        self.0.look(&format!("{times} times {word}"), |lines| {
            let counts = count(lines, word);
            (counts.values().sum::<usize>() >= times).then_some(counts)
        })
    }

    /// Waits until all clients have left: how many connections were lost before.
    fn say_goodbye(mut self) -> Counts {
        self.0.end_input();
        assert_eq!(self.0.wait().code(), Some(0), "{:#?}", self.0.lines());
        self.wait_for("bye", CLIENTS);
        self.count("lost")
    }
}

fn count(lines: &[String], word: &str) -> Counts {
    let mut counts = BTreeMap::new();
    for line in lines {
        match line.split_once(' ') {
            Some((first, server)) if first == word => {
                *counts.entry(server.to_owned()).or_default() += 1;
            }
            Some(("open" | "lost" | "bye", _)) => {}
            _ => panic!("the clients say {line:?}"),
        }
    }
    counts
}
