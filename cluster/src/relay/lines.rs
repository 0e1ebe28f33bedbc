//! From bytes to lines.

/// The longest line, in bytes; a longer one becomes several.
pub(super) const LONGEST: usize = 64 * 1024;

/// Bytes of one stream, cut at the ends of its lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come; at most [`LONGEST`].
    rest: Vec<u8>,
}

impl Lines {
    /// Goes on with the beginning of a line.
    pub(super) fn after(rest: Vec<u8>) -> Self {
        let mut lines = Self::default();
        lines.feed(&rest, |_| {});
        lines
    }

    /// Gives each line that these bytes complete, without its end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let (mut piece, after) = bytes.split_at(end.unwrap_or(bytes.len()));
            while piece.len() > LONGEST - self.rest.len() {
                let (now, later) = piece.split_at(LONGEST - self.rest.len());
                self.complete(now, &mut line);
                piece = later;
            }
            match after.split_first() {
                Some((_, after)) => {
                    self.complete(piece, &mut line);
                    bytes = after;
                }
                None => {
                    self.rest.extend_from_slice(piece);
                    return;
                }
            }
        }
    }

    /// Gives the line that has no end, if there is one.
    pub(super) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.complete(&[], &mut line);
        }
    }

    /// The beginning of a line whose end has not come.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    fn complete(&mut self, piece: &[u8], line: &mut impl FnMut(&[u8])) {
        if self.rest.is_empty() {
            return line(piece);
        }
        self.rest.extend_from_slice(piece);
        line(&self.rest);
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk, |line| all.push(line.to_vec()));
        }
        lines.finish(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_end_where_they_say() {
        assert_eq!(fed(&[b"a\nb", b"c\n\n", b"d"]), [&b"a"[..], b"bc", b"", b"d"]);
        assert!(fed(&[]).is_empty() && fed(&[b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut() {
        let just = vec![b'x'; LONGEST];
        assert_eq!(fed(&[&just, b"\n"]), std::slice::from_ref(&just));
        assert_eq!(fed(&[&just, b"y\n"]), [just.clone(), b"y".to_vec()]);
        let all = fed(&[&[b'x'; 3 * LONGEST + 7]]);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST, 7]);
    }

    #[test]
    fn a_rest_is_gone_on_with() {
        let mut lines = Lines::default();
        lines.feed(b"one\ntw", |_| {});
        let mut next = Lines::after(lines.rest().to_vec());
        let mut all = Vec::new();
        next.feed(b"o\n", |line| all.push(line.to_vec()));
        assert_eq!(all, [b"two"]);
    }

    proptest! {
        #[test]
        fn however_the_bytes_come(
            chunks in proptest::collection::vec("[ab\n]{0,12}", 0..12),
            long in 0..3_usize,
        ) {
            let mut bytes: Vec<Vec<u8>> = chunks.into_iter().map(String::into_bytes).collect();
            bytes.insert(bytes.len() / 2, vec![b'z'; long * (LONGEST - 1)]);
            let all: Vec<u8> = bytes.concat();
            let mut expected = Vec::new();
            for line in all.strip_suffix(b"\n").unwrap_or(&all).split(|byte| *byte == b'\n') {
                match line.len() {
                    0 if all.is_empty() => {}
                    0 => expected.push(Vec::new()),
                    _ => expected.extend(line.chunks(LONGEST).map(<[u8]>::to_vec)),
                }
            }
            let chunks: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(fed(&chunks), expected);
        }
    }
}
