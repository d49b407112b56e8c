//! What the audit is told of fetches that were refused.
//!
//! A definite no alone: what passes by itself, a token that nobody knows and a store that is away leave nothing. The
//! job does not wait for the disk, and one that never stops asking is counted.

use std::time::Duration;

use super::{Fetch, FetchError, event_of};
use crate::audit::{Event, EventKind};
use crate::model::{RoleArn, Subject, TokenHash};

/// How long it may take to learn whose the lease is, behind an answer that may have taken its whole time.
const WHOSE: Duration = Duration::from_millis(100);

impl FetchError {
    /// The stable name of a definite no.
    pub(in crate::flow) fn denial(&self) -> Option<&'static str> {
        match self {
            Self::LeaseExpired(_) => Some("lease_expired"),
            Self::LeaseRevoked => Some("revoked"),
            Self::Held { .. } => Some("held"),
            Self::NotOffered { .. } => Some("not_offered"),
            Self::NotAllowed { .. } => Some("not_allowed"),
            Self::CannotNarrow { .. } | Self::TokenStays(_) => Some("method_cannot"),
            Self::RefusedBySts { .. } => Some("refused_by_sts"),
            Self::SignInNeeded { .. } => Some("sign_in_needed"),
            Self::UnknownToken
            | Self::StsAway { .. }
            | Self::Pending(_)
            | Self::Unsettled
            | Self::StoreAway => None,
        }
    }
}

impl Fetch {
    /// Passes `outcome` on, and records a definite no with the lease behind `token`.
    pub(super) async fn refusal<T>(
        &self,
        token: &TokenHash,
        outcome: Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let Err(error) = &outcome else {
            return outcome;
        };
        let Some(code) = error.denial() else {
            return outcome;
        };
        // Where it cannot be read at once, the refusal stands in the request log: the job is not kept waiting.
        let lease = self.parts.store.lease_by_token(token);
        if let Ok(Ok(Some(lease))) = tokio::time::timeout(WHOSE, lease).await {
            let event = Event {
                reason: Some(format!("{code}: {error}")),
                ..event_of(&lease, EventKind::FetchRefused)
            };
            self.parts.recorder.note(event, code);
        }
        outcome
    }

    /// Records a definite no to a person who asked by the session itself.
    pub(super) fn refuse_person(&self, subject: &Subject, role: &RoleArn, error: &FetchError) {
        let Some(code) = error.denial() else { return };
        let event = Event {
            person: Some(subject.person().clone()),
            session: Some(subject.session().clone()),
            role: Some(role.clone()),
            reason: Some(format!("{code}: {error}")),
            ..Event::new(EventKind::FetchRefused)
        };
        self.parts.recorder.note(event, code);
    }
}
