//! The objects of a message, which may be there again by number.

use super::DecodeError;

/// So many values may come from objects that are there again, besides one for each byte of the
/// message.
pub const MOST_REPEATED_VALUES: usize = 1 << 20;

/// So many bytes may be read again for objects that are there again, besides as many as the
/// message has: 64 MiB.
pub const MOST_REPEATED_BYTES: usize = 64 << 20;

/// Where each object is in the bytes. One that is there again is read again from there, which
/// costs no memory unless it happens; numbers then count from that object's on, so they are
/// the same as the first time.
#[derive(Debug)]
pub(super) struct References {
    spans: Vec<Span>,
    /// The next object's number.
    next: usize,
    /// How many objects that are there again are being read.
    repeating: usize,
    /// What may still come from such objects.
    values_left: usize,
    bytes_left: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    /// Unset while the object is being read.
    end: Option<usize>,
}

/// Where to go on behind an object that was there again.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) position: usize,
    next: usize,
}

impl References {
    /// For a message of this length.
    pub(super) fn new(length: usize) -> Self {
        Self {
            spans: Vec::new(),
            next: 0,
            repeating: 0,
            values_left: MOST_REPEATED_VALUES + length,
            bytes_left: MOST_REPEATED_BYTES + length,
        }
    }

    /// An object begins; its number.
    pub(super) fn open(&mut self, start: usize) -> usize {
        let number = self.next;
        self.next += 1;
        let span = Span { start, end: None };
        match self.spans.get_mut(number) {
            Some(known) => *known = span,
            None => self.spans.push(span),
        }
        number
    }

    /// An object ends.
    pub(super) fn close(&mut self, number: usize, end: usize) {
        self.spans[number].end = Some(end);
    }

    /// An object is there again: where it is, and where to go on.
    pub(super) fn repeat(
        &mut self,
        number: u32,
        position: usize,
    ) -> Result<(usize, Return), DecodeError> {
        let unknown = DecodeError::Malformed("a reference to nothing");
        let number = usize::try_from(number).map_err(|_| unknown)?;
        let known = self.spans.get(number).filter(|_| number < self.next);
        let Span { start, end } = *known.ok_or(unknown)?;
        let length = end.ok_or(DecodeError::Cycle)? - start;
        self.bytes_left = self.bytes_left.checked_sub(length).ok_or(DecodeError::TooRepetitive)?;
        self.repeating += 1;
        let from = Return { position, next: self.next };
        self.next = number;
        Ok((start, from))
    }

    /// The object that was there again has been read.
    pub(super) fn resume(&mut self, from: &Return) {
        self.repeating -= 1;
        self.next = from.next;
    }

    /// A value is to be read.
    pub(super) fn count(&mut self) -> Result<(), DecodeError> {
        if self.repeating > 0 {
            self.values_left = self.values_left.checked_sub(1).ok_or(DecodeError::TooRepetitive)?;
        }
        Ok(())
    }
}
