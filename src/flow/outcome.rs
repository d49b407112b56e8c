//! What became of a role: the state of its credentials, or the reasons against it; and how the audit is told.

use crate::audit::{Event, EventKind};
use crate::model::{Method, RoleArn};
use crate::policy::{Denial, Grant};
use crate::store::{CredentialState, KnownCredentials};

/// Of several states of one role by method `saml`, credentials count most, then those that are being made.
pub(super) fn best<'a>(
    known: &'a [KnownCredentials],
    role: &RoleArn,
) -> Option<&'a CredentialState> {
    let by_saml = |known: &&KnownCredentials| known.role == *role && known.method == Method::Saml;
    let states = known.iter().filter(by_saml).map(|known| &known.state);
    states.max_by_key(|state| match state {
        CredentialState::Issued(_) => 2,
        CredentialState::Busy => 1,
        CredentialState::Failed(_) => 0,
    })
}

/// Each reason as a sentence.
pub(super) fn reasons(denial: &Denial) -> Vec<String> {
    denial.reasons.iter().map(ToString::to_string).collect()
}

/// What the audit is told of a grant.
pub(super) fn event_of(kind: EventKind, grant: &Grant) -> Event {
    Event {
        person: Some(grant.person().clone()),
        session: Some(grant.session().clone()),
        role: Some(grant.role().clone()),
        method: Some(grant.method()),
        entry: Some(grant.entry().clone()),
        ..Event::new(kind)
    }
}
