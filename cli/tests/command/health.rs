//! Workers that hang, and workers that are spent.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use crate::support::{PATIENCE, Place, Program, example, path, ready, wait_for, wait_until};

/// A master over one worker, and where that listens.
fn start(place: &Place, options: &[&str]) -> (Program, String) {
    let program = example("endless");
    let master = place.run(&[&["-w", "1"], options, &["--", path(&program)]].concat());
    let line = master.line("serves at ");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    (master, address)
}

/// A connection, and the worker that has it.
fn connect(address: &str) -> (TcpStream, u32) {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(&client).read_line(&mut line).unwrap();
    (client, line.trim().parse().unwrap())
}

#[test]
fn who_hangs_is_ended() {
    let place = Place::new();
    let (master, address) = start(&place, &["--watchdog", "2s"]);
    let (mut client, worker) = connect(&address);
    assert_eq!(worker, 1);
    client.write_all(b"!").unwrap();
    master.line("worker 1 hangs");
    let exit = wait_for("the end of the first", || {
        place.status()["slots"][0]["last_exit"].as_str().map(str::to_owned)
    });
    assert!(exit.starts_with("signal: 6 (SIGABRT)"), "{exit}");
    assert!(ready(&place.wait_for_workers(1))[0]["worker"].as_u64() > Some(1));
}

/// Asks until another worker serves.
fn is_replaced(options: &[&str], reason: &str) {
    let place = Place::new();
    let (master, address) = start(&place, options);
    wait_until("a new worker", || connect(&address).1 > 1);
    let line = master.line("worker 1 is to be replaced: ");
    assert!(line.contains(reason), "{line}");
    let status = place.wait_for_workers(1);
    assert!(ready(&status)[0]["last_exit"].is_null(), "{status}");
}

#[test]
fn recycled_by_connections() {
    is_replaced(&["--recycle-connections", "20"], " connections");
}

#[test]
fn recycled_by_age() {
    is_replaced(&["--recycle-age", "500ms"], " s old");
}

#[test]
fn recycled_by_memory() {
    is_replaced(&["--recycle-memory", "100K"], " MiB of memory");
}
