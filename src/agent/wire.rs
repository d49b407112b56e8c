//! Credentials as they travel: read from the gateway's two forms, written in the SDKs' two.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{Credentials, Secret, rfc3339};

/// Credentials for a job, and when they were had.
pub(super) struct JobCredentials {
    keys: Credentials,
    account_id: Option<String>,
    role_arn: Option<String>,
    obtained_at: DateTime<Utc>,
}

/// What both calls of the gateway answer with, apart from names.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: String,
    expiration: DateTime<Utc>,
    account_id: Option<String>,
    role_arn: Option<String>,
}

/// The container-credentials form.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<&'a str>,
}

/// The `credential_process` form.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Process<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    expiration: String,
}

impl JobCredentials {
    /// Reads what was had at `obtained_at`; `None` where it is no credentials.
    pub(super) fn read(text: &[u8], obtained_at: DateTime<Utc>) -> Option<Self> {
        let given: Given = serde_json::from_slice(text).ok()?;
        Some(Self {
            keys: Credentials {
                access_key_id: given.access_key_id,
                secret_access_key: Secret::new(given.secret_access_key),
                session_token: Secret::new(given.token),
                expires_at: given.expiration,
            },
            account_id: given.account_id,
            role_arn: given.role_arn,
            obtained_at,
        })
    }

    /// The role, where the gateway said it.
    pub(super) fn role_arn(&self) -> Option<&str> {
        self.role_arn.as_deref()
    }

    /// Whether they may not be used any more.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.keys.expires_at
    }

    /// How long they last.
    pub(super) fn left(&self, now: DateTime<Utc>) -> TimeDelta {
        self.keys.expires_at - now
    }

    /// How long they lasted when they were had.
    pub(super) fn life(&self) -> TimeDelta {
        self.left(self.obtained_at)
    }

    /// When they were had.
    pub(super) fn obtained_at(&self) -> DateTime<Utc> {
        self.obtained_at
    }

    /// For an SDK that asks over HTTP, and for the cache.
    pub(super) fn container(&self) -> Result<Zeroizing<String>, serde_json::Error> {
        serde_json::to_string(&Container {
            access_key_id: &self.keys.access_key_id,
            secret_access_key: self.keys.secret_access_key.expose(),
            token: self.keys.session_token.expose(),
            expiration: rfc3339(self.keys.expires_at),
            account_id: self.account_id.as_deref(),
            role_arn: self.role_arn.as_deref(),
        })
        .map(Zeroizing::new)
    }

    /// For an SDK that runs a `credential_process`.
    pub(super) fn process(&self) -> Result<Zeroizing<String>, serde_json::Error> {
        serde_json::to_string(&Process {
            version: 1,
            access_key_id: &self.keys.access_key_id,
            secret_access_key: self.keys.secret_access_key.expose(),
            session_token: self.keys.session_token.expose(),
            expiration: rfc3339(self.keys.expires_at),
        })
        .map(Zeroizing::new)
    }
}

impl fmt::Debug for JobCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobCredentials({})", self.keys.access_key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"hidden","Token":"token","Expiration":"2026-01-01T01:00:00+00:00","AccountId":"123456789012","RoleArn":"arn:aws:iam::123456789012:role/reader"}"#;

    #[test]
    fn reads_both_forms_and_writes_both() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let read = JobCredentials::read(GIVEN.as_bytes(), at).unwrap();
        assert_eq!(
            *read.container().unwrap(),
            GIVEN.replace("+00:00", "Z"),
            "every SDK reads Z alone"
        );
        let process = read.process().unwrap();
        assert_eq!(
            *process,
            r#"{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"hidden","SessionToken":"token","Expiration":"2026-01-01T01:00:00Z"}"#
        );
        let again = JobCredentials::read(process.as_bytes(), at).unwrap();
        assert_eq!(again.process().unwrap(), process);
        assert_eq!(read.life(), TimeDelta::hours(1));
        assert!(!read.is_over("2026-01-01T00:59:59Z".parse().unwrap()));
        assert!(read.is_over("2026-01-01T01:00:00Z".parse().unwrap()));
        assert!(!format!("{read:?}").contains("hidden"));
    }

    #[test]
    fn takes_nothing_else_for_credentials() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        for bad in [
            "",
            "{}",
            "<html>",
            &GIVEN.replace("Token", "token"),
            &GIVEN.replace("2026-01-01T01:00:00+00:00", "soon"),
        ] {
            assert!(JobCredentials::read(bad.as_bytes(), at).is_none(), "{bad}");
        }
    }
}
