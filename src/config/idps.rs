//! What SAML's IdPs and the OpenID Connect providers have in common: names that are unique across both,
//! the users they may speak for, and whether admins may assign roles to those.
//!
//! Judges spelling alone. Never reads a file and never asks anyone.

use crate::model::{IdpName, Method};

use super::findings::Findings;
use super::problem::ConfigError;
use super::raw::Switch;
use super::values::{OidcProvider, SamlIdp};

/// Everyone who signs people in, for keys elsewhere that name one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idps<'a> {
    pub(super) saml: &'a [SamlIdp],
    pub(super) oidc: &'a [OidcProvider],
}

impl<'a> Idps<'a> {
    /// The names, SAML's first, each in the order of the file.
    pub(super) fn names(self) -> impl Iterator<Item = &'a IdpName> {
        let saml = self.saml.iter().map(|idp| &idp.name);
        saml.chain(self.oidc.iter().map(|provider| &provider.name))
    }

    pub(super) fn is_empty(self) -> bool {
        self.names().next().is_none()
    }

    pub(super) fn knows(self, name: &IdpName) -> bool {
        self.names().any(|known| known == name)
    }

    /// The names, for a mend.
    pub(super) fn shown(self) -> String {
        let names: Vec<&str> = self.names().map(IdpName::as_str).collect();
        names.join(", ")
    }

    /// Whether a person of `idp`, or of any where it is `None`, may have signed in as `method` needs it.
    pub(super) fn can(self, method: Method, idp: Option<&IdpName>) -> bool {
        let fits = |name: &IdpName| idp.is_none_or(|wanted| wanted == name);
        match method {
            Method::Saml => self.saml.iter().any(|known| fits(&known.name)),
            Method::WebIdentity => self.oidc.iter().any(|known| fits(&known.name)),
            Method::Relay | Method::Broker => true,
        }
    }
}

/// An IdP's name: it is a part of URLs, where dots alone would lead elsewhere.
pub(super) fn idp_name(text: &str) -> Result<IdpName, ConfigError> {
    let name: IdpName = text.parse()?;
    if text.bytes().all(|byte| byte == b'.') {
        return Err(ConfigError::DotName);
    }
    Ok(name)
}

/// Whether one of `taken` is `name` but for case: environment variables cannot tell such names apart.
pub(super) fn is_taken<'a>(name: &IdpName, mut taken: impl Iterator<Item = &'a IdpName>) -> bool {
    taken.any(|other| other.as_str().eq_ignore_ascii_case(name.as_str()))
}

/// Whether assignments count, which they do unless they are switched off.
pub(super) fn assignments(switch: Option<Switch>) -> bool {
    match switch {
        None | Some(Switch::On) => true,
        Some(Switch::Off) => false,
    }
}

/// `user_domains` of the table at `path`, lower-case.
pub(super) fn domains(
    domains: Option<Vec<String>>,
    path: &str,
    findings: &mut Findings,
) -> Vec<String> {
    let Some(domains) = domains else {
        return Vec::new();
    };
    // An empty list would read as "nobody" and act as "anybody".
    if domains.is_empty() {
        findings.refuse(
            &format!("{path}.user_domains"),
            ConfigError::Empty("one domain at least"),
        );
    }
    for (at, domain) in domains.iter().enumerate() {
        let letters = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !domain.split('.').all(letters) {
            let key = format!("{path}.user_domains[{}]", at + 1);
            findings.refuse(&key, ConfigError::Domain);
        }
    }
    domains
        .into_iter()
        .map(|domain| domain.to_ascii_lowercase())
        .collect()
}
