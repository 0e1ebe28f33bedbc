//! A child process, in tasks.

use std::{
    io,
    ops::Deref,
    os::{fd::OwnedFd, unix::net},
    process::ExitStatus,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::unix::AsyncFd, net::UnixStream, task::spawn_blocking, time::timeout_at};
use worker_api::{Handle, Message, structured::Value, with_tokio::Channel};

use crate::{
    Error, Result,
    child_process::{self, Output},
    sys::watch,
};

/// A child process; it derefs to the plain [`Child`](child_process::Child), whose other methods
/// do not block.
///
/// ```no_run
/// use cluster::child_process;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cluster::Result<()> {
/// let listing = child_process::exec("ls")?.into_tokio()?.output().await?.exit_ok()?;
///
/// let child = child_process::fork("node", ["child.js"])?.into_tokio()?;
/// child.send("hello").await?;
/// while let Some(message) = child.recv().await? {
///     println!("{}", message.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Child {
    child: child_process::Child,
    channel: Option<Channel>,
    /// A view of the process.
    ended: AsyncFd<OwnedFd>,
}

impl child_process::Child {
    /// This child in the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says, when too many descriptors are open.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    #[track_caller]
    pub fn into_tokio(self) -> Result<Child> {
        let ended = watch(self.pidfd())?;
        let channel = self.channel().cloned().map(worker_api::Channel::into_tokio).transpose()?;
        Ok(Child { child: self, channel, ended })
    }
}

impl Child {
    /// Takes our end of the child's standard input, if that is a pipe.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn stdin(&mut self) -> io::Result<Option<UnixStream>> {
        self.child.stdin.take().map(stream).transpose()
    }

    /// Takes our end of the child's standard output, if that is a pipe.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn stdout(&mut self) -> io::Result<Option<UnixStream>> {
        self.child.stdout.take().map(stream).transpose()
    }

    /// Takes our end of the child's standard error, if that is a pipe.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn stderr(&mut self) -> io::Result<Option<UnixStream>> {
        self.child.stderr.take().map(stream).transpose()
    }

    /// Takes our end of the pipe at the child's descriptor `number`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn stdio(&mut self, number: usize) -> io::Result<Option<UnixStream>> {
        self.child.stdio(number).map(stream).transpose()
    }

    /// Waits for the child's end, and enforces the command's own timeout meanwhile, for which
    /// the runtime needs its clock. Closes `stdin` first, if it was not taken, as std does: a
    /// child that reads it to the end would wait for us. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As [`Child::wait`](child_process::Child::wait).
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.stdin = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.changed().await?;
        }
    }

    /// Waits until it has ended, or its time is over.
    async fn changed(&self) -> io::Result<()> {
        let ended = self.ended.readable();
        match self.child.deadline() {
            None => ended.await.map(drop),
            Some(end) => {
                timeout_at(end.into(), ended).await.map_or(Ok(()), |ready| ready.map(drop))
            }
        }
    }

    /// Waits for the child's end and collects what it writes, as
    /// [`Child::output`](child_process::Child::output) does, in a thread aside. A future that is
    /// dropped leaves that thread, and the child, to their end.
    ///
    /// # Errors
    ///
    /// As [`Child::output`](child_process::Child::output).
    pub async fn output(self) -> Result<Output> {
        let Self { child, channel, ended: _ } = self;
        let output = spawn_blocking(move || child.output()).await.map_err(io::Error::other)?;
        drop(channel); // not before: its end would end a child that listens to us
        output
    }

    /// The channel of a forked child.
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// Sends a message and waits until the system has it. A future that is dropped once it has
    /// begun takes nothing back.
    ///
    /// # Errors
    ///
    /// As [`Child::send`](child_process::Child::send).
    pub async fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        Ok(self.connected()?.send(value).await?)
    }

    /// Sends a structured value, over a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced).
    ///
    /// # Errors
    ///
    /// As [`Child::send_structured`](child_process::Child::send_structured).
    pub async fn send_structured(&self, value: &Value) -> Result<()> {
        Ok(self.connected()?.send_structured(value).await?)
    }

    /// Sends a message with a socket, which is the child's then; keep yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`Child::send_handle`](child_process::Child::send_handle).
    pub async fn send_handle<T: Serialize + ?Sized>(
        &self,
        value: &T,
        handle: impl Into<Handle>,
    ) -> Result<()> {
        Ok(self.connected()?.send_handle(value, handle).await?)
    }

    /// Waits for a message; `None` when the child has closed the channel. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As [`Child::recv`](child_process::Child::recv).
    pub async fn recv(&self) -> Result<Option<Message>> {
        Ok(self.connected()?.recv().await?)
    }

    /// As [`recv`](Self::recv), in a type of one's own.
    ///
    /// # Errors
    ///
    /// As [`Child::recv_as`](child_process::Child::recv_as).
    pub async fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        Ok(self.connected()?.recv_as().await?)
    }

    fn connected(&self) -> Result<&Channel> {
        self.channel.as_ref().ok_or(Error::Worker(worker_api::Error::Disconnected))
    }
}

impl Deref for Child {
    type Target = child_process::Child;

    fn deref(&self) -> &child_process::Child {
        &self.child
    }
}

fn stream(socket: net::UnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

#[cfg(test)]
mod tests;
