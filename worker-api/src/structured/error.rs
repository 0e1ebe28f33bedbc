//! Why a value cannot be read, written or turned into something else.

use std::{error, fmt};

use crate::Error;

/// Why bytes are no [`Value`](super::Value).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They do not begin as V8's values do, or V8's version is another.
    Header,
    /// They end too early.
    Truncated,
    /// They go on behind the value.
    Trailing,
    /// This is no kind of value, or none that Node sends over a channel.
    Tag(u8),
    /// Something is not as V8 would have written it.
    Malformed(&'static str),
    /// An object is inside itself: a value here is a tree.
    Cycle,
    /// The value is nested deeper than [`DEEPEST`](super::DEEPEST).
    TooDeep,
    /// There are more values than [`MOST_VALUES`](super::MOST_VALUES).
    TooLarge,
    /// Objects that are there several times would become too large:
    /// [`MOST_REPEATED_VALUES`](super::MOST_REPEATED_VALUES) and
    /// [`MOST_REPEATED_BYTES`](super::MOST_REPEATED_BYTES).
    TooRepetitive,
}

impl DecodeError {
    /// Whether the bytes may well be a value of V8's, though none that can be had here.
    pub(crate) fn is_of_valid_value(self) -> bool {
        match self {
            Self::Tag(_) | Self::Cycle | Self::TooDeep | Self::TooLarge | Self::TooRepetitive => {
                true
            }
            Self::Header | Self::Truncated | Self::Trailing | Self::Malformed(_) => false,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("no value of V8's, or of another version"),
            Self::Truncated => f.write_str("the value ends too early"),
            Self::Trailing => f.write_str("bytes behind the value"),
            Self::Tag(tag) => write!(f, "an unknown kind of value: {tag:#04x}"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Cycle => f.write_str("an object is inside itself"),
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::TooLarge => f.write_str("too many values"),
            Self::TooRepetitive => f.write_str("too large once repeated objects are copied"),
        }
    }
}

impl error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(source: DecodeError) -> Self {
        Self::Decode { source: source.into() }
    }
}

/// Why a [`Value`](super::Value) cannot be bytes: no Node process could read them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// It is nested deeper than [`DEEPEST`](super::DEEPEST).
    TooDeep,
    /// A text, an array or the whole is longer than the format can say.
    TooLarge,
    /// An object has two properties of this name.
    SameName(String),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::TooLarge => f.write_str("too large"),
            Self::SameName(name) => write!(f, "two properties are called {name:?}"),
        }
    }
}

impl error::Error for EncodeError {}

impl From<EncodeError> for Error {
    fn from(source: EncodeError) -> Self {
        Self::Encode { source: source.into() }
    }
}

/// Why a [`Value`](super::Value) cannot be JSON.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJson {
    /// It has a `BigInt` in it; `JSON.stringify` throws as well.
    BigInt,
    /// Its arrays have too many holes to write a `null` for each.
    TooSparse,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BigInt => "JSON has no BigInt",
            Self::TooSparse => "an array with too many holes",
        })
    }
}

impl error::Error for NotJson {}

/// The number that a [`BigInt`](super::BigInt) was to become has no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the BigInt does not fit")
    }
}

impl error::Error for OutOfRange {}
