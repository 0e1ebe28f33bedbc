//! The messages of Node's cluster module (`NODE_CLUSTER`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::packet::encode;
use crate::{Error, Result};

/// One message of the cluster module.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its number; an answer names it. A question without one gets an answer without one.
    pub seq: Option<u64>,
    /// What it says.
    pub act: Act,
}

/// What a message of the cluster module says.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Worker: I am up.
    Online {
        /// It takes connections from lanes, if the master has any. An extension; Node ignores it.
        lane: bool,
    },
    /// Worker: I want to listen.
    Query(Query),
    /// Worker: I listen; the query again, with the real port.
    Listening(Query),
    /// Master: take this connection, if you can.
    NewConnection {
        /// The listener's key.
        key: String,
    },
    /// Worker: I no longer listen.
    Close {
        /// The listener's key.
        key: String,
    },
    /// Worker: I have taken the connection of which you wanted to hear, and all before it. An
    /// extension, as all that is about lanes.
    Taken {
        /// The listener's key.
        key: String,
    },
    /// Worker: I want no more connections.
    Full {
        /// The listener's key.
        key: String,
    },
    /// Worker: I want connections again.
    Room {
        /// The listener's key.
        key: String,
    },
    /// Master: leave.
    Disconnect,
    /// Worker: I am ready, though I may not listen. An extension; Node ignores it.
    Ready,
    /// Master: a sign of life, please. An extension; Node ignores it.
    Tick,
    /// Worker: I leave on purpose.
    ExitedAfterDisconnect,
    /// An answer.
    Reply(Reply),
    /// Something newer: to be ignored.
    Unknown(String),
}

/// What a worker asks when it wants to listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Which of this worker's listeners on the same address.
    #[serde(default)]
    pub index: u64,
    /// Anything; the first worker's is given to all (Node shares TLS ticket keys so).
    #[serde(default)]
    pub data: Value,
    /// An IP address or an absolute path.
    #[serde(default)]
    pub address: Option<String>,
    /// The port, -1 with a path, none with a descriptor.
    #[serde(default, deserialize_with = "lenient")]
    pub port: Option<i64>,
    /// How `address` is meant.
    #[serde(rename = "addressType")]
    pub family: Family,
    /// A descriptor's number in the master; -1 for UDP without one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
    /// 1: IPv6 only; 4: UDP's `SO_REUSEADDR`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub flags: Option<i64>,
    /// The backlog; Node says `0` or `false` for its default.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Everybody may read the socket file.
    #[serde(rename = "readableAll", default, skip_serializing_if = "Option::is_none")]
    pub readable_all: Option<bool>,
    /// Everybody may write the socket file.
    #[serde(rename = "writableAll", default, skip_serializing_if = "Option::is_none")]
    pub writable_all: Option<bool>,
}

/// The flag of a [`Query`] for IPv6 only.
pub const IPV6_ONLY: i64 = 1;
/// The flag of a [`Query`] for UDP's `SO_REUSEADDR`.
pub const REUSE_ADDRESS: i64 = 4;

impl Query {
    /// The name under which master and worker know the listener: Node's spelling, absent
    /// values as JavaScript writes them.
    pub fn key(&self) -> String {
        let text = |value: Option<i64>, absent: &str| {
            value.map_or_else(|| absent.to_owned(), |value| value.to_string())
        };
        format!(
            "{}:{}:{}:{}:{}",
            self.address.as_deref().unwrap_or("null"),
            text(self.port, "null"),
            self.family.name(),
            text(self.fd, "undefined"),
            self.index
        )
    }
}

fn is_false(on: &bool) -> bool {
    !on
}

/// A number, or nothing where Node says `false` or `null`.
fn lenient<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    Ok(Value::deserialize(input)?.as_i64())
}

/// A name, or nothing: a Node primary that cannot name its socket says `{}`.
fn sockname_if_any<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Sockname>, D::Error> {
    Ok(Sockname::deserialize(Value::deserialize(input)?).ok())
}

/// How the address of a [`Query`] is meant (`addressType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, or no address at all.
    V4,
    /// IPv6.
    V6,
    /// A Unix path.
    Path,
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
    /// A descriptor of the master.
    Fd,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
            Self::Path => "-1",
            Self::Udp4 => "udp4",
            Self::Udp6 => "udp6",
            Self::Fd => "null",
        }
    }

    /// Whether it is one of UDP's.
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Udp4 | Self::Udp6)
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::V4 => output.serialize_i8(4),
            Self::V6 => output.serialize_i8(6),
            Self::Path => output.serialize_i8(-1),
            Self::Udp4 | Self::Udp6 => output.serialize_str(self.name()),
            Self::Fd => output.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(input)?;
        let found = match &value {
            Value::Null => Some(Self::Fd),
            Value::String(name) if name == "udp4" => Some(Self::Udp4),
            Value::String(name) if name == "udp6" => Some(Self::Udp6),
            Value::Number(number) => match number.as_i64() {
                Some(4) => Some(Self::V4),
                Some(6) => Some(Self::V6),
                Some(-1) => Some(Self::Path),
                _ => None,
            },
            _ => None,
        };
        found.ok_or_else(|| serde::de::Error::custom(format_args!("unknown addressType {value}")))
    }
}

