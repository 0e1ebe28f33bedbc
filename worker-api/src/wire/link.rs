//! One end of a channel: its socket, what has come in and what goes out.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use super::{
    codec::Inflow,
    luggage::{LinkState, Luggage, Packing},
    outbox::{Outbox, Refusal, Rider},
    packet::Packet,
};
use crate::{
    Error, Result, Serialization,
    sys::{receive, transmit},
};

/// The longest message that is taken, unless said otherwise: 128 MiB.
pub const LONGEST_LINE: usize = 128 << 20;

/// From so many unwritten bytes on the other side does not keep up: Node's 128 KiB.
pub const HIGH_WATER: usize = 128 << 10;

/// More unwritten bytes than that are not queued: 256 MiB.
pub const FULL: usize = 256 << 20;

/// More descriptors than that, announced by no message, are not kept: a sender waits for the
/// acknowledgement of each.
const MOST_STRAYS: usize = 16;

/// What a [`Link`] has received.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message {
        /// What it says; never a `Handle`, an `Ack` or a `Nack`.
        packet: Packet,
        /// What came with it.
        attachment: Attachment,
    },
    /// The other side has the descriptor.
    Delivered(Rider),
    /// The other side has not got the descriptor, and the message with it is lost.
    Lost(Rider),
}

/// What came with a message.
#[derive(Debug)]
pub enum Attachment {
    /// Nothing.
    Nothing,
    /// A descriptor, and what the sender says of it.
    Descriptor(OwnedFd, Announced),
    /// A descriptor was announced but did not come. The other side has been told (NACK).
    Missing,
}

/// What a sender says of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Which of Node's five kinds it is.
    pub kind: String,
    /// Under which key it is counted, if it is.
    pub key: Option<String>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Bytes: messages may be complete now.
    Bytes,
    /// Nothing is there now.
    Empty,
    /// The other side has closed.
    Closed,
}

/// One end of a channel. Never waits.
#[derive(Debug)]
pub struct Link {
    socket: Arc<UnixStream>,
    serialization: Serialization,
    inflow: Inflow,
    /// Each with the place in the stream up to which its message must have begun.
    descriptors: VecDeque<(OwnedFd, u64)>,
    /// For `receive`, kept to save the allocation.
    arrived: Vec<OwnedFd>,
    outbox: Outbox,
}

