//! Why there is no lease, in words for who asked for one.

use thiserror::Error;

use crate::flow::FetchError;
use crate::model::{IdpName, UserName};
use crate::store::StoreError;

/// Why there is no lease.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Nobody of that name is signed in.
    #[error("no sign-in of {0} is left to draw on; have {0} sign in at the login_url")]
    SignInNeeded(UserName),
    /// Several IdPs know a user of that name.
    #[error("{user} is signed in at several IdPs; name one of them as `idp`")]
    UserAmbiguous {
        /// The user.
        user: UserName,
        /// Where.
        idps: Vec<IdpName>,
    },
    /// The token or the session does not reach that far.
    #[error("{0}")]
    OutsideToken(String),
    /// What it rests on was revoked while the call was on its way.
    #[error(
        "the session or the launcher's token was revoked while the lease was made; there is none"
    )]
    Gone,
    /// A key of another call.
    #[error(
        "the Idempotency-Key was used for another lease within the last 24 hours; send a new key for a new lease"
    )]
    KeyReused,
    /// Credentials stop before the job is done.
    #[error(
        "credentials last until {lasts_until}, limited by {limited_by}, but are needed until {needed_until}; {}",
        longer(limited_by)
    )]
    WouldExpireEarly {
        /// When they stop.
        lasts_until: String,
        /// What makes them stop.
        limited_by: &'static str,
        /// What was asked.
        needed_until: String,
    },
    /// A time that has passed.
    #[error("needed_until has passed; send when the job will be done, as RFC 3339 in UTC")]
    NeededInThePast,
    /// A lifetime that the gateway does not give.
    #[error("ttl_seconds must be from 1 to {0}")]
    TtlOutOfRange(u32),
    /// No such lease, or not of this actor.
    #[error("there is no such lease of yours")]
    NotFound,
    /// As at a fetch.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl LeaseError {
    /// The stable name of a definite no; a call that was made wrongly is none.
    pub(super) fn denial(&self) -> Option<&'static str> {
        match self {
            Self::SignInNeeded(_) => Some("sign_in_needed"),
            Self::OutsideToken(_) => Some("outside_token"),
            Self::Gone => Some("revoked"),
            Self::WouldExpireEarly { .. } => Some("would_expire_early"),
            Self::Fetch(error) => error.denial(),
            Self::UserAmbiguous { .. }
            | Self::KeyReused
            | Self::NeededInThePast
            | Self::TtlOutOfRange(_)
            | Self::NotFound => None,
        }
    }
}

impl From<StoreError> for LeaseError {
    fn from(error: StoreError) -> Self {
        Self::Fetch(error.into())
    }
}

/// What lets credentials last longer.
fn longer(limited_by: &str) -> &'static str {
    match limited_by {
        "lease" => "ask for a longer ttl_seconds, or for less",
        "entry" => "an admin lets the entry of the allow-list end later",
        "id_token" => {
            "have the user sign in again before the job, or have the provider give a refresh token (scope offline_access)"
        }
        "renew_for" => {
            "have the user sign in again before the job, or an admin raises the entry's renew_for"
        }
        _ => "have the user sign in again before the job, or ask for less",
    }
}
