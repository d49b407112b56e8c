//! Says what rolegate makes of a response: every check, then what the allow-list would decide.
//!
//! The very functions that a sign-in runs; but nothing is consumed, nobody is signed in, and what
//! depends on the store is said to be not checked where it was not.

use std::cell::OnceCell;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Access, Idps, SignInRules, Unavailable};
use crate::audit;
use crate::model::{IdpName, Reference, RoleArn, UserName};
use crate::policy::{Preview, Rules, preview};
use crate::saml::{Check, RawResponse, examine};
use crate::store::Store;

/// What was found, in the order of evaluation.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Every check.
    pub checks: Vec<Check>,
    /// What the allow-list says of each offered role; empty where the assertion could not be read.
    pub decisions: Vec<Decision>,
}

/// What the allow-list says of one offered role.
#[derive(Debug, Serialize)]
pub struct Decision {
    /// The role, or the value that the IdP sent.
    pub role_arn: String,
    /// Whether it would be granted.
    pub granted: bool,
    /// The entry that decides.
    pub entry: Option<String>,
    /// Why not.
    pub reasons: Vec<String>,
}

impl From<Preview> for Decision {
    fn from(preview: Preview) -> Self {
        Self {
            role_arn: preview.role_arn,
            granted: preview.granted,
            entry: preview.entry.map(|entry| entry.to_string()),
            reasons: preview.reasons.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Explanation {
    /// Whether a sign-in would be refused.
    pub fn is_refused(&self) -> bool {
        self.checks.iter().any(|check| !check.ok)
    }
}

/// Examines `response` as of `now`: as if it answered the very request that it names, and came first.
pub fn explain_response(
    response: RawResponse,
    idps: &Idps,
    only: Option<&IdpName>,
    rules: &SignInRules,
    allow_list: &Rules,
    now: DateTime<Utc>,
) -> Explanation {
    let all = idps.all();
    let named = OnceCell::new();
    let examination = examine(response, |response| {
        let idp = all.iter().find(|idp| {
            idp.trust.entity_id() == response.issuer_hint()
                && only.is_none_or(|name| idp.settings.name == *name)
        })?;
        let request = response.request_hint().map(str::to_owned);
        let request = named.get_or_init(|| request).as_deref();
        Some(rules.expectation(idp, request, now))
    });
    let mut checks = examination.checks;
    if examination.refusal.is_none() {
        checks.push(not_checked(
            "request",
            "InResponseTo names an open request of this browser, where there is one",
        ));
        checks.push(not_checked(
            "replay",
            "neither assertion nor response was accepted before",
        ));
    }
    let decisions = examination
        .subject
        .map(|subject| preview(&subject, allow_list, now));
    Explanation {
        checks,
        decisions: decisions
            .into_iter()
            .flatten()
            .map(Decision::from)
            .collect(),
    }
}

/// What was recorded of a refusal: the reason that its `reference` stands for. Empty checks: no such one.
pub async fn explain_reference(
    store: &Store,
    reference: &Reference,
) -> Result<Explanation, Unavailable> {
    let records = audit::by_reference(store, reference).await?;
    let checks = records.iter().filter_map(|record| {
        let fields = record.fields();
        let (check, found) = fields.get("reason")?.as_str()?.split_once(": ")?;
        Some(Check {
            check: check.to_owned(),
            ok: false,
            expected: String::new(),
            found: found.to_owned(),
            mend: "give `rolegate explain` the response itself to see every check".to_owned(),
        })
    });
    Ok(Explanation {
        checks: checks.collect(),
        decisions: Vec::new(),
    })
}

/// What the allow-list decides now of what the newest sign-in of `user` offers, at each IdP or at `idp`, or of `role`
/// alone.
pub async fn explain_user(
    access: &Access,
    user: &UserName,
    idp: Option<&IdpName>,
    role: Option<&RoleArn>,
    allow_list: &Rules,
) -> Result<Explanation, Unavailable> {
    let now = access.clock.now();
    let sessions = access.sessions_of(user, idp).await?;
    let previews = sessions
        .iter()
        .flat_map(|live| preview(live.subject.parts(), allow_list, now));
    let decisions = previews
        .filter(|preview| role.is_none_or(|role| preview.role_arn == role.as_str()))
        .map(Decision::from);
    Ok(Explanation {
        checks: Vec::new(),
        decisions: decisions.collect(),
    })
}

/// What only the store could say.
fn not_checked(check: &str, expected: &str) -> Check {
    Check {
        check: check.to_owned(),
        ok: true,
        expected: expected.to_owned(),
        found: "not checked".to_owned(),
        mend: String::new(),
    }
}
