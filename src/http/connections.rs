//! The connections that are open: how many of one address, and for how long an answer may stay unread.
//!
//! A trusted proxy is nobody's address, so that its connections are not counted by it. What comes beyond is closed
//! before anything of it is read. Over TLS that is after the handshake, which has a time limit of its own.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_tls::accept::openssl::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use socket2::SockRef;

use super::address::is_in;
use super::limits::network;
use crate::flow::{Limit, Pressure};

/// The connections of a listener.
pub(super) struct Connections {
    /// How many one address may have at once.
    pub(super) most: usize,
    /// Whose are not counted by address.
    pub(super) trusted: Vec<IpNet>,
    /// After how long without a byte taken by the client the connection is given up.
    pub(super) unread: Duration,
    /// Where all are counted.
    pub(super) pressure: Arc<Pressure>,
    /// How many each address has.
    pub(super) of: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    /// Takes in a connection that opened, or closes it.
    pub(super) fn arrived(self: &Arc<Self>, io: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = tcp(io) else { return };
        let socket = SockRef::from(stream);
        // Only the system knows whether the client takes what was sent; a system that cannot be told does without.
        let _told = socket.set_tcp_user_timeout(Some(self.unread));
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        let counted = peer.filter(|peer| !is_in(*peer, &self.trusted));
        let place = self.place(counted.map(network));
        if place.is_none() {
            self.pressure.turn_away(Limit::ConnectionsOfAddress);
            let _closed = socket.shutdown(Shutdown::Both);
        }
        extensions.insert(place);
    }

    /// A place for one more of `address`, if there is one.
    fn place(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        if let Some(address) = address {
            let mut of = self.counts();
            let count = of.entry(address).or_default();
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        self.pressure.connected();
        Some(Place {
            connections: Arc::clone(self),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection among those that are open; ends with it.
struct Place {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.pressure.disconnected();
        let Some(address) = self.address else { return };
        let mut of = self.connections.counts();
        if let Some(count) = of.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                of.remove(&address);
            }
        }
    }
}

fn tcp(io: &dyn Any) -> Option<&TcpStream> {
    let plain = io.downcast_ref::<TcpStream>();
    let tls = || io.downcast_ref::<TlsStream<TcpStream>>();
    plain.or_else(|| tls().map(|stream| stream.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let pressure = Arc::new(Pressure::default());
        let connections = Arc::new(Connections {
            most: 2,
            trusted: Vec::new(),
            unread: Duration::from_secs(1),
            pressure: Arc::clone(&pressure),
            of: Mutex::default(),
        });
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = connections.place(Some(one)).unwrap();
        let second = connections.place(Some(one)).unwrap();
        assert!(connections.place(Some(one)).is_none());
        let other = connections.place(Some("192.0.2.2".parse().unwrap()));
        let proxied: Vec<_> = (0..5).map(|_| connections.place(None)).collect();
        assert!(other.is_some() && proxied.iter().all(Option::is_some));
        assert_eq!(pressure.connections(), 8);
        drop(first);
        assert!(connections.place(Some(one)).is_some());
        drop((second, other, proxied));
        assert_eq!(pressure.connections(), 0);
        assert!(connections.counts().is_empty(), "nobody is remembered");
    }
}
