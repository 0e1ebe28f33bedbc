//! An `Error` of JavaScript.

use super::Value;

/// An `Error` of JavaScript: what V8 sends of it, and no other property.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exception {
    /// Which of JavaScript's own errors it is; a class of one's own counts as what it extends.
    pub kind: ExceptionKind,
    /// What went wrong.
    pub message: Option<String>,
    /// What it came from.
    pub cause: Option<Value>,
    /// Where it was made: Node's text, which begins with the name and the message.
    pub stack: Option<String>,
}

impl Exception {
    /// An error of this kind with a message.
    pub fn new(kind: ExceptionKind, message: impl Into<String>) -> Self {
        Self { kind, message: Some(message.into()), cause: None, stack: None }
    }
}

/// JavaScript's own errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // named after JavaScript's
pub enum ExceptionKind {
    #[default]
    Error,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    UriError,
}

impl ExceptionKind {
    /// Its byte; a plain `Error` has none.
    pub(super) fn tag(self) -> Option<u8> {
        match self {
            Self::Error => None,
            Self::EvalError => Some(b'E'),
            Self::RangeError => Some(b'R'),
            Self::ReferenceError => Some(b'F'),
            Self::SyntaxError => Some(b'S'),
            Self::TypeError => Some(b'T'),
            Self::UriError => Some(b'U'),
        }
    }

    pub(super) fn of(tag: u8) -> Option<Self> {
        Some(match tag {
            b'E' => Self::EvalError,
            b'R' => Self::RangeError,
            b'F' => Self::ReferenceError,
            b'S' => Self::SyntaxError,
            b'T' => Self::TypeError,
            b'U' => Self::UriError,
            _ => return None,
        })
    }
}
