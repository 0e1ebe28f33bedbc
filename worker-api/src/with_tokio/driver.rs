//! The task that serves a channel, whatever else the program waits on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinHandle,
};

use crate::{
    endpoint::{Endpoint, NoRouter},
    sys::watch,
    worker::Core,
};

/// What a task serves.
pub(super) trait Served: Send + Sync + 'static {
    fn socket(&self) -> impl AsFd + '_;

    /// Reads and writes what can be now; whether the channel goes on.
    fn serve(&self) -> bool;
}

impl Served for Core {
    fn socket(&self) -> impl AsFd + '_ {
        self.endpoint.socket()
    }

    fn serve(&self) -> bool {
        Self::serve(self);
        self.endpoint.lock().ended().is_none()
    }
}

/// Nobody loses a message: what is not received waits on the other side.
impl Served for Endpoint<NoRouter> {
    fn socket(&self) -> impl AsFd + '_ {
        self.socket()
    }

    fn serve(&self) -> bool {
        let mut state = self.lock();
        while state.reads() && state.pump() {}
        state.ended().is_none()
    }
}

/// Starts to serve a channel until it closes.
///
/// The task has a view of the channel of its own: who shares a view must not call it empty while
/// another has reason to look. It waits to write, too, for messages are queued in places that
/// wait for nothing, such as the end of a connection.
pub(super) fn start<T: Served>(served: &Arc<T>) -> io::Result<JoinHandle<()>> {
    let channel = watch(served.socket().as_fd(), Interest::READABLE | Interest::WRITABLE)?;
    Ok(tokio::spawn(drive(Arc::clone(served), channel)))
}

async fn drive<T: Served>(served: Arc<T>, channel: AsyncFd<OwnedFd>) {
    while served.serve() {
        match channel.ready(Interest::READABLE | Interest::WRITABLE).await {
            Ok(mut guard) => {
                served.serve();
                guard.clear_ready();
            }
            Err(error) => return log::debug!("the channel is no longer served: {error}"),
        }
    }
}