impl Link {
    /// A channel over the socket, which is made non-blocking, for messages of at most `longest`
    /// bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(
        socket: UnixStream,
        longest: usize,
        serialization: Serialization,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Arc::new(socket),
            serialization,
            inflow: Inflow::new(serialization, longest),
            descriptors: VecDeque::new(),
            arrived: Vec::new(),
            outbox: Outbox::default(),
        })
    }

    /// The channel written down, with its descriptors added to those that go along.
    pub fn state(&self, packing: &mut Packing) -> LinkState {
        let descriptors =
            self.descriptors.iter().map(|(descriptor, end)| (packing.add(descriptor), *end));
        LinkState {
            descriptors: descriptors.collect(),
            socket: packing.add(&*self.socket),
            is_advanced: self.serialization == Serialization::Advanced,
            inflow: self.inflow.state(),
            outbox: self.outbox.state(packing),
        }
    }

    /// The channel that was written down.
    ///
    /// # Errors
    ///
    /// As [`Luggage::take`].
    pub fn restore(state: LinkState, longest: usize, luggage: &mut Luggage) -> io::Result<Self> {
        let serialization =
            if state.is_advanced { Serialization::Advanced } else { Serialization::Json };
        let mut descriptors = VecDeque::new();
        for (number, end) in state.descriptors {
            descriptors.push_back((luggage.take(number)?, end));
        }
        Ok(Self {
            socket: Arc::new(luggage.take(state.socket)?.into()),
            serialization,
            inflow: Inflow::restore(serialization, state.inflow, longest),
            descriptors,
            arrived: Vec::new(),
            outbox: Outbox::restore(state.outbox, luggage)?,
        })
    }

    /// Reads once, at most as much as `scratch` holds.
    ///
    /// # Errors
    ///
    /// What the system says; a reset by the other side counts as [`Fill::Closed`].
    pub fn fill(&mut self, scratch: &mut [u8]) -> Result<Fill> {
        let arrival = match receive(self.socket.as_fd(), scratch, &mut self.arrived) {
            Ok(arrival) => arrival,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(Fill::Empty),
                    io::ErrorKind::Interrupted => Ok(Fill::Bytes),
                    io::ErrorKind::ConnectionReset => Ok(Fill::Closed),
                    _ => Err(error.into()),
                };
            }
        };
        if arrival.truncated {
            log::warn!("a descriptor was dropped: this process has too many open");
        }
        if arrival.bytes == 0 {
            self.arrived.clear();
            return Ok(Fill::Closed);
        }
        self.inflow.push(&scratch[..arrival.bytes]);
        let end = self.inflow.received();
        self.descriptors.extend(self.arrived.drain(..).map(|descriptor| (descriptor, end)));
        if self.descriptors.len() > MOST_STRAYS {
            return Err(Error::protocol("descriptors that no message announces"));
        }
        Ok(Fill::Bytes)
    }

    /// The next thing received; answers descriptors on the way (see [`flush`](Self::flush)).
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] and [`Error::Protocol`]: the channel cannot be used any more.
    pub fn next_received(&mut self) -> Result<Option<Received>> {
        self.next_read(Packet::decode)
    }

    /// As [`next_received`](Self::next_received), but messages of the user are not read yet.
    pub(crate) fn next_sorted(&mut self) -> Result<Option<Received>> {
        self.next_read(Packet::sort)
    }

    fn next_read(&mut self, read: fn(&[u8]) -> Result<Packet>) -> Result<Option<Received>> {
        let Some(packet) = self.inflow.next_packet(read)? else { return Ok(None) };
        let received = match packet {
            Packet::Handle { kind, key, packet } => {
                let announced = Announced { kind, key };
                Received::Message { packet: *packet, attachment: self.attachment(announced) }
            }
            Packet::Ack => match self.outbox.acknowledged() {
                Some(rider) => Received::Delivered(rider),
                None => return Err(Error::protocol("an ACK for nothing")),
            },
            Packet::Nack => match self.outbox.refused() {
                Refusal::Lost(rider) => Received::Lost(rider),
                Refusal::Again => return self.next_read(read),
                Refusal::Unsolicited => return Err(Error::protocol("a NACK for nothing")),
            },
            packet => Received::Message { packet, attachment: Attachment::Nothing },
        };
        self.check_strays()?;
        Ok(Some(received))
    }

    fn attachment(&mut self, announced: Announced) -> Attachment {
        match self.descriptors.pop_front() {
            Some((descriptor, _)) => {
                self.outbox.push_answer(self.serialization.ack());
                Attachment::Descriptor(descriptor, announced)
            }
            None => {
                self.outbox.push_answer(self.serialization.nack());
                Attachment::Missing
            }
        }
    }

    /// A descriptor belongs to a message that began before the end of the read which brought
    /// it. Once all those are through, it belongs to none.
    fn check_strays(&mut self) -> Result<()> {
        match self.descriptors.front() {
            Some(&(_, end)) if end <= self.inflow.position() => {
                Err(Error::protocol("a descriptor that no message announces"))
            }
            _ => Ok(()),
        }
    }

    /// Queues the bytes of one message. [`flush`](Self::flush) writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if so much is queued that it is not taken.
    pub fn send(&mut self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        if self.outbox.queued() > 0 && self.outbox.queued() + message.len() > FULL {
            return Err(Error::Full);
        }
        self.outbox.push(message, rider);
        Ok(())
    }

    /// Writes what can be written now; whether nothing is left to write (messages behind a
    /// descriptor in flight do not count).
    ///
    /// # Errors
    ///
    /// What the system says, `BrokenPipe` first of all. What was received can still be read.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some((bytes, descriptor)) = self.outbox.front() {
            match transmit(self.socket.as_fd(), bytes, descriptor) {
                Ok(count) => self.outbox.advance(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// The socket, to wait on.
    pub fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.socket)
    }

    /// How it writes messages.
    pub fn serialization(&self) -> Serialization {
        self.serialization
    }

    /// How many bytes have come in whole messages so far.
    pub fn position(&self) -> u64 {
        self.inflow.position()
    }

    /// Bytes that are not written yet.
    pub fn queued(&self) -> usize {
        self.outbox.queued()
    }

    /// Descriptors that the other side has not acknowledged, sent or not.
    pub fn riders(&self) -> usize {
        self.outbox.riders()
    }

    /// Whether bytes wait for the socket, not for an acknowledgement.
    pub fn is_writing(&self) -> bool {
        self.outbox.is_writing()
    }

    /// Whether all is written and acknowledged.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_idle()
    }

    /// Ends the channel for both sides; what was written before can still be read there.
    pub fn shut_down(&mut self) {
        // An error means that the other side was faster.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.outbox = Outbox::default();
        self.descriptors.clear();
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
