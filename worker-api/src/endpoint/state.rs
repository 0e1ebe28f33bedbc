//! An endpoint under its lock: what has come in, and for whom.

use std::{collections::VecDeque, os::fd::AsFd, sync::Arc};

use super::{
    Router,
    port::{Port, Stage},
};
use crate::{
    Error, Result,
    inquiries::Inquiries,
    latch::{Latch, Signal},
    ledger::Ledger,
    letter::Letter,
    wire::{Attachment, Fill, Link, Packet, Received, Rider, Sockets, unpack},
};

/// More bytes of messages that nobody receives are dropped.
const MOST_UNREAD: u64 = 64 << 20;

/// So much is read at a time.
const SCRATCH: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct State<R> {
    pub(crate) port: Port,
    pub(crate) router: R,
    /// User messages, or why one cannot be read, each with its length.
    inbox: VecDeque<(Result<Letter>, u64)>,
    unread: u64,
    /// Sockets that the other side has sent.
    ledger: Ledger,
    /// What we have asked about ours.
    inquiries: Inquiries,
    failure: Option<Error>,
    scratch: Vec<u8>,
    /// Set while a receiver has reason to look.
    ready: Signal,
    latch: Arc<Latch>,
    watches_writing: bool,
    /// The last read brought one message at most: the other side waits for us, rather than we
    /// for it, and has written nothing more yet.
    takes_turns: bool,
    /// Threads that wait.
    pub(super) waiting: usize,
    /// A foreign loop may wait.
    pub(super) is_watched: bool,
}

impl<R: Router> State<R> {
    pub(super) fn new(
        link: Link,
        router: R,
        ready: Signal,
        written: Signal,
        latch: Arc<Latch>,
    ) -> Self {
        Self {
            port: Port::new(link, written),
            router,
            inbox: VecDeque::new(),
            unread: 0,
            ledger: Ledger::default(),
            inquiries: Inquiries::default(),
            failure: None,
            scratch: Vec::new(),
            ready,
            latch,
            watches_writing: false,
            takes_turns: false,
            waiting: 0,
            is_watched: false,
        }
    }

    /// Reads once and routes what came; whether it is worth to look again.
    pub(crate) fn pump(&mut self) -> bool {
        self.router.served();
        if self.port.is_closed() {
            return false;
        }
        self.port.flush();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(SCRATCH, 0);
        let fill = self.port.link.fill(&mut scratch);
        self.scratch = scratch;
        let outcome = match fill {
            Ok(Fill::Bytes) => self.dispatch().map(|()| true),
            Ok(Fill::Empty) => Ok(false),
            Ok(Fill::Closed) => Err(None),
            Err(error) => Err(Some(error)),
        };
        let again = outcome.unwrap_or_else(|failure| {
            self.close(failure);
            false
        });
        self.advance();
        again
    }

    fn dispatch(&mut self) -> Result<(), Option<Error>> {
        let mut count = 0;
        loop {
            let from = self.port.link.position();
            let Some(received) = self.port.link.next_sorted()? else {
                self.takes_turns = count <= 1;
                return Ok(());
            };
            count += 1;
            let Received::Message { packet, attachment } = received else { continue };
            let length = self.port.link.position() - from;
            match packet {
                Packet::Unread(text) => self.unpack(text, attachment, length)?,
                Packet::User(value) => self.unpack(value, attachment, length)?,
                Packet::Structured(value) => self.unpack(value, attachment, length)?,
                Packet::Unreadable(error) => self.deliver(Err(error.into()), length),
                Packet::Cluster(message) => self.router.route(message, attachment, &mut self.port),
                Packet::Sockets(news) => self.heard_of_sockets(&news),
                Packet::Unknown(cmd) => log::debug!("ignored an unknown {cmd}"),
                Packet::Handle { .. } | Packet::Ack | Packet::Nack => {}
            }
        }
    }

    fn unpack(
        &mut self,
        content: impl Into<Letter>,
        attachment: Attachment,
        length: u64,
    ) -> Result<()> {
        if let Some(letter) = unpack(content, attachment)? {
            self.deliver(Ok(letter), length);
        }
        Ok(())
    }

    fn deliver(&mut self, letter: Result<Letter>, length: u64) {
        if self.unread > 0 && self.unread + length > MOST_UNREAD {
            log::error!("dropped a message: nobody receives those that came before it");
            return;
        }
        if let Ok(Letter { key: Some(key), .. }) = &letter {
            self.ledger.opened(key);
        }
        self.unread += length;
        self.inbox.push_back((letter, length));
    }

