//! # The way of a response
//!
//! What arrives is bytes from a stranger. What leaves is credentials. Between them stand these steps, each
//! with a type that only the step before can make, so that none can be left out.
//!
//! 1. [`RawResponse::from_form`] takes one `SAMLResponse` out of one form, decodes base64 and keeps what
//!    was posted to the letter.
//! 2. [`RawResponse::read`] passes the gate: [characters](crate::saml::lexis), [XML](crate::saml::xml),
//!    [names, structure and IDs](crate::saml::structure), [signature shapes](crate::saml::signature_shape).
//!    It is pure Rust, one pass after another, and bounded. The result is an [`UnverifiedResponse`], which
//!    offers two hints and nothing else: whose keys to try, which request to look up.
//! 3. [`verify`] asks the [engine](crate::saml::engine) for the bytes that every signature covers, reads
//!    those bytes anew, holds them against what the gate saw, and asks every
//!    [condition](crate::saml::conditions). It has no clock, no store and no network. The result is a
//!    [`VerifiedAssertion`]. Where the assertion is [encrypted](crate::saml::encrypted), the signature around
//!    it comes first, then decryption, then the gate once more over what came out.
//! 4. [`Store::accept`] enters the IDs in the replay ledger, all or none, before anything else
//!    happens. Only it makes a [`Fresh`](crate::store::Fresh) one, and that a [`Subject`](crate::model::Subject).
//! 5. [`policy`](crate::policy) decides which offers become grants; a denial lists its reasons.
//! 6. [`sts`](crate::sts) is reached with a [`Grant`](crate::policy::Grant) alone, and its answer is
//!    compared with what we verified.
//!
//! The journey is one page: [`flow::sign_in`](crate::flow).
//!
//! [`RawResponse::from_form`]: crate::saml::RawResponse::from_form
//! [`RawResponse::read`]: crate::saml::RawResponse::read
//! [`UnverifiedResponse`]: crate::saml::UnverifiedResponse
//! [`verify`]: crate::saml::verify()
//! [`VerifiedAssertion`]: crate::saml::VerifiedAssertion
//! [`Store::accept`]: crate::store::Store::accept
