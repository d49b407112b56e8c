//! What a refreshed ID token must be (OpenID Connect Core 1.0, 12.2).
//!
//! A refresh may tell newer roles and attributes of the same person; it never makes a session of another one.
//! No I/O, no clock, no store: keys and time are handed in.

use chrono::{DateTime, Utc};

use super::attributes::newer_attributes;
use super::claims::offers;
use super::jws::{nonce_of, signed_claims};
use super::protocol::{Protocol, nonce};
use super::refusal::cut;
use super::verify::id_token;
use super::{KeySet, ProviderSettings, Refusal, TokenAnswer};
use crate::model::{Attributes, IdToken, Offers, Secret};

/// What a refreshed ID token is checked against.
#[derive(Debug)]
pub struct RefreshExpectation<'e> {
    /// The provider.
    pub settings: &'e ProviderSettings,
    /// Its keys.
    pub keys: &'e KeySet,
    /// The ID token before.
    pub before: &'e IdToken,
    /// The session's attributes.
    pub known: &'e Attributes,
    /// The sign-in's nonce, where it is still known; else that of the token before counts, where it has one.
    pub nonce: Option<&'e Secret>,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// What a refresh gave.
#[derive(Debug)]
pub struct Refreshed {
    /// The newer ID token, where one came.
    pub id_token: Option<IdToken>,
    /// The rotated refresh token, where one came; else the old one goes on.
    pub refresh_token: Option<Secret>,
    /// The offers, where the newer token has a role claim, be it an empty one.
    pub offers: Option<Offers>,
    /// The claims of the newer token; they replace those of the same names. One without a value takes away what was
    /// known under its name.
    pub attributes: Attributes,
}

/// Verifies what a refresh gave: the checks of a sign-in but the token's age, and the same issuer, subject and
/// audience as before. A nonce may be missing; where it is there and the sign-in's is known, they are the same.
///
/// # Errors
///
/// The first check that failed. Where it [`Refusal::wants_newer_keys`], ask for them once and verify again.
pub fn verify_refreshed(
    answer: &TokenAnswer,
    expectation: &RefreshExpectation<'_>,
) -> Result<Refreshed, Refusal> {
    let settings = expectation.settings;
    let mut refreshed = Refreshed {
        id_token: None,
        refresh_token: answer.refresh_token.clone(),
        offers: None,
        attributes: Attributes::new(),
    };
    let Some(token) = &answer.id_token else {
        return Ok(refreshed);
    };
    let claims = signed_claims(token, expectation.keys)?.claims;
    let protocol = Protocol::checked(&claims, settings, expectation.now)?;
    let known = expectation.nonce.cloned();
    if let Some(expected) = known.or_else(|| nonce_of(&expectation.before.jwt)) {
        nonce(&claims, &expected)?;
    }
    let newer = id_token(token, &protocol, settings);
    same_person(expectation.before, &newer)?;
    refreshed.id_token = Some(newer);
    refreshed.offers = offers(&claims, &settings.claims.role);
    refreshed.attributes = newer_attributes(&claims, expectation.known);
    Ok(refreshed)
}

/// Whether the newer token is for the same person and client (OpenID Connect Core 1.0, 12.2).
fn same_person(before: &IdToken, newer: &IdToken) -> Result<(), Refusal> {
    if newer.issuer != before.issuer {
        return Err(Refusal::Issuer {
            found: newer.issuer.clone(),
            expected: before.issuer.clone(),
        });
    }
    if newer.subject != before.subject {
        return Err(Refusal::SubjectDiffers {
            found: cut(&newer.subject),
            expected: before.subject.clone(),
        });
    }
    if newer.audience != before.audience {
        return Err(Refusal::AudienceDiffers {
            found: newer.audience.clone(),
            expected: before.audience.clone(),
        });
    }
    Ok(())
}
