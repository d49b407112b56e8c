//! A demo IdP and a strict sandbox STS, on loopback only, for `rolegate demo` and the tests.
//!
//! They judge what the gateway does, so they share none of its rules: the IdP writes its signatures with
//! OpenSSL alone, the STS reads them with samael's `Crypto` behind checks of its own. Neither opens an
//! address that a document names, and neither is for use outside a machine of one's own: the IdP signs
//! whomever its pages are asked for.

pub mod idp;
mod serving;
mod sigv4;
#[cfg(test)]
mod stage;
pub mod sts;
mod xml;
