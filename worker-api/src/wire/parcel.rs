//! From a handle to its label on the wire, and from a label and a descriptor to a handle.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use serde::Serialize;
use socket2::SockRef;

use super::{
    link::{Announced, Attachment},
    outbox::Rider,
    packet::Label,
};
use crate::{Error, Handle, Result, Serialization, handle::Kind, letter::Letter};

/// Node's backlog, used where a received server does not listen yet.
const BACKLOG: i32 = 511;

/// The bytes and the descriptor for a user's message with a handle.
///
/// # Errors
///
/// [`Error::Encode`], and `InvalidInput` if the descriptor is not what the handle says: a
/// Node process that receives it would abort.
pub fn pack<T: Serialize + ?Sized>(
    serialization: Serialization,
    message: &T,
    handle: Handle,
) -> Result<(Vec<u8>, Rider)> {
    let label = label(&handle)?;
    let line = serialization.encode_with(label, message)?;
    let resend = label.kind == "net.Socket";
    Ok((line, Rider { descriptor: Arc::new(OwnedFd::from(handle)), resend, tag: None }))
}

/// As [`pack`], for a connection that is counted under this key.
pub(crate) fn pack_listed<T: Serialize + ?Sized>(
    serialization: Serialization,
    message: &T,
    handle: Handle,
    key: &str,
) -> Result<(Vec<u8>, Rider)> {
    let label = label(&handle)?;
    if label.kind != "net.Socket" {
        let why = "only connections are counted";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
    }
    let line = serialization.encode_listed(label, key, message)?;
    Ok((line, Rider { descriptor: Arc::new(OwnedFd::from(handle)), resend: true, tag: None }))
}

fn label(handle: &Handle) -> io::Result<Label> {
    let real = Kind::of(handle.as_fd())?;
    let plain = |kind| Ok(Label { kind, dgram_type: None });
    match (handle, real) {
        (Handle::TcpListener(_), Kind::Tcp { listening: true })
        | (Handle::UnixListener(_), Kind::Unix { listening: true }) => plain("net.Server"),
        (Handle::TcpStream(_), Kind::Tcp { listening: false })
        | (Handle::UnixStream(_), Kind::Unix { listening: false }) => plain("net.Socket"),
        (Handle::UdpSocket(_), Kind::Udp { v6 }) => {
            let dgram_type = Some(if v6 { "udp6" } else { "udp4" });
            Ok(Label { kind: "dgram.Socket", dgram_type })
        }
        (Handle::Native(_), Kind::Udp { .. }) => plain("dgram.Native"),
        (Handle::Native(_), _) => plain("net.Native"),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is of another kind")),
    }
}

/// The user's message for what was received; none, as in Node, if its handle did not come: the
/// sender has been told.
///
/// # Errors
///
/// [`Error::Protocol`] if the descriptor is not what its label says.
pub fn unpack(content: impl Into<Letter>, attachment: Attachment) -> Result<Option<Letter>> {
    let mut letter = content.into();
    match attachment {
        Attachment::Nothing => {}
        Attachment::Missing => return Ok(None),
        Attachment::Descriptor(descriptor, Announced { kind, key }) => {
            letter.handle = Some(open(descriptor, &kind)?);
            letter.key = key.filter(|_| kind == "net.Socket");
        }
    }
    Ok(Some(letter))
}

fn open(descriptor: OwnedFd, kind: &str) -> Result<Handle> {
    let real = Kind::of(descriptor.as_fd())
        .map_err(|_| Error::protocol(format!("a descriptor of a wrong kind as {kind:?}")))?;
    match (kind, real) {
        ("net.Server", Kind::Tcp { listening } | Kind::Unix { listening }) => {
            if !listening {
                SockRef::from(&descriptor).listen(BACKLOG)?; // Node does it here, too
            }
            Ok(Handle::of(descriptor)?)
        }
        ("net.Socket", Kind::Tcp { listening: false } | Kind::Unix { listening: false }) => {
            SockRef::from(&descriptor).set_nonblocking(false)?;
            Ok(Handle::of(descriptor)?)
        }
        ("dgram.Socket", Kind::Udp { .. }) => Ok(Handle::of(descriptor)?),
        ("net.Native" | "net.Socket", Kind::Tcp { .. } | Kind::Unix { .. } | Kind::Fifo)
        | ("dgram.Native", Kind::Udp { .. }) => Ok(Handle::Native(descriptor)),
        _ => Err(Error::protocol(format!("{real:?} as {kind:?}"))),
    }
}
