//! What a permit is made of, before it is one.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::Grant;
use super::decide::Request;
use super::grant::Limit;
use super::terms::{Terms, job_tags};
use crate::model::{
    Entry, Method, SamlProviderArn, SessionDuration, SessionName, SessionPolicy, Subject, hex,
};

/// What a permit is made of.
pub(super) struct Verdict<'a> {
    pub(super) entry: &'a Entry,
    pub(super) method: Method,
    pub(super) means: Means,
    pub(super) duration: SessionDuration,
    pub(super) ends_at: DateTime<Utc>,
    pub(super) limit: Limit,
}

/// What a method has of the sign-in.
pub(super) struct Means {
    /// Of method `saml` alone.
    pub(super) provider: Option<SamlProviderArn>,
    pub(super) session_name: SessionName,
    /// Of relay and broker alone.
    pub(super) terms: Terms,
    /// Of method `web-identity` alone; else empty.
    pub(super) vouched: String,
}

impl Means {
    /// A session name, and nothing else yet.
    pub(super) fn named(session_name: SessionName) -> Self {
        Self {
            provider: None,
            session_name,
            terms: Terms::default(),
            vouched: String::new(),
        }
    }
}

impl Verdict<'_> {
    pub(super) fn into_grant(self, subject: &Subject, request: &Request<'_>) -> Grant {
        let (draft, means) = (&self.entry.draft, self.means);
        Grant {
            role: request.role.clone(),
            provider: means.provider,
            method: self.method,
            duration: self.duration,
            entry: self.entry.id.clone(),
            label: draft.label.clone(),
            person: subject.person().clone(),
            session: subject.session().clone(),
            session_name: means.session_name,
            ends_at: self.ends_at,
            limit: self.limit,
            external_id: draft.external_id.clone(),
            hand_out_tokens: draft.hand_out_tokens,
            session_policy: request.narrowing.session_policy.clone(),
            tags: means.terms.tags,
            transitive_tag_keys: means.terms.transitive,
            vouched: means.vouched,
            narrowed: narrowed(self.entry, request),
        }
    }
}

/// What makes a job's credentials its own, as a hash; empty where they are shared.
fn narrowed(entry: &Entry, request: &Request<'_>) -> String {
    let own = job_tags(entry, request);
    if request.narrowing.is_empty() && own.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    let policy = request.narrowing.session_policy.as_ref();
    // No value holds a line break: policies are JSON without white space, tags are of AWS's grammar.
    let _ = writeln!(text, "{}", policy.map_or("", SessionPolicy::as_str));
    for (key, value) in &request.narrowing.tags {
        let _ = writeln!(text, "{key}\n{value}");
    }
    for (key, value) in &own {
        let _ = writeln!(text, "{key}\n{value}");
    }
    hex(&openssl::sha::sha256(text.as_bytes()))
}
