//! Cutting a stream of bytes into values.

use crate::wire::{TooLong, luggage::InflowState};

/// The length before each value, in bytes.
const HEAD: usize = 4;

/// A buffer that grew beyond this for one long value is given back after it.
const KEEP: usize = 1 << 18;

/// Collects bytes and gives out the values in them, each without its length.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the first unread byte is in `buffer`.
    start: usize,
    /// The first unread byte's place in the whole stream.
    position: u64,
    limit: usize,
}

impl Frames {
    /// Values of at most `limit` bytes, and never more than 2³¹ − 1.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(i32::MAX as usize);
        Self { buffer: Vec::new(), start: 0, position: 0, limit }
    }

    /// What is not read yet, for [`restore`](Self::restore).
    pub(crate) fn state(&self) -> InflowState {
        InflowState { unread: self.buffer[self.start..].to_vec(), position: self.position }
    }

    pub(crate) fn restore(state: InflowState, limit: usize) -> Self {
        let InflowState { unread: buffer, position } = state;
        Self { buffer, position, ..Self::new(limit) }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEEP);
            self.start = 0;
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes the stream has brought so far.
    pub fn received(&self) -> u64 {
        self.position + (self.buffer.len() - self.start) as u64
    }

    /// The place in the stream behind the last value given out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next whole value, for [`decode`](super::decode).
    ///
    /// # Errors
    ///
    /// [`TooLong`] as soon as a length is more than the limit. No room is taken for a length
    /// before its bytes are there.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let unread = &self.buffer[self.start..];
        let Some((head, rest)) = unread.split_first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > self.limit {
            return Err(TooLong);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.start + HEAD;
        self.start = from + length;
        self.position += (HEAD + length) as u64;
        Ok(Some(&self.buffer[from..self.start]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_may_be_as_long_as_the_limit() {
        let mut frames = Frames::new(3);
        frames.push(b"\0\0\0\x03abc\0\0\0\x04");
        assert_eq!(frames.next_frame(), Ok(Some(&b"abc"[..])));
        assert_eq!(frames.next_frame(), Err(TooLong), "before its bytes are there");
    }

    #[test]
    fn a_negative_length_is_an_error() {
        for head in [[0x80, 0, 0, 0], [0xff; 4]] {
            let mut frames = Frames::new(usize::MAX);
            frames.push(&head);
            assert_eq!(frames.next_frame(), Err(TooLong));
        }
    }

    #[test]
    fn a_length_alone_is_harmless() {
        let mut frames = Frames::new(usize::MAX);
        frames.push(&[0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(frames.next_frame(), Ok(None));
        assert_eq!((frames.position(), frames.received()), (0, 4));
        assert!(frames.buffer.capacity() < KEEP);
    }

    #[test]
    fn an_empty_value_is_given_out() {
        let mut frames = Frames::new(3);
        frames.push(&[0; 4]);
        assert_eq!(frames.next_frame(), Ok(Some(&[][..])));
        assert_eq!(frames.next_frame(), Ok(None));
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut frames = Frames::new(usize::MAX);
        frames.push(&(4 * KEEP as u32).to_be_bytes());
        frames.push(&vec![b'x'; 4 * KEEP]);
        assert!(frames.next_frame().unwrap().is_some());
        frames.push(b"y");
        assert!(frames.buffer.capacity() <= KEEP);
    }

    proptest! {
        #[test]
        fn values_come_out_as_they_went_in(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let framed = values.iter().flat_map(|value| {
                [&(value.len() as u32).to_be_bytes()[..], value].concat()
            });
            let stream: Vec<u8> = framed.collect();
            let mut frames = Frames::new(usize::MAX);
            let mut out = Vec::new();
            let (mut rest, mut cut) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                frames.push(now);
                while let Some(value) = frames.next_frame().unwrap() {
                    out.push(value.to_vec());
                }
                rest = later;
            }
            prop_assert_eq!(out, values);
            prop_assert_eq!(frames.position(), stream.len() as u64);
            prop_assert_eq!(frames.received(), stream.len() as u64);
        }
    }
}
