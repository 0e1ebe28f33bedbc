//! Reading the format's parts, within bounds.

use super::{DecodeError, tag, text};

type Result<T> = std::result::Result<T, DecodeError>;

/// Bytes, and how far they are read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes back to a place where it has been.
    pub(super) fn seek(&mut self, position: usize) {
        self.position = position.min(self.bytes.len());
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next tag; padding before it means nothing.
    pub(super) fn tag(&mut self) -> Result<u8> {
        loop {
            match self.byte()? {
                tag::PADDING => {}
                tag => return Ok(tag),
            }
        }
    }

    /// Whether this tag is next, which is read then.
    pub(super) fn skips(&mut self, wanted: u8) -> Result<bool> {
        let tag = self.tag()?;
        if tag != wanted {
            self.position -= 1;
        }
        Ok(tag == wanted)
    }

    /// A number of seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u32> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number.try_into().map_err(|_| DecodeError::Malformed("a number"));
            }
        }
        Err(DecodeError::Malformed("a number"))
    }

    /// As [`varint`](Self::varint), with the sign in the lowest bit.
    pub(super) fn zigzag(&mut self) -> Result<i32> {
        let number = self.varint()?;
        Ok((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    pub(super) fn double(&mut self) -> Result<f64> {
        let number = f64::from_le_bytes(self.array()?);
        Ok(if number.is_nan() { f64::NAN } else { number })
    }

    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE]> {
        let chunk = self.bytes[self.position..].first_chunk().ok_or(DecodeError::Truncated)?;
        self.position += SIZE;
        Ok(*chunk)
    }

    /// A length, and so many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    pub(super) fn take(&mut self, length: u32) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or(DecodeError::Truncated)?;
        self.position += taken.len();
        Ok(taken)
    }

    /// What follows the tag of a text; `None` if it is no such tag.
    pub(super) fn text(&mut self, tag: u8) -> Option<Result<String>> {
        let decode = match tag {
            tag::ONE_BYTE_TEXT => text::from_one_byte,
            tag::TWO_BYTE_TEXT => return Some(self.two_byte_text()),
            tag::UTF8_TEXT => |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned(),
            _ => return None,
        };
        Some(self.bytes().map(decode))
    }

    fn two_byte_text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        if !bytes.len().is_multiple_of(2) {
            return Err(DecodeError::Malformed("a text"));
        }
        Ok(text::from_two_byte(bytes))
    }

    /// A text, tag and all.
    pub(super) fn any_text(&mut self) -> Result<String> {
        let tag = self.tag()?;
        self.text(tag).unwrap_or(Err(DecodeError::Malformed("no text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        let varint = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(varint(&[0x80, 0x00]), Ok(0));
        assert_eq!(varint(&[0x80, 0x80]), Err(DecodeError::Truncated));
        assert!(matches!(varint(&[0xff; 4 + 1]), Err(DecodeError::Malformed(_))));
        assert!(matches!(varint(&[0x80, 0x80, 0x80, 0x80, 0x10]), Err(DecodeError::Malformed(_))));
        let zigzag = |bytes: &[u8]| Reader::new(bytes).zigzag();
        assert_eq!(zigzag(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(i32::MIN));
        assert_eq!(zigzag(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), Ok(i32::MAX));
    }

    #[test]
    fn a_length_is_no_promise() {
        assert_eq!(Reader::new(&[0x05, 1, 2]).bytes(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0x02, 1, 2]).bytes(), Ok(&[1, 2][..]));
    }
}
