//! What Node v20.20.2 wrote, got as `captured.rs` says, where we write the same value in another
//! way, or another value.

use super::{
    super::{ExceptionKind, Value, ViewKind},
    Row, exception, object, sparse, view,
};

pub(super) fn one_way() -> Vec<Row> {
    vec![
        (r"'\ud800a'", "ff0f630400d86100", "\u{fffd}a".into()),
        (
            "[1.5, 2]",
            "ff0f41024e000000000000f83f4e0000000000000040240002",
            Value::Array(vec![1.5.into(), 2.into()]),
        ),
        (
            "Array(3).fill('x')",
            "ff0f6103490022017849022201784904220178400303",
            Value::Array(vec!["x".into(), "x".into(), "x".into()]),
        ),
        (
            "Object.assign([1], { x: 2 })",
            "ff0f410149022201784904240101",
            sparse(1, [("0", 1.into()), ("x", 2.into())]),
        ),
        (
            "new ArrayBuffer(2, { maxByteLength: 8 })",
            "ff0f7e02080000",
            Value::ArrayBuffer(vec![0, 0]),
        ),
        ("new (class { x = 1 })()", "ff0f6f22017849027b01", object([("x", 1.into())])),
        ("new (require('net').BlockList)()", "ff0f5c016f7b00", object([])),
        (
            "new (class Own extends RangeError { stack = 'S' })('m')",
            "ff0f72526d22016d732201532e",
            exception(ExceptionKind::RangeError, "m", "S"),
        ),
        (
            "(o => [o, o])({ a: 1 })",
            "ff0f41026f22016149027b015e01240002",
            Value::Array(vec![object([("a", 1.into())]), object([("a", 1.into())])]),
        ),
        (
            "(o => [{}, o, new Map([[o, [o]]])])(Buffer.from('a'))",
            "ff0f41036f7b005c000a01613b5e0241015e022400013a02240003",
            Value::Array(vec![
                object([]),
                Value::buffer(*b"a"),
                Value::Map(vec![(Value::buffer(*b"a"), Value::Array(vec![Value::buffer(*b"a")]))]),
            ]),
        ),
        (
            "(a => (b => [b, a, b])([a, [a]]))(new Date(0))",
            "ff0f4103410244000000000000000041015e022400012400025e025e01240003",
            Value::Array(vec![
                Value::Array(vec![Value::Date(0.0), Value::Array(vec![Value::Date(0.0)])]),
                Value::Date(0.0),
                Value::Array(vec![Value::Date(0.0), Value::Array(vec![Value::Date(0.0)])]),
            ]),
        ),
        (
            "(p => [new Uint8Array(p), new Uint8Array(p, 1), p])(new ArrayBuffer(2))",
            "ff0f41035c00010200005c0001010042020000240003",
            Value::Array(vec![
                view(ViewKind::Uint8Array, &[0, 0]),
                view(ViewKind::Uint8Array, &[0]),
                Value::ArrayBuffer(vec![0, 0]),
            ]),
        ),
        (
            "(l => [new (require('net').BlockList)(), l, l])([])",
            "ff0f41035c016f7b0041002400005e03240003",
            Value::Array(vec![object([]), Value::Array(vec![]), Value::Array(vec![])]),
        ),
    ]
}
