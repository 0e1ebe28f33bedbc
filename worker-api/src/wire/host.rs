//! IP addresses as texts, with the zone that a link-local one needs.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::net::if_::{if_indextoname, if_nametoindex};

/// The address without its port: `127.0.0.1`, `::1`, `fe80::1%eth0`.
pub fn host_text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            format!("{}%{}", v6.ip(), zone(v6.scope_id()))
        }
        _ => address.ip().to_string(),
    }
}

fn zone(number: u32) -> String {
    match if_indextoname(number) {
        // `nix` has an empty name for a number without one.
        Ok(name) if !name.is_empty() => name.to_string_lossy().into(),
        _ => number.to_string(),
    }
}

/// The address that [`host_text`] wrote; a zone may be a number as well. `None` if it is no
/// address, or this system has no such zone.
pub fn read_host(text: &str, port: u16) -> Option<SocketAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        return text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    };
    let ip: Ipv6Addr = ip.parse().ok()?;
    let zone = if_nametoindex(zone).ok().or_else(|| zone.parse().ok())?;
    Some(SocketAddrV6::new(ip, port, 0, zone).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in ["127.0.0.1", "::1", "fe80::1%lo"] {
            let address = read_host(text, 80).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((host_text(&address).as_str(), address.port()), (text, 80));
        }
    }

    #[test]
    fn a_zone_may_be_a_number() {
        let loopback = if_nametoindex("lo").unwrap();
        assert_eq!(read_host(&format!("fe80::1%{loopback}"), 1), read_host("fe80::1%lo", 1));
        let unknown = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, u32::MAX).into();
        assert_eq!(read_host(&host_text(&unknown), 1), Some(unknown));
    }

    #[test]
    fn what_is_no_address() {
        for text in ["", "localhost", "fe80::1%", "fe80::1%no such", "1.2.3.4%lo", "::1%lo%lo"] {
            assert_eq!(read_host(text, 80), None, "{text}");
        }
    }
}
