//! The certificate that this process serves with, and whose certificates of clients it takes; both are read again
//! when their files change.
//!
//! Every handshake takes what is in force then; connections that stand are not touched. What cannot be used is logged
//! and what is in force kept. Where there are authorities, a client is asked for a certificate and need not have one;
//! one that it sends is good, or there is no connection. HTTP/1.1 alone is offered: of HTTP/2 the server bounds neither
//! the streams of a connection nor their headers. Trusts the files' owner; never logs what stands in them.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, SniError, SslAcceptor, SslAcceptorBuilder, SslMethod, SslOptions, SslRef,
    SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::x509::X509;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::TlsFiles;
use super::authorities::Authorities;

/// Files are looked at this often; a change must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);

/// As ALPN lists it (RFC 7301, 3.1).
const HTTP_1: &[u8] = b"\x08http/1.1";

/// Why certificate, key or authorities cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// The certificate's file holds none.
    #[error("{0} holds no PEM certificate")]
    NoCertificate(String),
    /// OpenSSL takes one of them not, or not with the other.
    #[error(
        "certificate and key cannot be used together: {0}; give a PEM chain and the key that belongs to it"
    )]
    Pair(#[from] ErrorStack),
    /// No authorities for clients.
    #[error(
        "{0} cannot be used: {1}; give the authorities' certificates, PEM, one after the other"
    )]
    Authorities(String, ErrorStack),
}

/// A certificate, those above it, and its key.
struct Pair {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
    /// The SHA-256 of both files.
    digest: [u8; 32],
}

/// What a new connection is served with.
pub struct Tls {
    files: TlsFiles,
    now: RwLock<Arc<Pair>>,
    /// Where there is a file of them.
    authorities: Option<RwLock<Arc<Authorities>>>,
    calls: watch::Sender<u64>,
}

impl Tls {
    /// Reads what `files` name.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let pair = read(&files)?;
        let authorities = files.client_ca.as_deref().map(authorities).transpose()?;
        let (calls, _) = watch::channel(0);
        Ok(Self {
            files,
            now: RwLock::new(Arc::new(pair)),
            authorities: authorities.map(|all| RwLock::new(Arc::new(all))),
            calls,
        })
    }

    /// What shakes hands.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<SslAcceptor, ErrorStack> {
        let pair = self.pair();
        let mut settings = self.settings(&pair)?;
        settings.set_alpn_select_callback(|_, offered| {
            select_next_proto(HTTP_1, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        let first = pair.digest;
        let tls = Arc::clone(self);
        // Asked in every handshake, whether or not the client names a host.
        settings.set_servername_callback(move |connection, _| {
            let fatal = |_| SniError::ALERT_FATAL;
            if let Some(authorities) = tls.authorities() {
                authorities.put_on(connection).map_err(fatal)?;
            }
            let pair = tls.pair();
            if pair.digest == first {
                return Ok(());
            }
            pair.put_on(connection).map_err(fatal)
        });
        Ok(settings.build())
    }

    /// Whose certificates of clients are taken now.
    pub(super) fn authorities(&self) -> Option<Arc<Authorities>> {
        let authorities = self.authorities.as_ref()?;
        let authorities = authorities.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&authorities))
    }

    /// Looks at the files now.
    pub fn at_once(&self) {
        self.calls
            .send_modify(|calls| *calls = calls.wrapping_add(1));
    }

    /// Takes up what the files hold, every few seconds and when it is asked to, until the process ends.
    pub async fn follow(self: Arc<Self>) {
        let mut calls = self.calls.subscribe();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut pair_trouble, mut authorities_trouble) = (None, None);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = calls.changed() => {}
            }
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || (tls.look(), tls.look_again()));
            let Ok((pair, authorities)) = looked.await else {
                continue;
            };
            if let Some(changed) = news(pair, &mut pair_trouble) {
                tell_of_pair(changed);
            }
            if let Some(changed) = news(authorities, &mut authorities_trouble) {
                tell_of_authorities(changed);
            }
        }
    }

    /// Reads certificate and key, and says whether they are another pair than the one before, now in force.
    fn look(&self) -> Result<bool, TlsError> {
        let pair = read(&self.files)?;
        if pair.digest == self.pair().digest {
            return Ok(false);
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
        Ok(true)
    }

    /// As [`Tls::look`], for the authorities.
    fn look_again(&self) -> Result<bool, TlsError> {
        let (Some(path), Some(before)) = (&self.files.client_ca, &self.authorities) else {
            return Ok(false);
        };
        let read = authorities(path)?;
        let mut before = before.write().unwrap_or_else(PoisonError::into_inner);
        if before.are(&read) {
            return Ok(false);
        }
        *before = Arc::new(read);
        Ok(true)
    }

    /// When the certificate in force ends; `None` where its time cannot be read.
    pub fn not_after(&self) -> Option<DateTime<Utc>> {
        let epoch = Asn1Time::from_unix(0).ok()?;
        let left = epoch.diff(self.pair().leaf.not_after()).ok()?;
        let seconds = i64::from(left.days) * 86_400 + i64::from(left.secs);
        DateTime::from_timestamp(seconds, 0)
    }

    fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// TLS 1.2 or later, by Mozilla's intermediate settings, with `pair`.
    fn settings(&self, pair: &Pair) -> Result<SslAcceptorBuilder, ErrorStack> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        builder.set_options(SslOptions::NO_RENEGOTIATION);
        builder.set_certificate(&pair.leaf)?;
        for above in &pair.chain {
            builder.add_extra_chain_cert(above.clone())?;
        }
        builder.set_private_key(&pair.key)?;
        builder.check_private_key()?;
        if self.authorities.is_some() {
            ask_for_certificate(&mut builder)?;
        }
        Ok(builder)
    }
}

