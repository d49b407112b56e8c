//! What an answer comes to, and how log and audit are told of it.

use super::IdTokens;
use crate::audit::{Event, EventKind};
use crate::model::{IdToken, Offer, RefusedOffer, Subject};
use crate::oidc::{OidcError, Refusal};
use crate::store::PutRefreshed;

/// What a refresh brought.
pub(super) struct Renewal<'a> {
    /// Whether it was the session's first.
    is_first: bool,
    has_id_token: bool,
    put: &'a PutRefreshed,
}

impl<'a> Renewal<'a> {
    pub(super) fn new(
        subject: &Subject,
        before: &IdToken,
        has_id_token: bool,
        put: &'a PutRefreshed,
    ) -> Self {
        Self {
            // Issued before rolegate took it: the sign-in's own.
            is_first: before.issued_at <= subject.signed_in_at(),
            has_id_token,
            put,
        }
    }
}

/// Whether a call may still have its effect at the provider though it gave no answer.
pub(super) fn may_still_succeed(error: &OidcError) -> bool {
    match error {
        OidcError::TimedOut | OidcError::Broken(_) => true,
        // A proxy's word that it heard nothing from the provider.
        OidcError::Status { status, .. } => matches!(status, 502 | 504),
        _ => false,
    }
}

/// Whether the token is not the person's at all: no key and no clock would make it so.
pub(super) fn is_of_another(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::SubjectDiffers { .. }
            | Refusal::AudienceDiffers { .. }
            | Refusal::Issuer { .. }
            | Refusal::Audience { .. }
            | Refusal::AuthorizedParty { .. }
            | Refusal::Nonce { .. }
    )
}

/// What the audit is told: the first refresh of a session, and each that changed something. The others follow
/// every few minutes.
pub(super) fn news_of(subject: &Subject, renewal: &Renewal<'_>) -> Vec<Event> {
    let mut news = Vec::new();
    let put = renewal.put;
    if renewal.is_first || put.offers_changed {
        let what = if renewal.has_id_token {
            "a newer ID token"
        } else {
            "no newer ID token; the one before goes on"
        };
        news.push(Event {
            reason: Some(what.to_owned()),
            ..about(EventKind::TokensRefreshed, subject)
        });
    }
    if put.offers_changed {
        news.push(Event {
            reason: Some(format!("before: {}", offered(subject))),
            ..about(EventKind::OffersChanged, subject)
        });
    }
    if let Some(overwritten) = &put.overwritten {
        news.push(Event {
            roles_before: Some(overwritten.roles.clone()),
            reason: Some("the refreshed ID token names roles".to_owned()),
            ..about(EventKind::AssignmentOverwritten, subject)
        });
    }
    news
}

/// What was offered until now; the sign-in's own record says what was before that.
fn offered(subject: &Subject) -> String {
    let parts = subject.parts();
    let roles = parts.offers.iter().map(|Offer { role, .. }| role.as_str());
    let others = parts
        .refused_offers
        .iter()
        .map(|RefusedOffer { value, .. }| value.as_str());
    let all: Vec<&str> = roles.chain(others).take(50).collect();
    if all.is_empty() {
        return "no role".to_owned();
    }
    all.join(", ")
}

pub(super) fn about(kind: EventKind, subject: &Subject) -> Event {
    Event {
        person: Some(subject.person().clone()),
        session: Some(subject.session().clone()),
        ..Event::new(kind)
    }
}

impl IdTokens {
    /// Records what happened. It has happened at the provider already, so that nothing is taken back where the
    /// audit does not take it.
    pub(super) async fn record(&self, events: Vec<Event>) {
        for event in events {
            if let Err(error) = self.parts.recorder.record(event).await {
                tracing::error!(event = "audit_lost", %error, "what a refresh brought is not in the audit");
            }
        }
    }
}
