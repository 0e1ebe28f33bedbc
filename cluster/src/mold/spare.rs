//! A copy of a mold that is no worker yet.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Instant,
};

use worker_api::wire::{LONGEST_ORDER, MoldOrder};

use super::{Origin, send};
use crate::{
    Signal,
    child_process::Birth,
    process::Process,
    sys::spawn::{Descriptor, Program},
};

/// A process that waits to be a worker. Dropped before, it ends.
#[derive(Debug)]
pub(crate) struct Spare {
    /// `None`: it is a worker.
    process: Option<Process>,
    socket: OwnedFd,
    origin: Arc<Origin>,
    pub(super) since: Instant,
}

impl Spare {
    pub(super) fn new(
        process: Process,
        socket: OwnedFd,
        origin: Arc<Origin>,
        since: Instant,
    ) -> Self {
        Self { process: Some(process), socket, origin, since }
    }

    pub(super) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// How it has ended, if it has.
    pub(super) fn end(&self) -> Option<String> {
        match self.process.as_ref()?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Has it be this worker.
    pub(crate) fn become_worker(mut self, birth: &Birth<'_>) -> io::Result<Process> {
        let (order, descriptors) = self.order(birth)?;
        let text = serde_json::to_vec(&order)?;
        if text.len() > LONGEST_ORDER {
            return Err(invalid("its environment differs too much from the mold's"));
        }
        send(&self.socket, &text, &descriptors)?;
        self.process.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn order(&self, birth: &Birth<'_>) -> io::Result<(MoldOrder, Vec<RawFd>)> {
        let Program { standing, .. } = birth.program;
        if birth.program.descriptors.len() > self.origin.numbers {
            return Err(invalid("it is to have more descriptors than the mold: reload first"));
        }
        let (numbers, mut descriptors) = arrange(birth.program.descriptors);
        let passed = birth.passed.zip(birth.program.passed).map(|(variable, descriptor)| {
            descriptors.push(descriptor.as_raw_fd());
            OsString::from(variable)
        });
        let mut environment = changes(&self.origin.variables, birth.variables);
        environment.retain(|(name, _)| Some(name) != passed.as_ref());
        let own_pid = birth.program.own_pid.map(|name| {
            use std::os::unix::ffi::OsStrExt;
            OsStr::from_bytes(name.to_bytes()).to_owned()
        });
        let order = MoldOrder {
            environment,
            numbers,
            passed,
            own_pid,
            cpus: standing.cpus.clone(),
            death_signal: standing.death_signal.map(|signal| (signal, std::process::id())),
        };
        Ok((order, descriptors))
    }
}

/// Which number each descriptor is to have, and the descriptors by their numbers here. What the
/// worker is not to have, the mold does not have either.
fn arrange(all: &[Descriptor<'_>]) -> (Vec<RawFd>, Vec<RawFd>) {
    let source = |(number, descriptor): (RawFd, &Descriptor<'_>)| match descriptor {
        Descriptor::Closed => None,
        Descriptor::Same => Some((number, number)),
        Descriptor::Of(descriptor) => Some((number, descriptor.as_raw_fd())),
    };
    (0..).zip(all).filter_map(source).unzip()
}

/// What is to be done to one environment to have the other.
fn changes(
    from: &BTreeMap<OsString, OsString>,
    to: &BTreeMap<OsString, OsString>,
) -> Vec<(OsString, Option<OsString>)> {
    let set = to.iter().filter(|&(name, value)| from.get(name) != Some(value));
    let removed = from.keys().filter(|&name| !to.contains_key(name));
    let set = set.map(|(name, value)| (name.clone(), Some(value.clone())));
    set.chain(removed.map(|name| (name.clone(), None))).collect()
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(process) = &self.process
            && let Err(error) = process.kill(Signal::KILL)
        {
            log::error!("cannot end a copy of a mold: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lead_from_one_environment_to_the_other() {
        let all = |text: &str| -> BTreeMap<OsString, OsString> {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.into(), value.into())).collect()
        };
        let of = |from, to| changes(&all(from), &all(to));
        assert_eq!(of("A=1 B=2", "A=1 B=2"), []);
        let expected = [("B".into(), Some("3".into())), ("C".into(), Some("".into()))];
        assert_eq!(of("A=1 B=2", "A=1 B=3 C="), expected);
        assert_eq!(of("A=1 B=2", "B=2"), [("A".into(), None)]);
    }

    #[test]
    fn descriptors_that_are_not_there_are_not_sent() {
        let list = [Descriptor::Same, Descriptor::Closed, Descriptor::Same];
        assert_eq!(arrange(&list), (vec![0, 2], vec![0, 2]));
    }
}
