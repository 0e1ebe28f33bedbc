//! Any value there and back.

use proptest::prelude::*;

use super::super::{
    BigInt, Exception, ExceptionKind, Primitive, RegExp, SparseArray, Value, View, ViewKind,
    decode, encode,
};

fn kind() -> impl Strategy<Value = ExceptionKind> {
    prop::sample::select(vec![
        ExceptionKind::Error,
        ExceptionKind::EvalError,
        ExceptionKind::RangeError,
        ExceptionKind::ReferenceError,
        ExceptionKind::SyntaxError,
        ExceptionKind::TypeError,
        ExceptionKind::UriError,
    ])
}

fn big_int() -> impl Strategy<Value = BigInt> {
    let digits = prop::collection::vec(any::<u64>(), 0..4);
    (any::<bool>(), digits).prop_map(|(negative, digits)| BigInt::new(negative, digits))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", "[a-zà-ÿ]{0,8}", ".{0,8}"]
}

fn view() -> impl Strategy<Value = View> {
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    // Node 20 knows all but the last.
    (0_u32..13, bytes).prop_map(|(number, bytes)| {
        let kind = ViewKind::of(number).unwrap();
        View::new(kind, bytes.repeat(kind.element_size())).unwrap()
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![any::<i32>().prop_map(f64::from), prop::num::f64::NORMAL];
    prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        big_int().prop_map(Value::BigInt),
        text().prop_map(Value::String),
        (-8_640_000_000_000_000_i64..8_640_000_000_000_000)
            .prop_map(|milliseconds| Value::Date(milliseconds as f64)),
        any::<bool>().prop_map(|value| Value::Boxed(Primitive::Bool(value))),
        number().prop_map(|number| Value::Boxed(Primitive::Number(number))),
        big_int().prop_map(|number| Value::Boxed(Primitive::BigInt(number))),
        text().prop_map(|text| Value::Boxed(Primitive::String(text))),
        ("[a-z€]{1,5}", "g?i?m?s?[uv]?y?")
            .prop_map(|(source, flags)| RegExp::new(source, &flags).unwrap().into()),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::ArrayBuffer),
        view().prop_map(Value::View),
    ]
}

/// Values that JavaScript keeps as they are: numbers as names come first and rise, and the keys
/// of a `Map` and the members of a `Set` differ.
pub(super) fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 60, 6, |inner| {
        let values = || prop::collection::vec(inner.clone(), 0..6);
        let by_place = prop::collection::btree_map(0_u32..20, inner.clone(), 0..4);
        let by_name = prop::collection::btree_map("k[a-zà-€]{0,4}", inner.clone(), 0..4);
        let entries = (by_place, by_name).prop_map(|(places, names)| {
            let places = places.into_iter().map(|(place, value)| (place.to_string(), value));
            places.chain(names).collect::<Vec<_>>()
        });
        let error = (kind(), text(), prop::option::of(inner.clone()), prop::option::of(text()));
        prop_oneof![
            values().prop_map(Value::Array),
            entries.clone().prop_map(Value::Object),
            // Longer than its elements need: it has holes.
            entries.prop_map(|entries| SparseArray::new(30, entries).into()),
            values().prop_map(|values| Value::Map(distinct(values).collect())),
            values().prop_map(|values| Value::Set(distinct(values).map(|(key, _)| key).collect())),
            error.prop_map(|(kind, message, cause, stack)| {
                Exception { cause, stack, ..Exception::new(kind, message) }.into()
            }),
        ]
    })
}

fn distinct(values: Vec<Value>) -> impl Iterator<Item = (Value, Value)> {
    values.into_iter().enumerate().map(|(place, value)| {
        let key = if place % 2 == 0 { format!("k{place}").into() } else { (place as f64).into() };
        (key, value)
    })
}

proptest! {
    #[test]
    fn values_come_back(value in value()) {
        prop_assert_eq!(decode(&encode(&value).unwrap()), Ok(value));
    }

    #[test]
    fn any_number_comes_back(number in any::<f64>()) {
        let back = decode(&encode(&number.into()).unwrap()).unwrap().as_f64().unwrap();
        prop_assert!(back.to_bits() == number.to_bits() || number.is_nan() && back.is_nan());
    }
}
