//! The certificate that this process serves with, read again when its files change.
//!
//! Every handshake takes the pair that is in force then; connections that stand are not touched. A pair that cannot
//! be used is logged and the one in force kept. Trusts the files' owner; never logs what stands in them.

use std::fs;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SniError, SslAcceptor, SslAcceptorBuilder, SslMethod, SslRef, SslVersion};
use openssl::x509::X509;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::TlsFiles;

/// Files are looked at this often; a change must be taken up within ten seconds.
const PERIOD: Duration = Duration::from_secs(4);

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

    /// TLS 1.2 or later, by Mozilla's intermediate settings.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<SslAcceptorBuilder, ErrorStack> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        let pair = self.pair();
        builder.set_certificate(&pair.leaf)?;
        for above in &pair.chain {
            builder.add_extra_chain_cert(above.clone())?;
        }
        builder.set_private_key(&pair.key)?;
        builder.check_private_key()?;
        let first = pair.digest;
        let tls = Arc::clone(self);
        // Asked in every handshake, whether or not the client names a host.
        builder.set_servername_callback(move |connection, _| {
            let pair = tls.pair();
            if pair.digest == first {
                return Ok(());
            }
            pair.put_on(connection).map_err(|_| SniError::ALERT_FATAL)
        });
        Ok(builder)
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
