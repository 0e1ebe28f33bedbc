//! The sending half of an endpoint.

use std::net::Shutdown;

use crate::{
    Result, Serialization,
    latch::Signal,
    wire::{Link, Rider},
};

/// The sending half of an endpoint's state.
#[derive(Debug)]
pub(crate) struct Port {
    pub(super) link: Link,
    pub(super) stage: Stage,
    pub(super) written: Signal,
    /// The channel ended before everything was written.
    pub(super) cut_off: bool,
    /// Something besides messages has come that a receiver has not yet seen.
    pub(super) news: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// To be closed as soon as all is written and acknowledged.
    Closing,
    Closed,
}

impl Port {
    pub(super) fn new(link: Link, written: Signal) -> Self {
        let mut port = Self { link, stage: Stage::Open, written, cut_off: false, news: false };
        port.flush();
        port
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// How the channel writes messages.
    pub(crate) fn serialization(&self) -> Serialization {
        self.link.serialization()
    }

    /// Sends a message and writes what can be written now. A lost channel is no error here: who
    /// reads will see its end.
    pub(crate) fn post(&mut self, message: Result<Vec<u8>>, rider: Option<Rider>) {
        if self.is_closed() {
            return;
        }
        let sent = message.and_then(|message| self.link.send(message, rider));
        if let Err(error) = sent {
            log::warn!("a message of the cluster module is lost: {error:?}");
        }
        self.flush();
    }

    /// Has receivers look, though it is no message: so a foreign loop learns that its worker is
    /// to leave when another thread has read it.
    pub(crate) fn announce(&mut self) {
        self.news = true;
    }

    /// Closes once everything is written and acknowledged.
    pub(crate) fn close_when_idle(&mut self) {
        if self.is_open() {
            self.stage = Stage::Closing;
        }
    }

    /// Whether bytes wait for the socket.
    pub(super) fn is_writing(&self) -> bool {
        !self.cut_off && self.link.is_writing()
    }

    pub(super) fn flush(&mut self) {
        if self.cut_off {
            return;
        }
        if let Err(error) = self.link.flush() {
            log::debug!("cannot write to the channel: {error}");
            self.cut_off = true;
            // The other side, if it is there, is to end as well: a line may be cut in two.
            let _ = self.link.socket().shutdown(Shutdown::Write);
        }
        self.written.set(self.cut_off || self.link.is_idle());
    }
}
