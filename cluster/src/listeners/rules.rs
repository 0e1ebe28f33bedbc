//! Who may listen where.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::errno::Errno;
use worker_api::{
    Address,
    wire::{Family, Query, read_host, socket_path},
};

/// The longest data, as JSON, that is kept for a socket's workers.
const LONGEST_DATA: usize = 64 << 10;

/// Whether these addresses, if there are any, are all that may be asked for, and this is one
/// of them. A socket of the master's own is none: it was passed in on purpose, or not.
pub(super) fn check_allowed(allowed: Option<&[Address]>, query: &Query) -> io::Result<()> {
    let is_passed = query.fd.is_some_and(|number| number >= 0);
    let Some(allowed) = allowed.filter(|_| !is_passed) else { return Ok(()) };
    match address(query) {
        Some(address) if allowed.contains(&address) => Ok(()),
        _ => Err(Errno::EACCES.into()),
    }
}

/// Nothing long is kept, and sent to all who come.
pub(super) fn check_data(query: &Query) -> io::Result<()> {
    match serde_json::to_vec(&query.data) {
        Ok(data) if data.len() <= LONGEST_DATA => Ok(()),
        _ => Err(Errno::EMSGSIZE.into()),
    }
}

/// The address that a query means, as a user writes it in the settings.
pub(super) fn address(query: &Query) -> Option<Address> {
    let text = query.address.as_deref();
    let port = || u16::try_from(query.port.unwrap_or(0)).ok();
    let socket = |absent: IpAddr| match text {
        Some(text) => read_host(text, port()?),
        None => Some(SocketAddr::new(absent, port()?)),
    };
    match query.family {
        Family::Fd => None,
        Family::Path => text.map(|path| Address::Unix(socket_path(path).into())),
        Family::Udp4 => socket(Ipv4Addr::UNSPECIFIED.into()).map(Address::Udp),
        Family::Udp6 => socket(Ipv6Addr::UNSPECIFIED.into()).map(Address::Udp),
        Family::V4 | Family::V6 if text.is_none() => port().map(Address::Port),
        Family::V4 | Family::V6 => socket(Ipv6Addr::UNSPECIFIED.into()).map(Address::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn query(address: Value, port: Value, family: Value, fd: Value) -> Query {
        let (index, backlog) = (0, 0);
        serde_json::from_value(json!({
            "index": index, "address": address, "port": port, "addressType": family, "fd": fd,
            "backlog": backlog,
        }))
        .unwrap()
    }

    fn is_allowed(allowed: &Address, query: &Query) -> bool {
        check_allowed(None, query).unwrap();
        check_allowed(Some(std::slice::from_ref(allowed)), query).is_ok()
    }

    #[test]
    fn an_address_has_one_meaning() {
        let none = Value::Null;
        for (address, port, family, meaning) in [
            (json!("127.0.0.1"), json!(80), json!(4), Address::Tcp(([127, 0, 0, 1], 80).into())),
            (json!("::1"), json!(80), json!(6), Address::Tcp((Ipv6Addr::LOCALHOST, 80).into())),
            (json!(null), json!(80), json!(4), Address::Port(80)),
            (json!("/a/b"), json!(-1), json!(-1), Address::Unix("/a/b".into())),
            (json!("/a/\0b"), json!(-1), json!(-1), Address::Unix("\0b".into())),
            (json!("0.0.0.0"), json!(53), json!("udp4"), Address::Udp(([0; 4], 53).into())),
            (json!(null), json!(53), json!("udp4"), Address::Udp(([0; 4], 53).into())),
            (json!(null), json!(null), json!("udp6"), Address::Udp(([0; 16], 0).into())),
            (json!("127.0.0.1"), json!(null), json!(4), Address::Tcp(([127, 0, 0, 1], 0).into())),
        ] {
            let query = query(address, port, family, none.clone());
            assert!(is_allowed(&meaning, &query), "{query:?} is not {meaning}");
            assert!(!is_allowed(&Address::Port(1), &query), "{query:?}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_not_allowed() {
        for (address, port, family) in [
            (json!("localhost"), json!(80), json!(4)),
            (json!("127.0.0.1"), json!(-1), json!(4)),
            (json!(null), json!(65536), json!(4)),
            (json!(null), json!(-1), json!(-1)),
            (json!(null), json!(null), json!(null)),
        ] {
            let query = query(address, port, family, json!(-1));
            assert!(!is_allowed(&Address::Port(0), &query), "{query:?}");
        }
    }

    #[test]
    fn sockets_passed_in_have_their_own_rule() {
        let query = query(json!(null), json!(null), json!(null), json!(7));
        assert!(is_allowed(&Address::Port(1), &query));
    }
}
