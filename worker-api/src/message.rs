//! A message between two processes.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{
    Connection, Error, Handle, Result,
    connection::Ticket,
    ledger::{Entry, Holder},
    structured,
};

/// A message from the other process, and the socket that came with it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Message {
    /// What it says; on an advanced channel as far as JSON can say it
    /// ([`structured::Value::to_json`]).
    pub value: Value,
    /// The socket that came with it.
    pub handle: Option<Handle>,
    structured: Option<structured::Value>,
    /// Under which its sender counts the socket, until the entry takes it.
    pub(crate) key: Option<String>,
    pub(crate) entry: Option<Entry>,
}

impl Message {
    /// A message as it was received, for those who build a master.
    pub fn new(value: Value, handle: Option<Handle>) -> Self {
        Self { value, handle, structured: None, key: None, entry: None }
    }

    /// All that it says, on a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced); `None` on one that speaks
    /// JSON, where [`value`](Self::value) is all.
    pub fn structured(&self) -> Option<&structured::Value> {
        self.structured.as_ref()
    }

    /// As [`structured`](Self::structured), for good.
    pub fn into_structured(self) -> Option<structured::Value> {
        self.structured
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

    /// Enters its socket in the books of who received it.
    pub(crate) fn entered<H: Holder + 'static>(mut self, holder: &Arc<H>) -> Self {
        self.entry = self.key.take().map(|key| Entry::new(key, holder));
        self
    }

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

impl From<structured::Value> for Message {
    fn from(value: structured::Value) -> Self {
        let mut message = Self::new(value.to_json(), None);
        message.structured = Some(value);
        message
    }
}

/// The value alone: so a relay can send the message on.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(output)
    }
}
