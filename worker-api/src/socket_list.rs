//! Sockets that were sent to other processes, to be counted and waited for.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{Channel, Error, Handle, Result, wire::Sockets};

/// Connections that were sent to children, which may still have them: Node's counting of a
/// server's sockets, for servers that want to end when their connections have.
///
/// A Node child counts what it was sent until it is closed. In one of ours counts what it
/// makes a [`Connection`](crate::Connection) of
/// ([`Message::into_connection`](crate::Message::into_connection)), until that is dropped.
/// Children that have gone have nothing.
#[derive(Debug)]
pub struct SocketList {
    key: String,
    /// Who was sent something, each once.
    channels: Mutex<Vec<Channel>>,
}

impl SocketList {
    /// An empty list.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let key = format!("list:{}", NEXT.fetch_add(1, Relaxed));
        Self { key, channels: Mutex::default() }
    }

    fn channels(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message with a connection, as [`Channel::send_handle`] does.
    ///
    /// # Errors
    ///
    /// As there; `InvalidInput` for what is no TCP or Unix connection.
    pub fn send<T>(&self, to: &Channel, message: &T, socket: impl Into<Handle>) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        let mut channels = self.channels();
        channels.retain(Channel::is_connected);
        if !channels.iter().any(|channel| channel.is(to)) {
            channels.push(to.clone());
        }
        drop(channels);
        to.send_listed(message, socket.into(), &self.key)
    }

    /// How many of them the children have, each of which is asked and served meanwhile.
    ///
    /// # Errors
    ///
    /// `TimedOut` if one of them has not answered so long.
    pub fn count(&self, timeout: Duration) -> Result<u64> {
        let answers = self.ask(Sockets::GetCount, timeout)?;
        let late = || Error::Io(io::ErrorKind::TimedOut.into());
        answers.into_iter().sum::<Option<u64>>().ok_or_else(late)
    }

    /// Waits at most so long until all of them are closed; `false` if some are not. Those that
    /// are sent meanwhile may be missed.
    ///
    /// # Errors
    ///
    /// What the system says of waiting.
    pub fn wait_closed(&self, timeout: Duration) -> Result<bool> {
        let answers = self.ask(Sockets::NotifyClose, timeout)?;
        Ok(answers.iter().all(Option::is_some))
    }

    /// Asks everybody at once; `None` for who has not answered in time.
    fn ask(
        &self,
        question: impl Fn(String) -> Sockets,
        timeout: Duration,
    ) -> Result<Vec<Option<u64>>> {
        let deadline = Instant::now().checked_add(timeout);
        let channels = self.channels().clone();
        let asked = channels.iter().map(|channel| channel.ask(question(self.key.clone())));
        let asked: Vec<_> = asked.collect::<io::Result<_>>()?;
        let answers =
            channels.iter().zip(asked).map(|(channel, one)| channel.answer(one, deadline));
        Ok(answers.collect::<io::Result<_>>()?)
    }
}

impl Default for SocketList {
    fn default() -> Self {
        Self::new()
    }
}
