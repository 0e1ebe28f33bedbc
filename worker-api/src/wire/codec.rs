//! Both ways to write a message, and to read one.

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    frame::Frames as Lines,
    luggage::InflowState,
    packet::{
        ACK, Label, NACK, Packet, Sockets, encode, encode_listed, encode_sockets, encode_with,
    },
};
use crate::{
    Error, Result, Serialization,
    structured::{Frames as Values, Value, frame},
};

/// As [`ACK`], on an advanced channel.
const ADVANCED_ACK: &[u8] = b"\0\0\0\x1b\xff\x0fo\"\x03cmd\"\x0fNODE_HANDLE_ACK{\x01";
/// As [`NACK`], on an advanced channel.
const ADVANCED_NACK: &[u8] = b"\0\0\0\x1c\xff\x0fo\"\x03cmd\"\x10NODE_HANDLE_NACK{\x01";

/// For those who build a master: messages as bytes, for [`Link::send`](super::Link::send).
impl Serialization {
    /// The bytes of a message without a descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if serde cannot say it in JSON's terms, or it is nested too deeply.
    pub fn encode<T: Serialize + ?Sized>(self, message: &T) -> Result<Vec<u8>> {
        match self {
            Self::Json => encode(message),
            Self::Advanced => Ok(frame(&to_value(message)?)?),
        }
    }

    /// The bytes of a structured value without a descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::NotAdvanced`] with JSON, [`Error::Encode`] for what no process could read.
    pub fn encode_structured(self, value: &Value) -> Result<Vec<u8>> {
        match self {
            Self::Json => Err(Error::NotAdvanced),
            Self::Advanced => Ok(frame(value)?),
        }
    }

    /// The bytes of a message with a descriptor.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_with<T>(self, label: Label, message: &T) -> Result<Vec<u8>>
    where
        T: Serialize + ?Sized,
    {
        match self {
            Self::Json => encode_with(label, message),
            Self::Advanced => Ok(frame(&around(label, None, to_value(message)?))?),
        }
    }

    /// As [`encode_with`](Self::encode_with), for a socket that is counted under this key.
    pub(super) fn encode_listed<T>(self, label: Label, key: &str, message: &T) -> Result<Vec<u8>>
    where
        T: Serialize + ?Sized,
    {
        match self {
            Self::Json => encode_listed(label, Some(key), message),
            Self::Advanced => Ok(frame(&around(label, Some(key), to_value(message)?))?),
        }
    }

    /// The bytes of a message about sockets that were sent.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_sockets(self, sockets: &Sockets) -> Result<Vec<u8>> {
        match self {
            Self::Json => encode_sockets(sockets),
            Self::Advanced => self.encode(&sockets.to_json()),
        }
    }

    pub(super) fn ack(self) -> &'static [u8] {
        match self {
            Self::Json => ACK,
            Self::Advanced => ADVANCED_ACK,
        }
    }

    pub(super) fn nack(self) -> &'static [u8] {
        match self {
            Self::Json => NACK,
            Self::Advanced => ADVANCED_NACK,
        }
    }
}

/// From here on doubles are not every integer.
const BEYOND_EXACT: u64 = 1 << 53;

/// As [`Value::from`], but an integer that no double may be equal to is a `BigInt`: so it is the
/// same in a Rust program on the other side.
fn exact(json: Json) -> Value {
    match json {
        Json::Number(number) => {
            let unsigned = number.as_u64().filter(|&number| number > BEYOND_EXACT);
            let signed = number.as_i64().filter(|number| number.unsigned_abs() > BEYOND_EXACT);
            match (unsigned, signed) {
                (Some(number), _) => Value::BigInt(number.into()),
                (None, Some(number)) => Value::BigInt(number.into()),
                (None, None) => Json::Number(number).into(),
            }
        }
        Json::Array(elements) => Value::Array(elements.into_iter().map(exact).collect()),
        Json::Object(entries) => {
            Value::Object(entries.into_iter().map(|(name, value)| (name, exact(value))).collect())
        }
        plain => plain.into(),
    }
}

fn to_value<T: Serialize + ?Sized>(message: &T) -> Result<Value> {
    let json =
        serde_json::to_value(message).map_err(|source| Error::Encode { source: source.into() })?;
    Ok(exact(json))
}

/// The message that tells of a descriptor, its names in Node's order.
fn around(label: Label, key: Option<&str>, message: Value) -> Value {
    let mut entries = vec![
        ("cmd".to_owned(), "NODE_HANDLE".into()),
        ("type".to_owned(), label.kind.into()),
        ("msg".to_owned(), message),
    ];
    if let Some(dgram_type) = label.dgram_type {
        entries.push(("dgramType".to_owned(), dgram_type.into()));
    }
    if let Some(key) = key {
        entries.push(("key".to_owned(), key.into()));
    }
    Value::Object(entries)
}

