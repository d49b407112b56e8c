//! The certificate that this process serves with, read again when its files change.
//!
//! Every handshake takes the pair that is in force then; connections that stand are not touched. A pair that cannot
//! be used is logged and the one in force kept. HTTP/1.1 alone is offered: of HTTP/2 the server bounds neither the
//! streams of a connection nor their headers. Trusts the files' owner; never logs what stands in them.

use std::fs;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, SniError, SslAcceptor, SslAcceptorBuilder, SslMethod, SslRef, SslVersion,
    select_next_proto,
};
use openssl::x509::X509;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::TlsFiles;

/// Files are looked at this often; a change must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);

/// As ALPN lists it (RFC 7301, 3.1).
const HTTP_1: &[u8] = b"\x08http/1.1";

/// Why certificate or key cannot be used.
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
    calls: watch::Sender<u64>,
}

impl Tls {
    /// Reads the pair of `files`.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let pair = read(&files)?;
        let (calls, _) = watch::channel(0);
        Ok(Self {
            files,
            now: RwLock::new(Arc::new(pair)),
            calls,
        })
    }

    /// What listens. The server puts its own choice of protocols on what it is given, so that every connection is
    /// moved to settings that it has not seen.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<SslAcceptorBuilder, ErrorStack> {
        let pair = self.pair();
        let mut inner = settings(&pair)?;
        inner.set_alpn_select_callback(|_, offered| {
            select_next_proto(HTTP_1, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        let inner = inner.build().into_context();
        let mut outer = settings(&pair)?;
        let first = pair.digest;
        let tls = Arc::clone(self);
        // Asked in every handshake, whether or not the client names a host, and before the protocol is chosen.
        outer.set_servername_callback(move |connection, _| {
            let fatal = |_| SniError::ALERT_FATAL;
            connection.set_ssl_context(&inner).map_err(fatal)?;
            let pair = tls.pair();
            if pair.digest == first {
                return Ok(());
            }
            pair.put_on(connection).map_err(fatal)
        });
        Ok(outer)
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
        let mut trouble = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = calls.changed() => {}
            }
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look()).await;
            match looked {
                Ok(Ok(changed)) => {
                    trouble = None;
                    if changed {
                        tracing::info!(
                            event = "tls_certificate_changed",
                            "the server's certificate taken up"
                        );
                    }
                }
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if trouble.as_ref() != Some(&text) {
                        tracing::error!(
                            event = "tls_certificate_bad",
                            error = text,
                            "the server's certificate in force is kept"
                        );
                    }
                    trouble = Some(text);
                }
                Err(_) => {}
            }
        }
    }

    /// Reads the files, and says whether they hold another pair than the one before, now in force.
    fn look(&self) -> Result<bool, TlsError> {
        let pair = read(&self.files)?;
        if pair.digest == self.pair().digest {
            return Ok(false);
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
        Ok(true)
    }

    fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// TLS 1.2 or later, by Mozilla's intermediate settings, with `pair`.
fn settings(pair: &Pair) -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_certificate(&pair.leaf)?;
    for above in &pair.chain {
        builder.add_extra_chain_cert(above.clone())?;
    }
    builder.set_private_key(&pair.key)?;
    builder.check_private_key()?;
    Ok(builder)
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

fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
    let file = |path: &std::path::Path| {
        fs::read(path).map_err(|error| TlsError::Unreadable(path.display().to_string(), error))
    };
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