/// An answer of either side.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Reply {
    /// The number of the question; one that matches none is to be ignored.
    #[serde(default, deserialize_with = "lenient")]
    pub ack: Option<i64>,
    /// To a [`Query`]: a negative errno; 0 with a socket; none for handed-over connections.
    #[serde(default, deserialize_with = "lenient")]
    pub errno: Option<i64>,
    /// To a [`Query`]: the listener's key.
    #[serde(default)]
    pub key: Option<String>,
    /// To a [`Query`]: the first worker's data.
    #[serde(default)]
    pub data: Value,
    /// To a [`Query`]: where the master listens, with handed-over connections over TCP.
    #[serde(default, deserialize_with = "sockname_if_any")]
    pub sockname: Option<Sockname>,
    /// To a connection: whether the worker took it.
    #[serde(default)]
    pub accepted: Option<bool>,
    /// To a [`Query`]: the descriptor is a lane, from which to take connections. An extension.
    #[serde(default)]
    pub lane: bool,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockname {
    /// The IP address.
    pub address: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// The port.
    pub port: u16,
}

impl Cluster {
    /// Reads what is left of the object without its `cmd`.
    pub(super) fn decode(mut object: Map<String, Value>) -> Result<Self> {
        let seq = object.remove("seq").as_ref().and_then(Value::as_u64);
        let act = match object.remove("act") {
            Some(Value::String(act)) => Act::decode(act, object)?,
            _ => Act::Reply(shape("answer", object)?),
        };
        Ok(Self { seq, act })
    }

    /// The JSON of it, to be put in a line or behind a descriptor.
    pub fn to_json(&self) -> impl Serialize + '_ {
        self.line()
    }

    /// One line, newline included.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], in theory.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(&self.line())
    }

    fn line(&self) -> Line<'_> {
        let (cmd, seq) = ("NODE_CLUSTER", self.seq);
        let simple = |act, key| Line::Simple { cmd, act, key, seq };
        match &self.act {
            Act::Online { lane } => Line::Online { cmd, act: "online", lane: *lane, seq },
            Act::Query(query) => Line::Query { cmd, act: "queryServer", query, seq },
            Act::Listening(query) => Line::Query { cmd, act: "listening", query, seq },
            Act::NewConnection { key } => simple("newconn", Some(key.as_str())),
            Act::Close { key } => simple("close", Some(key.as_str())),
            Act::Taken { key } => simple("taken", Some(key.as_str())),
            Act::Full { key } => simple("full", Some(key.as_str())),
            Act::Room { key } => simple("room", Some(key.as_str())),
            Act::Disconnect => simple("disconnect", None),
            Act::Ready => simple("ready", None),
            Act::Tick => simple("tick", None),
            Act::ExitedAfterDisconnect => simple("exitedAfterDisconnect", None),
            Act::Unknown(act) => simple(act, None),
            Act::Reply(reply) => match reply {
                Reply { ack, accepted: Some(accepted), .. } => {
                    Line::Taken { cmd, ack: *ack, accepted: *accepted, seq }
                }
                Reply { ack, errno, key: Some(key), data, sockname, lane, .. } => Line::Listen {
                    cmd,
                    errno: *errno,
                    key,
                    ack: *ack,
                    data,
                    sockname: sockname.as_ref(),
                    lane: *lane,
                    seq,
                },
                Reply { ack, .. } => Line::Bare { cmd, ack: *ack, seq },
            },
        }
    }
}

impl Act {
    fn decode(act: String, mut object: Map<String, Value>) -> Result<Self> {
        let mut key = || match object.remove("key") {
            Some(Value::String(key)) => Ok(key),
            _ => Err(Error::protocol(format!("{act} without a key"))),
        };
        Ok(match act.as_str() {
            "online" => Self::Online { lane: object.get("lane") == Some(&Value::Bool(true)) },
            "queryServer" => Self::Query(shape("queryServer", object)?),
            "listening" => Self::Listening(shape("listening", object)?),
            "newconn" => Self::NewConnection { key: key()? },
            "close" => Self::Close { key: key()? },
            "taken" => Self::Taken { key: key()? },
            "full" => Self::Full { key: key()? },
            "room" => Self::Room { key: key()? },
            "disconnect" => Self::Disconnect,
            "ready" => Self::Ready,
            "tick" => Self::Tick,
            "exitedAfterDisconnect" => Self::ExitedAfterDisconnect,
            _ => Self::Unknown(act),
        })
    }
}

fn shape<'de, T: Deserialize<'de>>(what: &str, object: Map<String, Value>) -> Result<T> {
    T::deserialize(Value::Object(object))
        .map_err(|error| Error::protocol(format!("a bad {what}: {error}")))
}

