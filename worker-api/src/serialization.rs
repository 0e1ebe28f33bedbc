//! How a channel writes its messages.

use std::fmt;

/// How a channel writes its messages: both its ends in the same way. Who starts a process says
/// how, and that process finds it in its environment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Serialization {
    /// JSON, a line for each message: the default, and what any program can read.
    #[default]
    Json,
    /// V8's [structured values](crate::structured), which also have bytes, dates, maps, sets
    /// and large integers.
    Advanced,
}

impl Serialization {
    const ALL: [Self; 2] = [Self::Json, Self::Advanced];

    /// That of Node's name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Advanced => "advanced",
        }
    }
}

/// Node's name: `json` or `advanced`.
impl fmt::Display for Serialization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
