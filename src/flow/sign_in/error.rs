//! Why nobody was signed in: what the client may know, and what log and audit know.

use thiserror::Error;

use super::oidc_reason::OidcReason;
use crate::flow::explain::{browser_check, replay_check, request_check, unsolicited_check};
use crate::model::{Hold, IdpName, Person, Reference};
use crate::saml::{Check, FormError, Refusal, Vendor, mend};
use crate::store::StoreError;

/// Why nobody was signed in.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The post is no form with one response.
    #[error("{0}")]
    Form(FormError, Reference),
    /// The response was refused; the reason stands in log and audit.
    #[error("the sign-in was refused")]
    Refused(Reference),
    /// Too many verifications at once.
    #[error("too many sign-ins at once; try again")]
    Busy,
    /// The store is away, so that nothing can be accepted once.
    #[error("the store does not answer; try again")]
    StoreAway,
    /// No such IdP.
    #[error("no IdP is called {0}")]
    UnknownIdp(String),
    /// An IdP whose metadata URL has not answered yet.
    #[error("IdP {0} has no metadata yet")]
    IdpNotReady(IdpName),
    /// An OpenID provider that has never answered, or does not now.
    #[error("the OpenID provider {0} does not answer; try again")]
    ProviderAway(IdpName),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        tracing::error!(event = "store_away", %error, "a sign-in could not be accepted");
        Self::StoreAway
    }
}

/// The reasons that are not in the document itself.
#[derive(Debug, Error)]
pub(super) enum Reason {
    #[error(transparent)]
    Form(FormError),
    #[error(transparent)]
    Document(#[from] Refusal),
    #[error("no configured IdP has the entityID {0:?}")]
    UnknownIssuer(String),
    #[error("IdP {0} may not start sign-ins itself (idp_initiated = \"refuse\")")]
    Unsolicited(IdpName),
    #[error(
        "InResponseTo names no open request of ours to IdP {0}: unknown, used, older than ten minutes, or another IdP's"
    )]
    RequestUnknown(IdpName),
    #[error(
        "the response answers a request that another browser made: its binding cookie is missing or another's"
    )]
    OtherBrowser,
    #[error("this assertion, or its response, was accepted before")]
    Replayed,
    #[error(
        "user {user} of IdP {idp} is held by an admin: {hold_id} of {scope}, placed by {by}: {reason}",
        user = .0.user, idp = .0.idp, hold_id = .1.id, scope = .1.scope, by = .1.created_by, reason = .1.reason
    )]
    Held(Person, Box<Hold>),
    #[error(transparent)]
    Oidc(#[from] OidcReason),
}

impl Reason {
    /// Whether the document was made to deceive: an operator should look at it.
    pub(super) fn is_alarm(&self) -> bool {
        matches!(self, Self::Document(refusal) if refusal.is_alarm())
    }

    /// Whether the document itself shows it, so that an examination finds it again.
    pub(super) fn is_in_document(&self) -> bool {
        matches!(self, Self::Document(_) | Self::UnknownIssuer(_))
    }

    /// Whether it is known that an identity provider signed what is refused; where in doubt, not.
    pub(super) fn is_signed(&self) -> bool {
        match self {
            Self::Replayed | Self::Held(..) => true,
            Self::Document(refusal) => is_behind_signature(refusal),
            Self::Oidc(reason) => reason.is_signed(),
            Self::Form(_)
            | Self::UnknownIssuer(_)
            | Self::Unsolicited(_)
            | Self::RequestUnknown(_)
            | Self::OtherBrowser => false,
        }
    }

    /// The check that failed, as `explain` shows it.
    pub(super) fn check(&self, vendor: Option<Vendor>) -> Check {
        match self {
            Self::Form(problem) => Check::of_form(problem),
            Self::Document(refusal) => {
                let mend = mend(refusal.code(), refusal.mend(), vendor);
                Check::failed(refusal.code(), "", refusal.to_string(), mend)
            }
            Self::UnknownIssuer(_) => {
                let general = "register the identity provider's metadata under [[saml.idp]]";
                let wanted = "the entity id of a configured identity provider";
                let mend = mend("issuer", general, vendor);
                Check::failed("issuer", wanted, self.to_string(), mend)
            }
            Self::Unsolicited(idp) => unsolicited_check(idp),
            Self::RequestUnknown(idp) => request_check(idp, vendor),
            Self::OtherBrowser => browser_check(),
            Self::Replayed => replay_check(None),
            Self::Oidc(reason) => reason.check(),
            Self::Held(_, hold) => {
                let mend = format!("`rolegate release {}` lets them in again", hold.id);
                Check::failed("held", "no hold on the user", self.to_string(), mend)
            }
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Form(problem) => problem.code(),
            Self::Document(refusal) => refusal.code(),
            Self::UnknownIssuer(_) => "issuer_unknown",
            Self::Unsolicited(_) => "idp_initiated_refused",
            Self::RequestUnknown(_) => "request_unknown",
            Self::OtherBrowser => "request_of_another_browser",
            Self::Replayed => "replayed",
            Self::Held(..) => "held",
            Self::Oidc(reason) => reason.code(),
        }
    }
}

/// Whether the check comes once the signature held.
fn is_behind_signature(refusal: &Refusal) -> bool {
    use Refusal as R;
    matches!(
        refusal,
        R::Status { .. }
            | R::Destination { .. }
            | R::InResponseTo { .. }
            | R::BadTime { .. }
            | R::IssueInstant { .. }
            | R::NoConditions {}
            | R::TimesOrder { .. }
            | R::NotYetValid { .. }
            | R::Expired { .. }
            | R::UnknownCondition { .. }
            | R::NoAudience {}
            | R::Audience { .. }
            | R::Subject { .. }
            | R::ConfirmationMethod { .. }
            | R::ConfirmationNotBefore {}
            | R::ConfirmationEndless {}
            | R::Recipient { .. }
            | R::NoAuthnStatement {}
            | R::AttributeRepeated { .. }
            | R::AttributeValues { .. }
            | R::SessionDuration { .. }
            | R::SessionName { .. }
            | R::NoUser { .. }
            | R::UserName { .. }
            | R::UserDomain { .. }
    )
}

pub(super) enum Stop {
    Refused(Reason),
    Failed(SignInError),
}

impl<R: Into<Reason>> From<R> for Stop {
    fn from(reason: R) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
