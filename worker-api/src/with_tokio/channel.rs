//! Node's IPC channel, in tasks.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinHandle;

use super::{driver, views::Views};
use crate::{
    Error, Handle, Message, Result, Serialization,
    structured::Value,
    wire::{Rider, pack},
};

/// One end of Node's IPC channel; see [`crate::Channel`]. Clones are the same end.
///
/// A task of the runtime serves it until it closes or is dropped. It reads at most 64 MiB in
/// advance of those who receive.
#[derive(Clone, Debug)]
pub struct Channel {
    channel: crate::Channel,
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    views: Views,
    driver: JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.driver.abort(); // it has a share in the socket, which so closes
    }
}

impl crate::Channel {
    /// The same for tasks of the current runtime, where the channel is served from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Channel`] with what the system says, when too many descriptors are open.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    #[track_caller]
    pub fn into_tokio(self) -> Result<Channel> {
        let refused = |source| Error::Channel { source };
        let views = Views::of(&self.endpoint).map_err(refused)?;
        let driver = driver::start(&self.endpoint).map_err(refused)?;
        Ok(Channel { channel: self, desk: Arc::new(Desk { views, driver }) })
    }
}

impl Channel {
    /// How this channel writes messages.
    pub fn serialization(&self) -> Serialization {
        self.channel.serialization()
    }

    /// Sends a message and waits until the system has it. A future that is dropped once it has
    /// begun takes nothing back.
    ///
    /// A message behind a socket waits until the other side has that socket, as in Node.
    ///
    /// # Errors
    ///
    /// As [`crate::Channel::send`].
    pub async fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<()> {
        self.write(self.serialization().encode(message)?, None).await
    }

    /// Sends a structured value as [`send`](Self::send) does: bytes, dates, maps and what else
    /// JSON has no word for.
    ///
    /// # Errors
    ///
    /// As [`crate::Channel::send_structured`].
    pub async fn send_structured(&self, value: &Value) -> Result<()> {
        self.write(self.serialization().encode_structured(value)?, None).await
    }

    /// Sends a message with a socket and waits until the other side has it. The socket is the
    /// other side's then, also when this fails: keep yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`crate::Channel::send_handle`].
    pub async fn send_handle<T>(&self, message: &T, handle: impl Into<Handle>) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        let (message, rider) = pack(self.serialization(), message, handle.into())?;
        self.write(message, Some(rider)).await
    }

    async fn write(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        self.desk.views.write(&self.channel.endpoint, message, rider).await
    }

    /// Waits for the next message. `None`: the channel is closed. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As [`crate::Channel::recv`].
    pub async fn recv(&self) -> Result<Option<Message>> {
        self.desk.views.receive(&self.channel.endpoint, || self.channel.try_recv()).await
    }

    /// As [`recv`](Self::recv), in a type of one's own.
    ///
    /// # Errors
    ///
    /// As [`crate::Channel::recv_as`].
    pub async fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        self.desk.views.receive(&self.channel.endpoint, || self.channel.try_recv_as()).await
    }

    /// Ends the channel. Never waits: what is queued behind a socket still goes out when the
    /// other side has that socket. Idempotent.
    pub fn disconnect(&self) {
        self.channel.disconnect();
    }

    /// Whether messages can be sent.
    pub fn is_connected(&self) -> bool {
        self.channel.is_connected()
    }
}
