//! The certificate that the client of a connection showed, and the names that it is known by.
//!
//! Trusts the handshake: a certificate that is here was verified there, by the authorities in force. A connection may
//! outlive that, so time and authorities are asked again with every request.

use std::sync::Arc;

use actix_tls::accept::openssl::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::SslRef;
use openssl::stack::Stack;
use openssl::x509::{X509, X509NameRef, X509Ref, X509VerifyResult};

use super::Tls;
use super::authorities::Authorities;
use crate::model::CertificateName;

/// Further alternative names are not read: each is looked up in the store.
const MOST_NAMES: usize = 64;

/// A client's certificate.
pub(super) struct Peer {
    tls: Arc<Tls>,
    leaf: X509,
    above: Stack<X509>,
    under: Arc<Authorities>,
    until: DateTime<Utc>,
    names: Vec<CertificateName>,
}

/// Has a connection, whose handshake is over, remember the certificate of its client.
pub(super) fn remember(tls: &Arc<Tls>, stream: &TlsStream<TcpStream>, of: &mut Extensions) {
    if let Some(peer) = Peer::of(stream.ssl(), tls) {
        of.insert(Arc::new(peer));
    }
}

/// The certificate of the client at the other end of this request's connection.
pub(super) fn of(request: &HttpRequest) -> Option<Arc<Peer>> {
    request.conn_data::<Arc<Peer>>().cloned()
}

impl Peer {
    fn of(connection: &SslRef, tls: &Arc<Tls>) -> Option<Self> {
        let leaf = connection.peer_certificate()?;
        if connection.verify_result() != X509VerifyResult::OK {
            return None;
        }
        let mut above = Stack::new().ok()?;
        for certificate in connection.peer_cert_chain().into_iter().flatten() {
            above.push(certificate.to_owned()).ok()?;
        }
        let under = tls.authorities()?;
        // They may have changed since the handshake began.
        if !under.take(&leaf, &above) {
            return None;
        }
        Some(Self {
            tls: Arc::clone(tls),
            until: end(&leaf)?,
            names: names_of(&leaf),
            leaf,
            above,
            under,
        })
    }

    /// The names that count at `now`.
    pub(super) fn names(&self, now: DateTime<Utc>) -> &[CertificateName] {
        if self.counts(now) { &self.names } else { &[] }
    }

    fn counts(&self, now: DateTime<Utc>) -> bool {
        now < self.until
            && self.tls.authorities().is_some_and(|authorities| {
                authorities.are(&self.under) || authorities.take(&self.leaf, &self.above)
            })
    }
}

fn end(certificate: &X509Ref) -> Option<DateTime<Utc>> {
    let since = Asn1Time::from_unix(0).ok()?;
    let since = since.diff(certificate.not_after()).ok()?;
    let since = TimeDelta::days(since.days.into()) + TimeDelta::seconds(since.secs.into());
    DateTime::UNIX_EPOCH.checked_add_signed(since)
}

/// Subject, URIs and host names, as far as they can be named.
fn names_of(certificate: &X509Ref) -> Vec<CertificateName> {
    let subject = subject(certificate.subject_name()).ok().flatten();
    let alternative = certificate.subject_alt_names();
    let alternative = alternative.iter().flatten().filter_map(|name| {
        let uri = name.uri().and_then(CertificateName::uri);
        uri.or_else(|| name.dnsname().and_then(CertificateName::dns))
    });
    subject
        .into_iter()
        .chain(alternative)
        .take(MOST_NAMES)
        .collect()
}

/// A subject whose parts have an attribute each. One with several in a part is none, since its entries, read one by
/// one, look like another's.
fn subject(name: &X509NameRef) -> Result<Option<CertificateName>, ErrorStack> {
    let mut attributes = Vec::new();
    let mut alone = openssl::x509::X509NameBuilder::new()?;
    for entry in name.entries() {
        alone.append_entry(entry)?;
        let kind = match entry.object().nid() {
            Nid::UNDEF => entry.object().to_string(),
            known => known.short_name()?.to_owned(),
        };
        attributes.push((kind, entry.data().to_string()?));
    }
    if alone.build().try_cmp(name)?.is_ne() {
        return Ok(None);
    }
    let attributes = attributes
        .iter()
        .map(|(kind, value)| (kind.as_str(), value.as_str()));
    Ok(CertificateName::subject(attributes))
}
