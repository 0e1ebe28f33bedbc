//! What settings say, for those who did not make them: [`Event::Setup`](crate::Event::Setup).

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use worker_api::Address;

use super::Settings;
use crate::{Result, child_process::Stdio};

impl Settings {
    /// The workers' program; `None`: this one.
    pub fn program(&self) -> Option<&OsStr> {
        self.exec.as_deref()
    }

    /// The workers' arguments; `None`: this program's, if it is this program that runs.
    pub fn arguments(&self) -> Option<&[OsString]> {
        self.args.as_deref()
    }

    /// What workers find otherwise in their environment than this process does, in the order in
    /// which it was said: the last word on a name counts. `None`: removed.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, Option<&OsStr>)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_deref()))
    }

    /// The workers' working directory; `None`: this process's.
    pub fn directory(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// The workers' descriptors; `None`: this process's standard streams and the channel.
    pub fn descriptors(&self) -> Option<&[Stdio]> {
        self.stdio.as_deref()
    }

    /// The ids of the user and the group that workers run as; `None`: this process's.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`](crate::Error::Settings) for a name that this system does not know.
    pub fn owner(&self) -> Result<(Option<u32>, Option<u32>)> {
        self.standing.owner()
    }

    /// What is listened on and bound before any worker asks.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`](crate::Error::Settings) for what is no address.
    pub fn listened(&self) -> Result<Vec<Address>> {
        Ok(self.addresses()?.0)
    }

    /// What workers may ask for besides; `None`: anything.
    ///
    /// # Errors
    ///
    /// As [`listened`](Self::listened).
    pub fn allowed(&self) -> Result<Option<Vec<Address>>> {
        Ok(self.addresses()?.1)
    }

    /// Whether workers start with `SIGINT` ignored.
    pub fn ignores_interrupt(&self) -> bool {
        self.ignores_interrupt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_can_be_read() {
        let nothing = Settings::new();
        assert_eq!((nothing.program(), nothing.arguments()), (None, None));
        assert!(nothing.descriptors().is_none() && nothing.directory().is_none());
        assert_eq!(nothing.allowed().unwrap(), None);
        let settings = Settings::new().exec("a").args(["b", "c"]).cwd("/d").silent().uid(1).gid(2);
        let settings = settings.env("E", "f").env_remove("G").listen(80).allow_listen(["81"]);
        let settings = settings.ignore_interrupt().most_sockets(3);
        assert_eq!(settings.program(), Some("a".as_ref()));
        assert_eq!(settings.arguments(), Some(&["b".into(), "c".into()][..]));
        assert_eq!(settings.directory(), Some("/d".as_ref()));
        assert_eq!(settings.descriptors().map(<[_]>::len), Some(4));
        let environment: Vec<_> = settings.environment().collect();
        assert_eq!(environment, [("E".as_ref(), Some("f".as_ref())), ("G".as_ref(), None)]);
        assert_eq!(settings.owner().unwrap(), (Some(1), Some(2)));
        assert_eq!(settings.listened().unwrap(), [Address::Port(80)]);
        assert_eq!(settings.allowed().unwrap(), Some(vec![Address::Port(81)]));
        assert_eq!(settings.socket_limit(), 3);
        assert!(settings.ignores_interrupt() && Settings::new().listen("?").listened().is_err());
    }
}
