//! Why a sign-in through an OpenID provider is refused, and what mends it.

use thiserror::Error;

use crate::model::IdpName;
use crate::oidc::{CallbackError, OidcError, Refusal};
use crate::saml::Check;

/// The reasons of the OpenID journey alone; the others are shared with SAML's.
#[derive(Debug, Error)]
pub(super) enum OidcReason {
    #[error("the callback's query is no answer: {1}")]
    Callback(IdpName, CallbackError),
    #[error(
        "the state names no open request of ours to provider {0}: unknown, used, or older than ten minutes"
    )]
    RequestUnknown(IdpName),
    #[error(
        "the state names a request of ours to {asked}, and its answer came to {answered}'s callback"
    )]
    OtherProvider { asked: IdpName, answered: IdpName },
    #[error(transparent)]
    Token(#[from] Refusal),
    #[error("the token endpoint of provider {0} did not redeem the code: {1}")]
    Exchange(IdpName, OidcError),
    #[error("this ID token was accepted before")]
    Replayed(IdpName),
}

impl OidcReason {
    /// The stable name of the failed check.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Callback(..) => "callback_malformed",
            Self::RequestUnknown(_) => "request_unknown",
            Self::OtherProvider { .. } => "mix_up",
            Self::Token(refusal) => refusal.code(),
            Self::Exchange(_, error) if error.is_invalid_grant() => "invalid_grant",
            Self::Exchange(_, error) => error.code(),
            Self::Replayed(_) => "replayed",
        }
    }

    /// Whether the provider signed what is refused: an ID token whose signature held.
    pub(super) fn is_signed(&self) -> bool {
        match self {
            Self::Token(refusal) => matches!(
                refusal,
                Refusal::Malformed { .. }
                    | Refusal::Issuer { .. }
                    | Refusal::Audience { .. }
                    | Refusal::AuthorizedParty { .. }
                    | Refusal::Expired { .. }
                    | Refusal::NotYetValid { .. }
                    | Refusal::IssuedTooLongAgo { .. }
                    | Refusal::Nonce { .. }
                    | Refusal::SessionDuration { .. }
                    | Refusal::UserName { .. }
                    | Refusal::UserDomain { .. }
            ),
            Self::Replayed(_) => true,
            Self::Callback(..)
            | Self::RequestUnknown(_)
            | Self::OtherProvider { .. }
            | Self::Exchange(..) => false,
        }
    }

    /// The check that failed, as `explain` shows it.
    pub(super) fn check(&self) -> Check {
        let (expected, mend) = match self {
            Self::Callback(provider, _) => (
                "one state, and one of code and error",
                format!(
                    "{}; if it happens again, look for what rewrites the provider's answers",
                    again(provider)
                ),
            ),
            Self::RequestUnknown(provider) => (
                "the state of an open request of ours, used once and within ten minutes",
                again(provider),
            ),
            Self::OtherProvider { asked, .. } => (
                "an answer at the callback of the provider that was asked",
                format!(
                    "{}; register at each provider the callback of its own name, and no other's",
                    again(asked)
                ),
            ),
            Self::Token(refusal) => ("", refusal.mend().to_owned()),
            Self::Exchange(provider, error) if error.is_invalid_grant() => (
                "a code that the provider redeems once",
                format!(
                    "{}; if it happens again, the code was used or stolen on its way, or the redirect URL registered at the provider is another",
                    again(provider)
                ),
            ),
            Self::Exchange(provider, _) => (
                "tokens for the code",
                format!(
                    "set oidc.provider.{provider}.client_id and its client secret as the provider shows them, and register the redirect URL that `rolegate check` prints"
                ),
            ),
            Self::Replayed(provider) => (
                "an ID token that was not accepted before",
                format!(
                    "{}; if it happens again, the provider sends old ID tokens",
                    again(provider)
                ),
            ),
        };
        Check::failed(self.code(), expected, self.to_string(), mend)
    }
}

fn again(provider: &IdpName) -> String {
    format!("begin the sign-in again at rolegate's /oidc/{provider}/login")
}
