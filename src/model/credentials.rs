//! AWS credentials, and the key that they are shared by.

use chrono::{DateTime, Utc};

use super::{Method, RoleArn, Secret, SessionDuration, SessionId, hex};

/// Temporary credentials from STS.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `AccessKeyId`; no secret by itself.
    pub access_key_id: String,
    /// `SecretAccessKey`.
    pub secret_access_key: Secret,
    /// `SessionToken`.
    pub session_token: Secret,
    /// When STS issued them, by our clock.
    pub issued_at: DateTime<Utc>,
    /// When they stop.
    pub expires_at: DateTime<Utc>,
}

/// What credentials are cached, sealed and shared by: session, role, method, duration, and the hash of
/// session policy and tags (empty where there are none).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssueKey(String);

impl IssueKey {
    /// The key of credentials; `narrowed` is empty without session policy or tags.
    pub fn new(
        session: &SessionId,
        role: &RoleArn,
        method: Method,
        duration: SessionDuration,
        narrowed: &str,
    ) -> Self {
        let seconds = duration.seconds();
        let text = format!("{session}\n{role}\n{method}\n{seconds}\n{narrowed}");
        Self(hex(&openssl::sha::sha256(text.as_bytes())))
    }

    /// The key that a row was stored under.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
