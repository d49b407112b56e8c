//! The C library behind the signature, made harmless before its first use.
//!
//! The two declarations below are the only `unsafe` in the project. The first empties xmlsec's list of
//! ways to open an address, so that no reference can reach a file or the network even if the gate
//! were wrong; the second stops it from writing to standard error what somebody posted.

use std::sync::OnceLock;

use samael::crypto::{
    AllowedSignatureAlgorithm as Allowed, CertificateDer, Crypto, CryptoProvider, ReduceMode,
};

const ALLOWED: [Allowed; 6] = [
    Allowed::RsaSha256,
    Allowed::RsaSha384,
    Allowed::RsaSha512,
    Allowed::EcdsaSha256,
    Allowed::EcdsaSha384,
    Allowed::EcdsaSha512,
];

#[expect(
    unsafe_code,
    reason = "two functions of xmlsec that no crate wraps; neither takes a pointer"
)]
mod ffi {
    unsafe extern "C" {
        /// Forgets every callback that opens, reads and closes an address. Must run after xmlSecInit.
        pub(super) safe fn xmlSecIOCleanupCallbacks();
        /// Turns the default error printer on (1) or off (0).
        pub(super) safe fn xmlSecErrorsDefaultCallbackEnableOutput(enabled: std::ffi::c_int);
    }
}

/// Whether the library is up, with its callbacks gone. Set once in the life of the process.
static READY: OnceLock<bool> = OnceLock::new();

/// Brings the library up by verifying `known`, which must be good, and takes its callbacks away. The
/// first call wins; it should come on the main thread before others start, because libxml2 before
/// 2.12 races on its first use.
pub(super) fn start(known: &str, certificate: &CertificateDer) -> bool {
    *READY.get_or_init(|| {
        ffi::xmlSecErrorsDefaultCallbackEnableOutput(0);
        let up = reduce(known, certificate).is_some();
        if up {
            ffi::xmlSecIOCleanupCallbacks();
        }
        up
    })
}

/// The bytes that the signatures of `xml` cover, if every one of them verifies with the key of
/// `certificate`. With two signatures these are the Response's. Only for documents that passed the gate.
pub(super) fn reduce(xml: &str, certificate: &CertificateDer) -> Option<String> {
    let covered = Crypto::reduce_xml_to_signed_with_allowed_algorithms(
        xml,
        std::slice::from_ref(certificate),
        ReduceMode::PreDigest,
        Some(&ALLOWED),
    );
    // A failed verification leaves errors in this thread's queue, where the next TLS call would find them.
    drop(openssl::error::ErrorStack::get());
    covered.ok()
}