    fn heard_of_sockets(&mut self, news: &Sockets) {
        self.inquiries.heard(news);
        if let Some(answer) = self.ledger.answer(news) {
            self.tell_of_sockets(&answer);
        }
    }

    fn tell_of_sockets(&mut self, news: &Sockets) {
        self.port.post(self.port.serialization().encode_sockets(news), None);
    }

    /// A socket that the other side counts is closed.
    pub(crate) fn socket_closed(&mut self, key: &str) {
        if let Some(news) = self.ledger.closed(key) {
            self.tell_of_sockets(&news);
        }
    }

    /// Asks about our sockets; the number of the question.
    pub(crate) fn ask_of_sockets(&mut self, question: Sockets, signal: Signal) -> u64 {
        let (number, is_new) = self.inquiries.ask(question.clone(), signal);
        match self.port.is_open() {
            true if is_new => self.tell_of_sockets(&question),
            true => {}
            false => self.inquiries.close(),
        }
        number
    }

    pub(crate) fn inquiries(&mut self) -> &mut Inquiries {
        &mut self.inquiries
    }

    /// Brings everything up to date that others see, before the lock is given back. So what comes
    /// and is taken under one lock costs no signal, nor does anything while nobody waits for it.
    pub(super) fn settle(&mut self) {
        self.advance();
        let has_work = !self.inbox.is_empty() || self.port.is_closed() || self.port.news;
        self.ready.set(has_work && (self.is_watched || self.waiting > 0));
        self.watch_writing();
    }

    /// Writes what can be written now, and closes if that was to be waited for.
    fn advance(&mut self) {
        self.port.flush();
        if self.port.stage == Stage::Closing && self.port.link.is_idle() {
            self.close(None);
        }
    }

    /// Has foreign loops wait until the rest can be written.
    fn watch_writing(&mut self) {
        let writing = self.port.is_writing();
        if writing == self.watches_writing {
            return;
        }
        self.watches_writing = writing;
        if let Err(error) = self.latch.watch_writing(self.port.link.as_fd(), writing) {
            log::error!("cannot wait to write to the channel: {error}");
        }
    }

    fn close(&mut self, failure: Option<Error>) {
        if self.port.is_closed() {
            return;
        }
        if let Some(error) = &failure {
            log::warn!("the channel is given up: {error:?}");
        }
        self.failure = failure;
        self.port.stage = Stage::Closed;
        self.port.cut_off |= self.port.link.queued() > 0;
        self.port.link.shut_down();
        self.port.written.set(true);
        self.inquiries.close();
        self.router.closed();
    }

    /// Something, once the channel is closed.
    pub(crate) fn ended(&mut self) -> Option<()> {
        self.port.is_closed().then_some(())
    }

    /// Sends a message: writes what can be written now.
    pub(super) fn send(&mut self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        if !self.port.is_open() {
            return Err(Error::Disconnected);
        }
        self.port.link.send(message, rider)?;
        self.port.flush();
        Ok(())
    }

    /// Writes what can be written now, and takes acknowledgements, serving the channel
    /// meanwhile; whether nothing is left.
    pub(crate) fn write_out(&mut self) -> Result<bool> {
        let reads = self.reads();
        while !self.is_written() && reads && self.pump() {}
        self.advance();
        if self.port.cut_off {
            return Err(self.failure.take().unwrap_or(Error::Disconnected));
        }
        Ok(self.is_written())
    }

    /// Whether all is written, and what had a descriptor with it acknowledged.
    pub(crate) fn is_written(&self) -> bool {
        self.port.link.is_idle()
    }

    /// Whether to read before a wait is worth its system call. After one it is.
    pub(super) fn is_to_look(&self) -> bool {
        !self.takes_turns
    }

    pub(super) fn woken(&mut self) {
        self.takes_turns = false;
    }

    /// Whether there is room for what may come in.
    pub(crate) fn reads(&self) -> bool {
        self.unread < MOST_UNREAD
    }

    pub(super) fn take(&mut self) -> Option<Result<Option<Letter>>> {
        if let Some(letter) = self.take_one() {
            return Some(letter.map(Some));
        }
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        self.port.news = false;
        self.port.is_closed().then_some(Ok(None))
    }

    /// The next letter of those that have been fetched.
    pub(super) fn take_one(&mut self) -> Option<Result<Letter>> {
        let (letter, length) = self.inbox.pop_front()?;
        self.unread -= length;
        Some(letter)
    }

    /// The other side wrote rubbish: nothing more is taken of it.
    pub(super) fn give_up(&mut self) {
        self.inbox.clear();
        self.unread = 0;
        self.close(None);
    }
}
