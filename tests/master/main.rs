//! `cluster::Master` in a program of one's own, with real workers.

#[path = "../support/mod.rs"]
mod support;

mod advanced;
mod crowd;
mod handing_over;
mod leaving;
mod life;
mod listening;
mod loops;
mod passed;
mod paths;
mod reuse_port;
mod scheduling;
mod score;
mod shared;
mod starting;
mod supervised;
mod talking;

use cluster::{Event, Policy, Settings, WorkerRef};
use serde_json::{Value, json};
use support::{Cluster, fixture, stopped as stop, wait_for};

const POLICIES: [Policy; 3] = [Policy::Shared, Policy::RoundRobin, Policy::ReusePort];
const ANYWHERE: &str = "127.0.0.1:0";

/// Workers of this role of the fixture.
fn role(name: &str) -> Settings {
    Settings::new().exec(fixture()).arg(name)
}

/// A master whose workers do what they are told (`tests/programs/worker.rs`).
fn obedient(policy: Policy) -> Cluster {
    Cluster::new(role("worker").policy(policy))
}

/// Has a worker listen: where it does, or the name of the error.
fn listen(cluster: &Cluster, worker: &WorkerRef, address: &str) -> Result<String, String> {
    ask(cluster, worker, "listen", address)
}

/// Has a worker listen on an address that its last owner has just left: a process that is
/// being started meanwhile has a copy of everything for a moment.
fn listen_soon(cluster: &Cluster, worker: &WorkerRef, address: &str) -> String {
    wait_for("a free address", || listen(cluster, worker, address).ok())
}

fn ask(cluster: &Cluster, worker: &WorkerRef, act: &str, at: &str) -> Result<String, String> {
    cluster.tell(worker, json!({ "do": act, "address": at }));
    let answer = says(cluster, worker, |value| {
        value.get("listening").is_some() || value.get("failed").is_some()
    });
    match answer["listening"].as_str() {
        Some(address) => Ok(address.to_owned()),
        None => Err(answer["failed"].as_str().unwrap().to_owned()),
    }
}

/// Waits for a message of a worker.
fn says(cluster: &Cluster, worker: &WorkerRef, like: impl Fn(&Value) -> bool) -> Value {
    let event = cluster.event(&format!("message of {worker}"), |event| {
        matches!(event, Event::Message { worker: of, message } if of == worker && like(&message.value))
    });
    let Event::Message { message, .. } = event else { unreachable!() };
    message.value
}

/// Waits for the event that a worker listens: where, as the master says.
fn listens(cluster: &Cluster, worker: &WorkerRef) -> cluster::Address {
    let event = cluster.event(
        &format!("listening of {worker}"),
        |event| matches!(event, Event::Listening { worker: of, .. } if of == worker),
    );
    let Event::Listening { address, .. } = event else { unreachable!() };
    address
}
