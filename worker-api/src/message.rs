//! A message between two processes.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{Error, Handle, Result, structured};

/// A message from the other process, and the socket that came with it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Message {
    /// What it says; on an advanced channel as far as JSON can say it
    /// ([`structured::Value::to_json`]).
    pub value: Value,
    /// The socket that came with it.
    pub handle: Option<Handle>,
    structured: Option<structured::Value>,
}

impl Message {
    /// A message as it was received, for those who build a master.
    pub fn new(value: Value, handle: Option<Handle>) -> Self {
        Self { value, handle, structured: None }
    }

    /// All that it says, on a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced); `None` on one that speaks
    /// JSON, where [`value`](Self::value) is all.
    pub fn structured(&self) -> Option<&structured::Value> {
        self.structured.as_ref()
    }

    /// As [`structured`](Self::structured), for good.
    pub fn into_structured(self) -> Option<structured::Value> {
        self.structured
    }

    /// The [`value`](Self::value) in a type of one's own, without a copy of its texts. What JSON
    /// cannot say is in [`structured`](Self::structured) alone.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the value has another shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        T::deserialize(&self.value).map_err(|source| Error::Decode { source: source.into() })
    }
}

impl From<Value> for Message {
    fn from(value: Value) -> Self {
        Self::new(value, None)
    }
}

impl From<structured::Value> for Message {
    fn from(value: structured::Value) -> Self {
        Self { value: value.to_json(), handle: None, structured: Some(value) }
    }
}

/// The value alone: so a relay can send the message on.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(output)
    }
}
