//! Independent judges of the SAML door: what rolegate accepts, others who share no code with it accept too.
//!
//! The judges are bergshamra (XML Signature in Rust, with its own parser and canonicalisation) and the
//! program `xmlsec1`. Both are given the keys of the metadata alone and every ID; a key in a document counts
//! for nobody. The signers are the museum's forge, the demo IdP, SimpleSAMLphp, pysaml2 and signxml.

pub(crate) mod door;
pub(crate) mod museum;
pub(crate) mod opinions;
mod signers;