/// Cuts the stream of bytes into messages.
#[derive(Debug)]
pub(super) enum Inflow {
    Json(Lines),
    Advanced(Values),
}

impl Inflow {
    pub(super) fn new(serialization: Serialization, longest: usize) -> Self {
        match serialization {
            Serialization::Json => Self::Json(Lines::new(longest)),
            Serialization::Advanced => Self::Advanced(Values::new(longest)),
        }
    }

    pub(super) fn state(&self) -> InflowState {
        match self {
            Self::Json(lines) => lines.state(),
            Self::Advanced(values) => values.state(),
        }
    }

    pub(super) fn restore(
        serialization: Serialization,
        state: InflowState,
        longest: usize,
    ) -> Self {
        match serialization {
            Serialization::Json => Self::Json(Lines::restore(state, longest)),
            Serialization::Advanced => Self::Advanced(Values::restore(state, longest)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Json(lines) => lines.push(bytes),
            Self::Advanced(values) => values.push(bytes),
        }
    }

    /// How many bytes the stream has brought so far.
    pub(super) fn received(&self) -> u64 {
        match self {
            Self::Json(lines) => lines.received(),
            Self::Advanced(values) => values.received(),
        }
    }

    /// The place in the stream behind the last message given out.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Json(lines) => lines.position(),
            Self::Advanced(values) => values.position(),
        }
    }

    /// The next message; `read` reads a line of JSON.
    pub(super) fn next_packet(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<Packet>,
    ) -> Result<Option<Packet>> {
        let too_long = |_| Error::protocol("a message is too long");
        match self {
            Self::Json(lines) => lines.next_line().map_err(too_long)?.map(read).transpose(),
            Self::Advanced(values) => {
                values.next_frame().map_err(too_long)?.map(Packet::decode_advanced).transpose()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structured;
    use serde_json::json;

    fn read(bytes: &[u8]) -> Packet {
        assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
        Packet::decode_advanced(&bytes[4..]).unwrap()
    }

    #[test]
    fn answers_are_as_node_writes_them() {
        let value = Value::Object(vec![("cmd".into(), "NODE_HANDLE_ACK".into())]);
        assert_eq!(frame(&value).unwrap(), ADVANCED_ACK);
        assert_eq!(read(ADVANCED_ACK), Packet::Ack);
        let value = Value::Object(vec![("cmd".into(), "NODE_HANDLE_NACK".into())]);
        assert_eq!(frame(&value).unwrap(), ADVANCED_NACK);
        assert_eq!(read(ADVANCED_NACK), Packet::Nack);
    }

    #[test]
    fn both_ways_say_the_same() {
        let sockets = Sockets::Count("4:127.0.0.1:0".into(), 1);
        let bytes = Serialization::Advanced.encode_sockets(&sockets).unwrap();
        assert_eq!(read(&bytes), Packet::Sockets(sockets));

        let label = Label { kind: "dgram.Socket", dgram_type: Some("udp4") };
        let bytes = Serialization::Advanced.encode_with(label, &json!({ "n": 1 })).unwrap();
        let n = Value::Object(vec![("n".into(), 1.into())]);
        let packet = Box::new(Packet::Structured(n));
        let key = None;
        assert_eq!(read(&bytes), Packet::Handle { kind: "dgram.Socket".into(), key, packet });

        let label = Label { kind: "net.Socket", dgram_type: None };
        let bytes = Serialization::Advanced.encode_listed(label, "k", "x").unwrap();
        let packet = Box::new(Packet::Structured("x".into()));
        let key = Some("k".into());
        assert_eq!(read(&bytes), Packet::Handle { kind: "net.Socket".into(), key, packet });
    }

    #[test]
    fn every_integer_comes_back() {
        let numbers = json!([u64::MAX, i64::MIN, (1_u64 << 53) + 1, 1_u64 << 53, -1, 0.5, 1e300]);
        let bytes = Serialization::Advanced.encode(&numbers).unwrap();
        let Packet::Structured(value) = read(&bytes) else { panic!("no message of a user's") };
        assert_eq!(value.to_json().to_string(), numbers.to_string());
    }

    #[test]
    fn json_has_no_structured_values() {
        let error = Serialization::Json.encode_structured(&Value::Date(0.0)).unwrap_err();
        assert!(matches!(error, Error::NotAdvanced));
        let bytes = Serialization::Advanced.encode_structured(&Value::Date(0.0)).unwrap();
        assert_eq!(structured::decode(&bytes[4..]), Ok(Value::Date(0.0)));
    }
}
