//! What the audit is told of each session that was ended and each lease that was revoked, whoever did it.

use crate::audit::{Event, EventKind};
use crate::model::{Person, SessionId, TokenRecord};
use crate::store::RevokedLease;

/// Sessions and leases that get an event each; the summary counts all.
pub(in crate::flow) const EVENTS: usize = 1000;

pub(in crate::flow) fn session_ended(
    session: &SessionId,
    person: &Person,
    reason: &str,
    by: &str,
) -> Event {
    Event {
        person: Some(person.clone()),
        session: Some(session.clone()),
        reason: Some(reason.to_owned()),
        by: Some(by.to_owned()),
        ..Event::new(EventKind::SessionEnded)
    }
}

pub(in crate::flow) fn lease_revoked(lease: &RevokedLease, reason: &str, by: &str) -> Event {
    Event {
        person: Some(lease.person.clone()),
        role: Some(lease.role.clone()),
        lease: Some(lease.id.clone()),
        job: Some(lease.job.clone()),
        launcher: lease.launcher.clone(),
        reason: Some(reason.to_owned()),
        by: Some(by.to_owned()),
        ..Event::new(EventKind::LeaseRevoked)
    }
}

/// What becomes of an API token, with `more` behind what it is.
pub(super) fn token_event(kind: EventKind, token: &TokenRecord, more: &str, by: &str) -> Event {
    let certificate = match &token.certificate_subject {
        None => String::new(),
        Some(name) if token.without_token => format!(", by {name} alone"),
        Some(name) => format!(", with {name}"),
    };
    Event {
        token: Some(token.id.clone()),
        by: Some(by.to_owned()),
        reason: Some(format!("{} {}{certificate}{more}", token.role, token.name)),
        ..Event::new(kind)
    }
}

/// The event of a token that was made.
pub fn token_created(token: &TokenRecord, by: &str) -> Event {
    token_event(EventKind::TokenCreated, token, "", by)
}
