//! Values as `serialization: 'advanced'` has them: what JSON cannot say, in V8's format.
//!
//! V8 writes JavaScript values as bytes, version 15 of its format, and Node's IPC puts a
//! length before each. [`decode`] and [`encode`] turn those bytes into a [`Value`] and back;
//! [`frame`] and [`Frames`] are the lengths. A channel does all that by itself: see
//! [`Channel::send_structured`](crate::Channel::send_structured) and
//! [`Message::structured`](crate::Message::structured).
//!
//! ```
//! use worker_api::structured::{Value, decode, encode};
//!
//! let value = Value::Object(vec![("big".into(), Value::BigInt((1_i128 << 64).into()))]);
//! let bytes = encode(&value)?;
//! assert_eq!(decode(&bytes)?, value);
//! # Ok::<(), worker_api::Error>(())
//! ```
//!
//! What becomes of JavaScript's values:
//!
//! - An object that is there twice is two equal values. One that is inside itself cannot be
//!   read: [`DecodeError::Cycle`].
//! - Half of a surrogate pair becomes U+FFFD, as wherever Node writes a text in UTF-8.
//! - A class's object is a plain object, as after any structured clone.
//! - A native object of Node (a port, a signal) is what Node makes of it: an object of its own
//!   enumerable properties.
//! - A resizable `ArrayBuffer` becomes one of fixed size. A `SharedArrayBuffer` and a
//!   WebAssembly module cannot leave their process, so Node never writes them here.
//!
//! [`decode`] takes any bytes: it neither panics nor takes much more memory than they say they
//! need (see [`DEEPEST`], [`MOST_VALUES`], [`MOST_REPEATED_VALUES`] and [`MOST_REPEATED_BYTES`]).

mod bigint;
mod date;
mod decode;
mod encode;
mod error;
mod exception;
mod frames;
mod json;
mod name;
mod reader;
mod references;
mod regexp;
mod sparse;
mod tag;
mod text;
mod value;
mod view;
mod writer;

pub use bigint::BigInt;
pub(crate) use decode::beginning;
pub use decode::{DEEPEST, MOST_VALUES, decode};
pub use encode::{encode, frame};
pub use error::{DecodeError, EncodeError, NotJson, OutOfRange};
pub use exception::{Exception, ExceptionKind};
pub use frames::Frames;
pub use references::{MOST_REPEATED_BYTES, MOST_REPEATED_VALUES};
pub use regexp::RegExp;
pub use sparse::SparseArray;
pub use value::{Primitive, Value};
pub use view::{View, ViewKind};

#[cfg(test)]
mod tests;
