//! What a SAML response must be before anybody believes it: gate, signature, conditions, attributes.
//!
//! The way through, each step in a type of its own that only the step before can make:
//!
//! ```text
//! posted form -> RawResponse -> UnverifiedResponse -> VerifiedAssertion
//!                  form, base64   gate (pure Rust)     signature (xmlsec), conditions, attributes
//! ```
//!
//! Call [`prepare`] on the main thread before other threads start. [`verify()`] is a pure function of
//! (bytes, trust, expectation, now); it takes well under a millisecond of CPU, so run it off the async
//! threads. Where a response carries two signatures both must verify, with one key of the provider,
//! whatever `require_signed` says.
//!
//! Trusted are the metadata that an admin chose and xmlsec's arithmetic behind the gate; nothing in
//! a document is, before its signature held. samael's own parsers are never used on a response.

mod attributes;
mod binding;
pub(crate) mod conditions;
mod context;
mod decryption;
pub(crate) mod encrypted;
mod encrypted_shape;
pub(crate) mod engine;
mod examine;
mod form;
mod gate;
pub(crate) mod lexis;
pub mod logout;
mod mend;
pub mod metadata;
mod metadata_signature;
pub mod metadata_url;
mod refusal;
mod request;
mod self_test;
mod service_key;
mod service_provider;
mod signature;
pub(crate) mod signature_shape;
mod space;
mod step;
pub(crate) mod structure;
mod time;
pub(crate) mod trust;
mod verify;
pub(crate) mod xml;

pub use examine::{Check, Examination, examine};
pub use form::{FormError, MAX_BODY, PostedForm, RawResponse};
pub use gate::UnverifiedResponse;
pub use mend::{Vendor, mend};
pub use metadata_signature::MetadataSigner;
pub use refusal::Refusal;
pub use request::{AuthnRequest, RequestError, authn_request};
pub use self_test::{SelfTestError, prepare};
pub use service_key::{ServiceKey, ServiceKeyError};
pub use trust::{Certificate, KeyError, Trust};
pub use verify::{AttributeNames, Expectation, RequireSigned, VerifiedAssertion, verify};
