//! Reads what STS answered and compares it with what was asked.
//!
//! Trusts TLS for who answered and nothing else: an answer for another role, audience, issuer, subject
//! or time yields no credentials. Never corrects an answer.

use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::operation::assume_role_with_saml::AssumeRoleWithSamlOutput;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityOutput;
use aws_sdk_sts::types::{AssumedRoleUser, Credentials as Keys};
use chrono::{DateTime, TimeDelta, Utc};

use super::Issued;
use super::error::IssueError;
use super::proof::WebToken;
use super::refusal::readable;
use crate::model::{Credentials, SamlProof, Secret, SessionDuration, rfc3339};
use crate::policy::Grant;

/// How much later than asked for credentials may end: AWS's clock is not ours.
const SKEW: TimeDelta = TimeDelta::seconds(300);

/// How full a session token may be, in percent, before it is worth a warning.
const NEARLY_FULL: i32 = 75;

/// What was asked, and when the answer came.
pub(super) struct Question<'a> {
    pub(super) grant: &'a Grant,
    pub(super) duration: SessionDuration,
    pub(super) now: DateTime<Utc>,
}

/// What every answer has.
struct Parts<'a> {
    request_id: Option<&'a str>,
    user: Option<&'a AssumedRoleUser>,
    keys: Option<&'a Keys>,
    used: Option<i32>,
}

/// The credentials of `AssumeRoleWithSAML`, if they are what was asked for with `proof`.
pub(super) fn with_saml(
    output: &AssumeRoleWithSamlOutput,
    question: &Question<'_>,
    proof: &SamlProof,
) -> Result<Issued, IssueError> {
    let parts = Parts {
        request_id: output.request_id(),
        user: output.assumed_role_user(),
        keys: output.credentials(),
        used: output.session_token_utilization(),
    };
    read(&parts, question, |reader| {
        reader.same("Audience", output.audience(), &proof.recipient)?;
        reader.same("Issuer", output.issuer(), &proof.issuer)?;
        reader.same("Subject", output.subject(), &proof.name_id)
    })
}

/// The credentials of `AssumeRoleWithWebIdentity`, if they are what was asked for with `token`.
pub(super) fn with_token(
    output: &AssumeRoleWithWebIdentityOutput,
    question: &Question<'_>,
    token: &WebToken<'_>,
) -> Result<Issued, IssueError> {
    let parts = Parts {
        request_id: output.request_id(),
        user: output.assumed_role_user(),
        keys: output.credentials(),
        used: output.session_token_utilization(),
    };
    read(&parts, question, |reader| {
        let subject = output.subject_from_web_identity_token();
        reader.same("SubjectFromWebIdentityToken", subject, token.subject)?;
        reader.same("Audience", output.audience(), token.audience)?;
        let provider = reader.provider(output.provider(), question.grant, token.issuer)?;
        let source = output.source_identity();
        let expected = token.source_identity;
        expected.map_or(Ok(provider), |name| {
            reader.same("SourceIdentity", source, name)
        })
    })
}

/// The credentials of `AssumeRole`, if they are what was asked for.
pub(super) fn as_broker(
    output: &AssumeRoleOutput,
    question: &Question<'_>,
) -> Result<Issued, IssueError> {
    let parts = Parts {
        request_id: output.request_id(),
        user: output.assumed_role_user(),
        keys: output.credentials(),
        used: output.session_token_utilization(),
    };
    let user = question.grant.person().user.as_str();
    read(&parts, question, |reader| {
        reader.same("SourceIdentity", output.source_identity(), user)
    })
}

