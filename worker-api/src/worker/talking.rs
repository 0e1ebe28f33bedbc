//! A worker's messages.

use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::Worker;
use crate::{
    Handle, Message, Result,
    letter::{Content, Letter, Read},
    structured::Value,
    wire::pack,
};

impl Worker {
    /// Sends a message to the master and waits until the system has it; the channel is served
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`](crate::Error::Encode) if serde cannot say it in JSON's terms, [`Error::Disconnected`](crate::Error::Disconnected) if the
    /// master is gone.
    pub fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<()> {
        self.core.endpoint.send(self.serialization().encode(message)?, None)
    }

    /// Sends a structured value as [`send`](Self::send) does: bytes, dates, maps and what else
    /// JSON has no word for.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::NotAdvanced`](crate::Error::NotAdvanced) if the channel speaks JSON.
    pub fn send_structured(&self, value: &Value) -> Result<()> {
        self.core.endpoint.send(self.serialization().encode_structured(value)?, None)
    }

    /// Sends a message with a socket and waits until the other side has it, serving the
    /// channel meanwhile. The socket is the other side's then, also when this fails: keep
    /// yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and `InvalidInput` if the socket is not what it says.
    pub fn send_handle<T>(&self, message: &T, handle: impl Into<Handle>) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        let (message, rider) = pack(self.serialization(), message, handle.into())?;
        self.core.endpoint.send(message, Some(rider))
    }

    /// Sends messages with as few writes as their length allows, and waits until the system has
    /// them. For those who have many: each takes a fraction of the time of [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); those before the one that cannot be said are sent.
    pub fn send_many<T: Serialize>(&self, messages: impl IntoIterator<Item = T>) -> Result<()> {
        self.core.endpoint.send_many(messages)
    }

    /// Sends a message without waiting. `false`: the master does not keep up (128 KiB or more
    /// are queued); the rest is written by whoever waits on this worker next.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Full`](crate::Error::Full) with 256 MiB queued.
    pub fn try_send<T: Serialize + ?Sized>(&self, message: &T) -> Result<bool> {
        self.core.endpoint.try_send(self.serialization().encode(message)?, None)
    }

    /// Waits for the next message of the master. `None`: the channel is closed.
    ///
    /// Messages that nobody receives are kept up to 64 MiB; later ones are dropped, and the
    /// log says so.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) and [`Error::Protocol`](crate::Error::Protocol), once, if the master wrote rubbish; the channel
    /// is closed then. On an advanced channel also `Decode` for a message that is none here, say
    /// with an object inside itself: the next call gives the next one.
    pub fn recv(&self) -> Result<Option<Message>> {
        self.open(self.core.endpoint.receive(None)?, Content::value)
    }

    /// As [`recv`](Self::recv), in a type of one's own, read straight from the text: several
    /// times cheaper than a tree of JSON.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`Error::Decode`](crate::Error::Decode) for a message of another shape, which is
    /// lost, its socket with it: the next call gives the next one.
    pub fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        self.open(self.core.endpoint.receive(None)?, Content::parse)
    }

    /// The next message if one is there now.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Message>> {
        self.open(self.core.endpoint.try_receive()?, Content::value)
    }

    /// As [`try_recv`](Self::try_recv), in a type of one's own.
    ///
    /// # Errors
    ///
    /// As [`recv_as`](Self::recv_as).
    pub fn try_recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        self.open(self.core.endpoint.try_receive()?, Content::parse)
    }

    /// Waits for messages and adds those that have come, at most so many, to the buffer; how
    /// many. 0: the channel is closed, or `limit` is 0.
    ///
    /// # Errors
    ///
    /// As [`recv_as`](Self::recv_as). What came before the message that cannot be read is in the
    /// buffer.
    pub fn recv_many<T: DeserializeOwned>(
        &self,
        buffer: &mut Vec<Message<T>>,
        limit: usize,
    ) -> Result<usize> {
        self.core.endpoint.receive_many(buffer, limit, &self.core)
    }

    /// Waits for the next message at most so long. `None`: not in time, or closed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>> {
        let deadline = Instant::now().checked_add(timeout);
        self.open(self.core.endpoint.receive(deadline)?, Content::value)
    }

    fn open<T>(&self, letter: Option<Letter>, read: Read<T>) -> Result<Option<Message<T>>> {
        self.core.endpoint.open(letter, read, &self.core)
    }

    /// The messages until the channel closes.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message>> + '_ {
        std::iter::from_fn(|| self.recv().transpose())
    }
}
