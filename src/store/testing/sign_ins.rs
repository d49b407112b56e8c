//! Sign-ins as a verifier would hand them over.

use chrono::{DateTime, TimeDelta, Utc};

use super::{person, role};
use crate::model::{OidcTokens, Person, ReplayId, SessionDuration, SignIn, SubjectParts};

/// A sign-in as a verifier would hand it over.
#[derive(Debug)]
pub(crate) struct TestSignIn {
    ids: Vec<ReplayId>,
    request: Option<String>,
    pub(crate) parts: SubjectParts,
}

impl TestSignIn {
    pub(crate) fn new(id: &str) -> Self {
        Self::without_ids().with_id(id)
    }

    pub(crate) fn without_ids() -> Self {
        Self {
            ids: Vec::new(),
            request: None,
            parts: SubjectParts {
                person: person("okta", "ann"),
                attributes: [("department".to_owned(), vec!["hush-hush".to_owned()])].into(),
                offers: vec![crate::model::Offer {
                    role: role("reader"),
                    provider: None,
                }],
                refused_offers: Vec::new(),
                session_duration: Some(SessionDuration::DEFAULT),
                assigned: false,
                web_identity: None,
                forwarding: None,
                issued_at: "2026-01-02T03:04:00Z".parse().unwrap(),
                not_after: None,
                logout: None,
            },
        }
    }

    pub(crate) fn with_id(mut self, id: &str) -> Self {
        self.ids.push(ReplayId(openssl::sha::sha256(id.as_bytes())));
        self
    }

    /// Whose IdP names no role.
    pub(crate) fn without_roles(mut self) -> Self {
        self.parts.offers.clear();
        self
    }

    pub(crate) fn answering(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }

    pub(crate) fn by(mut self, person: Person) -> Self {
        self.parts.person = person;
        self
    }
}

impl SignIn for TestSignIn {
    type Proof = &'static str;

    fn replay_ids(&self) -> Vec<ReplayId> {
        self.ids.clone()
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.parts.issued_at + TimeDelta::minutes(5)
    }

    fn in_response_to(&self) -> Option<&str> {
        self.request.as_deref()
    }

    fn into_parts(self) -> (SubjectParts, Self::Proof) {
        (self.parts, "the proof")
    }
}

/// The same by OpenID Connect.
#[derive(Debug)]
pub(crate) struct TestOidcSignIn(pub(crate) TestSignIn, pub(crate) OidcTokens);

impl SignIn for TestOidcSignIn {
    type Proof = OidcTokens;

    fn replay_ids(&self) -> Vec<ReplayId> {
        self.0.replay_ids()
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.0.remember_until()
    }

    fn in_response_to(&self) -> Option<&str> {
        self.0.in_response_to()
    }

    fn into_parts(self) -> (SubjectParts, Self::Proof) {
        (self.0.into_parts().0, self.1)
    }
}
