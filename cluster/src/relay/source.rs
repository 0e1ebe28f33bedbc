//! One stream of a worker.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::read,
};

use super::{Line, Pipe, Stream, backlog::Room, lines::Lines, output::Output, ring::Ring};

/// What is read from a stream at a time.
pub(super) const SCRATCH: usize = 1 << 16;

/// How many of its last lines on stderr are kept of a worker, and how long each may be.
const WORDS: usize = 20;
const LONGEST_WORD: usize = 1024;

/// Our end of a worker's pipe, and where its lines go.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) worker: u32,
    pub(super) stream: Stream,
    pipe: OwnedFd,
    state: Mutex<State>,
    output: Arc<Output>,
    ring: Arc<Ring>,
}

#[derive(Debug)]
struct State {
    lines: Lines,
    /// The last lines of stderr.
    words: VecDeque<Line>,
    has_ended: bool,
    /// Its worker is gone.
    is_retired: bool,
}

impl Source {
    pub(super) fn new(pipe: Pipe, output: Arc<Output>, ring: Arc<Ring>) -> io::Result<Self> {
        let Pipe { worker, stream, descriptor: pipe, rest } = pipe;
        let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
        fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let state = State {
            lines: Lines::after(rest),
            words: VecDeque::new(),
            has_ended: false,
            is_retired: false,
        };
        Ok(Self { worker, stream, pipe, state: Mutex::new(state), output, ring })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its output has room for more.
    pub(super) fn room(&self, now: Instant) -> Room {
        self.output.room(now)
    }

    /// Reads once, without waiting; `false`: there is nothing now.
    pub(super) fn pump(&self, scratch: &mut [u8]) -> bool {
        let mut state = self.lock();
        match read(&self.pipe, scratch) {
            Ok(0) => state.has_ended = true,
            Ok(count) => {
                let State { lines, words, .. } = &mut *state;
                let bytes = scratch.get(..count).unwrap_or_default();
                lines.feed(bytes, |line| self.relay(line, words));
                return true;
            }
            Err(Errno::EINTR) => return true,
            Err(Errno::EAGAIN) => {}
            Err(error) => {
                if error != Errno::ECONNRESET {
                    log::debug!("output of worker {}: {error}", self.worker);
                }
                state.has_ended = true;
            }
        }
        if state.has_ended {
            self.end_line(&mut state);
        }
        false
    }

    /// Nothing more comes from the worker itself: a line without an end is one.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.is_retired = true;
        self.end_line(&mut state);
    }

    /// Whether nobody asks for it any more.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.is_retired && state.has_ended
    }

    /// Waits until its output has room, or until then.
    pub(super) fn await_room(&self, deadline: Instant) {
        self.output.await_room(deadline);
    }

    fn end_line(&self, state: &mut State) {
        let State { lines, words, .. } = state;
        lines.finish(|line| self.relay(line, words));
    }

    fn relay(&self, text: &[u8], words: &mut VecDeque<Line>) {
        self.output.push(self.worker, text);
        let line = Line { worker: self.worker, stream: self.stream, text: text.into() };
        if self.stream == Stream::Err {
            if words.len() == WORDS {
                words.pop_front();
            }
            words.push_back(line.clone());
        }
        self.ring.push(line);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// The last lines of stderr as text, each cut where it is long.
    pub(super) fn words(&self) -> Vec<String> {
        let state = self.lock();
        let texts = state.words.iter().map(|line| {
            let text = line.text.get(..LONGEST_WORD).unwrap_or(&line.text);
            String::from_utf8_lossy(text).into_owned()
        });
        texts.collect()
    }

    /// A copy of the pipe, and what was read of it and not relayed; `None`: it has ended.
    pub(super) fn open_pipe(&self) -> Option<Pipe> {
        let state = self.lock();
        if state.has_ended {
            return None;
        }
        let descriptor = self.pipe.try_clone();
        let failed = |error: &io::Error| log::error!("output of worker {}: {error}", self.worker);
        Some(Pipe {
            worker: self.worker,
            stream: self.stream,
            descriptor: descriptor.inspect_err(failed).ok()?,
            rest: state.lines.rest().to_vec(),
        })
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
