//! Why there is no ID token for STS, in words for the job's SDK and the log.

use thiserror::Error;

use crate::model::IdpName;
use crate::store::StoreError;

/// Why there is no ID token. Holds no token, and nothing of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenProblem {
    /// The sign-in was of another kind.
    #[error("the sign-in left no ID token; sign in through OpenID Connect")]
    NoTokens,
    /// It ended, and nothing renews it (OpenID Connect Core 1.0, 12).
    #[error(
        "the ID token of the sign-in has ended and {0} gave no refresh token; sign in again, or have it give one (scope offline_access)"
    )]
    Over(IdpName),
    /// The provider renews without an ID token, which OpenID Connect Core 1.0, 12.2 lets it.
    #[error(
        "the ID token of the sign-in has ended and {0} gives no ID token on refresh; sign in again"
    )]
    NoIdToken(IdpName),
    /// The session ended.
    #[error("the session has ended; sign in again")]
    Ended,
    /// The provider takes the refresh token no more (RFC 6749, 5.2, `invalid_grant`).
    #[error("{idp} has ended the sign-in ({reason}); sign in again")]
    EndedByProvider {
        /// The provider.
        idp: IdpName,
        /// Its words.
        reason: String,
    },
    /// The provider stands in the configuration no more.
    #[error("provider {0} is not configured any more; sign in through another, or configure it")]
    ProviderUnknown(IdpName),
    /// What came of a refresh is not the person's.
    #[error("the token that {idp} gave on refresh is refused: {reason}")]
    Refused {
        /// The provider.
        idp: IdpName,
        /// A stable code.
        code: &'static str,
        /// Which check refused.
        reason: String,
    },
    /// The provider refused for a reason that does not end the sign-in.
    #[error("{idp} does not renew the ID token: {reason}")]
    NotRenewed {
        /// The provider.
        idp: IdpName,
        /// A stable code.
        code: &'static str,
        /// What it said.
        reason: String,
    },
    /// The provider does not answer.
    #[error("{idp} cannot be asked for a newer ID token: {reason}")]
    Away {
        /// The provider.
        idp: IdpName,
        /// A stable code.
        code: &'static str,
        /// What is known of it.
        reason: String,
    },
    /// A refresh is under way, or was and may still succeed.
    #[error("a newer ID token has been asked for and is not there yet; try again")]
    Waiting,
    /// The newer token offers other roles than the one before: what was decided on the old one counts no more.
    #[error("the newer ID token offers other roles; try again")]
    Changed,
    /// The store.
    #[error("the store does not answer; try again")]
    StoreAway,
}

impl TokenProblem {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTokens => "id-token-none",
            Self::Over(_) => "id-token-over",
            Self::NoIdToken(_) => "id-token-not-renewed",
            Self::Ended => "session-ended",
            Self::EndedByProvider { .. } => "session-ended-by-provider",
            Self::ProviderUnknown(_) => "provider-unknown",
            Self::Refused { code, .. }
            | Self::NotRenewed { code, .. }
            | Self::Away { code, .. } => code,
            Self::Waiting => "id-token-awaited",
            Self::Changed => "id-token-changed",
            Self::StoreAway => "store-away",
        }
    }

    /// As jobs and launchers are told: what two tokens say of a person is for the audit.
    pub fn for_job(&self) -> String {
        match self {
            Self::Refused { idp, code, .. } => format!(
                "the token that {idp} gave on refresh is refused ({code}); the audit has the reason"
            ),
            other => other.to_string(),
        }
    }

    /// Whether the same may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Away { .. } | Self::Waiting | Self::Changed | Self::StoreAway
        )
    }

    /// Whether nothing is left to renew from, so that only a new sign-in helps.
    pub fn needs_sign_in(&self) -> bool {
        matches!(
            self,
            Self::NoTokens
                | Self::Over(_)
                | Self::NoIdToken(_)
                | Self::Ended
                | Self::EndedByProvider { .. }
        )
    }
}

impl From<StoreError> for TokenProblem {
    fn from(error: StoreError) -> Self {
        tracing::error!(event = "store_away", %error, "an ID token could not be had");
        Self::StoreAway
    }
}