/// Asks, and takes none for an answer. Nothing is resumed, so that each connection's certificate is the one that it
/// showed itself, verified by the authorities in force.
fn ask_for_certificate(builder: &mut SslAcceptorBuilder) -> Result<(), ErrorStack> {
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_session_id_context(b"rolegate")?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_num_tickets(0)
}

/// What is worth a line in the log: that something was taken up, or a trouble that is not told yet.
fn news(
    looked: Result<bool, TlsError>,
    trouble: &mut Option<String>,
) -> Option<Result<(), String>> {
    match looked {
        Ok(changed) => {
            *trouble = None;
            changed.then_some(Ok(()))
        }
        Err(error) => {
            let text = error.to_string();
            let known = trouble.replace(text.clone());
            (known.as_ref() != Some(&text)).then_some(Err(text))
        }
    }
}

fn tell_of_pair(changed: Result<(), String>) {
    match changed {
        Ok(()) => tracing::info!(
            event = "tls_certificate_changed",
            "the server's certificate taken up"
        ),
        Err(error) => tracing::error!(
            event = "tls_certificate_bad",
            error,
            "the server's certificate in force is kept"
        ),
    }
}

fn tell_of_authorities(changed: Result<(), String>) {
    match changed {
        Ok(()) => tracing::info!(
            event = "tls_client_ca_changed",
            "the authorities of clients' certificates taken up"
        ),
        Err(error) => tracing::error!(
            event = "tls_client_ca_bad",
            error,
            "the authorities of clients' certificates in force are kept"
        ),
    }
}

impl Pair {
    fn put_on(&self, connection: &mut SslRef) -> Result<(), ErrorStack> {
        connection.set_certificate(&self.leaf)?;
        for above in &self.chain {
            connection.add_chain_cert(above.clone())?;
        }
        connection.set_private_key(&self.key)
    }
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable(path.display().to_string(), error))
}

fn authorities(path: &Path) -> Result<Authorities, TlsError> {
    let name = || path.display().to_string();
    let read = Authorities::of_pem(&file(path)?);
    read.map_err(|error| TlsError::Authorities(name(), error))?
        .ok_or_else(|| TlsError::NoCertificate(name()))
}

fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
    let (certificate, key) = (file(&files.certificate)?, file(&files.key)?);
    let mut certificates = X509::stack_from_pem(&certificate)?.into_iter();
    let none = || TlsError::NoCertificate(files.certificate.display().to_string());
    let leaf = certificates.next().ok_or_else(none)?;
    // Never asks for a passphrase at a terminal.
    let private = PKey::private_key_from_pem_callback(&key, |_| Ok(0))?;
    let mut digest = openssl::sha::Sha256::new();
    digest.update(&certificate);
    digest.update(&key);
    let pair = Pair {
        leaf,
        chain: certificates.collect(),
        key: private,
        digest: digest.finish(),
    };
    // While the two files are being replaced, one may be of the pair before.
    let mut trial = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    trial.set_certificate(&pair.leaf)?;
    trial.set_private_key(&pair.key)?;
    trial.check_private_key()?;
    Ok(pair)
}
