//! To JSON and back.

use serde_json::{Value as Json, json};

use super::{
    super::{BigInt, NotJson, Primitive, RegExp, Value, ViewKind},
    exception, object, sparse, view,
};
use crate::structured::ExceptionKind;

fn to_json(value: &Value) -> Result<Json, NotJson> {
    value.try_into()
}

/// What `JSON.stringify` made of the same in Node v20.20.2.
#[test]
fn values_become_what_stringify_makes_of_them() {
    let cases = [
        (Value::Undefined, json!(null)),
        (Value::Null, json!(null)),
        (true.into(), json!(true)),
        ("é".into(), json!("é")),
        (Value::Date(1e12), json!("2001-09-09T01:46:40.000Z")),
        (Value::Date(f64::NAN), json!(null)),
        (Value::Boxed(Primitive::Number(1.0)), json!(1)),
        (Value::Boxed(Primitive::Bool(false)), json!(false)),
        (Value::Boxed(Primitive::String("s".into())), json!("s")),
        (Value::Map(vec![(1.into(), 2.into())]), json!({})),
        (Value::Set(vec![1.into()]), json!({})),
        (RegExp::new("x", "g").unwrap().into(), json!({})),
        (exception(ExceptionKind::Error, "m", "S"), json!({})),
        (Value::ArrayBuffer(vec![1]), json!({})),
        (view(ViewKind::DataView, &[1]), json!({})),
        (Value::buffer(*b"ab"), json!({"type": "Buffer", "data": [97, 98]})),
        (view(ViewKind::Uint8Array, &[]), json!({})),
        (view(ViewKind::Int8Array, &[255]), json!({"0": -1})),
        (
            view(ViewKind::Float32Array, &[1.1_f32, f32::NAN].map(f32::to_ne_bytes).concat()),
            json!({"0": 1.100000023841858, "1": null}),
        ),
        (sparse(3, [("1", 1.into()), ("x", 2.into())]), json!([null, 1, null])),
        (Value::Array(vec![Value::Undefined]), json!([null])),
        (object([("a", Value::Undefined), ("b", 1.into())]), json!({"b": 1})),
    ];
    for (value, json) in cases {
        assert_eq!(to_json(&value), Ok(json), "{value:?}");
    }
}

#[test]
fn numbers_without_a_fraction_are_integers() {
    for (number, json) in [
        (-0.0, json!(0)),
        (2_f64.powi(53), json!(1_i64 << 53)),
        (-(2_f64.powi(63)), json!(i64::MIN)),
        (2_f64.powi(63), json!(1_u64 << 63)),
        (2_f64.powi(64), json!(18446744073709551616.0)),
        (1.5, json!(1.5)),
        (f64::INFINITY, json!(null)),
    ] {
        assert_eq!(to_json(&number.into()), Ok(json), "{number}");
    }
}

#[test]
fn what_stringify_refuses_is_refused() {
    let big = Value::Array(vec![BigInt::from(5_u64).into()]);
    assert_eq!(to_json(&big), Err(NotJson::BigInt));
    assert_eq!(to_json(&view(ViewKind::BigInt64Array, &[0; 8])), Err(NotJson::BigInt));
    assert_eq!(to_json(&view(ViewKind::BigInt64Array, &[])), Ok(json!({})));
}

#[test]
fn holes_are_counted_over_all_arrays() {
    assert_eq!(to_json(&sparse(u32::MAX, [])), Err(NotJson::TooSparse));
    let large = sparse(1 << 19, [("5", 1.into())]);
    assert!(to_json(&Value::Array(vec![large.clone(); 2])).is_ok());
    assert_eq!(to_json(&Value::Array(vec![large; 3])), Err(NotJson::TooSparse));
}

#[test]
fn json_comes_back() {
    let json = json!({"a": [1, -1.5, null, true, "x"], "b": {"c": u64::MAX >> 12}});
    assert_eq!(to_json(&json.clone().into()), Ok(json));
    let beyond = Value::from(json!(u64::MAX));
    assert_eq!(beyond, Value::Number(18446744073709551616.0), "as JSON.parse does");
}
