//! The old program, in a process of its own, until the new one has taken over.
//!
//! A trial cannot show everything: a program may still fail between the exec and the moment at
//! which it has taken over, and then nobody would be left. So the old program is started once
//! more before the exec, with all descriptors, and waits at a pipe. When it hears that all is
//! well it ends; when the pipe ends without that, it goes on with the workers, under another
//! process number.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    process,
};

use nix::unistd::{dup2_stderr, dup2_stdout};
use worker_api::wire::Luggage;

use super::{Image, ON_GUARD, State};
use crate::{
    Result, Signal,
    child_process::{Child, Command, Stdio},
    sys,
};

const TAKEN: &[u8] = b"taken\n";

/// The old program as it waits.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    /// Ours alone: its end is how the guard learns of ours.
    pub(super) line: PipeWriter,
}

impl Guard {
    /// Starts it; it has the descriptors of these numbers, and reads this file if it goes on.
    pub(super) fn post(image: &Image, file: &File, numbers: &[RawFd]) -> Result<Self> {
        let (ear, line) = io::pipe()?;
        // It runs through `main` once more, which is of no interest to anybody.
        let (out, err) = (copy(io::stdout())?, copy(io::stderr())?);
        let own = [file.as_raw_fd(), ear.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()];
        let all = || numbers.iter().copied().chain(own);
        let mut command = Command::new("/proc/self/exe");
        command.argv0(image.path()).args(image.args());
        command.env(ON_GUARD, own.map(|number| number.to_string()).join(","));
        command.stdio([Stdio::Ignore, Stdio::Ignore, Stdio::Ignore]);
        sys::keep_over_exec(all(), true)?;
        let child = command.spawn();
        sys::keep_over_exec(all(), false)?;
        Ok(Self { child: child?, line })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// It is not needed: this program goes on.
    pub(super) fn dismiss(mut self) {
        if let Err(error) = self.child.kill(Signal::KILL).and_then(|_| self.child.wait()) {
            log::error!("cannot end a process that waited: {error}");
        }
    }
}

fn copy(stream: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// The new program has taken over.
pub(super) fn relieve(line: OwnedFd) {
    if let Err(error) = PipeWriter::from(line).write_all(TAKEN) {
        log::debug!("nobody stood guard: {error}");
    }
}

/// If this process stands guard: waits, and ends if all goes well. What there is to go on with if
/// it does not.
pub(super) fn stand() -> io::Result<Option<(State, Luggage)>> {
    let Some(text) = sys::take_variable(ON_GUARD) else { return Ok(None) };
    let numbers: Vec<RawFd> =
        text.to_str().unwrap_or_default().split(',').filter_map(|one| one.parse().ok()).collect();
    let [file, ear, out, err] = numbers[..] else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut luggage = Luggage::claim(numbers)?;
    let (out, err) = (luggage.take(out)?, luggage.take(err)?);
    if is_relieved(luggage.take(ear)?.into()) {
        process::exit(0);
    }
    let state = State::read(luggage.take(file)?.into())?;
    let luggage = Luggage::claim(state.numbers.iter().copied())?;
    dup2_stdout(out)?;
    dup2_stderr(err)?;
    log::warn!("the new program has failed: pid {} goes on with the old one", process::id());
    Ok(Some((state, luggage)))
}

fn is_relieved(mut ear: PipeReader) -> bool {
    let mut bytes = Vec::new();
    ear.read_to_end(&mut bytes).is_ok() && bytes == TAKEN
}
