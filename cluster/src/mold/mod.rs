//! Workers that are copies of a process which has loaded their program.
//!
//! A *mold* is started as a worker is, loads, and makes copies of itself when it is asked to. A
//! copy is a child of this process, as the mold is, and at first a *spare*: it waits, knows
//! nothing yet, and becomes a worker by one message. There is always one spare, so that no start
//! has to wait for a fork, which takes a while in a process with much memory.
//!
//! Nothing here waits for a mold.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, unix::SourceFd};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, recv, sendmsg, socketpair,
    },
};
use worker_api::wire::{LONGEST_NOTICE, MoldNotice};

use crate::{
    ForkOptions, Master, Result, Signal,
    process::Process,
    relay::{Voice, saying},
};

mod molds;
mod spare;
mod state;
mod status;

pub(crate) use molds::Molds;
pub(crate) use spare::Spare;
pub(crate) use state::MoldState;
pub use status::{MoldPhase, MoldStatus};

/// A mold, or a copy, that ends sooner than this was no good.
const PROBATION: Duration = Duration::from_secs(1);

/// More than so many notices at a time no mold has to give.
const MOST_NOTICES: usize = 16;

/// So much of what a mold says about a failure is passed on, in characters.
const LONGEST_REASON: usize = 500;

/// How a mold is to be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) options: ForkOptions,
    /// How long it may load, and take for a copy.
    pub(crate) patience: Duration,
    /// The reload whose workers it is to make.
    pub(crate) generation: u64,
    /// Its output, if that is relayed.
    pub(crate) voice: Option<Voice>,
}

/// What a mold was started with, and its copies are to differ from.
#[derive(Debug)]
struct Origin {
    variables: BTreeMap<OsString, OsString>,
    /// So many numbers of descriptors are kept for those of workers.
    numbers: usize,
}

/// A process to be copied.
#[derive(Debug)]
pub(crate) struct Mold {
    process: Process,
    control: OwnedFd,
    origin: Arc<Origin>,
    state: State,
    generation: u64,
    voice: Option<Voice>,
    patience: Duration,
    /// It has until then to do what it was asked for.
    deadline: Option<Instant>,
    /// Our end of the socket of the copy that was asked for.
    ordered: Option<OwnedFd>,
    spare: Option<Spare>,
    /// It could not make a copy: it is asked again when one is needed.
    rests: bool,
}

/// What is wrong with a mold.
#[derive(Debug)]
enum Trouble {
    /// It is of no more use.
    Lost(String),
    /// It could not make a copy.
    NoCopy(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It runs, and has not called `preload` yet.
    Started,
    Loading,
    Loaded {
        since: Instant,
    },
}

/// A pair of sockets for whole messages.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[i32]) -> io::Result<()> {
    let rights = [nix::sys::socket::ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let parts = [io::IoSlice::new(bytes)];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, rights, flags, None)?;
    Ok(())
}

fn watch(registry: &Registry, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    registry.register(&mut SourceFd(&descriptor.as_raw_fd()), Token(0), Interest::READABLE)
}

impl Mold {
    /// Starts one, which has so long to load.
    pub(crate) fn start(master: &mut Master, plan: Plan, registry: &Registry) -> Result<Self> {
        let Plan { options, patience, generation, voice } = plan;
        let (control, theirs) = pair()?;
        let (command, _) = master.mold_command(&options, theirs)?;
        let mut origin = None;
        let started = command.start_by(|birth| {
            let (variables, numbers) = (birth.variables.clone(), birth.program.descriptors.len());
            origin = Some(Origin { variables, numbers });
            birth.start()
        })?;
        let origin = origin.ok_or_else(|| io::Error::from(io::ErrorKind::Other))?;
        log::info!("a mold (pid {}) loads", started.process.pid());
        let mold = Self {
            process: started.process,
            control,
            origin: Arc::new(origin),
            state: State::Started,
            generation,
            voice,
            patience,
            deadline: Instant::now().checked_add(patience),
            ordered: None,
            spare: None,
            rests: false,
        };
        mold.watch(registry)?;
        Ok(mold)
    }

    fn watch(&self, registry: &Registry) -> io::Result<()> {
        watch(registry, self.control.as_fd())?;
        watch(registry, self.process.as_fd())
    }

    fn is_loaded(&self) -> bool {
        matches!(self.state, State::Loaded { .. })
    }

    /// Whether it was of use for long enough.
    fn has_served(&self, now: Instant) -> bool {
        matches!(self.state, State::Loaded { since } if since + PROBATION < now)
    }

