//! Writing the format's parts.

use super::{EncodeError, tag, text};

type Result<T> = std::result::Result<T, EncodeError>;

/// Bytes, as far as they are written.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Goes on behind these bytes; there must be an even number of them.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        debug_assert!(bytes.len().is_multiple_of(2));
        Self { bytes }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A number of seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// A length or a count.
    pub(super) fn count(&mut self, count: usize) -> Result<()> {
        self.varint(count.try_into().map_err(|_| EncodeError::TooLarge)?);
        Ok(())
    }

    pub(super) fn double(&mut self, number: f64) {
        let number = if number.is_nan() { f64::NAN } else { number };
        self.bytes.extend(number.to_le_bytes());
    }

    /// A number, tag and all, as V8 writes it: an integer of 32 bits or a double.
    pub(super) fn number(&mut self, number: f64) {
        let integer = number as i32;
        if f64::from(integer).to_bits() == number.to_bits() {
            self.byte(tag::INT32);
            self.varint((integer << 1 ^ integer >> 31) as u32);
        } else {
            self.byte(tag::DOUBLE);
            self.double(number);
        }
    }

    /// A length, and so many bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.count(bytes.len())?;
        self.raw(bytes);
        Ok(())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A text, tag and all.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        if text.is_ascii() {
            self.byte(tag::ONE_BYTE_TEXT);
            return self.bytes(text.as_bytes());
        }
        if let Some(bytes) = text::one_byte(text) {
            self.byte(tag::ONE_BYTE_TEXT);
            return self.bytes(&bytes);
        }
        let length = 2 * text.encode_utf16().count();
        // V8 reads the units in place, so they begin at an even place.
        if !(self.bytes.len() + 1 + varint_length(length)).is_multiple_of(2) {
            self.byte(tag::PADDING);
        }
        self.byte(tag::TWO_BYTE_TEXT);
        self.count(length)?;
        self.bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        Ok(())
    }
}

fn varint_length(number: usize) -> usize {
    (number.max(1).ilog2() / 7 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_as_long_as_foretold() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x001f_ffff, 0x0020_0000, u32::MAX] {
            let mut writer = Writer::new(Vec::new());
            writer.varint(number);
            assert_eq!(writer.into_bytes().len(), varint_length(number as usize), "{number:#x}");
        }
    }
}
