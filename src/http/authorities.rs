//! Whose certificates of clients are taken: the check of one, by OpenSSL, against what one file holds.
//!
//! A certificate must be for clients, in its time, and lead to one of these. Certificates that were revoked are not
//! asked after: a launcher is stopped by revoking its token.

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509PurposeId, X509Ref, X509StoreContext, X509StoreContextRef};

/// The authorities of one file.
pub(super) struct Authorities {
    certificates: Vec<X509>,
    /// The SHA-256 of the file.
    digest: [u8; 32],
}

impl Authorities {
    /// Those of a PEM file; none where it holds none.
    pub(super) fn of_pem(pem: &[u8]) -> Result<Option<Self>, ErrorStack> {
        let read = Self {
            certificates: X509::stack_from_pem(pem)?,
            digest: openssl::sha::sha256(pem),
        };
        // Whatever OpenSSL would not take is told here rather than at a handshake.
        read.store()?;
        Ok((!read.certificates.is_empty()).then_some(read))
    }

    /// Whether these are the same.
    pub(super) fn are(&self, others: &Self) -> bool {
        self.digest == others.digest
    }

    /// Has `connection` verified by these, and the client told whose certificates are wanted: a browser that has
    /// none of theirs does not bother its user.
    pub(super) fn put_on(&self, connection: &mut SslRef) -> Result<(), ErrorStack> {
        connection.set_verify_cert_store(self.store()?)?;
        let mut names = Stack::new()?;
        for certificate in &self.certificates {
            names.push(certificate.subject_name().to_owned()?)?;
        }
        connection.set_client_ca_list(names);
        Ok(())
    }

    /// Whether `leaf`, with what came `above` it, leads to one of these now.
    pub(super) fn take(&self, leaf: &X509Ref, above: &StackRef<X509>) -> bool {
        let taken = self.store().and_then(|store| {
            X509StoreContext::new()?.init(&store, leaf, above, X509StoreContextRef::verify_cert)
        });
        taken.unwrap_or(false)
    }

    fn store(&self) -> Result<X509Store, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for certificate in &self.certificates {
            store.add_cert(certificate.clone())?;
        }
        // An authority that others stand above is trusted for itself.
        store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        store.set_purpose(X509PurposeId::SSL_CLIENT)?;
        Ok(store.build())
    }
}