fn read(
    parts: &Parts<'_>,
    question: &Question<'_>,
    also: impl FnOnce(&Reader) -> Result<String, IssueError>,
) -> Result<Issued, IssueError> {
    let reader = Reader {
        request_id: parts.request_id.map(readable),
    };
    let role = parts.user.map(AssumedRoleUser::arn);
    let assumed_role_arn = reader.same("the role", role, &assumed_role(question.grant))?;
    also(&reader)?;
    let keys = parts
        .keys
        .ok_or_else(|| reader.bad("it holds no Credentials"))?;
    if let Some(percent) = parts.used.filter(|percent| *percent >= NEARLY_FULL) {
        tracing::warn!(event = "session_nearly_full", role = %question.grant.role(), user = %question.grant.person().user,
            percent, "session policy and tags are near what AWS packs into a session; beyond 100 it refuses");
    }
    Ok(Issued {
        credentials: reader.credentials(keys, question)?,
        request_id: reader.request_id,
        assumed_role_arn,
        duration: question.duration,
    })
}

/// The ARN of the session; the role's path is not part of it.
fn assumed_role(grant: &Grant) -> String {
    let role = grant.role();
    format!(
        "arn:{}:sts::{}:assumed-role/{}/{}",
        role.partition().as_str(),
        role.account().as_str(),
        role.name(),
        grant.session_name()
    )
}

struct Reader {
    request_id: Option<String>,
}

impl Reader {
    fn bad(&self, what: &str) -> IssueError {
        IssueError::BadAnswer {
            what: what.to_owned(),
            request_id: self.request_id.clone(),
        }
    }

    fn mismatch(&self, what: &'static str, expected: &str, found: &str) -> IssueError {
        IssueError::Mismatch {
            what,
            expected: readable(expected),
            found: readable(found),
            request_id: self.request_id.clone(),
        }
    }

    fn same(
        &self,
        what: &'static str,
        found: Option<&str>,
        expected: &str,
    ) -> Result<String, IssueError> {
        // The SDK puts an empty text in place of what is missing.
        match found.filter(|found| !found.is_empty()) {
            None => Err(self.bad(&format!("it does not name {what}"))),
            Some(found) if found == expected => Ok(found.to_owned()),
            Some(found) => Err(self.mismatch(what, expected, found)),
        }
    }

    /// AWS's reference has the issuer here, AWS itself answers with the ARN of the IAM provider; both say
    /// who vouched, and the ARN must be of the role's own account.
    fn provider(
        &self,
        found: Option<&str>,
        grant: &Grant,
        issuer: &str,
    ) -> Result<String, IssueError> {
        if found == Some(issuer) {
            return Ok(issuer.to_owned());
        }
        let role = grant.role();
        let (partition, account) = (role.partition().as_str(), role.account());
        let name = issuer.split_once("://").map_or(issuer, |(_, name)| name);
        let expected = format!("arn:{partition}:iam::{account}:oidc-provider/{name}");
        self.same("Provider", found, &expected)
    }

    fn credentials(&self, keys: &Keys, question: &Question<'_>) -> Result<Credentials, IssueError> {
        for (name, value) in [
            ("AccessKeyId", keys.access_key_id()),
            ("SecretAccessKey", keys.secret_access_key()),
            ("SessionToken", keys.session_token()),
        ] {
            if value.is_empty() {
                return Err(self.bad(&format!("it holds no {name}")));
            }
        }
        Ok(Credentials {
            access_key_id: keys.access_key_id().to_owned(),
            secret_access_key: Secret::new(keys.secret_access_key().to_owned()),
            session_token: Secret::new(keys.session_token().to_owned()),
            issued_at: question.now,
            expires_at: self.expiry(keys, question)?,
        })
    }

    fn expiry(&self, keys: &Keys, question: &Question<'_>) -> Result<DateTime<Utc>, IssueError> {
        let seconds = keys.expiration().secs();
        // The SDK puts 1970 in place of what is missing.
        if seconds == 0 {
            return Err(self.bad("it holds no Expiration"));
        }
        let at = DateTime::from_timestamp(seconds, 0)
            .ok_or_else(|| self.bad("its Expiration is no time"))?;
        let now = question.now;
        let latest = now + TimeDelta::seconds(question.duration.seconds().into()) + SKEW;
        if at > now && at <= latest {
            return Ok(at);
        }
        let expected = format!("{} to {}", rfc3339(now), rfc3339(latest));
        Err(self.mismatch("Expiration", &expected, &rfc3339(at)))
    }
}
