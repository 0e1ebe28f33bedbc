//! The messages of a channel: what a line means, and how a message is written.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{cluster::Cluster, shortcut};
use crate::{Error, Result, structured};

/// The answer to a message whose descriptor has come.
pub const ACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
/// The answer to a message whose descriptor has not come.
pub const NACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n";

const PREFIX: &str = "NODE_";

/// One message, as its line has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// A line that is not internal, not read yet; [`decode`](Self::decode) reads it at once.
    Unread(Box<str>),
    /// Any JSON value that is not internal.
    User(Value),
    /// Any structured value that is not internal.
    Structured(structured::Value),
    /// A structured value that is none here; what follows it can be read.
    Unreadable(structured::DecodeError),
    /// A message that comes with a descriptor (`NODE_HANDLE`).
    Handle {
        /// Which of Node's five kinds, as the sender says.
        kind: String,
        /// Under which key the sender counts it, if it does.
        key: Option<String>,
        /// What it comes with; never a `Handle` again.
        packet: Box<Packet>,
    },
    /// The other side has the descriptor.
    Ack,
    /// The other side got the message without its descriptor.
    Nack,
    /// A message of the cluster module (`NODE_CLUSTER`).
    Cluster(Cluster),
    /// A question or an answer about sockets that were sent (`NODE_SOCKET_…`).
    Sockets(Sockets),
    /// Internal, and unknown here: to be ignored.
    Unknown(String),
}

/// How a parent learns when the sockets that it sent to a child are closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// Tell me when all sockets of this key are closed.
    NotifyClose(String),
    /// They are.
    AllClosed(String),
    /// How many are open?
    GetCount(String),
    /// So many.
    Count(String, u64),
}

impl Packet {
    /// Reads one line.
    ///
    /// A message is internal if it is an object whose `cmd` is a text that starts with
    /// `NODE_` and goes on after that.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if it is not JSON, [`Error::Protocol`] if it is internal and not of
    /// the shape that its `cmd` wants.
    pub fn decode(line: &[u8]) -> Result<Self> {
        match shortcut::decode(line) {
            Some(packet) => Ok(packet),
            None => Self::decode_slowly(line),
        }
    }

    /// As [`decode`](Self::decode), but a message that cannot be internal is left as it is: who
    /// receives it knows what it is to be.
    pub(crate) fn sort(line: &[u8]) -> Result<Self> {
        if let Some(packet) = shortcut::decode(line) {
            return Ok(packet);
        }
        if may_be_internal(line) {
            return Self::decode_slowly(line);
        }
        let text =
            str::from_utf8(line).map_err(|source| Error::Decode { source: source.into() })?;
        Ok(Self::Unread(text.into()))
    }

    pub(super) fn decode_slowly(line: &[u8]) -> Result<Self> {
        let value = serde_json::from_slice(line)
            .map_err(|source| Error::Decode { source: source.into() })?;
        Self::of(value)
    }

    pub(super) fn of(value: Value) -> Result<Self> {
        let Value::Object(mut object) = value else { return Ok(Self::User(value)) };
        let internal = match object.get("cmd") {
            Some(Value::String(cmd)) => is_internal(cmd),
            _ => false,
        };
        if !internal {
            return Ok(Self::User(Value::Object(object)));
        }
        let Some(Value::String(cmd)) = object.remove("cmd") else { return Ok(Self::Nack) };
        match cmd.as_str() {
            "NODE_HANDLE" => Self::with_handle(object),
            "NODE_HANDLE_ACK" => Ok(Self::Ack),
            "NODE_HANDLE_NACK" => Ok(Self::Nack),
            "NODE_CLUSTER" => Cluster::decode(object).map(Self::Cluster),
            "NODE_SOCKET_NOTIFY_CLOSE" => {
                key(&mut object).map(|key| Self::Sockets(Sockets::NotifyClose(key)))
            }
            "NODE_SOCKET_ALL_CLOSED" => {
                key(&mut object).map(|key| Self::Sockets(Sockets::AllClosed(key)))
            }
            "NODE_SOCKET_GET_COUNT" => {
                key(&mut object).map(|key| Self::Sockets(Sockets::GetCount(key)))
            }
            "NODE_SOCKET_COUNT" => {
                let count = object.get("count").and_then(Value::as_u64).unwrap_or(0);
                key(&mut object).map(|key| Self::Sockets(Sockets::Count(key, count)))
            }
            _ => Ok(Self::Unknown(cmd)),
        }
    }

