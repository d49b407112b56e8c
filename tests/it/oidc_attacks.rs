//! Attacks on the sign-in through OpenID Connect and on what lives by its tokens, by a provider that does whatever
//! it wants, through a running gateway.
//!
//! Each is refused with its own reason inside and one answer outside, and each has a twin that differs in the
//! point at issue alone and signs in.

mod callback;
mod claims;
mod documents;
mod mix_up;
mod refresh;
mod replicas;
mod secrets;
mod stage;
mod tokens;
