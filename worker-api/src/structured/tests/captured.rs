//! What Node v20.20.2 wrote.
//!
//! Each row is a script's expression, the bytes and the value. A child with
//! `NODE_CHANNEL_SERIALIZATION_MODE=advanced` evaluated each expression, with
//! `error = (Kind, message, stack, options) => Object.assign(new Kind(message, options), { stack })`
//! in scope, and gave it to `process.send`; its parent, a script that reads the other end of
//! the socket pair, cut the lengths off and printed the rest in hex. `node.rs` has Node evaluate
//! them again.

use super::{
    super::{BigInt, Exception, ExceptionKind, Primitive, RegExp, Value, ViewKind},
    Row, big, exception, number, object, sparse, view,
};

/// What Node writes as we do.
pub(super) fn both_ways() -> Vec<Row> {
    vec![
        ("[undefined]", "ff0f41015f240001", Value::Array(vec![Value::Undefined])),
        ("null", "ff0f30", Value::Null),
        ("true", "ff0f54", Value::Bool(true)),
        ("false", "ff0f46", Value::Bool(false)),
        ("0", "ff0f4900", number(0.0)),
        ("-0", "ff0f4e0000000000000080", number(-0.0)),
        ("-64", "ff0f497f", number(-64.0)),
        ("2 ** 31 - 1", "ff0f49feffffff0f", number(2147483647.0)),
        ("-(2 ** 31)", "ff0f49ffffffff0f", number(-2147483648.0)),
        ("2 ** 31", "ff0f4e000000000000e041", number(2147483648.0)),
        ("1.5", "ff0f4e000000000000f83f", number(1.5)),
        ("-Infinity", "ff0f4e000000000000f0ff", number(f64::NEG_INFINITY)),
        ("[0n]", "ff0f41015a00240001", Value::Array(vec![big(0)])),
        ("[-1n]", "ff0f41015a110100000000000000240001", Value::Array(vec![big(-1)])),
        (
            "[2n ** 64n - 1n]",
            "ff0f41015a10ffffffffffffffff240001",
            Value::Array(vec![big(u64::MAX.into())]),
        ),
        (
            "[2n ** 64n]",
            "ff0f41015a2000000000000000000100000000000000240001",
            Value::Array(vec![big(1 << 64)]),
        ),
        (
            "[-(2n ** 127n)]",
            "ff0f41015a2100000000000000000000000000000080240001",
            Value::Array(vec![big(i128::MIN)]),
        ),
        (
            "[2n ** 128n]",
            "ff0f41015a30000000000000000000000000000000000100000000000000240001",
            Value::Array(vec![BigInt::new(false, vec![0, 0, 1]).into()]),
        ),
        ("'hi'", "ff0f22026869", "hi".into()),
        ("''", "ff0f2200", "".into()),
        (r"'\xe9\xff'", "ff0f2202e9ff", "éÿ".into()),
        ("'€'", "ff0f6302ac20", "€".into()),
        ("'a😀'", "ff0f630661003dd800de", "a😀".into()),
        (
            "['€'.repeat(64)]",
            "ff0f410100638001ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20ac20240001",
            Value::Array(vec!["€".repeat(64).into()]),
        ),
        ("{ ab: '€' }", "ff0f6f22026162006302ac207b01", object([("ab", "€".into())])),
        ("{ '€': 1 }", "ff0f6f006302ac2049027b01", object([("€", 1.into())])),
        ("{}", "ff0f6f7b00", object([])),
        (
            "{ a: undefined, b: { c: null } }",
            "ff0f6f2201615f2201626f220163307b017b02",
            object([("a", Value::Undefined), ("b", object([("c", Value::Null)]))]),
        ),
        (
            "{ 5: 1, a: 2, 4294967294: 3, 4294967295: 4, '-1': 5, '05': 6 }",
            "ff0f6f490a49024e0000c0ffffffef4149062201614904220a34323934393637323935490822022d31490a22023035490c7b06",
            object([
                ("5", 1.into()),
                ("4294967294", 3.into()),
                ("a", 2.into()),
                ("4294967295", 4.into()),
                ("-1", 5.into()),
                ("05", 6.into()),
            ]),
        ),
        (
            "{ ['__proto__']: 1 }",
            "ff0f6f22095f5f70726f746f5f5f49027b01",
            object([("__proto__", 1.into())]),
        ),
        (
            "{ cmd: 'NODE_HANDLE_ACK' }",
            "ff0f6f2203636d64220f4e4f44455f48414e444c455f41434b7b01",
            object([("cmd", "NODE_HANDLE_ACK".into())]),
        ),
        ("[]", "ff0f4100240000", Value::Array(vec![])),
        (
            "[1, 'a', null, [undefined]]",
            "ff0f410449022201613041015f240001240004",
            Value::Array(vec![
                1.into(),
                "a".into(),
                Value::Null,
                Value::Array(vec![Value::Undefined]),
            ]),
        ),
        (
            "[1, , 3]",
            "ff0f61034900490249044906400203",
            sparse(3, [("0", 1.into()), ("2", 3.into())]),
        ),
        ("new Array(4294967295)", "ff0f61ffffffff0f4000ffffffff0f", sparse(u32::MAX, [])),
        (
            "'abc'.match(/b/)",
            "ff0f610149002201622205696e64657849022205696e7075742203616263220667726f7570735f400401",
            sparse(
                1,
                [
                    ("0", "b".into()),
                    ("index", 1.into()),
                    ("input", "abc".into()),
                    ("groups", Value::Undefined),
                ],
            ),
        ),
        (
            "new Map([[1, 'a'], ['k', new Map()]])",
            "ff0f3b490222016122016b3b3a003a04",
            Value::Map(vec![(1.into(), "a".into()), ("k".into(), Value::Map(vec![]))]),
        ),
        (
            "new Set([1, 'a', new Set()])",
            "ff0f274902220161272c002c03",
            Value::Set(vec![1.into(), "a".into(), Value::Set(vec![])]),
        ),
        ("new Date(1e12)", "ff0f44000000a2941a6d42", Value::Date(1e12)),
        (r"/a\/b/gi", "ff0f522204615c2f6203", RegExp::new("a\\/b", "gi").unwrap().into()),
        ("/€/dmsuy", "ff0f52006302ac20bc01", RegExp::new("€", "dmsuy").unwrap().into()),
        ("/x/v", "ff0f522201788002", RegExp::new("x", "v").unwrap().into()),
        ("Object(true)", "ff0f79", Value::Boxed(Primitive::Bool(true))),
        ("Object(false)", "ff0f78", Value::Boxed(Primitive::Bool(false))),
        ("Object(5)", "ff0f6e0000000000001440", Value::Boxed(Primitive::Number(5.0))),
        ("Object(5n)", "ff0f7a100500000000000000", Value::Boxed(Primitive::BigInt(5_u64.into()))),
        ("Object('€')", "ff0f73006302ac20", Value::Boxed(Primitive::String("€".into()))),
        ("new Uint8Array([1, 2]).buffer", "ff0f42020102", Value::ArrayBuffer(vec![1, 2])),
        ("Buffer.from('abc')", "ff0f5c000a03616263", Value::buffer(*b"abc")),
        ("Buffer.alloc(4096, 1).subarray(7, 9)", "ff0f5c000a020101", Value::buffer([1, 1])),
        ("new Int8Array([-1])", "ff0f5c000001ff", view(ViewKind::Int8Array, &[255])),
        ("new Uint8Array([1, 2, 3])", "ff0f5c000103010203", view(ViewKind::Uint8Array, &[1, 2, 3])),
        ("new Uint8ClampedArray([1])", "ff0f5c00020101", view(ViewKind::Uint8ClampedArray, &[1])),
        ("new Int16Array([-2])", "ff0f5c000302feff", view(ViewKind::Int16Array, &[254, 255])),
        ("new Uint16Array([1])", "ff0f5c0004020100", view(ViewKind::Uint16Array, &[1, 0])),
        ("new Int32Array([1])", "ff0f5c00050401000000", view(ViewKind::Int32Array, &[1, 0, 0, 0])),
        (
            "new Uint32Array([1])",
            "ff0f5c00060401000000",
            view(ViewKind::Uint32Array, &[1, 0, 0, 0]),
        ),
        (
            "new Float32Array([1])",
            "ff0f5c0007040000803f",
            view(ViewKind::Float32Array, &1_f32.to_le_bytes()),
        ),
        (
            "[new Float64Array([1, 2])]",
            "ff0f41015c000810000000000000f03f0000000000000040240001",
            Value::Array(vec![view(
                ViewKind::Float64Array,
                &[1_f64.to_ne_bytes(), 2_f64.to_ne_bytes()].concat(),
            )]),
        ),
        ("new DataView(new ArrayBuffer(2))", "ff0f5c0009020000", view(ViewKind::DataView, &[0, 0])),
        (
            "new BigInt64Array([1n])",
            "ff0f5c000b080100000000000000",
            view(ViewKind::BigInt64Array, &1_i64.to_ne_bytes()),
        ),
        (
            "new BigUint64Array([1n])",
            "ff0f5c000c080100000000000000",
            view(ViewKind::BigUint64Array, &1_u64.to_le_bytes()),
        ),
        (
            "error(Error, 'm', 'S')",
            "ff0f726d22016d732201532e",
            exception(ExceptionKind::Error, "m", "S"),
        ),
        (
            "error(EvalError, 'm', 'S')",
            "ff0f72456d22016d732201532e",
            exception(ExceptionKind::EvalError, "m", "S"),
        ),
        (
            "error(RangeError, 'm', 'S')",
            "ff0f72526d22016d732201532e",
            exception(ExceptionKind::RangeError, "m", "S"),
        ),
        (
            "error(ReferenceError, 'm', 'S')",
            "ff0f72466d22016d732201532e",
            exception(ExceptionKind::ReferenceError, "m", "S"),
        ),
        (
            "error(SyntaxError, 'm', 'S')",
            "ff0f72536d22016d732201532e",
            exception(ExceptionKind::SyntaxError, "m", "S"),
        ),
        (
            "error(TypeError, 'é€', '€')",
            "ff0f72546d006304e900ac2073006302ac202e",
            exception(ExceptionKind::TypeError, "é€", "€"),
        ),
        (
            "error(URIError, 'm', 'S')",
            "ff0f72556d22016d732201532e",
            exception(ExceptionKind::UriError, "m", "S"),
        ),
        (
            "error(Error, 'm', 'S', { cause: error(TypeError, 'c', 'C') })",
            "ff0f726d22016d6372546d220163732201432e732201532e",
            Exception {
                cause: Some(exception(ExceptionKind::TypeError, "c", "C")),
                stack: Some("S".into()),
                ..Exception::new(ExceptionKind::Error, "m")
            }
            .into(),
        ),
        (
            "{ a: [{ b: new Map([['x', [1, { y: new Set([Buffer.from('z')]) }]]]) }] }",
            "ff0f6f22016141016f2201623b220178410249026f220179275c000a017a2c017b012400023a027b012400017b01",
            object([(
                "a",
                Value::Array(vec![object([(
                    "b",
                    Value::Map(vec![(
                        "x".into(),
                        Value::Array(vec![
                            1.into(),
                            object([("y", Value::Set(vec![Value::buffer(*b"z")]))]),
                        ]),
                    )]),
                )])]),
            )]),
        ),
    ]
}
