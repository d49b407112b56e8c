//! What holds for every sign-in: who we are, what a response must be, and where a person may go next.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config;
use crate::flow::{Idp, KeyRing, ServiceKeys};
use crate::saml::{Expectation, RequireSigned};

/// What holds for every IdP.
#[derive(Debug, Clone)]
pub struct SignInRules {
    /// `saml.entity_id`.
    pub entity_id: String,
    /// Our ACS.
    pub acs_url: String,
    /// The audiences that are ours.
    pub audiences: Vec<String>,
    /// `saml.clock_skew_seconds`.
    pub clock_skew: TimeDelta,
    /// `saml.strict_certificates`.
    pub strict_certificates: bool,
    /// `session.max_age_seconds`.
    pub max_age: TimeDelta,
    /// `server.return_origins`.
    pub return_origins: Vec<String>,
    /// Our own keys: what signs requests, what decrypts assertions.
    pub keys: Arc<ServiceKeys>,
}

impl SignInRules {
    /// What a response of `idp` must be, that answers `request` or, without one, none, and is encrypted for
    /// `keys` or not at all.
    pub(in crate::flow) fn expectation<'a>(
        &'a self,
        idp: &'a Idp,
        request: Option<&'a str>,
        keys: &'a KeyRing,
        now: DateTime<Utc>,
    ) -> Expectation<'a> {
        let acs = std::slice::from_ref(&self.acs_url);
        Expectation {
            trust: &idp.trust,
            audiences: &self.audiences,
            recipients: acs,
            destinations: acs,
            request,
            require: match idp.settings.require_signed {
                config::RequireSigned::Assertion => RequireSigned::Assertion,
                config::RequireSigned::Response => RequireSigned::Response,
                config::RequireSigned::Both => RequireSigned::Both,
            },
            skew: self.clock_skew,
            attributes: &idp.attributes,
            user_domains: &idp.settings.user_domains,
            strict_certificates: self.strict_certificates,
            decryption_keys: &keys.decryption,
            now,
        }
    }
}

/// A place to go after the sign-in: a path of ours, or a URL whose origin was configured. Anything
/// else, and anything with a control character or a backslash, is nowhere.
pub fn return_target(text: &str, origins: &[String]) -> Option<String> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if text.len() > 2048 || !plain {
        return None;
    }
    if text.starts_with('/') {
        // Empty and dot segments: what stands before us may fold them into another host.
        let path = text.split(['?', '#']).next().unwrap_or("");
        let odd = path.contains("//") || path.split('/').any(|part| part == "." || part == "..");
        return (!odd).then(|| text.to_owned());
    }
    let url = url::Url::parse(text).ok()?;
    let origin = url.origin().ascii_serialization();
    let web = matches!(url.scheme(), "https" | "http");
    (web && url.username().is_empty() && origins.contains(&origin)).then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::return_target;

    #[test]
    fn goes_only_where_it_was_told() {
        let origins = ["https://platform.example.org".to_owned()];
        for good in ["/", "/jobs?x=1", "https://platform.example.org/jobs"] {
            assert_eq!(return_target(good, &origins).as_deref(), Some(good));
        }
        for bad in [
            "",
            "//evil",
            "/.//evil",
            "/a/../b",
            "/é",
            "/\\evil",
            "\\evil",
            "https://evil",
            "https://platform.example.org.evil/",
            "https://platform.example.org@evil/",
            "https://u@platform.example.org/",
            "http://platform.example.org/",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
            "jobs",
        ] {
            assert_eq!(return_target(bad, &origins), None, "{bad:?}");
        }
    }
}
