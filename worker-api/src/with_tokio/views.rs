//! What tasks wait on at a channel.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    Message, Result,
    endpoint::{Endpoint, Router},
    sys::watch,
    wire::Rider,
};

/// A view for each purpose: who finds nothing may call it empty. They need somebody who serves
/// the channel.
#[derive(Debug)]
pub(super) struct Views {
    inbox: AsyncFd<OwnedFd>,
    written: AsyncFd<OwnedFd>,
}

impl Views {
    #[track_caller]
    pub(super) fn of<R: Router>(endpoint: &Endpoint<R>) -> io::Result<Self> {
        let inbox = watch(endpoint.as_fd(), Interest::READABLE)?;
        let written = watch(endpoint.written(), Interest::READABLE)?;
        Ok(Self { inbox, written })
    }

    /// Sends a message and waits until the system has it, and the other side its descriptor.
    pub(super) async fn write<R: Router>(
        &self,
        endpoint: &Endpoint<R>,
        message: Vec<u8>,
        rider: Option<Rider>,
    ) -> Result<()> {
        endpoint.try_send(message, rider)?;
        while !endpoint.lock().write_out()? {
            let mut guard = self.written.readable().await?;
            if !endpoint.lock().is_written() {
                guard.clear_ready();
            }
        }
        Ok(())
    }

    /// Waits for the next message; `None` at the end of the channel. `take` takes what is there.
    pub(super) async fn receive<R: Router, T>(
        &self,
        endpoint: &Endpoint<R>,
        take: impl Fn() -> Result<Option<Message<T>>>,
    ) -> Result<Option<Message<T>>> {
        loop {
            let mut guard = self.inbox.readable().await?;
            let closed = endpoint.lock().ended().is_some();
            match take()? {
                None if !closed => guard.clear_ready(),
                message => return Ok(message),
            }
        }
    }
}
