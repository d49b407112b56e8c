//! Where a request comes from: the peer, or what proxies of ours say.
//!
//! `X-Forwarded-For` is believed from `server.trusted_proxies` alone, and of it only what such a proxy
//! wrote: it is read from its end, and the first address that is no proxy of ours is the client's. Of
//! `X-Forwarded-Proto` its first value is read, the person's own way, from the same proxies. The PROXY protocol
//! is not spoken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use ipnet::IpNet;

use super::Site;

/// The client's address.
pub(super) fn client(request: &HttpRequest, site: &Site) -> IpAddr {
    let peer = request.peer_addr();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let lines = request.headers().get_all("X-Forwarded-For");
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    behind(peer, &lines, &site.trusted_proxies)
}

/// Whether a proxy of ours says that the person came to it by plain http.
pub(super) fn came_in_the_clear(request: &HttpRequest, site: &Site) -> bool {
    let ours = request
        .peer_addr()
        .is_some_and(|peer| is_in(peer.ip(), &site.trusted_proxies));
    let told = request.headers().get("X-Forwarded-Proto");
    let told = told.and_then(|told| told.to_str().ok()).unwrap_or("");
    let first = told.split(',').next().unwrap_or("").trim();
    ours && first.eq_ignore_ascii_case("http")
}

/// Whether `address` is in one of `networks`.
pub(super) fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let plain = address.to_canonical();
    networks.iter().any(|network| network.contains(&plain))
}

/// Each hop is read by itself: what a client wrote may be of any bytes, and stands on one line with what a proxy added.
fn behind(peer: IpAddr, lines: &[&[u8]], trusted: &[IpNet]) -> IpAddr {
    let mut client = peer;
    let hops = lines.iter().rev();
    for hop in hops.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        if !is_in(client, trusted) {
            break;
        }
        let hop = std::str::from_utf8(hop.trim_ascii());
        let Some(hop) = hop.ok().and_then(address_of) else {
            break;
        };
        client = hop;
    }
    client.to_canonical()
}

/// An address as proxies write it: alone, in brackets, or with a port, as Azure's gateways do.
fn address_of(hop: &str) -> Option<IpAddr> {
    let alone = || hop.parse().ok();
    let with_port = || hop.parse().ok().map(|hop: SocketAddr| hop.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    alone().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_proxies_are_believed_and_only_what_they_wrote() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let client = |peer: &str, lines: &[&str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            behind(peer.parse().unwrap(), &lines, &trusted).to_string()
        };
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9"]), "192.0.2.9");
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.9"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, 10.0.0.2"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["192.0.2.9", "10.0.0.2"]), "192.0.2.9");
        assert_eq!(
            client("192.0.2.1", &["198.51.100.1"]),
            "192.0.2.1",
            "no proxy of ours"
        );
        assert_eq!(
            client("10.0.0.1", &["198.51.100.1, 192.0.2.9"]),
            "192.0.2.9",
            "what the client wrote itself"
        );
        assert_eq!(client("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, unknown"]), "10.0.0.1");
        // Else all who come through such a proxy would share one address, and one of them its limits.
        for (written, address) in [
            ("192.0.2.9:50123", "192.0.2.9"),
            ("198.51.100.1, 192.0.2.9:50123", "192.0.2.9"),
            ("192.0.2.9:50123, 10.0.0.2:443", "192.0.2.9"),
            ("[2001:db8::9]:50123", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("2001:db8::9", "2001:db8::9"),
            ("192.0.2.9:x", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[written]), address, "{written}");
        }
    }
    #[test]
    fn a_byte_that_is_no_text_spoils_its_own_hop_alone() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let client = |lines: &[&[u8]]| {
            let peer = "10.0.0.1".parse().unwrap();
            behind(peer, lines, &trusted).to_string()
        };
        assert_eq!(client(&[b"\xff, 192.0.2.9"]), "192.0.2.9");
        assert_eq!(client(&[b"\xff", b"192.0.2.9, 10.0.0.2"]), "192.0.2.9");
        assert_eq!(client(&[b"192.0.2.9, \xff"]), "10.0.0.1");
        assert_eq!(client(&[b"192.0.2.9, \xff, 10.0.0.2"]), "10.0.0.2");
    }
}
