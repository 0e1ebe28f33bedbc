//! A JavaScript value.

use super::{BigInt, Exception, RegExp, SparseArray, View, ViewKind};

/// A JavaScript value, as far as it can be sent to another process.
///
/// Equality is that of the parts: `NaN` is not equal to itself, and the order of properties,
/// of a `Map` and of a `Set` counts.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `undefined`.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number; JavaScript has no other.
    Number(f64),
    /// An integer of any size.
    BigInt(BigInt),
    /// A text. JavaScript's may hold half of a surrogate pair: that becomes U+FFFD.
    String(String),
    /// A primitive in an object: `new Number(5)`. Rare, and hardly ever meant.
    Boxed(Primitive),
    /// A moment, in milliseconds since 1970 in UTC; `NaN` is the invalid one.
    Date(f64),
    /// A regular expression.
    RegExp(RegExp),
    /// A plain object, in its order; V8 puts names like `7` first. No name may be there twice.
    Object(Vec<(String, Value)>),
    /// An array without holes.
    Array(Vec<Value>),
    /// An array with holes, or one with properties besides its elements.
    SparseArray(SparseArray),
    /// A `Map`, in its order.
    Map(Vec<(Value, Value)>),
    /// A `Set`, in its order.
    Set(Vec<Value>),
    /// Bytes that nobody looks at.
    ArrayBuffer(Vec<u8>),
    /// A `Buffer`, a typed array or a `DataView`: Node sends the bytes that it shows.
    View(View),
    /// An `Error`.
    Error(Box<Exception>),
}

/// What a [`Value::Boxed`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Primitive {
    /// `new Boolean(…)`.
    Bool(bool),
    /// `new Number(…)`.
    Number(f64),
    /// `Object(5n)`.
    BigInt(BigInt),
    /// `new String(…)`.
    String(String),
}

impl Value {
    /// A `Buffer`.
    pub fn buffer(bytes: impl Into<Vec<u8>>) -> Self {
        Self::View(View::bytewise(ViewKind::Buffer, bytes.into()))
    }

    /// The property of that name, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            // Names that V8 told apart by half a surrogate pair are the same here: as in JSON,
            // the last one counts.
            Self::Object(entries) => {
                entries.iter().rfind(|(own, _)| own == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, if this is an `ArrayBuffer` or a view of one.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::ArrayBuffer(bytes) => Some(bytes),
            Self::View(view) => Some(view.bytes()),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($kind:ty => $make:expr;)*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                $make(value)
            }
        }
    )*};
}

from! {
    bool => Self::Bool;
    f64 => Self::Number;
    i32 => |number| Self::Number(f64::from(number));
    u32 => |number| Self::Number(f64::from(number));
    &str => |text: &str| Self::String(text.to_owned());
    String => Self::String;
    BigInt => Self::BigInt;
    Vec<Value> => Self::Array;
    RegExp => Self::RegExp;
    SparseArray => Self::SparseArray;
    View => Self::View;
    Exception => |error| Self::Error(Box::new(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_at_hand() {
        let value = Value::Object(vec![("a".into(), "x".into()), ("b".into(), 5.into())]);
        assert_eq!(value.get("a").and_then(Value::as_str), Some("x"));
        assert_eq!(value.get("b").and_then(Value::as_f64), Some(5.0));
        assert_eq!(value.get("c"), None);
        assert_eq!(value.as_str(), None);
        assert_eq!(Value::buffer(*b"abc").as_bytes(), Some(&b"abc"[..]));
    }

    #[test]
    fn a_value_is_small() {
        assert!(size_of::<Value>() <= 40, "{}", size_of::<Value>());
    }
}
