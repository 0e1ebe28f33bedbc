//! What only an advanced channel carries; `tests/node/values.js` is the twin.
#![allow(dead_code, reason = "the fixture program uses a part")]

use cluster::structured::{BigInt, RegExp, SparseArray, Value, View, ViewKind};

fn object<const SIZE: usize>(entries: [(&str, Value); SIZE]) -> Value {
    Value::Object(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

fn view(kind: ViewKind, bytes: impl Into<Vec<u8>>) -> Value {
    View::new(kind, bytes).unwrap().into()
}

/// Each with the name that Node knows it by.
pub(crate) fn values() -> Vec<(&'static str, Value)> {
    let truths = Value::Set(vec![true.into(), Value::Null]);
    vec![
        ("map", Value::Map(vec![(1.into(), "one".into()), ("set".into(), truths)])),
        ("set", Value::Set(vec!["a".into(), BigInt::from(2_i64).into(), Value::Undefined])),
        ("date", Value::Date(1e12)),
        ("bigint", BigInt::from(-(1_i128 << 100)).into()),
        ("bytes", view(ViewKind::Uint8Array, [0, 1, 255])),
        ("floats", view(ViewKind::Float64Array, [1.5_f64, -2.0].map(f64::to_ne_bytes).concat())),
        ("longs", view(ViewKind::BigUint64Array, u64::MAX.to_ne_bytes())),
        ("view", view(ViewKind::DataView, [0, 0])),
        ("buffer", Value::buffer(*b"hello")),
        ("plain", Value::ArrayBuffer(vec![7])),
        ("undefined", {
            let inner = object([("c", Value::Undefined)]);
            object([("a", Value::Undefined), ("b", vec![Value::Undefined, inner].into())])
        }),
        ("holes", {
            let entries = [("0", 1.into()), ("2", 3.into())];
            SparseArray::new(3, entries.map(|(place, value)| (place.into(), value)).into()).into()
        }),
        ("expression", RegExp::new("a+b", "gi").unwrap().into()),
        ("zero", Value::Number(-0.0)),
        ("text", "é\u{1F980}\u{2028}".into()),
    ]
}

/// A message of several parts.
pub(crate) fn message<const SIZE: usize>(entries: [(&str, Value); SIZE]) -> Value {
    object(entries)
}

/// Messages whose lengths have so many bytes in all that some lie across two reads.
pub(crate) const SIZES: [usize; 10] = [65521; 10];

/// As many bytes as Node's own test sends at once.
pub(crate) const LARGE: [usize; 4] = [8 << 20; 4];

/// A value of so many bytes, all the same.
pub(crate) fn bytes(length: usize, byte: u8) -> Value {
    Value::buffer(vec![byte; length])
}
