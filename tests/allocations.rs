//! No connection costs an allocation on its way: neither in the master nor in its worker.

mod support;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use cluster::{Address, Event, Master, Policy, Result, Settings, Supervisor};
use support::{PATIENCE, example, node, script};

const CONNECTIONS: u64 = 500;

/// What may be allocated once in a while, whatever the number of connections: on a machine
/// under load a worker may seem to be stuck.
const NOW_AND_THEN: u64 = 20;

type Poll<'a> = &'a mut dyn FnMut(Duration) -> Result<Option<Event>>;

fn start(settings: Settings) -> (Master, String) {
    let mut master = Master::new(settings).unwrap();
    (0..2).for_each(|_| drop(master.fork().unwrap()));
    let place = place(&mut |timeout| master.poll(Some(timeout)));
    (master, place)
}

/// Where two workers listen, once both do.
fn place(poll: Poll<'_>) -> String {
    let (mut listening, mut place) = (0, String::new());
    let deadline = Instant::now() + PATIENCE;
    while listening < 2 {
        assert!(Instant::now() < deadline, "two workers that listen");
        if let Some(Event::Listening { address: Address::Tcp(address), .. }) =
            poll(Duration::from_millis(100)).unwrap()
        {
            (listening, place) = (listening + 1, format!("127.0.0.1:{}", address.port()));
        }
    }
    place
}

/// Connections one after the other; what the master allocates meanwhile, and what the clients
/// have heard.
fn serve(poll: Poll<'_>, client: impl FnMut() -> String + Send) -> (u64, Vec<String>) {
    let is_over = AtomicBool::new(false);
    let mut client = client;
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let answers = (0..CONNECTIONS).map(|_| client()).collect();
            is_over.store(true, SeqCst);
            answers
        });
        let counted = measure(|| {
            while !is_over.load(SeqCst) && !clients.is_finished() {
                let event = poll(Duration::from_millis(10)).unwrap();
                assert!(event.is_none(), "{event:?}");
            }
        });
        (counted.count_total, clients.join().unwrap())
    })
}

fn hear(address: &str) -> io::Result<String> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn connections_to_workers_of_ours_allocate_nothing() {
    for policy in [Policy::RoundRobin, Policy::Shared, Policy::ReusePort] {
        for how in ["wait", "try"] {
            let settings = Settings::new().exec(example("counting")).args([how]).policy(policy);
            let (mut master, address) = start(settings);
            let client = || hear(&address).unwrap();
            let poll: Poll<'_> = &mut |timeout| master.poll(Some(timeout));
            serve(poll, client); // which takes the room that stays
            let (in_master, counts) = serve(poll, client);
            assert!(in_master <= NOW_AND_THEN, "{policy:?}, {how}: {in_master} in the master");
            let counts: Vec<u64> = counts.iter().map(|text| text.trim().parse().unwrap()).collect();
            // Of two workers, each of which counts from its beginning on.
            let most = counts.iter().max().unwrap();
            assert!(*most <= NOW_AND_THEN, "{policy:?}, {how}: {most} in a worker");
        }
    }
}

#[test]
fn nor_under_a_supervisor() {
    let settings = Settings::new().exec(example("counting")).policy(Policy::RoundRobin);
    let supervisor = Supervisor::new(settings).workers(2).without_signals();
    let mut supervised = supervisor.start().unwrap();
    let poll: Poll<'_> = &mut |timeout| supervised.poll(Some(timeout));
    let address = place(poll);
    let client = || hear(&address).unwrap();
    serve(poll, client);
    let (in_master, _) = serve(poll, client);
    assert!(in_master <= NOW_AND_THEN, "{in_master}");
}

/// A Node worker costs a message and a share of its connection, and no tree of JSON.
#[test]
fn a_connection_to_a_node_worker_allocates_twice() {
    if !node("a_connection_to_a_node_worker_allocates_twice") {
        return;
    }
    let settings =
        Settings::new().exec("node").arg(script("server.js")).arg("0").policy(Policy::RoundRobin);
    let (mut master, address) = start(settings);
    let client = || {
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    };
    let poll: Poll<'_> = &mut |timeout| master.poll(Some(timeout));
    serve(poll, client);
    let (in_master, answers) = serve(poll, client);
    assert!(answers.iter().all(|text| text.starts_with("HTTP/1.1 200")), "{answers:?}");
    assert!(in_master <= 2 * CONNECTIONS + NOW_AND_THEN, "{in_master} for {CONNECTIONS}");
}
