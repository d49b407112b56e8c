//! Why a fetch gets nothing, in words that a job's SDK prints.

use thiserror::Error;

use crate::flow::outcome::reasons;
use crate::model::{Person, RoleArn, Subject};
use crate::policy::Denial;
use crate::store::StoreError;

/// Why a fetch gets nothing.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No such lease token.
    #[error("this lease token is unknown; ask the launcher for a new lease")]
    UnknownToken,
    /// The lease is over.
    #[error("the lease ended at {0}; ask the launcher for a new one")]
    LeaseExpired(String),
    /// The lease was revoked.
    #[error("the lease was revoked; ask the launcher or an admin why")]
    LeaseRevoked,
    /// A hold stands in the way.
    #[error("held by an admin: {reason}")]
    Held {
        /// The admin's words.
        reason: String,
    },
    /// The sign-in does not offer the role.
    #[error(
        "the newest sign-in of {user} does not offer {role}; have the IdP offer it and sign in again"
    )]
    NotOffered {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// The allow-list does not permit it.
    #[error("{role} is not allowed: {reasons}")]
    NotAllowed {
        /// The role.
        role: String,
        /// Every reason.
        reasons: String,
    },
    /// What a lease asks for beyond the role cannot be had.
    #[error("{role} cannot be had like that: {reasons}")]
    CannotNarrow {
        /// The role.
        role: String,
        /// Every reason.
        reasons: String,
    },
    /// The relay's own token does not leave rolegate.
    #[error(
        "no web identity token leaves rolegate for {0}: the entry must be of method relay with hand_out_tokens, and the lease without session policy and tags; fetch credentials instead"
    )]
    TokenStays(String),
    /// STS refused.
    #[error("AWS issued nothing for {role}: {reason}")]
    RefusedBySts {
        /// The role.
        role: String,
        /// STS's reason.
        reason: String,
    },
    /// Nothing left to hand out.
    #[error("there are no credentials left for {role}; {user} must sign in again")]
    SignInNeeded {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// STS does not answer, and there is nothing to go on with.
    #[error("AWS issued nothing for {role} yet: {reason}")]
    StsAway {
        /// The role.
        role: String,
        /// What is known of it.
        reason: String,
    },
    /// STS has been asked and has not answered yet.
    #[error("AWS is being asked for {0}; try again in a second")]
    Pending(String),
    /// Something was revoked, held or edited all the time.
    #[error("the answer could not be settled in time; try again in a second")]
    Unsettled,
    /// The store is away, or was for too long.
    #[error("the store does not answer; try again")]
    StoreAway,
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        tracing::error!(event = "store_away", %error, "a fetch could not be answered");
        Self::StoreAway
    }
}

pub(super) fn sign_in_needed(person: &Person, role: &RoleArn) -> FetchError {
    FetchError::SignInNeeded {
        user: person.user.to_string(),
        role: role.to_string(),
    }
}

pub(super) fn not_granted(subject: &Subject, denial: &Denial) -> FetchError {
    let (user, role) = (subject.person().user.to_string(), denial.role_arn.clone());
    if denial.is_not_offered() {
        return FetchError::NotOffered { user, role };
    }
    if denial.is_over() {
        return FetchError::SignInNeeded { user, role };
    }
    let reasons = reasons(denial).join("; ");
    if denial.is_narrowing() {
        return FetchError::CannotNarrow { role, reasons };
    }
    FetchError::NotAllowed { role, reasons }
}
