//! What a refusal means for each method, and what mends it.
//!
//! Texts alone; AWS's own message follows them.

use crate::model::Method;

/// STS says that the proof is too old.
pub(super) fn expired(method: Method) -> &'static str {
    match method {
        Method::Saml => "STS says that the assertion has expired; sign in again",
        Method::Relay | Method::WebIdentity => {
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
        Method::Relay | Method::WebIdentity => {
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
        Method::Relay | Method::WebIdentity => {
            "AWS denies this role; its trust policy must name the OIDC provider of rolegate's issuer, allow sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity, and its conditions on aud and sub must hold (`rolegate trust-policy ARN --method relay` prints such a policy)"
        }
        Method::Broker => {
            "AWS denies this role; its trust policy must name rolegate's own identity, allow sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity, and ask for the entry's external_id or none (`rolegate trust-policy ARN --method broker` prints such a policy), and rolegate's own identity must be permitted the same three on this role"
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
