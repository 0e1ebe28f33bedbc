//! What one program writes down for the next.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use serde::{Deserialize, Serialize};
use worker_api::wire::Luggage;

use super::TAKES_OVER;
use crate::{master::MasterState, supervisor::SupervisedState, sys};

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
    pub(crate) fn write(&self) -> io::Result<File> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create("cluster-upgrade", flags)?);
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        Ok(file)
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

    /// What the program that this process was before has left, if it was one, with all its
    /// descriptors.
    pub(crate) fn take_over() -> io::Result<Option<(Self, Luggage)>> {
        let Some(number) = sys::take_variable(TAKES_OVER) else { return Ok(None) };
        let number = number.to_str().and_then(|text| text.parse().ok());
        let number: RawFd = number.ok_or(io::ErrorKind::InvalidData)?;
        let file = Luggage::claim([number])?.take(number)?;
        let state = Self::read(file.into())?;
        let luggage = Luggage::claim(state.numbers.iter().copied())?;
        Ok(Some((state, luggage)))
    }

    /// As it stands in the environment of the next program.
    pub(super) fn variable(file: &File) -> (&'static str, String) {
        (TAKES_OVER, file.as_raw_fd().to_string())
    }
}
