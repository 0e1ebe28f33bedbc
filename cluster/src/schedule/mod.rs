//! Who gets the next connection that the master hands over.
//!
//! Without anything said workers take turns. [`Settings::schedule`](crate::Settings::schedule)
//! takes another rule: [`LeastConnections`], [`Sticky`], or one of your own.
//!
//! ```
//! use cluster::{Settings, schedule::{Arrival, Candidate}};
//!
//! // Clients of this machine get the first worker, the others take turns.
//! let settings = Settings::new().schedule(|arrival: &Arrival<'_>, workers: &[Candidate]| {
//!     let is_local = arrival.peer.is_some_and(|peer| peer.ip().is_loopback());
//!     is_local.then(|| workers[0].id)
//! });
//! ```

mod least_connections;
mod sticky;
mod turns;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use worker_api::Address;

pub use least_connections::LeastConnections;
pub use sticky::Sticky;
pub(crate) use turns::{Choice, Next, Standing, Turns};

/// A connection that somebody is to get.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Where it came in.
    pub listener: &'a Address,
    /// The client; none over a Unix socket.
    pub peer: Option<SocketAddr>,
}

impl<'a> Arrival<'a> {
    /// For tests of a rule of one's own.
    pub fn new(listener: &'a Address, peer: Option<SocketAddr>) -> Self {
        Self { listener, peer }
    }
}

/// A worker that may get a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub id: u32,
    /// How many connections it may be handed now; with 0 one that is chosen for it waits.
    pub credit: u32,
    /// How many it has, those on their way to it included.
    ///
    /// A Node worker does not say when a connection has ended. For one of those it is how many
    /// it was ever handed here, counted from the fewest of the others when it came.
    pub connections: u64,
}

impl Candidate {
    /// For tests of a rule of one's own.
    pub fn new(id: u32, credit: u32, connections: u64) -> Self {
        Self { id, credit, connections }
    }
}

/// A rule for who gets a connection. It has no part in handing over, and must not wait.
///
/// Each listener has a clone of its own. Closures are rules, too.
pub trait Schedule: Send {
    /// The number of the worker that gets this connection, of those given: never none, by
    /// their numbers. `None`, or a number that is not there: workers take turns.
    ///
    /// A connection for a worker without credit waits for it, and holds up nobody else; at
    /// most 64 do, then the next one goes by turns. If that worker dies or leaves, or refuses
    /// the connection, the rule is asked again.
    fn choose(&mut self, arrival: &Arrival<'_>, workers: &[Candidate]) -> Option<u32>;
}

impl<F> Schedule for F
where
    F: FnMut(&Arrival<'_>, &[Candidate]) -> Option<u32> + Send,
{
    fn choose(&mut self, arrival: &Arrival<'_>, workers: &[Candidate]) -> Option<u32> {
        self(arrival, workers)
    }
}

/// A rule as the settings keep it: each listener gets a clone.
#[derive(Clone)]
pub(crate) struct Rule(Arc<dyn Fn() -> Box<dyn Schedule> + Send + Sync>);

impl Rule {
    pub(crate) fn new<S: Schedule + Clone + 'static>(schedule: S) -> Self {
        let original = Mutex::new(schedule); // which need not be Sync
        Self(Arc::new(move || {
            Box::new(original.lock().unwrap_or_else(PoisonError::into_inner).clone())
        }))
    }

    /// A clone for one listener.
    pub(crate) fn for_listener(&self) -> Box<dyn Schedule> {
        (self.0)()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule")
    }
}
