//! Clients that keep a server busy.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    mem::take,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use crate::support::Client;

/// So many clients open a connection for each request, and so many stay on one.
const OF_EACH: usize = 6;

/// Clients that ask for `/` again and again, where the answer is the server's process.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    report: Arc<Mutex<Report>>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many answers of each process.
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) failures: Vec<Failure>,
}

/// A request that got no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) client: usize,
    /// There was a connection.
    pub(crate) connected: bool,
    /// Who had answered on this connection before, if anybody.
    pub(crate) server: Option<String>,
    #[allow(dead_code, reason = "for the one who reads why a test failed")]
    error: String,
}

impl Report {
    /// Nothing was lost but what a process had in hand when it was killed: at most one request
    /// of each client, none of a client that was served by another.
    #[track_caller]
    pub(crate) fn assert_only_killed(&self, victim: &str) {
        let mut clients = BTreeSet::new();
        for failure in &self.failures {
            let of_victim = failure.server.as_deref().is_none_or(|server| server == victim);
            let in_hand = failure.connected && of_victim && clients.insert(failure.client);
            assert!(in_hand, "{victim} was killed: {self:#?}");
        }
    }
}

impl Load {
    pub(crate) fn start(address: &str) -> Self {
        let (stop, report) = (Arc::default(), Arc::default());
        let clients = (0..2 * OF_EACH).map(|client| {
            let (address, stop) = (address.to_owned(), Arc::clone(&stop));
            let report = Arc::clone(&report);
            thread::spawn(move || run(client, &address, &stop, &report))
        });
        let clients = clients.collect();
        Self { stop, report, clients }
    }

    /// What was seen since this was last asked.
    pub(crate) fn take(&self) -> Report {
        take(&mut *self.report.lock().unwrap())
    }

    /// How many answers of each process there were since the last [`take`](Self::take).
    pub(crate) fn answers(&self) -> BTreeMap<String, u64> {
        self.report.lock().unwrap().answers.clone()
    }

    /// Lets each client finish what it does; what was seen since the last [`take`](Self::take).
    pub(crate) fn stop(mut self) -> Report {
        self.stop.store(true, SeqCst);
        for client in take(&mut self.clients) {
            client.join().unwrap();
        }
        self.take()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

fn run(client: usize, address: &str, stop: &AtomicBool, report: &Mutex<Report>) {
    let mut connection = None;
    let mut server = None;
    while !stop.load(SeqCst) {
        if connection.is_none() {
            connection = Client::connect(address).ok();
        }
        let connected = connection.is_some();
        let answer = match &mut connection {
            Some(connection) if client < OF_EACH => connection.get_once("/"),
            Some(connection) => connection.get("/"),
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let mut report = report.lock().unwrap();
        match answer {
            Ok(answer) => {
                *report.answers.entry(answer.clone()).or_default() += 1;
                server = Some(answer);
            }
            Err(error) => {
                let (server, error) = (server.take(), error.to_string());
                report.failures.push(Failure { client, connected, server, error });
                connection = None;
            }
        }
        if client < OF_EACH {
            (connection, server) = (None, None);
        }
    }
}
