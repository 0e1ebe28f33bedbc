//! This process as a worker, in a task.

use std::{io, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use tokio::task::spawn_blocking;

use super::{Listener, UdpSocket, departure::Departure, driver, views::Views};
use crate::{
    Counter, Error, Handle, ListenOptions, Message, Result, Serialization, ToAddress,
    structured::Value,
    wire::{Rider, pack},
};

/// This process as a worker; see [`crate::Worker`]. Clones are the same worker.
///
/// A task of the runtime serves the channel until it closes, so a program need not wait on
/// anything of ours.
#[derive(Clone, Debug)]
pub struct Worker {
    worker: crate::Worker,
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    views: Views,
    departure: Departure,
}

impl crate::Worker {
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
    pub fn into_tokio(self) -> Result<Worker> {
        let desk = Desk::of(&self).map_err(|source| Error::Channel { source })?;
        Ok(Worker { worker: self, desk: Arc::new(desk) })
    }
}

impl Desk {
    #[track_caller]
    fn of(worker: &crate::Worker) -> io::Result<Self> {
        let views = Views::of(&worker.core.endpoint)?;
        let departure = Departure::of(worker.clone())?;
        driver::start(&worker.core)?;
        Ok(Self { views, departure })
    }
}

impl Worker {
    /// The number that the master gave to this worker: 1 and up, never given again.
    pub fn id(&self) -> u32 {
        self.worker.id()
    }

    /// How the channel to the master writes messages.
    pub fn serialization(&self) -> Serialization {
        self.worker.serialization()
    }

    /// Listens on an address through the master, which all workers that name it share.
    ///
    /// A host name is resolved at once, which blocks; an IP address or a path does not.
    ///
    /// # Errors
    ///
    /// As [`crate::Worker::listen`].
    pub async fn listen(&self, address: impl ToAddress) -> Result<Listener> {
        self.listen_with(address, &ListenOptions::new()).await
    }

    /// Listens with options.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub async fn listen_with(
        &self,
        address: impl ToAddress,
        options: &ListenOptions,
    ) -> Result<Listener> {
        let address = address.to_address()?;
        let (worker, options) = (self.worker.clone(), options.clone());
        // A future that is dropped meanwhile leaves a listener that closes itself.
        let listener = aside(move || worker.listen_with(address, &options)).await?;
        Ok(listener.into_tokio()?)
    }

    /// Binds a UDP port through the master, which all workers that name it share: each
    /// datagram goes to one of them.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub async fn bind(&self, address: impl ToAddress) -> Result<UdpSocket> {
        self.bind_with(address, &ListenOptions::new()).await
    }

    /// Binds a UDP port with options.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub async fn bind_with(
        &self,
        address: impl ToAddress,
        options: &ListenOptions,
    ) -> Result<UdpSocket> {
        let address = address.to_address()?;
        let (worker, options) = (self.worker.clone(), options.clone());
        let socket = aside(move || worker.bind_with(address, &options)).await?;
        Ok(socket.into_tokio()?)
    }

    /// Says that this worker is ready, for programs whose readiness is not that they listen.
    /// A Node primary takes no notice.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the master is gone.
    pub fn ready(&self) -> Result<()> {
        self.worker.ready()
    }

    /// Sends a message to the master and waits until the system has it. A future that is
    /// dropped once it has begun takes nothing back.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if serde cannot say it in JSON's terms, [`Error::Disconnected`] if the
    /// master is gone.
    pub async fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<()> {
        self.write(self.serialization().encode(message)?, None).await
    }

    /// Sends a structured value as [`send`](Self::send) does: bytes, dates, maps and what else
    /// JSON has no word for.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::NotAdvanced`] if the channel speaks JSON.
    pub async fn send_structured(&self, value: &Value) -> Result<()> {
        self.write(self.serialization().encode_structured(value)?, None).await
    }

    /// Sends a message with a socket and waits until the master has it. The socket is the
    /// master's then, also when this fails: keep yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and `InvalidInput` if the socket is not what it says.
    pub async fn send_handle<T>(&self, message: &T, handle: impl Into<Handle>) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        let (message, rider) = pack(self.serialization(), message, handle.into())?;
        self.write(message, Some(rider)).await
    }

    async fn write(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        self.desk.views.write(&self.worker.core.endpoint, message, rider).await
    }

    /// Waits for the next message of the master. `None`: the channel is closed. Safe to
    /// cancel.
    ///
    /// Messages that nobody receives are kept up to 64 MiB; later ones are dropped, and the
    /// log says so.
    ///
    /// # Errors
    ///
    /// As [`crate::Worker::recv`].
    pub async fn recv(&self) -> Result<Option<Message>> {
        let endpoint = &self.worker.core.endpoint;
        self.desk.views.receive(endpoint, || self.worker.try_recv()).await
    }

    /// As [`recv`](Self::recv), in a type of one's own.
    ///
    /// # Errors
    ///
    /// As [`crate::Worker::recv_as`].
    pub async fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        let endpoint = &self.worker.core.endpoint;
        self.desk.views.receive(endpoint, || self.worker.try_recv_as()).await
    }

    /// Waits until this worker is to end: told to, on its own wish, or because the master
    /// went. For axum's `with_graceful_shutdown` and the like.
    pub fn disconnecting(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let desk = Arc::clone(&self.desk);
        async move { desk.departure.wait().await }
    }

    /// Waits until no connection is left. Without a bound: a client may stay for ever. Safe to
    /// cancel.
    pub async fn drained(&self) {
        loop {
            let drained = self.worker.core.idle.notified(); // hears what happens from here on
            if self.connections() == 0 {
                return;
            }
            drained.await;
        }
    }

    /// Begins to leave as if the master had said so: listeners close now, the channel with
    /// the last connection. For the master this is on purpose, no crash. Never waits;
    /// idempotent.
    pub fn disconnect(&self) {
        self.worker.disconnect();
    }

    /// Takes this process's signals as a worker should: see
    /// [`crate::Worker::leave_on_signals`].
    ///
    /// # Errors
    ///
    /// As [`crate::Worker::leave_on_signals`].
    pub fn leave_on_signals(&self) -> io::Result<()> {
        self.worker.leave_on_signals()
    }

    /// Whether this worker is to end: told to, on its own wish, or because the master went.
    #[doc(alias = "retiring")]
    pub fn is_disconnecting(&self) -> bool {
        self.worker.is_disconnecting()
    }

    /// Whether the channel to the master is open.
    pub fn is_connected(&self) -> bool {
        self.worker.is_connected()
    }

    /// A number of the program's own: see [`crate::Worker::counter`].
    ///
    /// # Errors
    ///
    /// As [`crate::Worker::counter`].
    pub fn counter(&self, name: &str) -> Result<Counter> {
        self.worker.counter(name)
    }

    /// Says that this worker is well. The runtime does so by itself when the master asks.
    pub fn tick(&self) {
        self.worker.tick();
    }

    /// How many connections this worker has.
    pub fn connections(&self) -> usize {
        self.worker.connections()
    }
}

/// Waits for what blocks in a thread aside.
async fn aside<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(act).await.map_err(io::Error::other)?
}
