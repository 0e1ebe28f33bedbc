//! Workers' output, line by line, on its way to the master's.
//!
//! The workers' stdout and stderr are pipes that a thread reads; another thread for each output
//! writes, because that may have to wait and the master must not. What always holds:
//!
//! - A line is written whole, and the lines of one stream in their order. A line of more than
//!   64 KiB becomes several. On a terminal each begins with `worker 3 | `.
//! - What nobody reads: 1 MiB waits for each output. When that is full the workers' pipes fill
//!   up as well, and they wait with us, for a second at most
//!   ([`patience`](Relay::patience)); then lines are dropped until half
//!   of what waits is written. The next line says how many were dropped.
//! - What a worker has printed before its end is relayed, a line without an end, too. A
//!   grandchild that holds the pipe may go on printing, and nothing waits for it.
//!
//! ```
//! use cluster::{Event, Master, Settings, relay::Relay};
//!
//! let relay = Relay::new()?;
//! let mut master = Master::new(Settings::new().exec("sh").args(["-c", "echo oh no >&2"]).silent())?;
//! let worker = master.fork()?;
//! relay.add_worker(&worker)?;
//! while let Some(event) = master.poll(None)? {
//!     if let Event::Exit { worker, .. } = event {
//!         assert_eq!(relay.closed(worker.id()), ["oh no"]);
//!     }
//! }
//! relay.finish(std::time::Duration::from_secs(1));
//! # Ok::<(), cluster::Error>(())
//! ```

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::SigSet;
use output::{Output, Target};
use reader::Reader;
use ring::Ring;
pub use ring::{Follower, News};
use source::{SCRATCH, Source};
pub(crate) use voice::Voice;
pub(crate) use words::{last_word, saying};

use crate::WorkerRef;

mod backlog;
mod bell;
mod lines;
mod output;
mod reader;
mod ring;
mod source;
mod voice;
mod words;

/// What is read at most from a pipe at a worker's end; no pipe holds more.
const LAST_WORDS: usize = 1 << 20;

/// How long a relay that is dropped waits until all is written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which of a worker's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output.
    Out,
    /// Its standard error.
    Err,
}

/// What a worker has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The worker's number; 0: the process that loads for all of them
    /// ([`Supervisor::preload`](crate::Supervisor::preload)).
    pub worker: u32,
    /// Where it printed.
    pub stream: Stream,
    /// The line without its end.
    pub text: Arc<[u8]>,
}

/// A worker's stream for another relay to go on with: see [`Relay::hand_over`].
#[derive(Debug)]
pub struct Pipe {
    /// The worker's number.
    pub worker: u32,
    /// Which stream it is.
    pub stream: Stream,
    /// The end to read from.
    pub descriptor: OwnedFd,
    /// The beginning of a line whose end has not come.
    pub rest: Vec<u8>,
}

/// Workers' output on its way to the master's. See the [module](self).
///
/// Its calls do not wait but for each other. Dropped, it waits up to a second until all is
/// written.
#[derive(Debug)]
pub struct Relay {
    reader: Arc<Reader>,
    thread: Option<JoinHandle<()>>,
    outputs: Vec<Arc<Output>>,
    ring: Arc<Ring>,
}

