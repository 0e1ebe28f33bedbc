//! Clients that stay: programs that say what happens.

use std::{collections::BTreeMap, process::Command};

use crate::{file, support::Program};

/// A program that is many clients; see `ws_client.js`.
pub(crate) struct Clients {
    program: Program,
    count: usize,
}

/// How often something happened, for each process of the server.
pub(crate) type Counts = BTreeMap<String, usize>;

impl Clients {
    pub(crate) fn start(script: &str, address: &str, count: usize) -> Self {
        let mut command = Command::new("node");
        command.arg(file(script)).args([address, &count.to_string()]);
        Self { program: Program::start_obedient(&mut command), count }
    }

    pub(crate) fn count(&self, word: &str) -> Counts {
        count(&self.program.lines(), word)
    }

    /// Waits until something has happened so often in all.
    #[track_caller]
    pub(crate) fn wait_for(&self, word: &str, times: usize) -> Counts {
        self.program.look(&format!("{times} times {word}"), |lines| {
            let counts = count(lines, word);
            (counts.values().sum::<usize>() >= times).then_some(counts)
        })
    }

    /// Waits until all clients have left: how many connections were lost before.
    #[track_caller]
    pub(crate) fn say_goodbye(mut self) -> Counts {
        self.program.end_input();
        assert_eq!(self.program.wait().code(), Some(0), "{:#?}", self.program.lines());
        self.wait_for("bye", self.count);
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
