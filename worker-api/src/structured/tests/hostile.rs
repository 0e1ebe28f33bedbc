//! Bytes that no Node wrote.

use proptest::prelude::*;

use super::{
    super::{
        DEEPEST, DecodeError, MOST_REPEATED_BYTES, MOST_REPEATED_VALUES, Value, decode, encode,
        tag, writer::Writer,
    },
    both_ways, bytes, object, one_way, sparse,
};

/// The comments say where Node makes something else of them.
#[test]
fn bytes_that_are_no_value() {
    let malformed = DecodeError::Malformed("");
    for (hex, error) in [
        ("", DecodeError::Header),
        ("ff", DecodeError::Header),
        ("4902", DecodeError::Header),
        ("ff104902", DecodeError::Header),
        ("ff0c4902", DecodeError::Header), // V8 reads it by older rules
        ("ff0f", DecodeError::Truncated),
        ("ff0f000000", DecodeError::Truncated),
        ("ff0f49024902", DecodeError::Trailing), // V8 ignores the rest
        ("ff0f2d", DecodeError::Tag(b'-')),
        ("ff0f6f2201612d7b01", DecodeError::Tag(b'-')),
        ("ff0f7400", DecodeError::Tag(b't')), // transferred
        ("ff0f7500", DecodeError::Tag(b'u')), // shared
        ("ff0f42020000560000020000", DecodeError::Trailing), // V8's own views
        ("ff0f49ffffffff7f", malformed),      // V8 drops what is beyond 32 bits
        ("ff0f6302", DecodeError::Truncated),
        ("ff0f6301ac", malformed),
        ("ff0f6f22016149027b02", malformed),
        ("ff0f6f22016149", DecodeError::Truncated),
        ("ff0f6f6f7b0049027b01", malformed),
        ("ff0f6f4e000000000000f83f49027b01", malformed), // a property "1.5" to V8
        ("ff0f4101240001", DecodeError::Tag(b'$')),
        ("ff0f41ffffffff0f", DecodeError::Truncated),
        ("ff0f410149022400", DecodeError::Truncated),
        ("ff0f41014902240002", malformed),
        ("ff0f610149004902400102", malformed),
        ("ff0f3b49023a01", DecodeError::Tag(b':')),
        ("ff0f3b490249023a01", malformed),
        ("ff0f5b", DecodeError::Tag(b'[')),
        ("ff0f52220178c000", malformed), // V8's own flag
        ("ff0f52490200", malformed),
        ("ff0f735e00", malformed),
        ("ff0f726d5e002e", malformed),
        ("ff0f726d2201612f", malformed),
        ("ff0f5affffffff0f", DecodeError::Truncated),
        ("ff0f7e030100", malformed),
        ("ff0f5e00", malformed),
        ("ff0f5effffffff0f", malformed),
        ("ff0f5c02", malformed),
        ("ff0f5c000e0100", malformed),
        ("ff0f5c00080700000000000000", malformed), // V8 leaves a part of an element out
        ("ff0f5c0001ffffffff0f", DecodeError::Truncated),
    ] {
        match (decode(&bytes(hex)), error) {
            (Err(DecodeError::Malformed(_)), DecodeError::Malformed(_)) => {}
            (outcome, error) => assert_eq!(outcome, Err(error), "{hex}"),
        }
    }
}

/// V8 reads these as well, though it writes otherwise.
#[test]
fn bytes_that_are_a_value_all_the_same() {
    for (hex, value) in [
        ("ff0e4902", 1.into()),
        ("ff0d4902", 1.into()),
        ("ff0f005505", 5.into()),
        ("ff0f5302c3a9", "é".into()),
        ("ff0f5301ff", "\u{fffd}".into()),
        ("ff0f5a0205", super::big(5)),
        ("ff0f5a01", super::big(0)), // an error to V8
        ("ff0f5a110000000000000000", super::big(0)),
        ("ff0f6f22013149027b01", object([("1", 1.into())])),
        ("ff0f6f550549027b01", object([("5", 1.into())])),
        ("ff0f6f2201614902007b01", object([("a", 1.into())])),
        ("ff0f6102490a4902400102", sparse(6, [("5", 1.into())])),
        ("ff0f41022d4902240002", sparse(2, [("1", 1.into())])),
        ("ff0f6102490049024902490440020 2", Value::Array(vec![1.into(), 2.into()])),
        ("ff0f72732201536d2201542e", super::exception(Default::default(), "T", "S")),
    ] {
        assert_eq!(decode(&bytes(&hex.replace(' ', ""))), Ok(value), "{hex}");
    }
}

#[test]
fn an_object_inside_itself_is_an_error() {
    for hex in [
        "ff0f6f2201635e007b01",
        "ff0f41015e00240001",
        "ff0f41016f2201635e007b01240001",
        "ff0f610149005e00400101",
        "ff0f3b49025e003a02",
        "ff0f275e002c01",
        "ff0f72635e002e",
        "ff0f5c015e00",
    ] {
        assert_eq!(decode(&bytes(hex)), Err(DecodeError::Cycle), "{hex}");
    }
}

