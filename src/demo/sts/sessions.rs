//! What was issued: temporary credentials by access key id, for `GetCallerIdentity` to know again.
//!
//! The keys open nothing but this STS; they are kept in memory and never printed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use openssl::sha::sha256;

use super::answer::element;
use crate::model::{Entropy, RoleArn, SessionName};

/// An assumed role.
#[derive(Clone)]
pub(super) struct Session {
    access_key_id: String,
    pub(super) secret: String,
    pub(super) token: String,
    /// `AROA...:session name`.
    pub(super) user_id: String,
    /// The path is dropped, as AWS does.
    pub(super) arn: String,
    pub(super) account: String,
    pub(super) expires_at: DateTime<Utc>,
}

impl Session {
    /// A new session of `role`, answered as `name`; with the XML of its keys.
    pub(super) fn new(
        entropy: &dyn Entropy,
        role: &RoleArn,
        name: &str,
        session_name: &SessionName,
        expires_at: DateTime<Utc>,
    ) -> (Self, String) {
        let random = |bytes: usize| {
            let mut random = vec![0; bytes];
            entropy.fill(&mut random);
            random
        };
        let (partition, account) = (role.partition(), role.account());
        // A role keeps its id, so the id comes from the ARN.
        let role_id = capitals(&sha256(role.as_str().as_bytes()), 17);
        let session = Self {
            access_key_id: format!("ASIA{}", capitals(&random(16), 16)),
            secret: STANDARD.encode(random(30)),
            token: STANDARD.encode(random(300)),
            user_id: format!("AROA{role_id}:{session_name}"),
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"),
            account: account.to_string(),
            expires_at,
        };
        let keys = [
            element("AccessKeyId", &session.access_key_id),
            element("SecretAccessKey", &session.secret),
            element("SessionToken", &session.token),
        ];
        (session, keys.concat())
    }
}

/// `length` letters and digits of base32, one for each of `bytes`.
fn capitals(bytes: &[u8], length: usize) -> String {
    let letter = |byte: &u8| match byte % 32 {
        letter @ 0..26 => char::from(b'A' + letter),
        digit => char::from(b'2' + (digit - 26)),
    };
    bytes.iter().take(length).map(letter).collect()
}

/// Every session so far.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    pub(super) fn keep(&self, session: Session) {
        let key = session.access_key_id.clone();
        self.locked().insert(key, session);
    }

    pub(super) fn find(&self, access_key_id: &str) -> Option<Session> {
        self.locked().get(access_key_id).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
