//! What holds whatever a peer sends: one function for each fuzz target. A normal test calls
//! them with each file of the corpus.

use std::iter;

use serde_json::Value as Json;
use worker_api::{
    Serialization,
    structured::{self, EncodeError, Value},
    wire::{self, Act, Packet, TooLong},
};

/// The longest line or value taken: so little that the fuzzer gets beyond it.
const LIMIT: usize = 1 << 10;

/// The lines of a stream are the same however it is cut, and each is a message or an error.
///
/// The input's first line says how to cut the rest: see [`chunks`].
pub fn json_lines(input: &[u8]) {
    let (stream, chunks) = chunks(input);
    let mut expected = stream.split(|&byte| byte == b'\n');
    let mut frames = wire::Frames::new(LIMIT);
    for chunk in chunks {
        frames.push(chunk);
        loop {
            match frames.next_line() {
                Ok(Some(line)) => {
                    assert_eq!(Some(line), expected.next());
                    assert!(line.len() <= LIMIT);
                    message(line);
                }
                Ok(None) => break,
                Err(TooLong) => {
                    assert!(expected.next().is_some_and(|line| line.len() > LIMIT));
                    return assert_eq!(frames.next_line(), Err(TooLong), "it stays so");
                }
            }
        }
        assert!(frames.received() - frames.position() <= LIMIT as u64);
    }
    let unfinished = expected.next().map_or(0, <[u8]>::len);
    assert_eq!(expected.next(), None);
    assert_eq!(frames.received(), stream.len() as u64);
    assert_eq!(frames.position(), (stream.len() - unfinished) as u64);
}

/// A line is a message or an error, and a message that is written again is the same.
pub fn message(line: &[u8]) {
    let packet = Packet::decode(line).ok();
    // What begins with a space is read the long way.
    assert_eq!(Packet::decode(&[b" ", line].concat()).ok(), packet);
    if let Some(packet) = packet {
        comes_back(packet, Serialization::Json);
    }
}

/// A message that is written again is the same.
fn comes_back(packet: Packet, how: Serialization) {
    match &packet {
        Packet::Handle { packet, .. } => {
            assert!(!matches!(**packet, Packet::Handle { .. }));
            comes_back((**packet).clone(), how);
        }
        Packet::Unread(_) => panic!("decode reads at once"),
        Packet::User(value) => assert_eq!(reread(how.encode(value), how), packet),
        Packet::Structured(value) => {
            if same_names(value) {
                return;
            }
            let again = reread(how.encode_structured(value), how);
            assert!(again == packet || format!("{again:?}") == format!("{packet:?}"), "{packet:?}");
        }
        Packet::Sockets(sockets) => assert_eq!(reread(how.encode_sockets(sockets), how), packet),
        Packet::Cluster(message) => {
            let again = reread(how.encode(&message.to_json()), how);
            // An answer is written without what its kind has no use for.
            if !matches!(message.act, Act::Reply(_)) {
                assert_eq!(again, packet);
            }
            let Packet::Cluster(again) = again else { panic!("{packet:?} became {again:?}") };
            let third = reread(how.encode(&again.to_json()), how);
            assert_eq!(third, Packet::Cluster(again));
        }
        Packet::Ack | Packet::Nack | Packet::Unknown(_) | Packet::Unreadable(_) => {}
    }
}

/// What was written here says.
fn reread(message: worker_api::Result<Vec<u8>>, how: Serialization) -> Packet {
    let message = message.expect("what was read can be written");
    let packet = if how == Serialization::Json {
        let newline = message.iter().position(|&byte| byte == b'\n');
        assert_eq!(newline, Some(message.len() - 1), "one line");
        Packet::decode(&message[..message.len() - 1])
    } else {
        let (head, value) = message.split_first_chunk().expect("a length");
        assert_eq!(u32::from_be_bytes(*head) as usize, value.len());
        Packet::decode_advanced(value)
    };
    packet.expect("what was written can be read")
}

/// Whether V8 told two names apart that are the same here.
fn same_names(value: &Value) -> bool {
    matches!(structured::encode(value), Err(EncodeError::SameName(_)))
}

/// The input is a value or an error, and so is each value of the stream that the input is if
/// it is taken as [`chunks`] says; the stream's values are the same however it is cut.
pub fn structured(input: &[u8]) {
    value(input);
    let (stream, chunks) = chunks(input);
    let mut rest = stream;
    let mut frames = structured::Frames::new(LIMIT);
    for chunk in chunks {
        frames.push(chunk);
        loop {
            let expected = first_frame(rest);
            match frames.next_frame() {
                Ok(Some(bytes)) => {
                    assert_eq!(
                        Some(Some(bytes)),
                        expected.map(|(length, rest)| rest.get(..length))
                    );
                    assert!(bytes.len() <= LIMIT);
                    rest = &rest[4 + bytes.len()..];
                    value(bytes);
                }
                Ok(None) => break,
                Err(TooLong) => {
                    assert!(expected.is_some_and(|(length, _)| length > LIMIT));
                    return assert_eq!(frames.next_frame(), Err(TooLong), "it stays so");
                }
            }
        }
        assert!(frames.received() - frames.position() < 4 + LIMIT as u64);
    }
    assert!(first_frame(rest).is_none_or(|(length, rest)| length > rest.len()), "all came out");
    assert_eq!(frames.received(), stream.len() as u64);
    assert_eq!(frames.position(), (stream.len() - rest.len()) as u64);
}

/// The length that a stream begins with, and what follows it.
fn first_frame(stream: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = stream.split_first_chunk()?;
    Some((u32::from_be_bytes(*head) as usize, rest))
}

/// What can be read can be written, unless V8 told two names apart that are the same here.
fn value(bytes: &[u8]) {
    if let Ok(packet) = Packet::decode_advanced(bytes) {
        comes_back(packet, Serialization::Advanced);
    }
    let Ok(value) = structured::decode(bytes) else { return };
    if let Ok(json) = Json::try_from(&value) {
        assert_eq!(Json::try_from(&Value::from(json.clone())), Ok(json));
    }
    if same_names(&value) {
        return;
    }
    let written = structured::encode(&value).expect("what was read can be written");
    assert_eq!(structured::frame(&value).expect("as encode")[4..], written);
    let again = structured::decode(&written).expect("what was written can be read");
    // `NaN` is not equal to itself.
    assert!(again == value || format!("{again:?}") == format!("{value:?}"), "{value:?}");
    assert_eq!(structured::encode(&again), Ok(written));
}

/// A stream, whole and in chunks.
///
/// It is what comes after the input's first line. Each byte of that line is the length of a
/// chunk, and the last of them also that of all further chunks; with an empty line or none the
/// stream comes at once.
fn chunks(input: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let first_line = input.iter().position(|&byte| byte == b'\n');
    let (lengths, stream) = match first_line {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (&[][..], input),
    };
    let last = lengths.last().map_or(stream.len(), |&length| length.into());
    let mut lengths = lengths.iter().map(|&length| length.into()).chain(iter::repeat(last));
    let mut rest = stream;
    let chunks = iter::from_fn(move || {
        let length = lengths.next()?.clamp(1, rest.len().max(1));
        let (chunk, later) = rest.split_at_checked(length)?;
        rest = later;
        Some(chunk)
    });
    (stream, chunks)
}
