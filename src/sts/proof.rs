//! What STS is shown in exchange for credentials.
//!
//! Borrows: a proof is looked at for one call and kept by whoever had it. Debug shows no token.

use super::relay::{AUDIENCE, RelayToken};
use crate::model::{IdToken, SamlProof, SamlProviderArn, Secret};
use crate::policy::Grant;

/// What STS is shown.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The identity provider's assertion.
    Saml(&'a SamlProviderArn, &'a SamlProof),
    /// A token, rolegate's or the identity provider's.
    Web(WebToken<'a>),
    /// The signature of rolegate's own identity, which the client makes.
    Own,
}

/// A token for `AssumeRoleWithWebIdentity`, and what STS must answer with where it took this very one.
#[derive(Clone, Copy)]
pub(super) struct WebToken<'a> {
    pub(super) jwt: &'a Secret,
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    /// The source identity that rolegate put into it; what another's token says of it is not known here.
    pub(super) source_identity: Option<&'a str>,
}

impl<'a> WebToken<'a> {
    /// A token of rolegate's, made for `grant`.
    pub(super) fn of_relay(token: &'a RelayToken, grant: &'a Grant) -> Self {
        Self {
            jwt: &token.jwt,
            issuer: &token.issuer,
            subject: &token.sub,
            audience: AUDIENCE,
            source_identity: Some(grant.person().user.as_str()),
        }
    }
}

impl<'a> From<&'a IdToken> for WebToken<'a> {
    fn from(token: &'a IdToken) -> Self {
        Self {
            jwt: &token.jwt,
            issuer: &token.issuer,
            subject: &token.subject,
            audience: &token.audience,
            source_identity: None,
        }
    }
}