fn message(parts: &[&[u8]]) -> Vec<u8> {
    [&[tag::VERSION, tag::LATEST], &parts.concat()[..]].concat()
}

#[test]
fn no_depth_overflows_the_stack() {
    for level in
        [&b"A\x01"[..], b"a\x01I\0", b"o\"\x01a", b";", b";0", b"'", b"rc", b"\\\x01", b"\0A\x01"]
    {
        let deep = message(&[&level.repeat(100_000)]);
        assert_eq!(decode(&deep), Err(DecodeError::TooDeep), "{level:?}");
    }
}

fn varint(number: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.count(number).unwrap();
    writer.into_bytes()
}

/// An array of these elements, in bytes.
fn array(elements: &[Vec<u8>]) -> Vec<u8> {
    let length = varint(elements.len());
    [&b"A"[..], &length, &elements.concat(), b"$\0", &length].concat()
}

/// The object of that number, once more.
fn again(number: usize) -> Vec<u8> {
    [vec![tag::REFERENCE], varint(number)].concat()
}

#[test]
fn copies_count_for_the_depth() {
    // Each has the one before it inside.
    let chain = |length| {
        let links = (1..length).map(|number| array(&[again(number)]));
        let links: Vec<_> = [array(&[])].into_iter().chain(links).collect();
        decode(&message(&[&array(&links)]))
    };
    assert!(chain(DEEPEST - 1).is_ok());
    assert_eq!(chain(DEEPEST), Err(DecodeError::TooDeep));
}

#[test]
fn a_billion_laughs_are_too_many() {
    // Each has the one before it inside, twice.
    let laughs = |count| {
        let laughs = (1..count).map(|number| array(&[again(number), again(number)]));
        let laughs: Vec<_> = [b"o{\0".to_vec()].into_iter().chain(laughs).collect();
        decode(&message(&[&array(&laughs)]))
    };
    assert!(laughs(16).is_ok());
    assert_eq!(laughs(100), Err(DecodeError::TooRepetitive));
}

#[test]
fn large_objects_cannot_be_there_too_often() {
    let large = encode(&Value::ArrayBuffer(vec![7; 1 << 16])).unwrap().split_off(2);
    let repeated = |count| {
        let mut elements = vec![again(1); count];
        elements[0].clone_from(&large);
        decode(&message(&[&array(&elements)]))
    };
    // One of them for the message's own length, and a little of each for its own tags.
    assert!(repeated(MOST_REPEATED_BYTES >> 16).is_ok());
    assert_eq!(repeated((MOST_REPEATED_BYTES >> 16) + 3), Err(DecodeError::TooRepetitive));
}

#[test]
fn small_objects_may_be_there_often() {
    // More than are always allowed, but the message has a byte for each.
    let mut elements = vec![again(1); MOST_REPEATED_VALUES + 5];
    elements[0] = b"D\0\0\0\0\0\0\0\0".to_vec();
    let Ok(Value::Array(dates)) = decode(&message(&[&array(&elements)])) else {
        panic!("no array");
    };
    assert_eq!(dates.len(), elements.len());
}

#[test]
fn a_sparse_array_takes_no_room_for_its_holes() {
    let arrays = b"a\xff\xff\xff\xff\x0f@\0\xff\xff\xff\xff\x0f".repeat(100);
    let decoded = decode(&message(&[b"Ad", &arrays, b"$\0d"]));
    assert_eq!(decoded, Ok(Value::Array(vec![sparse(u32::MAX, []); 100])));
}

#[test]
fn a_dense_array_takes_room_as_its_elements_come() {
    // Each says it is as long as what follows, which is far more than it has.
    let arrays = b"A\xff\xff\x07".repeat(DEEPEST);
    let decoded = decode(&message(&[&arrays, &[b'x'; 1 << 17]]));
    assert_eq!(decoded, Err(DecodeError::TooDeep));
}

#[test]
fn what_is_cut_off_is_an_error() {
    for (script, hex, _) in both_ways().into_iter().chain(one_way()) {
        let whole = bytes(hex);
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{script}, {end} bytes");
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    for (_, hex, _) in both_ways().into_iter().chain(one_way()) {
        let whole = bytes(hex);
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            for byte in 0..=u8::MAX {
                changed[place] = byte;
                check(&changed);
            }
        }
    }
}

/// What can be read can be written, unless a name is there twice, and is the same then.
fn check(bytes: &[u8]) {
    let Ok(value) = decode(bytes) else { return };
    let _ = serde_json::Value::try_from(&value);
    let Ok(written) = encode(&value) else { return };
    let again = decode(&written).expect("what was written can be read");
    assert_eq!(encode(&again), Ok(written), "{value:?}");
}

proptest! {
    #[test]
    fn no_bytes_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&rest);
        check(&message(&[&rest]));
    }

    #[test]
    fn no_tags_panic(
        rest in prop::collection::vec(
            prop::sample::select(b"\0\x01\x02\x03_0TFIUNZ\"cS^o{A$-a@;:',DRyxnzsB~rmcs.\\".to_vec()),
            0..60,
        ),
    ) {
        check(&message(&[&rest]));
    }
}
