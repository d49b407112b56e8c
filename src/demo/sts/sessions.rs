//! What was issued: temporary credentials by access key id, for the STS to know again.
//!
//! The keys open nothing but this STS; they are kept in memory and never printed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use openssl::sha::sha256;

use super::IssuedSession;
use super::answer::element;
use super::tags::Tags;
use crate::model::{Entropy, RoleArn, SessionName};

/// An assumed role.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) access_key_id: String,
    pub(super) secret: String,
    pub(super) token: String,
    /// The role, with its path.
    pub(super) role: RoleArn,
    /// `AROA...:session name`.
    pub(super) user_id: String,
    /// The path is dropped, as AWS does.
    pub(super) arn: String,
    pub(super) account: String,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// Whether it was assumed with another role's credentials.
    pub(super) chained: bool,
    pub(super) policy: Option<String>,
    pub(super) tags: Tags,
    pub(super) source_identity: Option<String>,
}

/// A session to be made.
pub(super) struct Plan<'a> {
    pub(super) role: &'a RoleArn,
    /// The name that the answer bears.
    pub(super) name: &'a str,
    pub(super) session_name: &'a SessionName,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) chained: bool,
    pub(super) policy: Option<&'a str>,
    pub(super) tags: Tags,
    pub(super) source_identity: Option<String>,
}

impl Session {
    /// A new session, with keys of its own.
    pub(super) fn new(entropy: &dyn Entropy, plan: Plan<'_>) -> Self {
        let random = |bytes: usize| {
            let mut random = vec![0; bytes];
            entropy.fill(&mut random);
            random
        };
        let (role, name, session_name) = (plan.role, plan.name, plan.session_name);
        let (partition, account) = (role.partition(), role.account());
        // A role keeps its id, so the id comes from the ARN.
        let role_id = capitals(&sha256(role.as_str().as_bytes()), 17);
        Self {
            access_key_id: format!("ASIA{}", capitals(&random(16), 16)),
            secret: STANDARD.encode(random(30)),
            token: STANDARD.encode(random(300)),
            role: role.clone(),
            user_id: format!("AROA{role_id}:{session_name}"),
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"),
            account: account.to_string(),
            issued_at: plan.issued_at,
            expires_at: plan.expires_at,
            chained: plan.chained,
            policy: plan.policy.map(str::to_owned),
            tags: plan.tags,
            source_identity: plan.source_identity,
        }
    }

    /// What may be shown of it.
    pub(super) fn shown(self) -> IssuedSession {
        IssuedSession {
            access_key_id: self.access_key_id,
            role_arn: self.role.to_string(),
            arn: self.arn,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            chained: self.chained,
            policy: self.policy,
            tags: self.tags.all,
            transitive_tag_keys: self.tags.transitive,
            source_identity: self.source_identity,
        }
    }

    /// The keys as XML.
    pub(super) fn keys(&self) -> String {
        [
            element("AccessKeyId", &self.access_key_id),
            element("SecretAccessKey", &self.secret),
            element("SessionToken", &self.token),
        ]
        .concat()
    }
}

/// `length` letters and digits of base32, one for each of `bytes`.
pub(super) fn capitals(bytes: &[u8], length: usize) -> String {
    let letter = |byte: &u8| match byte % 32 {
        letter @ 0..26 => char::from(b'A' + letter),
        digit => char::from(b'2' + (digit - 26)),
    };
    bytes.iter().take(length).map(letter).collect()
}

/// Every session so far, and from when on each role's sessions count.
#[derive(Default)]
pub(super) struct Sessions {
    kept: Mutex<HashMap<String, Session>>,
    revoked: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl Sessions {
    pub(super) fn keep(&self, session: Session) {
        let key = session.access_key_id.clone();
        self.locked().insert(key, session);
    }

    pub(super) fn find(&self, access_key_id: &str) -> Option<Session> {
        self.locked().get(access_key_id).cloned()
    }

    /// Those of `role`, the oldest first.
    pub(super) fn of(&self, role: &str) -> Vec<Session> {
        let kept = self.locked();
        let of_role = kept.values().filter(|known| known.role.as_str() == role);
        let mut found: Vec<Session> = of_role.cloned().collect();
        found.sort_by_key(|session| session.issued_at);
        found
    }

    /// Sessions of `role` from before `time` are refused from now on.
    pub(super) fn revoke(&self, role: &str, time: DateTime<Utc>) {
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.insert(role.to_owned(), time);
    }

    pub(super) fn is_revoked(&self, session: &Session) -> bool {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        let from = revoked.get(session.role.as_str());
        from.is_some_and(|from| session.issued_at < *from)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
