//! A message between two processes.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{Error, Handle, Result};

/// A message from the other process, and the socket that came with it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Message {
    /// What it says.
    pub value: Value,
    /// The socket that came with it.
    pub handle: Option<Handle>,
}

impl Message {
    /// A message as it was received, for those who build a master.
    pub fn new(value: Value, handle: Option<Handle>) -> Self {
        Self { value, handle }
    }

    /// The value in a type of one's own, without a copy of its texts.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the value has another shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        T::deserialize(&self.value).map_err(|source| Error::Decode { source: source.into() })
    }
}

/// The value alone: so a relay can send the message on.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(output)
    }
}
