//! Workers of either language that answer lines with their number, under a rule.

use cluster::{Settings, WorkerRef};
use serde_json::json;

use super::{Cluster, Lines, fixture, node, script};

/// Who the workers are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crew {
    Rust,
    Node,
}

impl Crew {
    /// Those whose runtime is here; `test` is the test's name, for the line about the others.
    pub(crate) fn available(test: &str) -> impl Iterator<Item = Self> {
        [Some(Self::Rust), node(test).then_some(Self::Node)].into_iter().flatten()
    }

    /// A master for such workers.
    pub(crate) fn cluster(self, settings: Settings) -> Cluster {
        Cluster::new(match self {
            Self::Rust => settings.exec(fixture()).arg("worker"),
            Self::Node => {
                settings.exec("node").arg(script("worker.js")).env("NODE_NO_WARNINGS", "1")
            }
        })
    }

    /// Starts workers that listen at one place: where.
    pub(crate) fn start(self, cluster: &Cluster, count: usize) -> (Vec<WorkerRef>, String) {
        let workers = cluster.fork(count);
        let mut address = String::new();
        for worker in &workers {
            address = self.listen(cluster, worker);
        }
        (workers, address)
    }

    /// Has a worker listen: where.
    pub(crate) fn listen(self, cluster: &Cluster, worker: &WorkerRef) -> String {
        match self {
            Self::Rust => {
                cluster.tell(worker, json!({ "do": "listen", "address": "127.0.0.1:0" }));
                let said = cluster.message(worker, "listening").value;
                said["listening"].as_str().unwrap().to_owned()
            }
            Self::Node => {
                let anywhere = json!({ "port": 0, "host": "127.0.0.1" });
                let at = cluster.listen(std::slice::from_ref(worker), anywhere);
                format!("127.0.0.1:{}", at["port"])
            }
        }
    }
}

/// Who answers clients with these addresses, of 127.0.0.0/8.
pub(crate) fn answers(address: &str, clients: impl IntoIterator<Item = u8>) -> Vec<u32> {
    clients
        .into_iter()
        .map(|client| Lines::connect_from([127, 0, 1, client], address).unwrap().ask("x").unwrap())
        .collect()
}