    fn with_handle(mut object: Map<String, Value>) -> Result<Self> {
        let packet = Self::of(object.remove("msg").unwrap_or(Value::Null))?;
        // Node wraps a message that it sends once more in a second NODE_HANDLE.
        if matches!(packet, Self::Handle { .. }) {
            return Ok(packet);
        }
        let Some(Value::String(kind)) = object.remove("type") else {
            return Err(Error::protocol("a NODE_HANDLE without a type"));
        };
        let key = match object.remove("key") {
            Some(Value::String(key)) => Some(key),
            _ => None,
        };
        Ok(Self::Handle { kind, key, packet: Box::new(packet) })
    }
}

/// Whether the prefix is in the line, or an escape that may stand for a letter of it.
fn may_be_internal(line: &[u8]) -> bool {
    memchr::memchr2_iter(b'_', b'\\', line).any(|at| match line[at] {
        b'_' => line[..=at].ends_with(PREFIX.as_bytes()),
        _ => line.get(at + 1) == Some(&b'u'),
    })
}

pub(super) fn is_internal(cmd: &str) -> bool {
    cmd.len() > PREFIX.len() && cmd.starts_with(PREFIX)
}

fn key(object: &mut Map<String, Value>) -> Result<String> {
    match object.remove("key") {
        Some(Value::String(key)) => Ok(key),
        _ => Err(Error::protocol("a NODE_SOCKET message without a key")),
    }
}

#[derive(Serialize)]
struct HandleLine<'a, T: ?Sized> {
    cmd: &'static str,
    r#type: &'static str,
    msg: &'a T,
    #[serde(rename = "dgramType", skip_serializing_if = "Option::is_none")]
    dgram_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// What is said about a descriptor on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Node's name of its kind.
    pub kind: &'static str,
    /// `udp4` or `udp6`, with `dgram.Socket` only.
    pub dgram_type: Option<&'static str>,
}

/// One line, newline included, for a message without a descriptor.
///
/// # Errors
///
/// [`Error::Encode`] if the value cannot be JSON.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>> {
    let mut line =
        serde_json::to_vec(message).map_err(|source| Error::Encode { source: source.into() })?;
    line.push(b'\n');
    Ok(line)
}

/// One line, newline included, for a message with a descriptor.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_with<T: Serialize + ?Sized>(label: Label, message: &T) -> Result<Vec<u8>> {
    encode_listed(label, None, message)
}

pub(super) fn encode_listed<T: Serialize + ?Sized>(
    label: Label,
    key: Option<&str>,
    message: &T,
) -> Result<Vec<u8>> {
    encode(&HandleLine {
        cmd: "NODE_HANDLE",
        r#type: label.kind,
        msg: message,
        dgram_type: label.dgram_type,
        key,
    })
}

/// One line, newline included, about sockets that were sent.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_sockets(sockets: &Sockets) -> Result<Vec<u8>> {
    encode(&sockets.to_json())
}

