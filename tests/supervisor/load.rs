//! Clients that never stop asking, and notice everything.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use crate::support::{Client, get};

/// Clients at work: some open a connection for each request, some keep theirs.
pub(crate) struct Load {
    stops: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What clients have met with.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: usize,
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// So many clients with a connection for each request, and so many that keep theirs.
    pub(crate) fn on(address: &str, singles: usize, keepers: usize) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let start = |keep: bool| {
            let (stops, address) = (stops.clone(), address.to_owned());
            thread::spawn(move || work(&address, keep, &stops))
        };
        let clients = (0..singles + keepers).map(|client| start(client >= singles)).collect();
        Self { stops, clients }
    }

    pub(crate) fn end(self) -> Tally {
        self.stops.store(true, Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let one = client.join().unwrap();
            all.answers += one.answers;
            all.failures.extend(one.failures);
        }
        all
    }
}

fn work(address: &str, keep: bool, stops: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    while !stops.load(Relaxed) {
        let outcome = match keep {
            true => keep_asking(address, stops, &mut tally.answers),
            false => get(address).map(|_| tally.answers += 1),
        };
        let kind = if keep { "kept" } else { "single" };
        tally.failures.extend(outcome.err().map(|error| format!("{kind}: {error:?}")));
    }
    tally
}

/// One connection, until the server says that it closes it.
fn keep_asking(address: &str, stops: &AtomicBool, answers: &mut usize) -> io::Result<()> {
    let mut client = Client::connect(address)?;
    while !client.is_closing && !stops.load(Relaxed) {
        client.get("/")?;
        *answers += 1;
    }
    Ok(())
}
