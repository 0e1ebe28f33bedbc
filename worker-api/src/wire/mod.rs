//! The protocol's pieces, for those who build a master: what both ends of a channel share.
//!
//! `docs/protocol.md` describes the bytes. None of this waits or keeps a clock. It follows
//! the needs of the `cluster` crate, so a minor version may change it.

mod advanced;
mod bind;
mod cluster;
mod codec;
mod frame;
mod host;
mod lane;
mod link;
pub(crate) mod luggage;
mod mold;
mod outbox;
mod packet;
mod parcel;
mod shortcut;

pub use crate::{
    handle::Kind,
    letter::Letter,
    options::query_for,
    scoreboard::{SCOREBOARD, Scoreboard},
    sys::{accept, pass_on},
};
pub(crate) use bind::open_up;
pub use bind::{
    Bound, SocketFile, backlog, bind, bind_before_others, bind_beside_others, socket_path,
};
pub use cluster::{Act, Cluster, Family, IPV6_ONLY, Query, REUSE_ADDRESS, Reply, Sockname};
pub use frame::{Frames, TooLong};
pub use host::{host_text, read_host};
pub use lane::{Passed, lane, put, take, unread};
pub use link::{Announced, Attachment, FULL, Fill, HIGH_WATER, LONGEST_LINE, Link, Received};
pub use luggage::{LinkState, Luggage, Packing};
pub use mold::{LONGEST_NOTICE, LONGEST_ORDER, MOLD, MoldNotice, MoldOrder};
pub use outbox::{Outbox, Refusal, Rider};
pub use packet::{ACK, Label, NACK, Packet, Sockets, encode, encode_sockets, encode_with};
pub(crate) use parcel::pack_listed;
pub use parcel::{pack, unpack};
pub(crate) use shortcut::encode_answer;
pub use shortcut::encode_offer;
