//! Cutting a stream of bytes into lines.

use super::luggage::InflowState;

/// Collects bytes and gives out the lines in them, each without its newline.
///
/// No byte is looked at twice, so a line of any length costs time linear in its length.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the first unread byte is in `buffer`.
    start: usize,
    /// How far `buffer` was searched for a newline.
    searched: usize,
    /// The first unread byte's place in the whole stream.
    position: u64,
    limit: usize,
}

/// A line is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A buffer that grew beyond this for one long line is given back after it.
const KEEP: usize = 1 << 18;

impl Frames {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, position: 0, limit }
    }

    /// What is not read yet, for [`restore`](Self::restore).
    pub(crate) fn state(&self) -> InflowState {
        InflowState { unread: self.buffer[self.start..].to_vec(), position: self.position }
    }

    pub(crate) fn restore(state: InflowState, limit: usize) -> Self {
        let InflowState { unread: buffer, position } = state;
        Self { buffer, start: 0, searched: 0, position, limit }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.reset();
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        (self.start, self.searched) = (0, 0);
    }

    /// How many bytes the stream has brought so far.
    pub fn received(&self) -> u64 {
        self.position + (self.buffer.len() - self.start) as u64
    }

    /// The place in the stream behind the last line given out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next whole line.
    ///
    /// # Errors
    ///
    /// [`TooLong`] as soon as a line, finished or not, is longer than the limit.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let unsearched = &self.buffer[self.searched..];
        let Some(length) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.buffer.len();
            return if self.searched - self.start > self.limit { Err(TooLong) } else { Ok(None) };
        };
        let (from, to) = (self.start, self.searched + length);
        if to - from > self.limit {
            return Err(TooLong);
        }
        self.start = to + 1;
        self.searched = self.start;
        self.position += (self.start - from) as u64;
        Ok(Some(&self.buffer[from..to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_may_be_as_long_as_the_limit() {
        let mut frames = Frames::new(3);
        frames.push(b"abc\nabcd");
        assert_eq!(frames.next_line(), Ok(Some(&b"abc"[..])));
        assert_eq!(frames.next_line(), Err(TooLong));
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut frames = Frames::new(usize::MAX);
        frames.push(&vec![b'x'; 4 * KEEP]);
        frames.push(b"\n");
        assert!(frames.next_line().unwrap().is_some());
        frames.push(b"y");
        assert!(frames.buffer.capacity() <= KEEP);
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(
            lines in prop::collection::vec("[^\n]{0,40}", 0..20),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let stream: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
            let mut frames = Frames::new(usize::MAX);
            let mut out = Vec::new();
            let (mut rest, mut cut) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                frames.push(now);
                while let Some(line) = frames.next_line().unwrap() {
                    out.push(String::from_utf8(line.to_vec()).unwrap());
                }
                rest = later;
            }
            prop_assert_eq!(out, lines);
            prop_assert_eq!(frames.position(), stream.len() as u64);
            prop_assert_eq!(frames.received(), stream.len() as u64);
        }
    }
}
