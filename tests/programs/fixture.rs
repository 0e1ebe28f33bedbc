//! Small programs for the tests: the first argument names the role.

use std::{
    env,
    os::unix::process::parent_id,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

#[path = "../conformance/players/mod.rs"]
mod conformance;
mod door;
#[path = "../support/handles.rs"]
mod handles;
mod hanging;
mod hostile;
mod master;
mod once;
mod opener;
mod parting;
mod preloaded;
mod report;
mod supervise;
mod supervised;
mod under_systemd;
#[path = "../support/values.rs"]
mod values;
mod worker;

/// Who has started this process.
static PARENT: AtomicU32 = AtomicU32::new(0);

/// Does nothing any more, whatever others ask for; but nobody is to be left behind whose parent is
/// gone.
fn hang() -> ! {
    while !is_orphan() {
        thread::park_timeout(Duration::from_millis(50));
    }
    process::exit(1)
}

fn is_orphan() -> bool {
    parent_id() != PARENT.load(Ordering::Relaxed)
}

/// With the policy that `CLUSTER_POLICY` names, which may be `reuse-port`, or `by-cpu`: the same,
/// spread by CPU.
fn under(settings: cluster::Settings) -> cluster::Settings {
    match env::var("CLUSTER_POLICY").as_deref() {
        Ok("reuse-port") => settings.policy(cluster::Policy::ReusePort),
        Ok("by-cpu") => settings.policy(cluster::Policy::ReusePort).pin_cpus().spread_by_cpu(),
        Ok(other) => panic!("there is no policy {other:?} here"),
        Err(_) => settings,
    }
}

fn main() {
    PARENT.store(parent_id(), Ordering::Relaxed);
    env_logger::init();
    let role = env::args().nth(1).unwrap_or_default();
    let outcome: cluster::Result<()> = match role.as_str() {
        "conformance-child" => conformance::child::run(),
        "conformance-primary" => conformance::primary::run(),
        "conformance-worker" => conformance::worker::run(),
        "master" => master::run(),
        "door" => door::run(),
        "hanging" => hanging::run(),
        "hostile" => hostile::run(),
        "once" => once::run(),
        "opener" => opener::run(),
        "parting" => parting::run(),
        "preloaded" => preloaded::run(),
        "report" => report::run(),
        "supervise" => supervise::run(),
        "supervised" => supervised::run(),
        "under-systemd" => under_systemd::run(),
        "worker" => worker::run(),
        _ => {
            eprintln!("fixture: there is no role {role:?}");
            process::exit(2);
        }
    };
    if let Err(error) = outcome {
        eprintln!("fixture: {error:?}");
        process::exit(1);
    }
}
