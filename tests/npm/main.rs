//! Programs from npm as workers of ours, written as their own documentation has it.
//!
//! `npm ci --prefix tests/npm` installs what they need.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod http;
mod load;
mod socket_io;
mod websocket;

use std::io::Write as _;
use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use cluster::{Address, Event, Policy, Settings, WorkerRef, child_process::Stdio};
use nix::sys::signal::Signal::SIGKILL;
use support::{Cluster, node};

const POLICIES: [Policy; 3] = [Policy::RoundRobin, Policy::Shared, Policy::ReusePort];
const WORKERS: usize = 4;

/// A file of this folder.
fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "npm", name].iter().collect()
}

/// Whether there are `node` and the packages. Where they are missing the test says so and is
/// over; in CI they must be there, unless `NO_NPM` says that no registry is in reach.
fn installed(test: &str) -> bool {
    if !node(test) {
        return false;
    }
    let found = file("node_modules").is_dir();
    if !found {
        let may_miss = std::env::var_os("CI").is_none() || std::env::var_os("NO_NPM").is_some();
        assert!(may_miss, "{test}: npm's packages are missing in CI");
        // Not `eprintln!`, which libtest holds back.
        writeln!(std::io::stderr(), "SKIPPED {test}: run `npm ci --prefix tests/npm` first")
            .unwrap();
    }
    found
}

/// A master whose workers run one of the programs, where they listen, and who they are.
struct Service {
    cluster: Cluster,
    workers: Vec<WorkerRef>,
    address: String,
}

impl Service {
    fn start(program: &str, policy: Policy) -> Self {
        Self::with(program, |settings| settings.policy(policy))
    }

    fn with(program: &str, set: impl Fn(Settings) -> Settings) -> Self {
        let settings = Settings::new()
            .exec("node")
            .arg(file(program))
            .env("PORT", "0")
            .env("NODE_NO_WARNINGS", "1")
            .env_remove("NODE_ENV")
            .stdio([Stdio::Ignore, Stdio::Ignore, Stdio::Inherit, Stdio::Ipc]);
        let cluster = Cluster::new(set(settings));
        let workers = cluster.fork(WORKERS);
        let ports: Vec<_> = workers.iter().map(|worker| listening(&cluster, worker)).collect();
        assert!(ports.iter().all(|&port| port == ports[0]), "{ports:?}");
        Self { cluster, workers, address: format!("127.0.0.1:{}", ports[0]) }
    }

    /// Kills a worker, and starts another in answer to its end.
    fn kill_and_replace(&mut self, victim: &str) {
        self.kill(victim);
        self.replace();
    }

    fn kill(&mut self, victim: &str) {
        let is_victim = |worker: &WorkerRef| worker.pid().to_string() == victim;
        let index = self.workers.iter().position(is_victim).unwrap();
        let killed = self.workers.remove(index);
        support::kill(killed.pid(), SIGKILL);
        assert_eq!(self.cluster.end(&killed), (None, false));
    }

    /// Starts one more worker, which is to listen where the others do; its process.
    fn replace(&mut self) -> String {
        self.workers.extend(self.cluster.fork(1));
        let worker = self.workers.last().unwrap();
        let port = listening(&self.cluster, worker);
        assert!(self.address.ends_with(&format!(":{port}")), "{port}, not {}", self.address);
        worker.pid().to_string()
    }

    /// The processes of the workers.
    fn pids(&self) -> BTreeSet<String> {
        self.workers.iter().map(|worker| worker.pid().to_string()).collect()
    }

    /// Asks all workers to leave.
    fn disconnect(&self) {
        self.workers.iter().for_each(WorkerRef::disconnect);
    }

    /// Waits until all have left, on purpose and without a complaint.
    fn assert_clean_end(&self) {
        for worker in &self.workers {
            assert_eq!(self.cluster.end(worker), (Some(0), true), "{worker}");
        }
    }
}

/// The port that a worker listens on, reachable over IPv4.
fn listening(cluster: &Cluster, worker: &WorkerRef) -> u16 {
    let event = cluster.event(&format!("listening {worker}"), |event| {
        matches!(event, Event::Listening { worker: of, address }
            if of == worker && address.ip().is_some_and(takes_ipv4))
    });
    let Event::Listening { address: Address::Tcp(address), .. } = event else { unreachable!() };
    address.port()
}

fn takes_ipv4(ip: IpAddr) -> bool {
    ip.is_ipv4() || ip.is_unspecified()
}
