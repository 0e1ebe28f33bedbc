//! A channel with its lock and its waiting: what a plain channel and a worker share.

use std::{
    collections::VecDeque,
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use nix::{poll::PollFlags, sys::eventfd::EventFd};

use crate::{
    Error, Message, Result, Serialization,
    inquiries::Inquiries,
    latch::{Latch, Signal, wait},
    ledger::Ledger,
    wire::{
        Attachment, Cluster, Fill, HIGH_WATER, LONGEST_LINE, Link, Packet, Received, Rider,
        Sockets, unpack,
    },
};

/// More bytes of messages that nobody receives are dropped.
const MOST_UNREAD: u64 = 64 << 20;

const SCRATCH: usize = 1 << 16;

/// What becomes of the cluster module's messages.
pub(crate) trait Router: Send {
    fn route(&mut self, message: Cluster, attachment: Attachment, port: &mut Port);

    /// Somebody looks whether the channel has anything.
    fn served(&self) {}

    /// The channel has just been closed.
    fn closed(&mut self);
}

/// A plain channel has no cluster module.
#[derive(Debug)]
pub(crate) struct NoRouter;

impl Router for NoRouter {
    fn route(&mut self, _: Cluster, _: Attachment, _: &mut Port) {}

    fn closed(&mut self) {}
}

/// One end of a channel, for any number of threads.
///
/// Whoever waits for something also serves the channel meanwhile, and wakes the others when
/// something for them came by.
#[derive(Debug)]
pub(crate) struct Endpoint<R> {
    state: Mutex<State<R>>,
    socket: Arc<UnixStream>,
    serialization: Serialization,
    latch: Arc<Latch>,
    /// Readable while nothing is left to write.
    written: Arc<EventFd>,
}

/// The sending half of an endpoint's state.
#[derive(Debug)]
pub(crate) struct Port {
    link: Link,
    stage: Stage,
    written: Signal,
    /// The channel ended before everything was written.
    cut_off: bool,
    /// Something besides messages has come that a receiver has not yet seen.
    news: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// To be closed as soon as all is written and acknowledged.
    Closing,
    Closed,
}

#[derive(Debug)]
pub(crate) struct State<R> {
    pub(crate) port: Port,
    pub(crate) router: R,
    /// User messages, or why one cannot be read, each with its length.
    inbox: VecDeque<(Result<Message>, u64)>,
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
}

impl Port {
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// How the channel writes messages.
    pub(crate) fn serialization(&self) -> Serialization {
        self.link.serialization()
    }

    /// Sends a message and writes what can be written now. A lost channel is no error here: who
    /// reads will see its end.
    pub(crate) fn post(&mut self, message: Result<Vec<u8>>, rider: Option<Rider>) {
        if self.is_closed() {
            return;
        }
        let sent = message.and_then(|message| self.link.send(message, rider));
        if let Err(error) = sent {
            log::warn!("a message of the cluster module is lost: {error:?}");
        }
        self.flush();
    }

    /// Has receivers look, though it is no message: so a foreign loop learns that its worker is
    /// to leave when another thread has read it.
    pub(crate) fn announce(&mut self) {
        self.news = true;
    }

    /// Closes once everything is written and acknowledged.
    pub(crate) fn close_when_idle(&mut self) {
        if self.is_open() {
            self.stage = Stage::Closing;
        }
    }

    /// Whether bytes wait for the socket.
    fn is_writing(&self) -> bool {
        !self.cut_off && self.link.is_writing()
    }

    fn flush(&mut self) {
        if self.cut_off {
            return;
        }
        if let Err(error) = self.link.flush() {
            log::debug!("cannot write to the channel: {error}");
            self.cut_off = true;
            // The other side, if it is there, is to end as well: a line may be cut in two.
            let _ = self.link.socket().shutdown(Shutdown::Write);
        }
        self.written.set(self.cut_off || self.link.is_idle());
    }
}

impl<R: Router> State<R> {
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
        self.settle();
        again
    }

    fn dispatch(&mut self) -> Result<(), Option<Error>> {
        loop {
            let from = self.port.link.position();
            let Some(received) = self.port.link.next_received()? else { return Ok(()) };
            let Received::Message { packet, attachment } = received else { continue };
            let length = self.port.link.position() - from;
            match packet {
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
        message: impl Into<Message>,
        attachment: Attachment,
        length: u64,
    ) -> Result<()> {
        if let Some(message) = unpack(message, attachment)? {
            self.deliver(Ok(message), length);
        }
        Ok(())
    }

    fn deliver(&mut self, message: Result<Message>, length: u64) {
        if self.unread > 0 && self.unread + length > MOST_UNREAD {
            log::error!("dropped a message: nobody receives those that came before it");
            return;
        }
        if let Ok(Message { key: Some(key), .. }) = &message {
            self.ledger.opened(key);
        }
        self.unread += length;
        self.inbox.push_back((message, length));
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
            self.settle();
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
        self.settle();
        number
    }

    pub(crate) fn inquiries(&mut self) -> &mut Inquiries {
        &mut self.inquiries
    }

    /// Brings signals and stage up to date after anything has changed.
    pub(crate) fn settle(&mut self) {
        self.port.flush();
        if self.port.stage == Stage::Closing && self.port.link.is_idle() {
            self.close(None);
        }
        let wanted = !self.inbox.is_empty() || self.port.is_closed() || self.port.news;
        self.ready.set(wanted);
        self.watch_writing();
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

    /// Writes what can be written now, and takes acknowledgements, serving the channel meanwhile; whether nothing is left.
    pub(crate) fn write_out(&mut self) -> Result<bool> {
        let reads = self.reads();
        while !self.is_written() && reads && self.pump() {}
        self.settle();
        if self.port.cut_off {
            return Err(self.failure.take().unwrap_or(Error::Disconnected));
        }
        Ok(self.is_written())
    }

    /// Whether all is written, and what had a descriptor with it acknowledged.
    pub(crate) fn is_written(&self) -> bool {
        self.port.link.is_idle()
    }

    /// Whether there is room for what may come in.
    fn reads(&self) -> bool {
        self.unread < MOST_UNREAD
    }

    fn take(&mut self) -> Option<Result<Option<Message>>> {
        if let Some((message, length)) = self.inbox.pop_front() {
            self.unread -= length;
            self.settle();
            return Some(message.map(Some));
        }
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        if std::mem::take(&mut self.port.news) {
            self.settle();
        }
        self.port.is_closed().then_some(Ok(None))
    }
}

impl<R: Router> Endpoint<R> {
    pub(crate) fn new(socket: UnixStream, serialization: Serialization, router: R) -> Result<Self> {
        let refused = |source| Error::Channel { source };
        let link = Link::new(socket, LONGEST_LINE, serialization).map_err(refused)?;
        let (ready, written) = (Signal::new().map_err(refused)?, Signal::new().map_err(refused)?);
        let socket = link.socket();
        let latch = Arc::new(Latch::new(Some(socket.as_fd()), &ready).map_err(refused)?);
        let counter = written.counter();
        let mut port = Port { link, stage: Stage::Open, written, cut_off: false, news: false };
        port.flush();
        let state = State {
            port,
            router,
            inbox: VecDeque::new(),
            unread: 0,
            ledger: Ledger::default(),
            inquiries: Inquiries::default(),
            failure: None,
            scratch: Vec::new(),
            ready,
            latch: Arc::clone(&latch),
            watches_writing: false,
        };
        Ok(Self { state: Mutex::new(state), socket, serialization, latch, written: counter })
    }

    /// The state; a thread that panicked with the lock left nothing half done that matters.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the channel writes messages.
    pub(crate) fn serialization(&self) -> Serialization {
        self.serialization
    }

    /// The channel, for other latches.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Readable while nothing is left to write.
    #[cfg(feature = "tokio")]
    pub(crate) fn written(&self) -> BorrowedFd<'_> {
        self.written.as_fd()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.lock().port.is_open()
    }

    /// Serves the channel until `done` finds what it looks for; `None` if the deadline came
    /// first. The latch must open when another thread has served the channel for us.
    pub(crate) fn serve_until<T>(
        &self,
        latch: BorrowedFd<'_>,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut State<R>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            let mut state = self.lock();
            loop {
                if let Some(found) = done(&mut state) {
                    return Ok(Some(found));
                }
                if !state.pump() {
                    break;
                }
            }
            if let Some(found) = done(&mut state) {
                return Ok(Some(found));
            }
            let writing = state.port.is_writing();
            drop(state);
            let descriptors =
                [(latch, PollFlags::POLLIN), (self.socket.as_fd(), PollFlags::POLLOUT)];
            let count = if writing { 2 } else { 1 };
            if !wait(&descriptors[..count], deadline)? {
                return Ok(None);
            }
        }
    }

    /// Waits for the next user message; the outer `None` if the deadline came first, the inner
    /// one if the channel is closed.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Result<Option<Option<Message>>> {
        self.serve_until(self.latch.as_fd(), deadline, State::take)?.transpose()
    }

    /// The next user message if there is one now.
    pub(crate) fn try_receive(&self) -> Result<Option<Message>> {
        let mut state = self.lock();
        loop {
            if let Some(taken) = state.take() {
                return taken;
            }
            if !state.pump() {
                return state.take().unwrap_or(Ok(None));
            }
        }
    }

    /// Sends a message without waiting; whether the other side keeps up.
    pub(crate) fn try_send(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<bool> {
        let mut state = self.lock();
        if !state.port.is_open() {
            return Err(Error::Disconnected);
        }
        state.port.link.send(message, rider)?;
        state.settle();
        Ok(state.port.link.queued() < HIGH_WATER)
    }

    /// Sends a message and waits until the system has it, and the other side the descriptor,
    /// serving the channel meanwhile: the other side may be waiting for us to read.
    pub(crate) fn send(&self, message: Vec<u8>, rider: Option<Rider>) -> Result<()> {
        self.try_send(message, rider)?;
        loop {
            let mut state = self.lock();
            if state.write_out()? {
                return Ok(());
            }
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, state.reads());
            events.set(PollFlags::POLLOUT, state.port.is_writing());
            drop(state);
            let descriptors =
                [(self.socket.as_fd(), events), (self.written.as_fd(), PollFlags::POLLIN)];
            wait(&descriptors, None)?;
        }
    }

    /// Stops sending; the channel closes once all is written and acknowledged. Never waits.
    pub(crate) fn disconnect(&self) {
        let mut state = self.lock();
        state.port.close_when_idle();
        state.settle();
    }
}

impl<R> AsFd for Endpoint<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.latch.as_fd()
    }
}
