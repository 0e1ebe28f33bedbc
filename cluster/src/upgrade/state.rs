//! What one program writes down for the next.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use serde::{Deserialize, Serialize};
use worker_api::wire::Luggage;

use super::{
    Image, TAKES_OVER,
    guard::{self, Guard},
    trial,
};
use crate::{
    Result,
    master::MasterState,
    supervisor::{BlockedSignals, SupervisedState},
    sys,
};

/// What this program writes and reads. A field that is added has a default; anything else is a
/// new version.
const VERSION: u32 = 1;

/// All that goes along, but the descriptors themselves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// All descriptors that go along.
    pub(crate) numbers: Vec<RawFd>,
    pub(crate) master: MasterState,
    pub(crate) supervised: SupervisedState,
    /// Children whose owners are gone.
    pub(crate) orphans: Vec<u32>,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl State {
    pub(crate) fn new(
        numbers: Vec<RawFd>,
        master: MasterState,
        supervised: SupervisedState,
        orphans: Vec<u32>,
    ) -> Self {
        Self { version: VERSION, numbers, master, supervised, orphans }
    }

    /// A file in memory with this, which nobody can change.
    pub(super) fn write(&self) -> io::Result<File> {
        let file = empty()?;
        self.write_to(&file)?;
        Ok(file)
    }

    fn write_to(&self, mut file: &File) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        file.write_all(&text)?;
        fcntl(file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        Ok(())
    }

    /// Becomes the program. Comes back only if that fails.
    pub(crate) fn go_on_as(mut self, image: &Image) -> Result<()> {
        // A signal that came before the new program can take it would end the process.
        let _blocked = BlockedSignals::new()?;
        let file = empty()?;
        let guard = Guard::post(image, &file, &self.numbers)?;
        self.orphans.push(guard.pid());
        let outcome = self.write_to(&file).and_then(|()| {
            let (file, line) = (file.as_raw_fd(), guard.line.as_raw_fd());
            let numbers = [&self.numbers[..], &[file, line]].concat();
            image.exec((TAKES_OVER, format!("{file},{line}")), &numbers)
        });
        guard.dismiss();
        Ok(outcome?)
    }

    pub(super) fn read(mut file: File) -> io::Result<Self> {
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        let head: Head = serde_json::from_str(&text)?;
        if head.version != VERSION {
            let text = format!("it is of version {}, this program reads {VERSION}", head.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(serde_json::from_str(&text)?)
    }
}

fn empty() -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(memfd_create("cluster-upgrade", flags)?.into())
}

/// A process that goes on with what a program has left.
#[derive(Debug)]
pub(crate) struct Heir {
    state: State,
    luggage: Luggage,
    /// Where the old program waits to hear that this one has taken over; `None`: this is the
    /// old one, for the new one has failed.
    line: Option<OwnedFd>,
}

impl Heir {
    /// This process, if it is one. One on trial ends here, and so does one on guard, mostly.
    pub(crate) fn of_this_process() -> io::Result<Option<Self>> {
        trial::stand();
        if let Some((state, luggage)) = guard::stand()? {
            return Ok(Some(Self { state, luggage, line: None }));
        }
        let Some(text) = sys::take_variable(TAKES_OVER) else { return Ok(None) };
        let numbers = text.to_str().and_then(|text| {
            let (file, line) = text.split_once(',')?;
            Some((file.parse().ok()?, line.parse().ok()?))
        });
        let (file, line): (RawFd, RawFd) = numbers.ok_or(io::ErrorKind::InvalidData)?;
        let mut luggage = Luggage::claim([file, line])?;
        let line = Some(luggage.take(line)?);
        let state = State::read(luggage.take(file)?.into())?;
        let luggage = Luggage::claim(state.numbers.iter().copied())?;
        Ok(Some(Self { state, luggage, line }))
    }

    /// What it goes on with, and what to do when it has.
    pub(crate) fn open(self) -> (State, Luggage, Option<OwnedFd>) {
        (self.state, self.luggage, self.line)
    }
}

/// The new program has taken over.
pub(crate) fn taken(line: OwnedFd) {
    guard::relieve(line);
}
