//! `GetCallerIdentity`, and `DescribeSandboxSession`, which AWS does not have: what a job was given.

use super::Inner;
use super::answer::{Failure, element};
use super::caller::Caller;
use crate::model::rfc3339;

impl Inner {
    /// The result's XML.
    pub(super) fn caller_identity(caller: &Caller) -> String {
        [
            element("Arn", caller.arn()),
            element("UserId", &caller.user_id()),
            element("Account", &caller.account()),
        ]
        .concat()
    }

    /// What the caller's session carries; a user with a long-term key has none.
    pub(super) fn describe_session(caller: &Caller) -> Result<String, Failure> {
        let Caller::Role(session) = caller else {
            let text = "A long-term key has no session to describe";
            return Err(Failure::invalid(text));
        };
        let source_identity = session.source_identity.as_deref();
        let result = [
            element("Arn", &session.arn),
            element("RoleArn", session.role.as_str()),
            element("IssuedAt", &rfc3339(session.issued_at)),
            element("Expiration", &rfc3339(session.expires_at)),
            element("Chained", &session.chained.to_string()),
            source_identity.map_or_else(String::new, |name| element("SourceIdentity", name)),
            session
                .policy
                .as_deref()
                .map_or_else(String::new, |policy| element("Policy", policy)),
            session.tags.xml(),
        ];
        Ok(result.concat())
    }
}
