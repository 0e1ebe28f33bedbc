//! A message between two processes.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{Connection, Error, Handle, Result, connection::Ticket, ledger::Entry, structured};

/// A message from the other process, and the socket that came with it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Message<T = Value> {
    /// What it says; on an advanced channel as far as JSON can say it
    /// ([`structured::Value::to_json`]).
    pub value: T,
    /// The socket that came with it.
    pub handle: Option<Handle>,
    pub(crate) structured: Option<Box<structured::Value>>,
    pub(crate) entry: Option<Entry>,
}

impl<T> Message<T> {
    /// A message as it was received, for those who build a master.
    pub fn new(value: T, handle: Option<Handle>) -> Self {
        Self { value, handle, structured: None, entry: None }
    }

    /// All that it says, on a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced); `None` on one that speaks
    /// JSON, where [`value`](Self::value) is all.
    pub fn structured(&self) -> Option<&structured::Value> {
        self.structured.as_deref()
    }

    /// As [`structured`](Self::structured), for good.
    pub fn into_structured(self) -> Option<structured::Value> {
        self.structured.map(|value| *value)
    }

    /// The connection that came with it, if one did. It is none of a worker's own
    /// [`connections`](crate::Worker::connections).
    ///
    /// Who sent it with a [`SocketList`](crate::SocketList), or as a Node server's, counts it
    /// until it is dropped; a plain stream taken out of [`handle`](Self::handle) until the
    /// message is.
    pub fn into_connection(self) -> Option<Connection> {
        let ticket = Ticket::of_entry(self.entry);
        match self.handle? {
            Handle::TcpStream(stream) => Some(Connection::new(stream.into(), None, false, ticket)),
            Handle::UnixStream(stream) => Some(Connection::new(stream.into(), None, true, ticket)),
            _ => None,
        }
    }
}

impl Message {
    /// The [`value`](Self::value) in a type of one's own, without a copy of its texts. What JSON
    /// cannot say is in [`structured`](Self::structured) alone.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the value has another shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        T::deserialize(&self.value).map_err(|source| Error::Decode { source: source.into() })
    }
}

impl From<Value> for Message {
    fn from(value: Value) -> Self {
        Self::new(value, None)
    }
}

/// The value alone: so a relay can send the message on.
impl<T: Serialize> Serialize for Message<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(output)
    }
}
