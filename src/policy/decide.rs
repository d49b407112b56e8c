//! The decision: a matching `deny` wins; else the closest entry decides alone.
//!
//! `expires` is a condition like the others: an entry that has ended still is the closest one, so that a
//! role never falls to a wider entry because a narrower one ran out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::case::Case;
use super::denial::{Denial, Reason};
use super::{Grant, Rules};
use crate::model::{
    EntryId, JobName, Narrowing, RoleArn, SessionDuration, Subject, SubjectParts, TokenName,
};

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The role.
    pub role: &'a RoleArn,
    /// The launcher that asks; `None` is the person, through portal, console or a lease of his own.
    pub launcher: Option<&'a TokenName>,
    /// The session length that was asked for.
    pub duration: Option<SessionDuration>,
    /// What a lease asks for beyond the role.
    pub narrowing: &'a Narrowing,
    /// The job it is for.
    pub job: Option<&'a JobName>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// Nothing beyond the role.
static PLAIN: Narrowing = Narrowing {
    session_policy: None,
    tags: BTreeMap::new(),
};

impl<'a> Request<'a> {
    /// The person asks for `role`, and nothing beyond it.
    pub fn of(role: &'a RoleArn, now: DateTime<Utc>) -> Self {
        Self {
            role,
            launcher: None,
            duration: None,
            narrowing: &PLAIN,
            job: None,
            now,
        }
    }
}

/// What is decided of everything that a sign-in offers, in the order offered.
#[derive(Debug, Default)]
pub struct Decisions {
    /// What is permitted.
    pub grants: Vec<Grant>,
    /// What is not.
    pub denials: Vec<Denial>,
}

/// What would be decided of one offer, for `explain`: no permit.
#[derive(Debug)]
pub struct Preview {
    /// The role, or the value that the IdP sent.
    pub role_arn: String,
    /// Whether it would be granted.
    pub granted: bool,
    /// The entry that decides, where one permits.
    pub entry: Option<EntryId>,
    /// Why not.
    pub reasons: Vec<Reason>,
}

/// Decides about one role.
pub fn decide(subject: &Subject, request: &Request<'_>, rules: &Rules) -> Result<Grant, Denial> {
    let case = Case {
        parts: subject.parts(),
        signed_in_at: subject.signed_in_at(),
        expires_at: subject.expires_at(),
        rules,
    };
    let verdict = case.judge(request)?;
    Ok(verdict.into_grant(subject, request))
}

/// Decides about everything that the sign-in offers; values that are no offer are denials.
pub fn decide_all(
    subject: &Subject,
    launcher: Option<&TokenName>,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Decisions {
    let mut decisions = Decisions::default();
    for offer in &subject.parts().offers {
        let request = Request {
            launcher,
            ..Request::of(&offer.role, now)
        };
        match decide(subject, &request, rules) {
            Ok(grant) => decisions.grants.push(grant),
            Err(denial) => decisions.denials.push(denial),
        }
    }
    decisions.denials.extend(refused_offers(subject.parts()));
    decisions
}

/// Every grant that somebody could draw on: the person, or a launcher that an entry names. What method
/// `saml` does not mint at the sign-in, nobody can have later.
pub fn grantable(subject: &Subject, rules: &Rules, now: DateTime<Utc>) -> Vec<Grant> {
    let mut grants = Vec::new();
    for offer in &subject.parts().offers {
        let mut launchers = vec![None];
        let named = rules.closest(&offer.role);
        launchers.extend(
            named
                .iter()
                .filter_map(|entry| entry.draft.launcher.as_ref())
                .map(Some),
        );
        let decided = launchers.into_iter().find_map(|launcher| {
            let request = Request {
                launcher,
                ..Request::of(&offer.role, now)
            };
            decide(subject, &request, rules).ok()
        });
        grants.extend(decided);
    }
    grants
}

/// What [`decide_all`] would say of a sign-in at `now` that was not accepted.
pub fn preview(parts: &SubjectParts, rules: &Rules, now: DateTime<Utc>) -> Vec<Preview> {
    let case = Case {
        parts,
        signed_in_at: now,
        expires_at: parts.not_after.unwrap_or(DateTime::<Utc>::MAX_UTC),
        rules,
    };
    let offered = parts.offers.iter().map(|offer| {
        let request = Request::of(&offer.role, now);
        match case.judge(&request) {
            Ok(verdict) => Preview {
                role_arn: offer.role.to_string(),
                granted: true,
                entry: Some(verdict.entry.id.clone()),
                reasons: Vec::new(),
            },
            Err(denial) => shown(denial),
        }
    });
    offered.chain(refused_offers(parts).map(shown)).collect()
}

fn shown(denial: Denial) -> Preview {
    Preview {
        role_arn: denial.role_arn,
        granted: false,
        entry: denial.tried.into_iter().next().map(|tried| tried.entry),
        reasons: denial.reasons,
    }
}

fn refused_offers(parts: &SubjectParts) -> impl Iterator<Item = Denial> {
    parts.refused_offers.iter().map(|refused| Denial {
        role_arn: refused.value.clone(),
        reasons: vec![refused.reason.clone().into()],
        tried: Vec::new(),
    })
}
