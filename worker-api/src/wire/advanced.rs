//! The messages of a channel that writes V8's values: what a value means.

use super::packet::{Packet, is_internal};
use crate::{
    Error, Result,
    structured::{DecodeError, Value, beginning, decode},
};

const HANDLE: &str = "NODE_HANDLE";

impl Packet {
    /// Reads one structured value; as [`decode`](Self::decode) does a line.
    ///
    /// A value that a process may well send, but that is none here, say with an object inside
    /// itself, is [`Unreadable`](Self::Unreadable): the next message can be read.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if it is no value of V8's, [`Error::Protocol`] if it is internal and not
    /// of the shape that its `cmd` wants.
    pub fn decode_advanced(bytes: &[u8]) -> Result<Self> {
        match decode(bytes) {
            Ok(value) => Self::of_structured(value),
            Err(error) if error.is_of_valid_value() => Self::unreadable(bytes, error),
            Err(error) => Err(error.into()),
        }
    }

    fn of_structured(value: Value) -> Result<Self> {
        match internal(&value) {
            None => Ok(Self::Structured(value)),
            Some(HANDLE) => Self::with_structured_handle(value),
            Some(_) => Self::of(value.to_json()),
        }
    }

    fn with_structured_handle(value: Value) -> Result<Self> {
        let Value::Object(entries) = value else { return Ok(Self::Structured(value)) };
        let (mut message, mut kind, mut key) = (Value::Undefined, None, None);
        for (name, value) in entries {
            match (name.as_str(), value) {
                ("msg", value) => message = value,
                ("type", Value::String(text)) => kind = Some(text),
                ("key", Value::String(text)) => key = Some(text),
                _ => {}
            }
        }
        let packet = Self::of_structured(message)?;
        // Node wraps a message that it sends once more in a second NODE_HANDLE.
        if matches!(packet, Self::Handle { .. }) {
            return Ok(packet);
        }
        let kind = kind.ok_or_else(|| Error::protocol("a NODE_HANDLE without a type"))?;
        Ok(Self::Handle { kind, key, packet: Box::new(packet) })
    }

    /// Though the message is lost, its descriptor must be answered. Node writes what tells of
    /// one before the message.
    fn unreadable(bytes: &[u8], error: DecodeError) -> Result<Self> {
        let beginning = beginning(bytes);
        match internal(&beginning) {
            None => Ok(Self::Unreadable(error)),
            Some(HANDLE) => {
                let kind = beginning.get("type").and_then(Value::as_str).unwrap_or_default();
                let packet = Box::new(Self::Unreadable(error));
                Ok(Self::Handle { kind: kind.to_owned(), key: None, packet })
            }
            Some(_) => Err(error.into()),
        }
    }
}

/// The `cmd` of an internal message.
fn internal(value: &Value) -> Option<&str> {
    value.get("cmd").and_then(Value::as_str).filter(|cmd| is_internal(cmd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Act, Cluster};

    fn object(entries: &[(&str, Value)]) -> Value {
        let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Object(entries.collect())
    }

    fn read(value: &Value) -> Result<Packet> {
        Packet::decode_advanced(&crate::structured::encode(value).unwrap())
    }

    /// `value`, with an object inside itself where it has a `Date`.
    fn with_cycle(value: &Value) -> Vec<u8> {
        let bytes = crate::structured::encode(value).unwrap();
        let date = [b'D', 0, 0, 0, 0, 0, 0, 0, 0];
        let place = bytes.windows(date.len()).position(|window| window == date).unwrap();
        // The whole is object 0.
        [&bytes[..place], b"^\0", &bytes[place + date.len()..]].concat()
    }

    #[test]
    fn internal_is_what_node_says_is_internal() {
        for user in [
            Value::Undefined,
            Value::Map(vec![("cmd".into(), "NODE_x".into())]),
            object(&[("cmd", "NODE_".into())]),
            object(&[("cmd", 7.into())]),
        ] {
            assert_eq!(read(&user).unwrap(), Packet::Structured(user));
        }
        let unknown = object(&[("cmd", "NODE_x".into())]);
        assert_eq!(read(&unknown).unwrap(), Packet::Unknown("NODE_x".into()));
        let online = object(&[
            ("cmd", "NODE_CLUSTER".into()),
            ("act", "online".into()),
            ("data", Value::Undefined),
            ("seq", 3.into()),
        ]);
        let packet = Packet::Cluster(Cluster { seq: Some(3), act: Act::Online { lane: false } });
        assert_eq!(read(&online).unwrap(), packet);
    }

    #[test]
    fn a_message_sent_again_by_node_is_unwrapped() {
        let inner = object(&[
            ("cmd", HANDLE.into()),
            ("type", "net.Socket".into()),
            ("msg", Value::buffer(*b"abc")),
            ("key", "4:127.0.0.1:0".into()),
        ]);
        let outer = [("cmd", HANDLE.into()), ("type", "net.Native".into()), ("msg", inner)];
        let packet = Box::new(Packet::Structured(Value::buffer(*b"abc")));
        let key = Some("4:127.0.0.1:0".into());
        let expected = Packet::Handle { kind: "net.Socket".into(), key, packet };
        assert_eq!(read(&object(&outer)).unwrap(), expected);
    }

    #[test]
    fn a_cycle_is_unreadable_and_its_descriptor_known() {
        let cycle = Packet::Unreadable(DecodeError::Cycle);
        let user = with_cycle(&object(&[("me", Value::Date(0.0))]));
        assert_eq!(Packet::decode_advanced(&user).unwrap(), cycle);
        let handle = with_cycle(&object(&[
            ("cmd", HANDLE.into()),
            ("type", "net.Socket".into()),
            ("msg", object(&[("me", Value::Date(0.0))])),
        ]));
        let expected =
            Packet::Handle { kind: "net.Socket".into(), key: None, packet: Box::new(cycle) };
        assert_eq!(Packet::decode_advanced(&handle).unwrap(), expected);
    }

    #[test]
    fn rubbish_is_an_error() {
        let no_type = object(&[("cmd", HANDLE.into()), ("msg", 1.into())]);
        assert!(matches!(read(&no_type), Err(Error::Protocol { .. })));
        let bad = object(&[("cmd", "NODE_CLUSTER".into()), ("act", "close".into())]);
        assert!(matches!(read(&bad), Err(Error::Protocol { .. })));
        let cycle = [("cmd", "NODE_CLUSTER".into()), ("data", Value::Date(0.0))];
        for bytes in [&with_cycle(&object(&cycle))[..], b"", b"{}", b"\xff\x0f", b"\xff\x0fo"] {
            assert!(matches!(Packet::decode_advanced(bytes), Err(Error::Decode { .. })));
        }
    }
}