/// The keys in Node's order.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Online {
        cmd: &'static str,
        act: &'static str,
        #[serde(skip_serializing_if = "is_false")]
        lane: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Simple {
        cmd: &'static str,
        act: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Query {
        cmd: &'static str,
        act: &'static str,
        #[serde(flatten)]
        query: &'a Query,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Taken {
        cmd: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<i64>,
        accepted: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Listen {
        cmd: &'static str,
        errno: Option<i64>,
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<i64>,
        data: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        sockname: Option<&'a Sockname>,
        #[serde(skip_serializing_if = "is_false")]
        lane: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Bare {
        cmd: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Packet;

    /// Lines that real Node processes wrote, and the key that Node gave to the listener.
    const CAPTURED: [&str; 13] = [
        r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"127.0.0.1","port":0,"addressType":4,"flags":0,"backlog":0,"seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"/abs/rel.sock","port":-1,"addressType":-1,"backlog":0,"readableAll":true,"seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":null,"addressType":null,"fd":40,"backlog":0,"seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"0.0.0.0","port":0,"addressType":"udp4","fd":-1,"flags":0,"seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"listening","index":0,"data":null,"address":"127.0.0.1","port":38387,"addressType":4,"flags":0,"backlog":0,"seq":2}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"close","key":"127.0.0.1:0:4:undefined:0","seq":3}"#,
        r#"{"cmd":"NODE_CLUSTER","errno":null,"key":"127.0.0.1:0:4:undefined:0","ack":1,"data":null,"sockname":{"address":"127.0.0.1","family":"IPv4","port":38893},"seq":0}"#,
        r#"{"cmd":"NODE_CLUSTER","errno":0,"key":"127.0.0.1:0:4:undefined:0","ack":1,"data":null,"seq":0}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"newconn","key":"127.0.0.1:0:4:undefined:0","seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":1,"accepted":true,"seq":3}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"disconnect","seq":1}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":5,"seq":2}"#,
    ];

    #[test]
    fn captured_lines_are_read_and_written_byte_for_byte() {
        for line in CAPTURED {
            let Packet::Cluster(message) = Packet::decode(line.as_bytes()).unwrap() else {
                panic!("not of the cluster module: {line}");
            };
            let written = String::from_utf8(message.encode().unwrap()).unwrap();
            assert_eq!(written, format!("{line}\n"));
        }
    }

    #[test]
    fn keys_are_spelt_as_node_spells_them() {
        let key = |line: &str| {
            let Packet::Cluster(Cluster { act: Act::Query(query), .. }) =
                Packet::decode(line.as_bytes()).unwrap()
            else {
                panic!("no query: {line}");
            };
            query.key()
        };
        assert_eq!(key(CAPTURED[1]), "127.0.0.1:0:4:undefined:0");
        assert_eq!(key(CAPTURED[2]), "/abs/rel.sock:-1:-1:undefined:0");
        assert_eq!(key(CAPTURED[3]), "null:null:null:40:0");
        assert_eq!(key(CAPTURED[4]), "0.0.0.0:0:udp4:-1:0");
    }

    #[test]
    fn odd_values_of_node_are_taken() {
        let line = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"address":null,"port":0,"addressType":4,"flags":null,"backlog":false,"seq":1}"#;
        let Packet::Cluster(Cluster { act: Act::Query(query), .. }) =
            Packet::decode(line.as_bytes()).unwrap()
        else {
            panic!("no query");
        };
        assert_eq!((query.backlog, query.flags), (None, None));
        assert_eq!(query.key(), "null:0:4:undefined:0");
    }

    #[test]
    fn a_socket_without_a_name_costs_nothing() {
        for name in ["{}", "null", r#"{"address":"::"}"#, "7"] {
            let line = format!(
                r#"{{"cmd":"NODE_CLUSTER","errno":null,"key":"k","ack":1,"sockname":{name},"seq":0}}"#
            );
            let Packet::Cluster(Cluster { act: Act::Reply(reply), .. }) =
                Packet::decode(line.as_bytes()).unwrap()
            else {
                panic!("no answer");
            };
            assert_eq!((reply.key.as_deref(), reply.sockname), (Some("k"), None));
        }
    }

    #[test]
    fn broken_questions_are_refused_and_new_ones_ignored() {
        for (line, broken) in [
            (r#"{"cmd":"NODE_CLUSTER","act":"queryServer","seq":1}"#, true),
            (r#"{"cmd":"NODE_CLUSTER","act":"queryServer","addressType":5}"#, true),
            (r#"{"cmd":"NODE_CLUSTER","act":"close"}"#, true),
            (r#"{"cmd":"NODE_CLUSTER","ack":"x"}"#, false),
            (r#"{"cmd":"NODE_CLUSTER","act":"new in Node 99"}"#, false),
            (r#"{"cmd":"NODE_CLUSTER","ack":-1}"#, false),
        ] {
            assert_eq!(Packet::decode(line.as_bytes()).is_err(), broken, "{line}");
        }
    }
}
