//! What a child finds in its environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use worker_api::wire::{MOLD, SCOREBOARD};

/// Facts about one process, which are false of its children.
const OWN: [&str; 5] = [CHANNEL_FD, SERIALIZATION_MODE, "NODE_UNIQUE_ID", SCOREBOARD, MOLD];
pub(super) const CHANNEL_FD: &str = "NODE_CHANNEL_FD";
pub(super) const SERIALIZATION_MODE: &str = "NODE_CHANNEL_SERIALIZATION_MODE";

/// Changes to the environment that the child inherits.
#[derive(Debug, Default)]
pub(super) struct Environment {
    cleared: bool,
    /// `None`: removed.
    changes: BTreeMap<OsString, Option<OsString>>,
}

impl Environment {
    pub(super) fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.changes.insert(name.to_owned(), Some(value.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &OsStr) {
        self.changes.insert(name.to_owned(), None);
    }

    pub(super) fn clear(&mut self) {
        *self = Self { cleared: true, changes: BTreeMap::new() };
    }

    /// The names that the user has set.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.changes.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_os_str())
    }

    pub(super) fn resolve(
        &self,
        inherited: impl Iterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<OsString, OsString> {
        let mut all: BTreeMap<OsString, OsString> = if self.cleared {
            BTreeMap::new()
        } else {
            inherited.filter(|(name, _)| !OWN.iter().any(|own| name == own)).collect()
        };
        for (name, change) in &self.changes {
            match change {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(environment: &Environment) -> String {
        let inherited = [("A", "1"), ("B", "2"), ("NODE_CHANNEL_FD", "3"), ("NODE_UNIQUE_ID", "4")];
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        format!("{:?}", environment.resolve(inherited.into_iter()))
    }

    #[test]
    fn what_is_about_us_is_not_inherited() {
        assert_eq!(resolved(&Environment::default()), r#"{"A": "1", "B": "2"}"#);
    }

    #[test]
    fn changes() {
        let mut environment = Environment::default();
        environment.set("A".as_ref(), "one".as_ref());
        environment.set("NODE_UNIQUE_ID".as_ref(), "7".as_ref());
        environment.remove("B".as_ref());
        assert_eq!(resolved(&environment), r#"{"A": "one", "NODE_UNIQUE_ID": "7"}"#);
        environment.clear();
        assert_eq!(resolved(&environment), "{}");
        environment.set("C".as_ref(), "".as_ref());
        assert_eq!(resolved(&environment), r#"{"C": ""}"#);
    }
}
