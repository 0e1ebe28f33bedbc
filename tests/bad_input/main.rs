//! A worker may be anybody's: whatever it writes, the master serves the others on, and keeps
//! neither its memory nor its descriptors.

#[path = "../support/mod.rs"]
mod support;

mod breaking;
mod flooding;
mod nuisance;

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cluster::{Event, Policy, Settings, WorkerRef};
use serde_json::{Value, json};
use support::{Cluster, Lines, fixture, kill, open_descriptors, wait_until};

const POLICIES: [Policy; 3] = [Policy::Shared, Policy::RoundRobin, Policy::ReusePort];
const ANYWHERE: &str = "127.0.0.1:0";

/// Descriptors and memory are this process's, so one test runs at a time.
static STAGE: Mutex<()> = Mutex::new(());

/// A master with a worker that serves and one that will not behave.
struct Scene {
    cluster: Cluster,
    address: String,
    hostile: WorkerRef,
    /// The master's descriptors before the hostile worker came.
    descriptors: usize,
    policy: Policy,
    _stage: MutexGuard<'static, ()>,
}

impl Scene {
    /// The hostile worker is there, and waits for its cue.
    fn with(policy: Policy, mischief: &'static str) -> Self {
        let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = Settings::new().exec(fixture()).arg("worker").policy(policy);
        let cluster = Cluster::new(settings);
        let good = &cluster.fork(1)[0];
        cluster.tell(good, json!({ "do": "listen", "address": ANYWHERE }));
        let address = said(&cluster, good)["listening"].as_str().unwrap().to_owned();
        Lines::connect(&address).unwrap().ask("warm").unwrap();
        forget(&cluster);
        let descriptors = open_descriptors(std::process::id()).len();

        use cluster::child_process::Stdio;
        let stdio = [Stdio::Ipc, Stdio::Inherit, Stdio::Inherit];
        let settings = Settings::new().args(["hostile", mischief]).stdio(stdio);
        cluster.with(|master| master.setup(settings).unwrap());
        let hostile = cluster.fork(1).remove(0);
        assert_eq!(said(&cluster, &hostile), "ready");
        Self { cluster, address, hostile, descriptors, policy, _stage: stage }
    }

    /// Now it begins.
    fn go(&self) {
        self.hostile.send("go").unwrap();
    }

    /// What the hostile worker says next.
    fn told(&self) -> Value {
        said(&self.cluster, &self.hostile)
    }

    #[track_caller]
    fn is_served(&self) {
        assert_eq!(Lines::connect(&self.address).unwrap().ask("x").unwrap(), 1);
    }

    /// Waits until the master has hung up on the hostile worker; with what error.
    #[track_caller]
    fn error(&self) -> String {
        let event = self.cluster.event("error", |event| matches!(event, Event::Error { .. }));
        let Event::Error { worker, error } = event else { unreachable!() };
        assert_eq!(worker, self.hostile);
        self.gone();
        format!("{error:?}")
    }

    /// Waits for the hostile worker's end, disconnect before exit.
    #[track_caller]
    fn gone(&self) {
        let is_it = |of: &WorkerRef| *of == self.hostile;
        self.cluster
            .event("end", |event| matches!(event, Event::Exit { worker, .. } if is_it(worker)));
        assert!(self.cluster.has_seen(|event| {
            matches!(event, Event::Disconnect { worker, .. } if is_it(worker))
        }));
        assert!(!self.hostile.exited_after_disconnect());
    }

    /// Ends a hostile worker that is still there.
    fn end(self) {
        if !self.hostile.is_dead() {
            kill(self.hostile.pid(), nix::sys::signal::Signal::SIGKILL);
            self.gone();
        }
        self.leaves_nothing();
    }

    /// The others are served, and nothing is left of the hostile worker.
    #[track_caller]
    fn leaves_nothing(self) {
        self.is_served();
        let Self { cluster, hostile, descriptors, policy, .. } = &self;
        assert!(hostile.is_dead() && hostile.addresses().is_empty());
        let (pid, hostile) = (std::process::id(), hostile.clone());
        drop(hostile);
        forget(cluster);
        // Two more, which our reference keeps: those of the process and of its scoreboard. And a
        // socket of its own is for the next worker.
        let kept = 2 + usize::from(*policy == Policy::ReusePort);
        wait_until("as many descriptors as before", || {
            open_descriptors(pid).len() <= descriptors + kept
        });
    }
}

/// The next message of a worker.
fn said(cluster: &Cluster, worker: &WorkerRef) -> Value {
    let event = cluster.event(
        &format!("message of {worker}"),
        |event| matches!(event, Event::Message { worker: of, .. } if of == worker),
    );
    let Event::Message { message, .. } = event else { unreachable!() };
    message.value
}

/// Drops the events that have happened, and the references to workers in them.
fn forget(cluster: &Cluster) {
    while cluster.has_seen(|_| true) {
        cluster.event("any", |_| true);
    }
}

/// What the kernel says of this process's memory, in MiB: `VmRSS` or `VmHWM`.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}
