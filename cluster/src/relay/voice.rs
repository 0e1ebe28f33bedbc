//! What a mold prints.

use std::{
    fmt,
    io::{self, PipeReader},
    sync::Arc,
};

use super::{
    Pipe, Reader, Relay, Stream, drain,
    source::{SCRATCH, Source},
};

/// The worker's number on lines of molds, of which there may be several.
const MOLD: u32 = 0;

/// The streams of one mold. Dropped, nobody asks for them any more: whoever still holds them is
/// heard until he closes them.
#[derive(Debug)]
pub(crate) struct Voice {
    sources: Vec<Arc<Source>>,
    reader: Arc<Reader>,
}

impl Voice {
    /// Relays a mold's streams.
    pub(crate) fn of(relay: &Relay, out: PipeReader, err: PipeReader) -> io::Result<Self> {
        let streams = [(Stream::Out, out), (Stream::Err, err)];
        let pipes = streams.map(|(stream, descriptor)| Pipe {
            worker: MOLD,
            stream,
            descriptor: descriptor.into(),
            rest: Vec::new(),
        });
        let sources = pipes.into_iter().filter_map(|pipe| relay.source(pipe).transpose());
        let sources = sources.collect::<io::Result<_>>()?;
        Ok(Self { sources, reader: Arc::clone(&relay.reader) })
    }

    /// The mold has ended: its last words.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut scratch = vec![0; SCRATCH];
        let drained = self.sources.iter().inspect(|source| drain(source, &mut scratch, None));
        drained.flat_map(|source| source.words()).collect()
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.sources.iter().for_each(|source| source.retire());
        self.reader.sweep();
    }
}

/// Whose line it is, for people.
pub(super) struct Speaker(pub(super) u32);

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MOLD => f.write_str("mold"),
            number => write!(f, "worker {number}"),
        }
    }
}