#[derive(Serialize)]
struct SocketsLine<'a> {
    cmd: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Sockets {
    pub(super) fn to_json(&self) -> impl Serialize + '_ {
        let (cmd, key, count) = match self {
            Self::NotifyClose(key) => ("NODE_SOCKET_NOTIFY_CLOSE", key, None),
            Self::AllClosed(key) => ("NODE_SOCKET_ALL_CLOSED", key, None),
            Self::GetCount(key) => ("NODE_SOCKET_GET_COUNT", key, None),
            Self::Count(key, count) => ("NODE_SOCKET_COUNT", key, Some(*count)),
        };
        SocketsLine { cmd, key, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Packet {
        Packet::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn internal_is_what_node_says_is_internal() {
        for user in [
            "1.5",
            "null",
            "\"NODE_x\"",
            r#"{"cmd":"NODE_"}"#,
            r#"{"cmd":"node_x"}"#,
            r#"{"cmd":7}"#,
        ] {
            assert_eq!(read(user), Packet::User(serde_json::from_str(user).unwrap()));
        }
        assert_eq!(read(r#"{"cmd":"NODE_x"}"#), Packet::Unknown("NODE_x".into()));
        assert_eq!(read(" {\"cmd\" : \"NODE_HANDLE_ACK\"}\r"), Packet::Ack);
        assert_eq!(Packet::decode(&ACK[..ACK.len() - 1]).unwrap(), Packet::Ack);
        assert_eq!(Packet::decode(&NACK[..NACK.len() - 1]).unwrap(), Packet::Nack);
    }

    #[test]
    fn a_message_sent_again_by_node_is_unwrapped() {
        let line = r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_HANDLE","type":"net.Socket","msg":"sock","key":"4:127.0.0.1:0"}}"#;
        let packet = Box::new(Packet::User("sock".into()));
        let key = Some("4:127.0.0.1:0".into());
        assert_eq!(read(line), Packet::Handle { kind: "net.Socket".into(), key, packet });
    }

    #[test]
    fn rubbish_is_an_error() {
        for text in ["", "{", "nonsense", "\u{1}", r#"{"cmd":"NODE_HANDLE","msg":1}"#] {
            assert!(Packet::decode(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Packet::decode(&[0xff, 0xfe]).is_err());
        let deep = "[".repeat(100_000);
        assert!(Packet::decode(deep.as_bytes()).is_err(), "and no overflow of the stack");
    }

    #[test]
    fn lines_are_written_as_node_writes_them() {
        let label = Label { kind: "net.Server", dgram_type: None };
        assert_eq!(
            encode_with(label, &json!({"h": 1})).unwrap(),
            b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\",\"msg\":{\"h\":1}}\n"
        );
        let label = Label { kind: "net.Socket", dgram_type: None };
        assert_eq!(
            encode_listed(label, Some("4:127.0.0.1:0"), "sock").unwrap(),
            b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":\"sock\",\"key\":\"4:127.0.0.1:0\"}\n"
        );
        let label = Label { kind: "dgram.Socket", dgram_type: Some("udp4") };
        assert_eq!(
            encode_with(label, "u").unwrap(),
            b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"dgram.Socket\",\"msg\":\"u\",\"dgramType\":\"udp4\"}\n"
        );
        assert_eq!(
            encode_sockets(&Sockets::Count("4:127.0.0.1:0".into(), 1)).unwrap(),
            b"{\"cmd\":\"NODE_SOCKET_COUNT\",\"key\":\"4:127.0.0.1:0\",\"count\":1}\n"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&line);
        }

        #[test]
        fn no_internal_message_panics(
            cmd in "NODE_(CLUSTER|HANDLE|SOCKET_COUNT)",
            rest in r#"("(act|msg|seq|ack|key|type|port|errno|index)":("queryServer"|"listening"|"newconn"|null|-1|[0-9]{1,25}|\{\}),){0,6}"#,
        ) {
            let _ = Packet::decode(format!("{{{rest}\"cmd\":\"{cmd}\"}}").as_bytes());
        }

        /// What is left unread is no internal message; all else is read as at once.
        #[test]
        fn sorting_is_reading_later(
            line in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                r#"\{"(cmd|c\\u006dd)":"(NODE_|\\u004eODE_|\\u004EODE_|N|)(HANDLE_ACK|x|)"\}?"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            match Packet::sort(&line) {
                Ok(Packet::Unread(text)) => {
                    let value = serde_json::from_str(&text).ok().map(Packet::User);
                    prop_assert_eq!(Packet::decode(&line).ok(), value);
                }
                sorted => prop_assert_eq!(sorted.ok(), Packet::decode(&line).ok()),
            }
        }

        #[test]
        fn user_messages_come_back(
            text in ".*",
            number in any::<i64>(),
            fraction in any::<f64>(),
        ) {
            let value = json!({"text": text, "number": number, "list": [text, null, fraction]});
            let line = encode(&value).unwrap();
            prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            prop_assert_eq!(Packet::decode(&line[..line.len() - 1]).unwrap(), Packet::User(value));
        }
    }
}
