//! Node's IPC channel between a parent and its child.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Handle, Message, Result, Serialization,
    endpoint::{Endpoint, NoRouter},
    latch::{Latch, Signal},
    ledger::Holder,
    letter::{Content, Letter, Read},
    source::fd_source,
    structured::Value,
    wire::{Sockets, pack, pack_listed},
};

/// One end of Node's IPC channel: messages and sockets between a parent and its child.
///
/// Clones are the same end. Any number of threads may send and receive; each message goes to
/// one of them. As a mio source, or through [`AsFd`], it is readable while
/// [`try_recv`](Self::try_recv) has work; call that until it gives `None`.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(crate) endpoint: Arc<Endpoint<NoRouter>>,
}

impl Channel {
    /// A channel over a Unix stream socket, which is made non-blocking. It speaks JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Channel`](crate::Error::Channel) with what the system says.
    pub fn from_stream(socket: UnixStream) -> Result<Self> {
        Self::from_stream_with(socket, Serialization::Json)
    }

    /// A channel that writes as the other side does.
    ///
    /// # Errors
    ///
    /// As [`from_stream`](Self::from_stream).
    pub fn from_stream_with(socket: UnixStream, serialization: Serialization) -> Result<Self> {
        Ok(Self { endpoint: Arc::new(Endpoint::new(socket, serialization, NoRouter)?) })
    }

    /// How this channel writes messages.
    pub fn serialization(&self) -> Serialization {
        self.endpoint.serialization()
    }

    /// Sends a message and waits until the system has it. The channel is served meanwhile, so
    /// two processes that send at the same time do not wait for each other.
    ///
    /// A message behind a socket waits until the other side has that socket, as in Node.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`](crate::Error::Encode) if serde cannot say it in JSON's terms,
    /// [`Error::Disconnected`](crate::Error::Disconnected) if the channel is closed.
    pub fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<()> {
        self.endpoint.send(self.serialization().encode(message)?, None)
    }

    /// Sends a structured value as [`send`](Self::send) does: bytes, dates, maps and what else
    /// JSON has no word for.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::NotAdvanced`](crate::Error::NotAdvanced) if this
    /// channel speaks JSON.
    pub fn send_structured(&self, value: &Value) -> Result<()> {
        self.endpoint.send(self.serialization().encode_structured(value)?, None)
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
        self.endpoint.send(message, Some(rider))
    }

    /// Sends messages with as few writes as their length allows, and waits until the system has
    /// them. For those who have many: each takes a fraction of the time of [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); those before the one that cannot be said are sent.
    pub fn send_many<T: Serialize>(&self, messages: impl IntoIterator<Item = T>) -> Result<()> {
        self.endpoint.send_many(messages)
    }

    /// Sends a message without waiting. `false`: the other side does not keep up (128 KiB or
    /// more are queued); the rest is written by whoever receives or sends next.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Full`](crate::Error::Full) with 256 MiB queued.
    pub fn try_send<T: Serialize + ?Sized>(&self, message: &T) -> Result<bool> {
        self.endpoint.try_send(self.serialization().encode(message)?, None)
    }

    /// Waits for the next message. `None`: the channel is closed.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) and [`Error::Protocol`](crate::Error::Protocol),
    /// once, if the other side wrote rubbish; the channel is closed then. On an advanced channel
    /// also `Decode` for a message that is none here, say with an object inside itself: the next
    /// call gives the next one.
    pub fn recv(&self) -> Result<Option<Message>> {
        self.open(self.endpoint.receive(None)?, Content::value)
    }

    /// As [`recv`](Self::recv), in a type of one's own, read straight from the text: several
    /// times cheaper than a tree of JSON.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`Error::Decode`](crate::Error::Decode) for a message of another shape, which is
    /// lost, its socket with it: the next call gives the next one.
    pub fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        self.open(self.endpoint.receive(None)?, Content::parse)
    }

    /// The next message if one is there now.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Message>> {
        self.open(self.endpoint.try_receive()?, Content::value)
    }

    /// As [`try_recv`](Self::try_recv), in a type of one's own.
    ///
    /// # Errors
    ///
    /// As [`recv_as`](Self::recv_as).
    pub fn try_recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        self.open(self.endpoint.try_receive()?, Content::parse)
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
        self.endpoint.receive_many(buffer, limit, &self.endpoint)
    }

    /// Waits for the next message at most so long. `None`: not in time, or closed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>> {
        let deadline = Instant::now().checked_add(timeout);
        self.open(self.endpoint.receive(deadline)?, Content::value)
    }

    fn open<T>(&self, letter: Option<Letter>, read: Read<T>) -> Result<Option<Message<T>>> {
        self.endpoint.open(letter, read, &self.endpoint)
    }

    /// Whether it is the same end.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoint, &other.endpoint)
    }

    /// As [`send_handle`](Self::send_handle), with a connection that is counted under a key.
    pub(crate) fn send_listed<T>(&self, message: &T, socket: Handle, key: &str) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        let (message, rider) = pack_listed(self.serialization(), message, socket, key)?;
        self.endpoint.send(message, Some(rider))
    }

    /// Asks the other side about sockets; see [`answer`](Self::answer).
    pub(crate) fn ask(&self, question: Sockets) -> io::Result<Asked> {
        let signal = Signal::new()?;
        let latch = Latch::new(Some(self.endpoint.socket()), &signal)?;
        let number = self.endpoint.lock().ask_of_sockets(question, signal);
        Ok(Asked { latch, number })
    }

    /// Waits for the answer, serving the channel. `None`: not in time.
    pub(crate) fn answer(
        &self,
        asked: Asked,
        deadline: Option<Instant>,
    ) -> io::Result<Option<u64>> {
        let Asked { latch, number } = asked;
        let answer =
            self.endpoint.serve_until(&latch, deadline, |state| state.inquiries().answer(number));
        if !matches!(answer, Ok(Some(_))) {
            self.endpoint.lock().inquiries().give_up(number);
        }
        answer
    }

    /// Ends the channel. Never waits: what is queued behind a socket still goes out when the
    /// other side has that socket. Idempotent.
    pub fn disconnect(&self) {
        self.endpoint.disconnect();
    }

    /// Whether messages can be sent.
    pub fn is_connected(&self) -> bool {
        self.endpoint.is_connected()
    }
}

/// A question that the other side will answer.
#[derive(Debug)]
pub(crate) struct Asked {
    latch: Latch,
    number: u64,
}

impl Holder for Endpoint<NoRouter> {
    fn socket_closed(&self, key: &str) {
        self.lock().socket_closed(key);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }
}

fd_source!(Channel);

#[cfg(test)]
mod tests;
