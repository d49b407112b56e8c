//! What became of a role: the state of its credentials, or the reasons against it.

use crate::model::{IssueKey, RoleArn};
use crate::policy::Denial;
use crate::store::CredentialState;

/// Of several states of one role, credentials count most, then those that are being made.
pub(super) fn best<'a>(
    known: &'a [(RoleArn, IssueKey, CredentialState)],
    role: &RoleArn,
) -> Option<&'a CredentialState> {
    let states = known.iter().filter(|(known, _, _)| known == role);
    states
        .map(|(_, _, state)| state)
        .max_by_key(|state| match state {
            CredentialState::Issued(_) => 2,
            CredentialState::Busy => 1,
            CredentialState::Failed(_) => 0,
        })
}

/// Each reason as a sentence.
pub(super) fn reasons(denial: &Denial) -> Vec<String> {
    denial.reasons.iter().map(ToString::to_string).collect()
}
