//! A regular expression.

/// The flags' letters in the order of `RegExp.prototype.flags`, and their bits.
const FLAGS: [(char, u32); 8] = [
    ('d', 1 << 7),
    ('g', 1 << 0),
    ('i', 1 << 1),
    ('m', 1 << 2),
    ('s', 1 << 5),
    ('u', 1 << 4),
    ('v', 1 << 8),
    ('y', 1 << 3),
];

/// Only one of these can be set: `u` and `v`.
const UNICODE: u32 = 1 << 4 | 1 << 8;

/// A regular expression: only its text, for nothing here can match with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegExp {
    source: String,
    flags: u32,
}

impl RegExp {
    /// The expression `/source/flags`; `None` if no expression has such flags.
    ///
    /// The source is not looked at. A Node process that gets one which is no expression fails.
    pub fn new(source: impl Into<String>, flags: &str) -> Option<Self> {
        let mut bits = 0;
        for letter in flags.chars() {
            let (_, bit) = FLAGS.iter().find(|(own, _)| *own == letter)?;
            if bits & bit != 0 {
                return None;
            }
            bits |= bit;
        }
        Self::from_bits(source.into(), bits)
    }

    pub(super) fn from_bits(source: String, flags: u32) -> Option<Self> {
        let known = FLAGS.iter().fold(0, |known, (_, bit)| known | bit);
        (flags & !known == 0 && flags & UNICODE != UNICODE).then_some(Self { source, flags })
    }

    /// What stands between the slashes.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The flags' letters, in JavaScript's order.
    pub fn flags(&self) -> String {
        FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0).map(|(letter, _)| letter).collect()
    }

    pub(super) fn bits(&self) -> u32 {
        self.flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_javascripts() {
        assert_eq!(RegExp::new("x", "yg").unwrap().flags(), "gy");
        assert_eq!(RegExp::new("x", "dgimsuy").unwrap().bits(), 0xbf);
        assert_eq!(RegExp::new("x", "v").unwrap().bits(), 0x100);
        for wrong in ["gg", "x", "uv"] {
            assert_eq!(RegExp::new("x", wrong), None, "{wrong}");
        }
        assert_eq!(RegExp::from_bits("x".into(), 0x40), None, "V8's own experiment");
    }
}
