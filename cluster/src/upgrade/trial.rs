//! A program on trial: whether it starts, and understands what it would be given.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process,
    time::{Duration, Instant},
};

use worker_api::wire::Luggage;

use super::{Image, ON_TRIAL, State};
use crate::{
    Result, Signal,
    child_process::{Child, Command, Stdio},
    sys,
};

/// The descriptors of a program on trial: where it answers, and the state.
const ANSWER: RawFd = 3;
const STATE: RawFd = 4;

/// What it says when it has understood.
const UNDERSTOOD: &[u8] = b"understood\n";

/// So much of what it says about a failure is passed on, in bytes.
const LONGEST_REASON: usize = 4096;

/// What concerns the process that is to be replaced, and not the one on trial.
const NOT_ITS_OWN: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
];

/// A program that was started to see whether it could take over.
#[derive(Debug)]
pub(crate) struct Trial {
    child: Child,
    answer: Option<UnixStream>,
    deadline: Instant,
    patience: Duration,
}

impl Trial {
    /// Starts the program, which has so long.
    pub(crate) fn start(image: &Image, state: &State, patience: Duration) -> Result<Self> {
        let mut command = Command::new(image.path());
        command.args(image.args()).env(ON_TRIAL, "1");
        for name in NOT_ITS_OWN {
            command.env_remove(name);
        }
        let state = OwnedFd::from(state.write()?);
        let streams = [Stdio::Ignore, Stdio::Ignore, Stdio::Pipe, Stdio::Pipe, Stdio::Fd(state)];
        let mut child = command.stdio(streams).spawn()?;
        let answer = child.stdio(3);
        let deadline = Instant::now() + patience;
        Ok(Self { child, answer, deadline, patience })
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How it went, once it is over.
    pub(crate) fn verdict(&mut self, now: Instant) -> Option<Result<(), String>> {
        match self.child.try_wait() {
            Ok(None) if now < self.deadline => None,
            Ok(None) => {
                if let Err(error) = self.child.kill(Signal::KILL) {
                    log::error!("cannot end a program on trial: {error}");
                }
                Some(Err(format!("it did not answer in {:?}", self.patience)))
            }
            Ok(Some(status)) if status.success() && self.has_understood() => Some(Ok(())),
            Ok(Some(status)) if status.success() => {
                Some(Err("it ended without a look at what it was given".into()))
            }
            Ok(Some(status)) => Some(Err(format!("it failed ({status}){}", self.reason()))),
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn has_understood(&mut self) -> bool {
        let bytes = self.answer.take().map(|answer| read(&answer, UNDERSTOOD.len()));
        bytes.is_some_and(|bytes| bytes == UNDERSTOOD)
    }

    fn reason(&mut self) -> String {
        let bytes = self.child.stderr.take().map(|stderr| read(&stderr, LONGEST_REASON));
        match String::from_utf8_lossy(&bytes.unwrap_or_default()).trim() {
            "" => String::new(),
            text => format!(": {text}"),
        }
    }
}

/// What is there now.
fn read(mut stream: &UnixStream, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; most];
    let length = stream.set_nonblocking(true).and_then(|()| stream.read(&mut bytes));
    bytes.truncate(length.unwrap_or(0));
    bytes
}

impl AsFd for Trial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }
}

/// If this process is on trial: says whether it understands, and ends.
pub(super) fn stand() {
    if sys::take_variable(ON_TRIAL).is_none() {
        return;
    }
    process::exit(match answer() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("cannot read the state of the program that runs: {error}");
            1
        }
    });
}

fn answer() -> io::Result<()> {
    let mut luggage = Luggage::claim([ANSWER, STATE])?;
    State::read(File::from(luggage.take(STATE)?))?;
    File::from(luggage.take(ANSWER)?).write_all(UNDERSTOOD)
}