impl Relay {
    /// A relay to this process's stdout and stderr.
    ///
    /// # Errors
    ///
    /// What the system says: no descriptors, no threads.
    pub fn new() -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        Self::over(out, io::stderr().as_fd().try_clone_to_owned()?)
    }

    /// A relay to anything that can be written to.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn over(out: impl Into<OwnedFd>, err: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::start(vec![Target::of(out.into()), Target::of(err.into())])
    }

    /// A relay of both streams to the end of this file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and what the system says about the file.
    pub fn to_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::start(vec![Target::open(path.as_ref())?])
    }

    fn start(targets: Vec<Target>) -> io::Result<Self> {
        let reader = Arc::new(Reader::new()?);
        let mut relay = Self { thread: None, outputs: Vec::new(), ring: Arc::default(), reader };
        for target in targets {
            relay.outputs.push(Output::start(target, &relay.reader.bell)?);
        }
        relay.go_on()?;
        Ok(relay)
    }

    /// Reads, for the first time or after a [pause](Self::pause).
    pub(crate) fn go_on(&mut self) -> io::Result<()> {
        let reader = Arc::clone(&self.reader);
        self.thread = Some(without_signals("relay", move || reader.run())?);
        Ok(())
    }

    /// Reads no more, and waits up to `timeout` until all that was read is written.
    pub(crate) fn pause(&mut self, timeout: Duration) {
        self.stop();
        let deadline = Instant::now() + timeout;
        self.outputs.iter().for_each(|output| output.flush(deadline));
    }

    /// The streams that are open, for another relay to [`resume`](Self::resume).
    pub(crate) fn pipes(&self) -> Vec<Pipe> {
        self.reader.sources(None).iter().filter_map(|source| source.open_pipe()).collect()
    }

    fn stop(&mut self) {
        self.reader.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the relay of workers' output had panicked");
        }
    }

    /// How long workers may have to wait when nobody reads and no more can be held, before their
    /// lines are dropped. Default: 1 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        self.outputs.iter().for_each(|output| output.set_patience(patience));
        self
    }

    /// Relays a worker's streams, our ends of pipes or sockets.
    ///
    /// # Errors
    ///
    /// What the system says when these cannot be made non-blocking.
    pub fn add(
        &self,
        worker: u32,
        stdout: Option<impl Into<OwnedFd>>,
        stderr: Option<impl Into<OwnedFd>>,
    ) -> io::Result<()> {
        let stdout = stdout.map(|descriptor| (Stream::Out, descriptor.into()));
        let stderr = stderr.map(|descriptor| (Stream::Err, descriptor.into()));
        for (stream, descriptor) in stdout.into_iter().chain(stderr) {
            self.resume(Pipe { worker, stream, descriptor, rest: Vec::new() })?;
        }
        Ok(())
    }

    /// Relays the streams of a worker that are pipes and nobody's yet, as with
    /// [`Settings::silent`](crate::Settings::silent).
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_worker(&self, worker: &WorkerRef) -> io::Result<()> {
        self.add(worker.id(), worker.stdio(1), worker.stdio(2))
    }

    /// Goes on with what another relay has left.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn resume(&self, pipe: Pipe) -> io::Result<()> {
        self.source(pipe).map(drop)
    }

    fn source(&self, pipe: Pipe) -> io::Result<Option<Arc<Source>>> {
        let output = match pipe.stream {
            Stream::Out => self.outputs.first(),
            Stream::Err => self.outputs.last(),
        };
        let Some(output) = output else { return Ok(None) };
        let source = Source::new(pipe, Arc::clone(output), Arc::clone(&self.ring))?;
        Ok(Some(self.reader.add(source)))
    }

    /// The last lines on the worker's stderr so far: at most 20, each of at most 1 KiB.
    pub fn last_words(&self, worker: u32) -> Vec<String> {
        let sources = self.reader.sources(Some(worker));
        sources.iter().flat_map(|source| source.words()).collect()
    }

    /// The worker has ended: relays what it has printed, and gives its last words. Whoever else
    /// holds its pipes is heard until he closes them.
    pub fn closed(&self, worker: u32) -> Vec<String> {
        let mut scratch = vec![0; SCRATCH];
        let mut words = Vec::new();
        for source in self.reader.sources(Some(worker)) {
            drain(&source, &mut scratch, None);
            source.retire();
            words.extend(source.words());
        }
        self.reader.sweep();
        words
    }

    /// Opens the file again by its name, soon: it was moved away. Nothing else is reopened.
    pub fn reopen(&self) {
        self.outputs.iter().for_each(|output| output.reopen());
    }

    /// How many lines were dropped because nobody has read them.
    pub fn dropped(&self) -> u64 {
        self.outputs.iter().map(|output| output.dropped()).sum()
    }

    /// The last lines of all workers, at most so many, and what comes after them. 1 MiB of lines
    /// is kept for those who come later.
    ///
    /// # Errors
    ///
    /// What the system says: no descriptors.
    pub fn follow(&self, most: usize) -> io::Result<Follower> {
        self.ring.follow(most)
    }

    /// Relays what has been printed, and waits up to `timeout` until all is written.
    pub fn finish(mut self, timeout: Duration) {
        self.end(timeout, Source::retire);
    }

    /// As [`finish`](Self::finish), and gives the streams that are still open, for another relay
    /// to [`resume`](Self::resume): that of the program this one becomes by exec.
    pub fn hand_over(mut self, timeout: Duration) -> Vec<Pipe> {
        let mut pipes = Vec::new();
        self.end(timeout, |source| pipes.extend(source.open_pipe()));
        pipes
    }

    fn end(&mut self, timeout: Duration, mut part_from: impl FnMut(&Source)) {
        self.stop();
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + FAREWELL);
        let mut scratch = vec![0; SCRATCH];
        for source in self.reader.take_all() {
            drain(&source, &mut scratch, Some(deadline));
            part_from(&source);
        }
        for output in std::mem::take(&mut self.outputs) {
            output.close(deadline);
        }
    }
}

/// A thread that leaves the process's signals to others, who may wait for them over an exec.
fn without_signals(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(error) = SigSet::all().thread_block() {
            log::error!("cannot block signals: {error}");
        }
        work();
    })
}

/// Reads what is there, within bounds.
fn drain(source: &Source, scratch: &mut [u8], waits_until: Option<Instant>) {
    for _ in 0..LAST_WORDS / SCRATCH {
        if let Some(deadline) = waits_until {
            source.await_room(deadline);
        }
        if !source.pump(scratch) {
            return;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end(FAREWELL, Source::retire);
    }
}
