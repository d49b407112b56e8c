//! What a refusal means for each method, and what mends it.
//!
//! Texts alone; AWS's own message follows them.

use crate::model::Method;

/// STS says that the proof is too old.
pub(super) fn expired(method: Method) -> &'static str {
    match method {
        Method::Saml => "STS says that the assertion has expired; sign in again",
        Method::WebIdentity => {
            "STS says that the ID token has expired; sign in again where no newer one can be had, and compare the clocks of the identity provider and this host if it was issued just now"
        }
        Method::Relay => {
            "STS says that the token has expired, which is made for each call and lives 5 minutes; compare this host's clock with AWS's"
        }
        Method::Broker => "STS says that rolegate's own credentials have expired",
    }
}

/// STS cannot validate the proof.
pub(super) fn invalid(method: Method) -> &'static str {
    match method {
        Method::Saml => {
            "STS does not accept the assertion; compare the IAM SAML provider's metadata with the IdP's, and the IdP's Audience and RoleSessionName"
        }
        Method::WebIdentity => {
            "STS does not accept the identity provider's ID token; it takes RS256, RS384, RS512, ES256, ES384 and ES512, a sub, whole seconds, and keys with a kid, for signing and without key_ops; compare these with the token and with the keys that the provider publishes"
        }
        Method::Relay => {
            "STS does not accept rolegate's token; compare the URL of the IAM OIDC provider with relay.issuer, its audience with sts.amazonaws.com, and the published jwks.json with `rolegate relay export DIR`"
        }
        Method::Broker => "STS does not accept the request",
    }
}

/// The role may not be assumed in this way.
pub(super) fn denied(method: Method) -> &'static str {
    match method {
        Method::Saml => {
            "AWS denies this role; its trust policy must name the SAML provider and allow `SAML:aud` = rolegate's ACS URL (`rolegate trust-policy ARN` prints such a policy), and the assertion must offer the pair role,provider"
        }
        Method::WebIdentity => {
            "AWS denies this role; its trust policy must name the IAM OIDC provider of the identity provider and allow sts:AssumeRoleWithWebIdentity (sts:TagSession and sts:SetSourceIdentity too where the ID token carries tags and a source identity), and its conditions on aud, which is rolegate's client id, and on sub must hold (`rolegate trust-policy ARN --method web-identity` prints such a policy)"
        }
        Method::Relay => {
            "AWS denies this role; its trust policy must name the OIDC provider of rolegate's issuer, allow sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity, and its conditions on aud and sub must hold (`rolegate trust-policy ARN --method relay` prints such a policy)"
        }
        Method::Broker => {
            "AWS denies this role; its trust policy must name rolegate's own identity, allow sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity, and ask for the entry's external_id or none (`rolegate trust-policy ARN --method broker` prints such a policy), and rolegate's own identity must be permitted the same three on this role"
        }
    }
}

/// The role's account knows no OIDC provider of the token's issuer.
pub(super) fn no_provider(method: Method) -> &'static str {
    match method {
        Method::WebIdentity => {
            "the role's account has no IAM OIDC provider for the identity provider; create one with the issuer as its URL, to the letter, and rolegate's client id as its audience (`rolegate trust-policy ARN --method web-identity` prints the command)"
        }
        Method::Saml | Method::Relay | Method::Broker => {
            "the role's account has no IAM OIDC provider for rolegate's issuer; create one with relay.issuer as its URL and sts.amazonaws.com as its audience"
        }
    }
}

/// AWS cannot read the keys of the token's issuer.
pub(super) fn unreadable(method: Method) -> &'static str {
    match method {
        Method::WebIdentity => {
            "AWS cannot read the identity provider's keys; its issuer must be reached from the internet under a certificate of a public authority, which a provider within a private network is not: have the entry use relay or broker there"
        }
        Method::Saml | Method::Relay | Method::Broker => {
            "AWS cannot read rolegate's keys; relay.issuer must be reached from the internet under a certificate of a public authority, with /.well-known/openid-configuration and /.well-known/jwks.json beneath it (`rolegate relay export DIR` writes both for a bucket)"
        }
    }
}

/// Which of the two to shorten: AWS packs both into one space.
pub(super) fn packed(policy: usize, tag_characters: usize) -> &'static str {
    if policy > tag_characters {
        "shorten the policy (fewer statements, wildcards in place of lists), or narrow the role itself"
    } else {
        "send fewer or shorter tags (those of the identity provider and rolegate's own count too)"
    }
}
