//! A running child, seen by its parent.

use super::{
    Command, Output,
    collect::{End, Input, Stream, collect},
    job::Job,
};
use crate::{Error, Result, Signal};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::net::UnixStream,
    },
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};
use worker_api::{Channel, Handle, Message, structured::Value};

/// A child process.
///
/// Dropping it neither kills the child nor waits for it, as in std, but closes the pipes and the
/// channel. No zombie stays for long: a child that ends after its `Child` was dropped is reaped
/// when the next one is started or dropped. (So a program that waits for children by
/// `waitpid(-1)`, which takes the status of all, must not drop those it wants to see.)
#[derive(Debug)]
pub struct Child {
    /// Our end of the child's standard input, if that is a pipe.
    pub stdin: Option<UnixStream>,
    /// Our end of the child's standard output, if that is a pipe.
    pub stdout: Option<UnixStream>,
    /// Our end of the child's standard error, if that is a pipe.
    pub stderr: Option<UnixStream>,
    /// The pipes from 3 on, by number.
    pipes: Vec<Option<UnixStream>>,
    channel: Option<Channel>,
    job: Arc<Job>,
    limits: Limits,
    input: Option<Arc<[u8]>>,
    name: String,
    file: OsString,
    args: Vec<OsString>,
}

/// What a child may not exceed.
#[derive(Debug)]
pub(super) struct Limits {
    /// `None` once it has passed and the child was killed.
    pub(super) deadline: Option<Instant>,
    pub(super) max_buffer: usize,
    pub(super) kill_signal: Signal,
}

impl Child {
    pub(super) fn new(
        command: &Command,
        job: Arc<Job>,
        mut pipes: Vec<Option<UnixStream>>,
        channel: Option<Channel>,
        limits: Limits,
    ) -> Self {
        let mut take = |number: usize| pipes.get_mut(number).and_then(Option::take);
        Self {
            stdin: take(0),
            stdout: take(1),
            stderr: take(2),
            pipes,
            channel,
            job,
            limits,
            input: command.input.clone(),
            name: command.name(),
            file: command.program.clone(),
            args: command.argv(),
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.job.process.pid()
    }

    /// The descriptor of the process: readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.job.process.as_fd()
    }

    /// Takes our end of the pipe at the child's descriptor `number`; 0, 1 and 2 are `stdin`,
    /// `stdout` and `stderr`.
    pub fn stdio(&mut self, number: usize) -> Option<UnixStream> {
        match number {
            0 => self.stdin.take(),
            1 => self.stdout.take(),
            2 => self.stderr.take(),
            _ => self.pipes.get_mut(number)?.take(),
        }
    }

    /// The program that was started: `/bin/sh` for a shell line.
    pub fn spawnfile(&self) -> &OsStr {
        &self.file
    }

    /// The child's arguments, its own name among them.
    pub fn spawnargs(&self) -> &[OsString] {
        &self.args
    }

    /// Sends a signal; false if the child has ended.
    ///
    /// # Errors
    ///
    /// The kernel's: we may not signal a child that has become another user.
    pub fn kill(&self, signal: Signal) -> io::Result<bool> {
        self.job.kill(signal)
    }

    /// Whether a signal was sent, by [`kill`](Self::kill), a limit or an
    /// [`Abort`](super::Abort). The child may have survived it.
    pub fn killed(&self) -> bool {
        self.job.killed()
    }

    /// Waits for the child's end. Closes `stdin` first, as std does: a child that reads it to the
    /// end would wait for us.
    ///
    /// # Errors
    ///
    /// `ECHILD` if somebody else in this process has waited for the child.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        loop {
            if let Some(status) = self.wait_until(None)? {
                return Ok(status);
            }
        }
    }

    /// The status of a child that has ended; `None` if it runs.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Waits for the child's end for so long; `None` if it runs on. Leaves `stdin` open.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Waits until then, and enforces the command's own timeout meanwhile.
    fn wait_until(&mut self, until: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        if let Some(deadline) = self.limits.deadline
            && until.is_none_or(|until| deadline <= until)
        {
            if let Some(status) = self.job.process.wait(Some(deadline))? {
                return Ok(Some(status));
            }
            self.limits.deadline = None;
            self.kill(self.limits.kill_signal)?;
        }
        self.job.process.wait(until)
    }

    /// Waits for the child's end and collects what it writes to `stdout` and `stderr`, as far as
    /// these were not taken; writes the command's `input` meanwhile and then closes `stdin`.
    ///
    /// Like Node's `close` event, this waits for the end of the streams, which a grandchild may
    /// hold open.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] and [`Error::Overflow`] if the child had to be killed for that, with
    /// all that was collected; [`Error::Aborted`]; [`Error::Io`] if the system fails us.
    pub fn output(mut self) -> Result<Output> {
        let limit = self.limits.max_buffer;
        let input = Input::new(self.stdin.take(), self.input.as_deref().unwrap_or_default());
        let streams = [self.stdout.take(), self.stderr.take()];
        let mut streams = streams.map(|socket| Stream::new(socket, limit));
        let end = collect(&self.job, input, &mut streams, self.limits.deadline)?;
        streams.iter_mut().for_each(Stream::close);
        if matches!(end, End::TimedOut | End::Overflow) {
            self.kill(self.limits.kill_signal)?;
        }
        let status = self.job.process.status()?;
        let [stdout, stderr] = streams.map(|stream| stream.data);
        let program = self.name.clone();
        let output = Output { pid: self.pid(), status, stdout, stderr, program };
        let (program, boxed) = (self.name, Box::new(output));
        match end {
            End::Complete => Ok(*boxed),
            End::Aborted => Err(Error::Aborted { program }),
            End::TimedOut => Err(Error::TimedOut { program, output: boxed }),
            End::Overflow => Err(Error::Overflow { program, output: boxed }),
        }
    }

    /// The channel of a forked child.
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if the value cannot be encoded, or there is no channel (any more).
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        Ok(self.connected()?.send(value)?)
    }

    /// Sends a structured value, over a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Worker`] if the channel speaks JSON.
    pub fn send_structured(&self, value: &Value) -> Result<()> {
        Ok(self.connected()?.send_structured(value)?)
    }

    /// Sends a message with a socket, which is the child's then; keep yours by `try_clone`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_handle<T: Serialize + ?Sized>(
        &self,
        value: &T,
        handle: impl Into<Handle>,
    ) -> Result<()> {
        Ok(self.connected()?.send_handle(value, handle)?)
    }

    /// Waits for a message; `None` when the child has closed the channel.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if the channel fails or there is none.
    pub fn recv(&self) -> Result<Option<Message>> {
        Ok(self.connected()?.recv()?)
    }

    /// As [`recv`](Self::recv), in a type of one's own; see [`Channel::recv_as`].
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and for a message of another shape.
    pub fn recv_as<T: DeserializeOwned>(&self) -> Result<Option<Message<T>>> {
        Ok(self.connected()?.recv_as()?)
    }

    /// A message that has arrived; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Message>> {
        Ok(self.connected()?.try_recv()?)
    }

    /// Waits for a message for so long; `None` if there was none.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>> {
        Ok(self.connected()?.recv_timeout(timeout)?)
    }

    /// Closes the channel, if there is one.
    pub fn disconnect(&self) {
        if let Some(channel) = &self.channel {
            channel.disconnect();
        }
    }

    /// When it is killed for its command's timeout.
    #[cfg(feature = "tokio")]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.limits.deadline
    }

    fn connected(&self) -> Result<&Channel> {
        self.channel.as_ref().ok_or(Error::Worker(worker_api::Error::Disconnected))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd().as_raw_fd()
    }
}
