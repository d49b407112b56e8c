//! Who signed in, and what the IdP said of that person.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    IdpName, Offer, RefusedOffer, Secret, SessionDuration, SessionId, SessionName, UserName,
};

/// A user of one IdP: the same user name from two IdPs is two people, everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The IdP that vouches for the user.
    pub idp: IdpName,
    /// The user's name there.
    pub user: UserName,
}

/// Attributes by exact name, each with its values in the order sent.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// What stands in the way of sending this very assertion to STS, or that nothing does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// The assertion's audiences (one restriction's, where there are several: those in all of them).
    pub audiences: Vec<String>,
    /// Whether the offers came in an attribute of AWS's own name.
    pub role_attribute_is_aws: bool,
    /// The RoleSessionName under AWS's own name; STS demands one and uses it.
    pub role_session_name: Option<SessionName>,
    /// Whether the assertion came encrypted for rolegate.
    pub encrypted: bool,
}

/// The ID token of a sign-in, as far as a decision and a trust policy rest on it. The token itself is a secret
/// of the store's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebIdentity {
    /// `iss`: the provider as AWS knows it.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// What AWS takes for the audience: `azp` where there are several, else `aud`.
    pub audience: String,
    /// The end of the ID token where there is no refresh token to have a newer one by; `None` where there is.
    pub redeemable_until: Option<DateTime<Utc>>,
}

/// By what an IdP names a person's sign-in when it, or rolegate, asks for its end (SAML core, 3.7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutHandle {
    /// The NameID's text.
    pub name_id: String,
    /// Its `Format`.
    pub format: Option<String>,
    /// Its `NameQualifier`.
    pub name_qualifier: Option<String>,
    /// Its `SPNameQualifier`.
    pub sp_name_qualifier: Option<String>,
    /// The `SessionIndex` of each AuthnStatement.
    pub session_indexes: Vec<String>,
}

/// Everything that a verified sign-in says. Data only: the proof is [`Subject`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectParts {
    /// Who.
    pub person: Person,
    /// Every attribute.
    pub attributes: Attributes,
    /// The roles offered, in the order sent, each role once.
    pub offers: Vec<Offer>,
    /// The Role values that offer nothing.
    pub refused_offers: Vec<RefusedOffer>,
    /// The `SessionDuration` attribute.
    pub session_duration: Option<SessionDuration>,
    /// Whether the offers are an admin's assignment and not the IdP's word; told by the store whenever it reads a
    /// session, and never kept in one.
    #[serde(skip)]
    pub assigned: bool,
    /// What STS would make of the assertion; `None` for a sign-in without one.
    pub forwarding: Option<Forwarding>,
    /// The ID token that STS may be sent; `None` for a sign-in without one.
    #[serde(default)]
    pub web_identity: Option<WebIdentity>,
    /// When the IdP says the person signed in or the assertion was issued: the earlier `IssueInstant`.
    pub issued_at: DateTime<Utc>,
    /// `SessionNotOnOrAfter`.
    pub not_after: Option<DateTime<Utc>>,
    /// For single logout; `None` for a sign-in without SAML, or one from before there was any.
    #[serde(default)]
    pub logout: Option<LogoutHandle>,
}

/// A person whose sign-in was verified and accepted once.
///
/// Made in two places alone, both in `store`: by the ledger from a fresh sign-in, and from a session
/// row whose parts were sealed together. No Clone, no Default, no Deserialize.
#[derive(Debug)]
pub struct Subject {
    session: SessionId,
    signed_in_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    parts: SubjectParts,
}

impl Subject {
    /// Vouches for `parts`. Only `store/ledger.rs` and `store/sessions.rs` may call it; a test holds that.
    pub(crate) fn vouch(
        session: SessionId,
        signed_in_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        parts: SubjectParts,
    ) -> Self {
        Self {
            session,
            signed_in_at,
            expires_at,
            parts,
        }
    }

    /// The session that the sign-in opened.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// When rolegate accepted the sign-in.
    pub fn signed_in_at(&self) -> DateTime<Utc> {
        self.signed_in_at
    }

    /// When the session ends; jobs whose entry says `renew_for` go on beyond it.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// Who it is.
    pub fn person(&self) -> &Person {
        &self.parts.person
    }

    /// What the sign-in said.
    pub fn parts(&self) -> &SubjectParts {
        &self.parts
    }
}

/// A key that the replay ledger takes once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplayId(pub [u8; 32]);

/// The document that STS is sent, exactly as it arrived.
#[derive(Debug, Clone)]
pub struct SamlProof {
    /// The base64 of the whole Response, as posted.
    pub encoded: Secret,
    /// The earlier of the Response's and the Assertion's `IssueInstant`; STS takes it for five minutes.
    pub issued_at: DateTime<Utc>,
    /// The assertion's Issuer; STS repeats it.
    pub issuer: String,
    /// The Recipient; STS repeats it as its Audience.
    pub recipient: String,
    /// The NameID's text; STS repeats it as Subject.
    pub name_id: String,
}

/// An ID token that was verified, as STS is sent it.
#[derive(Debug, Clone)]
pub struct IdToken {
    /// The token, a signed JWT.
    pub jwt: Secret,
    /// `iss`.
    pub issuer: String,
    /// `sub`; STS repeats it.
    pub subject: String,
    /// What AWS takes for the audience; STS repeats it.
    pub audience: String,
    /// `iat`, in whole seconds.
    pub issued_at: DateTime<Utc>,
    /// `exp`, in whole seconds.
    pub expires_at: DateTime<Utc>,
}

/// What an OpenID provider gave for a sign-in.
#[derive(Debug)]
pub struct OidcTokens {
    /// Who signed in.
    pub id_token: IdToken,
    /// What newer ID tokens are had by, where the provider gives one.
    pub refresh_token: Option<Secret>,
}

/// A verified sign-in that may be accepted once.
pub trait SignIn {
    /// What the methods that forward it need.
    type Proof;

    /// The ids that must be new, all of them.
    fn replay_ids(&self) -> Vec<ReplayId>;

    /// Until when an id must be remembered at least.
    fn remember_until(&self) -> DateTime<Utc>;

    /// The request that this answers, where it was asked for by us.
    fn in_response_to(&self) -> Option<&str>;

    /// What was said, and the proof. Only the ledger calls it.
    fn into_parts(self) -> (SubjectParts, Self::Proof);
}
