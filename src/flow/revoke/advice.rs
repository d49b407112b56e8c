//! What an admin is told after a revocation: what was hit, what AWS still accepts, and how to deny it there.
//!
//! AWS does not take back credentials that it issued; only a policy of the role denies them. The policy is
//! the one that the IAM console's "Revoke active sessions" makes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{HoldId, RoleArn, UserName, rfc3339};
use crate::store::{Revocation, Selector, StillLive};

/// The name that the IAM console gives this policy.
const POLICY: &str = "AWSRevokeOlderSessions";

/// More users than this are not named one by one: an inline policy has a size.
const USERS: usize = 20;

/// What was hit, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sessions that were ended.
    pub sessions: usize,
    /// Leases that were revoked.
    pub leases: usize,
    /// Unexpired credentials that rolegate has forgotten.
    pub credentials: usize,
}

/// How to deny, at AWS, what was issued for one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsAdvice {
    /// The role.
    pub role_arn: String,
    /// The account whose credentials the command needs.
    pub account_id: String,
    /// Who holds credentials of it.
    pub users: Vec<String>,
    /// When the last of them ends by itself.
    pub valid_until: String,
    /// The IAM policy.
    pub policy: Value,
    /// The command of the AWS CLI that attaches it.
    pub command: String,
}

/// The body of `POST /api/v1/admin/revoke`, and what `rolegate revoke --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedView {
    /// What was hit.
    pub revoked: Counts,
    /// The hold that was placed.
    pub hold: Option<HoldId>,
    /// When the last credentials that AWS issued end by themselves; null where none live on.
    pub credentials_valid_until: Option<String>,
    /// For each role that credentials live on of.
    pub aws: Vec<AwsAdvice>,
    /// What this means, in a few sentences.
    pub note: String,
}

impl RevokedView {
    pub(super) fn of(selector: &Selector, done: &Revocation) -> Self {
        let mut roles: BTreeMap<&RoleArn, Vec<&StillLive>> = BTreeMap::new();
        for live in &done.still_live {
            roles.entry(&live.role).or_default().push(live);
        }
        let until = done.still_live.iter().map(|live| live.until).max();
        let aws: Vec<AwsAdvice> = roles
            .into_iter()
            .map(|(role, live)| advice(selector, role, &live, done.at))
            .collect();
        Self {
            revoked: Counts {
                sessions: done.sessions.len(),
                leases: done.leases.len(),
                credentials: done.forgotten,
            },
            hold: done.hold.as_ref().map(|hold| hold.id.clone()),
            credentials_valid_until: until.map(rfc3339),
            note: note(selector, done, until),
            aws,
        }
    }
}

fn advice(
    selector: &Selector,
    role: &RoleArn,
    live: &[&StillLive],
    at: DateTime<Utc>,
) -> AwsAdvice {
    let users: BTreeSet<&UserName> = live.iter().map(|live| &live.person.user).collect();
    let until = live.iter().map(|live| live.until).max().unwrap_or(at);
    let narrowed = is_of_people(selector) && users.len() <= USERS;
    // What a token that left rolegate is redeemed for is issued after this.
    let tokens = live.iter().filter_map(|live| live.tokens_until).max();
    let before = tokens.unwrap_or(at).max(at);
    let policy = policy(before, narrowed.then_some(&users));
    let name = match (narrowed, users.first(), users.len()) {
        (true, Some(user), 1) => format!("{POLICY}-{user}"),
        // A later policy of that name must not take the place of one for other people.
        (true, ..) => format!("{POLICY}-{}", at.format("%Y%m%dT%H%M%SZ")),
        _ => POLICY.to_owned(),
    };
    // Neither a role's name nor a user's holds a quote.
    let command = format!(
        "aws iam put-role-policy --role-name {} --policy-name {name} --policy-document '{policy}'",
        role.name()
    );
    AwsAdvice {
        role_arn: role.to_string(),
        account_id: role.account().to_string(),
        users: users.iter().map(ToString::to_string).collect(),
        valid_until: rfc3339(until),
        policy,
        command,
    }
}

/// Whether the others of the role are to be left alone.
fn is_of_people(selector: &Selector) -> bool {
    match selector {
        Selector::User { .. }
        | Selector::Session(_)
        | Selector::Lease(_)
        | Selector::Launcher(_) => true,
        Selector::Role(_) | Selector::All => false,
    }
}

/// Denies everything to sessions that STS issued until `at`, of `users` alone where they are given.
fn policy(at: DateTime<Utc>, users: Option<&BTreeSet<&UserName>>) -> Value {
    // AWS counts whole seconds: what it issued within this one is older too.
    let before = at.trunc_subsecs(0) + TimeDelta::seconds(1);
    let deny = |who: Option<(&str, Value)>| {
        let mut condition = json!({ "DateLessThan": { "aws:TokenIssueTime": rfc3339(before) } });
        if let (Some((operator, keys)), Some(fields)) = (who, condition.as_object_mut()) {
            fields.insert(operator.to_owned(), keys);
        }
        json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition })
    };
    let statements = match users {
        None => vec![deny(None)],
        Some(users) => {
            let names = |name: fn(&UserName) -> String| {
                let names: Vec<String> = users.iter().map(|user| name(user)).collect();
                match names.as_slice() {
                    [one] => json!(one),
                    several => json!(several),
                }
            };
            // aws:userid is the role's unique id, a colon, and the role session name, which a job chooses itself
            // where it redeems a token; relay and broker set the source identity, which nobody can change.
            let by_session = json!({ "aws:userid": names(|user| format!("*:{user}")) });
            let by_source = json!({ "aws:SourceIdentity": names(ToString::to_string) });
            vec![
                deny(Some(("StringLike", by_session))),
                deny(Some(("StringEquals", by_source))),
            ]
        }
    };
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn note(selector: &Selector, done: &Revocation, until: Option<DateTime<Utc>>) -> String {
    let mut text = match until {
        None => "No credentials live on that AWS had issued for what was revoked, as far as the store knows.".to_owned(),
        Some(until) => format!(
            "rolegate hands nothing of this out any more, but cannot call back what AWS has issued: credentials that a job or a person already holds go on working until {} at the latest. Each policy below, attached to its role, denies them now; the command needs IAM credentials of the role's account.",
            rfc3339(until)
        ),
    };
    if until.is_some() && is_of_people(selector) {
        text.push_str(" The policies name people by AWS's role session name, which is the user's name unless `user_attribute` of the IdP says otherwise: then take the aws:userid condition out.");
    }
    if done
        .still_live
        .iter()
        .any(|live| live.tokens_until.is_some())
    {
        text.push_str(" Tokens of the relay's have left rolegate for jobs to redeem themselves (hand_out_tokens): for five minutes more AWS issues credentials for them, of up to twelve hours; the policies deny those too.");
    }
    match (&done.hold, selector) {
        (Some(hold), Selector::Session(_)) => {
            text.push_str(" The hold is on the session's person: ");
            text.push_str(&hold.scope.to_string());
            text.push('.');
        }
        (Some(hold), Selector::Lease(_)) => {
            text.push_str(" The hold is on the lease's person and role: ");
            text.push_str(&hold.scope.to_string());
            text.push('.');
        }
        (Some(_), _) => {}
        (None, _) => {
            text.push_str(" New sign-ins and new leases are taken as before; a hold refuses them.");
        }
    }
    text
}
