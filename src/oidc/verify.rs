//! What an ID token must be at a sign-in (OpenID Connect Core 1.0, 3.1.3.7).
//!
//! No I/O, no clock, no store: keys and time are handed in. Only what a key of the provider signed is read, and
//! a [`VerifiedIdToken`] exists only where every check let it through; that it comes once is the ledger's.

use chrono::{DateTime, Utc};

use super::attributes::attributes;
use super::claims::{Claims, offers, session_duration, user};
use super::jws::signed_claims;
use super::protocol::{Protocol, nonce};
use super::{KeySet, ProviderSettings, Refusal, TokenAnswer};
use crate::model::{
    IdToken, OidcTokens, Person, ReplayId, Secret, SignIn, SubjectParts, WebIdentity,
};

/// What an ID token is checked against at a sign-in.
#[derive(Debug)]
pub struct IdTokenExpectation<'e> {
    /// The provider that was asked.
    pub settings: &'e ProviderSettings,
    /// Its keys.
    pub keys: &'e KeySet,
    /// The request's nonce.
    pub nonce: &'e Secret,
    /// The request's id.
    pub state: &'e str,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// A sign-in whose ID token passed every check. Made by [`verify`] alone; not yet known to be the first with it.
#[derive(Debug)]
pub struct VerifiedIdToken {
    state: String,
    replay: ReplayId,
    remember_until: DateTime<Utc>,
    parts: SubjectParts,
    tokens: OidcTokens,
}

impl VerifiedIdToken {
    /// What was said, before it is accepted.
    pub fn parts(&self) -> &SubjectParts {
        &self.parts
    }

    /// The token itself, with its facts.
    pub fn id_token(&self) -> &IdToken {
        &self.tokens.id_token
    }
}

impl SignIn for VerifiedIdToken {
    type Proof = OidcTokens;

    /// SHA-256 of what was signed: another signature over the same is the same token.
    fn replay_ids(&self) -> Vec<ReplayId> {
        vec![self.replay.clone()]
    }

    /// `exp` and the clocks' difference: after it the token is refused without the ledger.
    fn remember_until(&self) -> DateTime<Utc> {
        self.remember_until
    }

    fn in_response_to(&self) -> Option<&str> {
        Some(&self.state)
    }

    fn into_parts(self) -> (SubjectParts, OidcTokens) {
        (self.parts, self.tokens)
    }
}

/// Verifies the ID token of a sign-in: its form, its signature, then what it says, in this order.
///
/// # Errors
///
/// The first check that failed. Where it [`Refusal::wants_newer_keys`], ask for them once and verify again.
pub fn verify(
    answer: &TokenAnswer,
    expectation: &IdTokenExpectation<'_>,
) -> Result<VerifiedIdToken, Refusal> {
    let (settings, now) = (expectation.settings, expectation.now);
    let token = answer.id_token.as_ref().ok_or(Refusal::NoIdToken {})?;
    let signed = signed_claims(token, expectation.keys)?;
    let protocol = Protocol::checked(&signed.claims, settings, now)?;
    protocol.is_fresh(settings.clock_skew, now)?;
    nonce(&signed.claims, expectation.nonce)?.ok_or(Refusal::Nonce { found: "missing" })?;
    let id_token = id_token(token, &protocol, settings);
    let refreshable = answer.has_refresh_token();
    let parts = parts(&signed.claims, &id_token, refreshable, settings)?;
    Ok(VerifiedIdToken {
        state: expectation.state.to_owned(),
        replay: ReplayId(signed.digest),
        remember_until: id_token.expires_at + settings.clock_skew,
        parts,
        tokens: OidcTokens {
            id_token,
            refresh_token: answer.refresh_token.clone(),
        },
    })
}

/// The token with its facts. What AWS takes for the audience (`azp` where it is, else `aud`) is the client in
/// every token that passed.
pub(super) fn id_token(
    token: &Secret,
    protocol: &Protocol,
    settings: &ProviderSettings,
) -> IdToken {
    IdToken {
        jwt: token.clone(),
        issuer: settings.issuer.clone(),
        subject: protocol.subject.clone(),
        audience: settings.client_id.clone(),
        issued_at: protocol.issued_at,
        expires_at: protocol.expires_at,
    }
}

fn parts(
    claims: &Claims,
    token: &IdToken,
    refreshable: bool,
    settings: &ProviderSettings,
) -> Result<SubjectParts, Refusal> {
    let names = &settings.claims;
    let offers = offers(claims, &names.role).unwrap_or_default();
    Ok(SubjectParts {
        person: Person {
            idp: settings.name.clone(),
            user: user(claims, settings)?,
        },
        attributes: attributes(claims),
        offers: offers.offers,
        refused_offers: offers.refused,
        session_duration: session_duration(claims, &names.duration)?,
        assigned: false,
        forwarding: None,
        web_identity: Some(WebIdentity {
            issuer: token.issuer.clone(),
            subject: token.subject.clone(),
            audience: token.audience.clone(),
            redeemable_until: (!refreshable).then_some(token.expires_at),
        }),
        issued_at: token.issued_at,
        not_after: None,
        logout: None,
    })
}