    /// Hears what it says, and sees that it has a spare.
    fn tend(&mut self, now: Instant, registry: &Registry, is_urgent: bool) -> Result<(), Trouble> {
        self.hear(now, registry)?;
        let end = match self.process.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(end) = end {
            self.hear(now, registry)?; // its last words to us
            return Err(Trouble::Lost(self.obituary(&end)));
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Trouble::Lost(self.reproach()));
        }
        self.check_spare(now)?;
        self.keep_spare(now, is_urgent)
    }

    fn obituary(&self, end: &str) -> String {
        match self.state {
            State::Started => {
                let words = self.words();
                format!("it ended before it had called `preload` ({end}), as it must{words}")
            }
            State::Loading => format!("it ended before it had loaded ({end}){}", self.words()),
            State::Loaded { .. } => format!("it ended ({end})"),
        }
    }

    fn reproach(&self) -> String {
        let patience = self.patience;
        match self.state {
            State::Started => format!("it did not call `preload` in {patience:?}, as it must"),
            State::Loading => format!("it did not load in {patience:?}{}", self.words()),
            State::Loaded { .. } => format!("it did not make a copy in {patience:?}"),
        }
    }

    /// What it has printed last, as the end of a sentence.
    fn words(&self) -> String {
        self.voice.as_ref().map(|voice| saying(&voice.words())).unwrap_or_default()
    }

    fn check_spare(&mut self, now: Instant) -> Result<(), Trouble> {
        let Some(spare) = &self.spare else { return Ok(()) };
        let Some(end) = spare.end() else { return Ok(()) };
        let is_soon = now < spare.since + PROBATION;
        self.spare = None;
        match is_soon {
            true => Err(Trouble::Lost(format!("a copy ended before it was a worker ({end})"))),
            false => Ok(()),
        }
    }

    fn keep_spare(&mut self, now: Instant, is_urgent: bool) -> Result<(), Trouble> {
        let has_one = self.spare.is_some() || self.ordered.is_some();
        if !self.is_loaded() || has_one || self.rests && !is_urgent {
            return Ok(());
        }
        let lost = |error| Trouble::Lost(format!("it cannot be asked for a copy: {error}"));
        self.order(now).map_err(lost)
    }

    fn order(&mut self, now: Instant) -> io::Result<()> {
        let (ours, theirs) = pair()?;
        send(&self.control, b"!", &[theirs.as_raw_fd()])?;
        (self.ordered, self.rests) = (Some(ours), false);
        self.deadline = now.checked_add(self.patience);
        Ok(())
    }

    fn hear(&mut self, now: Instant, registry: &Registry) -> Result<(), Trouble> {
        let mut buffer = [0; LONGEST_NOTICE];
        let strange = || Trouble::Lost("it says what no mold says".into());
        for _ in 0..MOST_NOTICES {
            let length = match recv(self.control.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::EAGAIN | Errno::ECONNRESET) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(Trouble::Lost(error.to_string())),
                Ok(length) => length,
            };
            let notice = buffer.get(..length).and_then(|text| serde_json::from_slice(text).ok());
            self.note(notice.ok_or_else(strange)?, now, registry)?;
        }
        Err(strange())
    }

    fn note(
        &mut self,
        notice: MoldNotice,
        now: Instant,
        registry: &Registry,
    ) -> Result<(), Trouble> {
        if notice != MoldNotice::Begun {
            self.deadline = None;
        }
        match notice {
            MoldNotice::Begun if self.state == State::Started => self.state = State::Loading,
            MoldNotice::Begun => {}
            MoldNotice::Loaded => {
                log::info!("the mold (pid {}) has loaded", self.process.pid());
                self.state = State::Loaded { since: now };
            }
            MoldNotice::Refused(reason) => return Err(Trouble::Lost(printable(&reason))),
            MoldNotice::Forked(pid) => self.admit(pid, now, registry).map_err(Trouble::Lost)?,
            MoldNotice::Failed(reason) => {
                (self.ordered, self.rests) = (None, true);
                return Err(Trouble::NoCopy(printable(&reason)));
            }
        }
        Ok(())
    }

    /// A copy is there.
    fn admit(&mut self, pid: u32, now: Instant, registry: &Registry) -> Result<(), String> {
        let process = Process::of_copy(pid)
            .map_err(|error| format!("its copy {pid} is no child of ours: {error}"))?;
        watch(registry, process.as_fd()).map_err(|error| error.to_string())?;
        // Else a program that this process was before has asked for it, and it ends by itself.
        if let Some(socket) = self.ordered.take() {
            self.spare = Some(Spare::new(process, socket, self.origin.clone(), now));
        }
        Ok(())
    }
}

/// A mold's words, for people.
fn printable(text: &str) -> String {
    let is_plain = |one: char| !one.is_control();
    text.chars().map(|one| if is_plain(one) { one } else { ' ' }).take(LONGEST_REASON).collect()
}

impl Drop for Mold {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill(Signal::KILL) {
            log::error!("cannot end a mold: {error}");
        }
    }
}
