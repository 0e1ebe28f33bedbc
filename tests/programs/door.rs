//! A master behind the plain functions, and its workers, which use them wrongly.

use std::env;

use cluster::{Error, Event, Result, Settings};

pub(crate) fn run() -> Result<()> {
    if cluster::is_worker() { in_worker() } else { in_master() }
}

fn in_worker() -> Result<()> {
    assert!(!cluster::is_master());
    let errors = [
        cluster::fork().map(drop),
        cluster::setup(Settings::new()),
        cluster::run(),
        cluster::events().next().expect("an error").map(drop),
    ];
    for error in errors {
        assert!(matches!(error, Err(Error::NotMaster)), "{error:?}");
    }
    assert!(cluster::workers().is_empty());
    cluster::disconnect(); // nothing to disconnect
    let worker = cluster::worker()?.expect("a worker");
    worker.send(&env::var("COLOUR").unwrap_or_default())?;
    while worker.recv()?.is_some() {}
    Ok(())
}

fn in_master() -> Result<()> {
    assert!(cluster::is_master());
    assert!(cluster::workers().is_empty());
    assert!(cluster::events().next().is_none(), "no worker, no event");
    cluster::setup(Settings::new().env("COLOUR", "red"))?;
    let first = cluster::fork()?;
    cluster::setup(Settings::new().env("COLOUR", "blue"))?;
    let second = cluster::fork()?;
    assert_eq!(cluster::workers(), [first.clone(), second.clone()]);
    let refused = cluster::listen("127.0.0.1:0").map(drop).expect_err("a master");
    assert_eq!(refused.to_string(), "this process is not a worker");
    let (mut told, mut left) = (Vec::new(), Vec::new());
    for event in cluster::events() {
        match event? {
            Event::Message { worker, message } => {
                told.push((worker.id(), message.value));
                if told.len() == 2 {
                    std::thread::spawn(cluster::disconnect); // while this one waits
                }
            }
            Event::Exit { worker, status } => {
                assert!(worker.exited_after_disconnect() && status.success(), "{status}");
                left.push(worker.id());
            }
            _ => {}
        }
    }
    told.sort_by_key(|(id, _)| *id);
    left.sort_unstable();
    assert_eq!(told, [(1, "red".into()), (2, "blue".into())]);
    assert_eq!(left, [1, 2]);
    assert!(cluster::workers().is_empty());
    println!("all is well");
    Ok(())
}
