//! The order in which a channel writes: Node's rules for descriptors in flight.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

use super::luggage::{Luggage, OutboxState, Packing, RiderState};

/// How often a refused `net.Socket` is sent again, as in Node.
const RETRIES: u32 = 3;

/// Small messages are written together, up to about this many bytes at a time.
const BATCH: usize = 1 << 16;

/// A descriptor that travels with a message.
///
/// It stays open here until the other side has acknowledged it.
#[derive(Clone, Debug)]
pub struct Rider {
    /// The descriptor; others may hold it, too.
    pub descriptor: Arc<OwnedFd>,
    /// Whether the message is sent again if the other side got it without the descriptor.
    pub resend: bool,
    /// What the sender wants to hear again when the other side does not get it.
    pub tag: Option<u64>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    rider: Option<Rider>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    written: usize,
    /// Goes with the first byte.
    descriptor: Option<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct InFlight {
    rider: Rider,
    /// Kept for a second try, empty if there is none.
    bytes: Vec<u8>,
    tries: u32,
}

/// What is to be written, and what waits for an acknowledgement. Knows no socket.
///
/// After a message with a descriptor everything else waits until the other side says that it
/// has it (ACK) or not (NACK), except these two answers themselves: otherwise two processes
/// that send each other descriptors would wait for ever.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In the order of the wire; the first may be written in part.
    chunks: VecDeque<Chunk>,
    /// Behind a descriptor in flight.
    held: VecDeque<Outgoing>,
    in_flight: Option<InFlight>,
    queued: usize,
    riders: usize,
}

/// What a NACK means.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing was in flight: the other side breaks the protocol.
    Unsolicited,
    /// The message goes out again.
    Again,
    /// The message is lost.
    Lost(Rider),
}

impl Chunk {
    /// What is not written yet, and the descriptor if nothing is.
    fn state(&self, packing: &mut Packing) -> (Vec<u8>, Option<RawFd>) {
        let descriptor = self.descriptor.as_ref().filter(|_| self.written == 0);
        (self.bytes[self.written..].to_vec(), descriptor.map(|one| packing.add(one)))
    }
}

impl Outbox {
    /// Written down, with the descriptors that go along.
    pub(super) fn state(&self, packing: &mut Packing) -> OutboxState {
        let mut pack = |rider: &Rider| RiderState {
            descriptor: packing.add(&rider.descriptor),
            resend: rider.resend,
            tag: rider.tag,
        };
        OutboxState {
            held: self
                .held
                .iter()
                .map(|one| (one.bytes.clone(), one.rider.as_ref().map(&mut pack)))
                .collect(),
            in_flight: self
                .in_flight
                .as_ref()
                .map(|one| (pack(&one.rider), one.bytes.clone(), one.tries)),
            chunks: self.chunks.iter().map(|chunk| chunk.state(packing)).collect(),
        }
    }

    pub(super) fn restore(state: OutboxState, luggage: &Luggage) -> io::Result<Self> {
        let unpack = |rider: RiderState| {
            let RiderState { descriptor, resend, tag } = rider;
            Ok::<_, io::Error>(Rider { descriptor: luggage.share(descriptor)?, resend, tag })
        };
        let mut outbox = Self::default();
        if let Some((rider, bytes, tries)) = state.in_flight {
            outbox.in_flight = Some(InFlight { rider: unpack(rider)?, bytes, tries });
            outbox.riders = 1;
        }
        for (bytes, descriptor) in state.chunks {
            outbox.queued += bytes.len();
            let descriptor = descriptor.map(|number| luggage.share(number)).transpose()?;
            outbox.chunks.push_back(Chunk { bytes, written: 0, descriptor });
        }
        for (bytes, rider) in state.held {
            outbox.push(bytes, rider.map(unpack).transpose()?);
        }
        Ok(outbox)
    }

    /// Queues the bytes of one message.
    pub fn push(&mut self, bytes: Vec<u8>, rider: Option<Rider>) {
        self.queued += bytes.len();
        self.riders += usize::from(rider.is_some());
        let outgoing = Outgoing { bytes, rider };
        if self.in_flight.is_some() {
            self.held.push_back(outgoing);
        } else {
            self.commit(outgoing);
        }
    }

    /// Queues an ACK or a NACK, which waits for no descriptor in flight.
    pub fn push_answer(&mut self, bytes: &[u8]) {
        self.queued += bytes.len();
        self.append(bytes.to_vec());
    }

    fn commit(&mut self, Outgoing { bytes, rider }: Outgoing) {
        let Some(rider) = rider else { return self.append(bytes) };
        let copy = if rider.resend { bytes.clone() } else { Vec::new() };
        let descriptor = Some(Arc::clone(&rider.descriptor));
        self.in_flight = Some(InFlight { rider, bytes: copy, tries: 0 });
        self.chunks.push_back(Chunk { bytes, written: 0, descriptor });
    }

    fn append(&mut self, bytes: Vec<u8>) {
        match self.chunks.back_mut() {
            Some(last) if last.descriptor.is_none() && last.bytes.len() + bytes.len() <= BATCH => {
                last.bytes.extend_from_slice(&bytes);
            }
            _ => self.chunks.push_back(Chunk { bytes, written: 0, descriptor: None }),
        }
    }

    /// The other side has the descriptor: what waited goes on.
    ///
    /// `None` if nothing was in flight: the other side breaks the protocol.
    pub fn acknowledged(&mut self) -> Option<Rider> {
        let done = self.in_flight.take()?;
        self.riders -= 1;
        self.release();
        Some(done.rider)
    }

