//! Finding the master that is meant.

use std::path::PathBuf;

use cluster::control::{Client, find, folder};

use crate::{
    arguments::Target,
    failure::{Failure, Result},
};

impl Target {
    /// Connects to the master that is meant.
    pub(crate) fn connect(&self) -> Result<Client> {
        Ok(Client::connect(self.path()?)?)
    }

    fn path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.control {
            return Ok(path.clone());
        }
        let mut found = find(self.name.as_deref());
        let whom = self.name.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
        match (found.pop(), found.as_slice()) {
            (Some(only), []) => Ok(only.path),
            (None, _) => Err(Failure::NoMaster(format!(
                "no master{whom} is running (none has its control socket in {}); `cluster run` \
                 starts one, --control names the socket of another",
                folder().display()
            ))),
            (Some(last), others) => {
                let all = others.iter().chain([&last]);
                let all: Vec<String> = all
                    .map(|one| format!("{} (pid {}): {}", one.name, one.pid, one.path.display()))
                    .collect();
                let count = all.len();
                Err(Failure::Usage(format!(
                    "{count} masters{whom} are running, say which one with --control: {}",
                    all.join(", ")
                )))
            }
        }
    }
}
