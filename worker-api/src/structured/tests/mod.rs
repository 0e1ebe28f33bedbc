//! Against bytes that Node wrote, against Node itself, against hostile bytes.

mod captured;
mod hostile;
mod json;
mod node;
mod one_way;
mod random;

use captured::both_ways;
use one_way::one_way;

use super::{
    DEEPEST, EncodeError, Exception, ExceptionKind, SparseArray, Value, View, ViewKind, decode,
    encode, frame,
};

/// An expression, its bytes in hex, and what it is here.
type Row = (&'static str, &'static str, Value);

fn number(number: f64) -> Value {
    Value::Number(number)
}

fn big(number: i128) -> Value {
    Value::BigInt(number.into())
}

fn object<const SIZE: usize>(entries: [(&str, Value); SIZE]) -> Value {
    Value::Object(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

fn sparse<const SIZE: usize>(length: u32, entries: [(&str, Value); SIZE]) -> Value {
    let entries = entries.map(|(name, value)| (name.to_owned(), value)).into();
    SparseArray::new(length, entries).into()
}

fn view(kind: ViewKind, bytes: &[u8]) -> Value {
    View::new(kind, bytes).unwrap().into()
}

fn exception(kind: ExceptionKind, message: &str, stack: &str) -> Value {
    Exception { stack: Some(stack.into()), ..Exception::new(kind, message) }.into()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(digits).collect()
}

#[test]
fn what_node_wrote_is_read_and_written_again() {
    for (script, hex, value) in both_ways() {
        assert_eq!(decode(&bytes(hex)), Ok(value.clone()), "{script}");
        assert_eq!(encode(&value), Ok(bytes(hex)), "{script}");
    }
}

#[test]
fn what_node_wrote_in_another_way_is_read() {
    for (script, hex, value) in one_way() {
        assert_eq!(decode(&bytes(hex)), Ok(value), "{script}");
    }
}

/// `NaN` is not equal to itself.
#[test]
fn no_number_is_written_as_node_does() {
    let negative = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1);
    for nan in [f64::NAN, negative] {
        assert_eq!(encode(&nan.into()), Ok(bytes("ff0f4e000000000000f87f")));
        assert_eq!(encode(&Value::Date(nan)), Ok(bytes("ff0f44000000000000f87f")));
    }
    for hex in ["ff0f4e000000000000f87f", "ff0f4e010000000000f8ff"] {
        let number = decode(&bytes(hex)).unwrap().as_f64().unwrap();
        assert_eq!(number.to_bits(), f64::NAN.to_bits());
    }
}

#[test]
fn a_frame_has_its_length_before_it() {
    assert_eq!(
        frame(&object([("a", 1.into())])),
        Ok(bytes("0000000aff0f6f22016149027b01")),
        "a capture, too"
    );
    let wide = object([("ab", "€".into())]);
    assert_eq!(frame(&wide).unwrap()[4..], encode(&wide).unwrap(), "the same padding");
}

#[test]
fn what_no_node_could_read_is_not_written() {
    let mut deep = Value::Null;
    for _ in 0..DEEPEST {
        deep = Value::Array(vec![deep]);
    }
    assert_eq!(decode(&encode(&deep).unwrap()), Ok(deep.clone()));
    assert_eq!(encode(&Value::Set(vec![deep])), Err(EncodeError::TooDeep));

    let twice = |count: usize| -> Vec<(String, Value)> {
        (0..count).chain([0]).map(|place| (format!("k{place}"), Value::Null)).collect()
    };
    for count in [1, 7, 8, 9, 100] {
        let same = EncodeError::SameName("k0".into());
        assert_eq!(encode(&Value::Object(twice(count))), Err(same.clone()), "{count}");
        assert_eq!(encode(&SparseArray::new(5, twice(count)).into()), Err(same), "{count}");
    }
    let length = sparse(5, [("length", 7.into())]);
    assert_eq!(encode(&length), Err(EncodeError::SameName("length".into())));
}