    /// The other side got the message without its descriptor.
    pub fn refused(&mut self) -> Refusal {
        let Some(mut message) = self.in_flight.take() else { return Refusal::Unsolicited };
        if !message.rider.resend || message.tries == RETRIES {
            self.riders -= 1;
            self.release();
            return Refusal::Lost(message.rider);
        }
        message.tries += 1;
        self.queued += message.bytes.len();
        let descriptor = Some(Arc::clone(&message.rider.descriptor));
        self.chunks.push_back(Chunk { bytes: message.bytes.clone(), written: 0, descriptor });
        self.in_flight = Some(message);
        Refusal::Again
    }

    fn release(&mut self) {
        while self.in_flight.is_none() {
            let Some(outgoing) = self.held.pop_front() else { return };
            self.commit(outgoing);
        }
    }

    /// What to write next, and the descriptor that goes with it.
    pub fn front(&self) -> Option<(&[u8], Option<BorrowedFd<'_>>)> {
        let chunk = self.chunks.front()?;
        let descriptor = chunk.descriptor.as_ref().filter(|_| chunk.written == 0);
        Some((&chunk.bytes[chunk.written..], descriptor.map(|descriptor| descriptor.as_fd())))
    }

    /// So many bytes of [`front`](Self::front) were written.
    pub fn advance(&mut self, count: usize) {
        self.queued -= count;
        let Some(chunk) = self.chunks.front_mut() else { return };
        chunk.written += count;
        if chunk.written == chunk.bytes.len() {
            self.chunks.pop_front();
        }
    }

    /// Bytes that are not written yet.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Descriptors that the other side has not acknowledged, sent or not.
    pub fn riders(&self) -> usize {
        self.riders
    }

    /// Whether something could be written now.
    pub fn is_writing(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Whether all is written and acknowledged.
    pub fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.in_flight.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rider(resend: bool) -> Option<Rider> {
        let descriptor = Arc::new(OwnedFd::from(io::pipe().unwrap().0));
        Some(Rider { descriptor, resend, tag: Some(7) })
    }

    /// Writes everything that may be written and shows it, `+` for a descriptor.
    fn written(outbox: &mut Outbox) -> String {
        let mut text = String::new();
        while let Some((bytes, descriptor)) = outbox.front() {
            text += if descriptor.is_some() { "+" } else { "" };
            text += std::str::from_utf8(bytes).unwrap();
            let count = bytes.len();
            outbox.advance(count);
        }
        text
    }

    #[test]
    fn what_follows_a_descriptor_waits_for_the_ack_but_answers_do_not() {
        let mut outbox = Outbox::default();
        outbox.push(b"a".into(), rider(false));
        outbox.push(b"b".into(), None);
        outbox.push(b"c".into(), rider(false));
        outbox.push(b"d".into(), None);
        outbox.push_answer(b"!");
        assert_eq!(written(&mut outbox), "+a!");
        assert!(outbox.acknowledged().is_some());
        assert_eq!(written(&mut outbox), "b+c");
        assert!(!outbox.is_idle());
        assert_eq!(outbox.riders(), 1);
        assert!(outbox.acknowledged().is_some());
        assert_eq!(written(&mut outbox), "d");
        assert!(outbox.is_idle());
        assert_eq!((outbox.queued(), outbox.riders()), (0, 0));
        assert!(outbox.acknowledged().is_none(), "an ack for nothing");
    }

    #[test]
    fn a_refused_socket_is_sent_again_three_times() {
        let mut outbox = Outbox::default();
        outbox.push(b"a".into(), rider(true));
        outbox.push(b"b".into(), None);
        for _ in 0..RETRIES {
            assert_eq!(written(&mut outbox), "+a");
            assert!(matches!(outbox.refused(), Refusal::Again));
        }
        assert_eq!(written(&mut outbox), "+a");
        assert!(matches!(outbox.refused(), Refusal::Lost(Rider { tag: Some(7), .. })));
        assert_eq!(written(&mut outbox), "b");
        assert_eq!(outbox.riders(), 0);
        assert!(matches!(outbox.refused(), Refusal::Unsolicited));
    }

    #[test]
    fn an_answer_never_cuts_a_message_in_two() {
        let mut outbox = Outbox::default();
        outbox.push(b"long".into(), rider(false));
        outbox.advance(2);
        outbox.push_answer(b"!");
        assert_eq!(written(&mut outbox), "ng!", "and the descriptor went with the first byte");
    }

    proptest! {
        #[test]
        fn order_is_kept(kinds in prop::collection::vec(any::<bool>(), 0..30), step in 1usize..9) {
            let mut outbox = Outbox::default();
            let mut expected = String::new();
            for (index, &with) in kinds.iter().enumerate() {
                let text = format!("message {index}\n");
                expected += &text;
                outbox.push(text.into_bytes(), if with { rider(false) } else { None });
            }
            let mut seen = Vec::new();
            while !outbox.is_idle() {
                while let Some((bytes, _)) = outbox.front() {
                    let count = bytes.len().min(step);
                    seen.extend_from_slice(&bytes[..count]);
                    outbox.advance(count);
                }
                outbox.acknowledged();
            }
            prop_assert_eq!(String::from_utf8(seen).unwrap(), expected);
            prop_assert_eq!(outbox.queued(), 0);
        }
    }
}
