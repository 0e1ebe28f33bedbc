//! Texts: V8's are Latin-1 or UTF-16.

/// From Latin-1.
pub(super) fn from_one_byte(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// From UTF-16; half of a surrogate pair becomes U+FFFD.
pub(super) fn from_two_byte(bytes: &[u8]) -> String {
    let units = bytes.as_chunks().0.iter().map(|&unit| u16::from_le_bytes(unit));
    let wide = char::decode_utf16(units);
    wide.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The text in Latin-1, if it can be.
pub(super) fn one_byte(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_pair_is_replaced() {
        assert_eq!(from_two_byte(&[0x00, 0xd8, 0x61, 0x00]), "\u{fffd}a");
        assert_eq!(from_two_byte(&[0x3d, 0xd8, 0x00, 0xde]), "😀");
        assert_eq!(from_two_byte(&[0x00, 0xdc, 0x00, 0xd8]), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn one_byte_texts_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(one_byte(&from_one_byte(&bytes)), Some(bytes));
        }

        #[test]
        fn two_byte_texts_come_back(text in ".*") {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(from_two_byte(&bytes), text);
        }
    }
}
