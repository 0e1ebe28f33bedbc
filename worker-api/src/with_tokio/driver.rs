//! The task that serves the channel, whatever else the program waits on.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{sys::watch, worker::Core};

/// Starts to serve the channel until it closes.
///
/// It has a view of the channel of its own: who shares a view must not call it empty while
/// another has reason to look. It waits to write, too, for messages are queued in places that
/// wait for nothing, such as the end of a connection.
pub(super) fn start(core: &Arc<Core>) -> io::Result<()> {
    let channel = watch(core.endpoint.socket(), Interest::READABLE | Interest::WRITABLE)?;
    tokio::spawn(drive(Arc::clone(core), channel));
    Ok(())
}

async fn drive(core: Arc<Core>, channel: AsyncFd<OwnedFd>) {
    while core.endpoint.lock().ended().is_none() {
        match channel.ready(Interest::READABLE | Interest::WRITABLE).await {
            Ok(mut guard) => {
                core.serve();
                guard.clear_ready();
            }
            Err(error) => return log::debug!("the channel is no longer served: {error}"),
        }
    }
}
