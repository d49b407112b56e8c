//! Says what rolegate makes of a response, made of one that it refused, or decides about a user.
//!
//! The very functions that a sign-in runs; but nothing is consumed and nobody is signed in. The store is
//! asked by reading calls alone, and where it is not asked that is said.

mod examined;
mod kept;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(super) use examined::Examined;
pub(super) use examined::{browser_check, replay_check, request_check, unsolicited_check};

use super::{Access, AllowList, Idps, SignInRules, Unavailable};
use crate::model::{IdpName, RoleArn, UserName};
use crate::policy::{Preview, Reason, preview};
use crate::saml::{Check, RawResponse};

/// What was found, in the order of evaluation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// Every check.
    pub checks: Vec<Check>,
    /// What the allow-list says of each offered role; empty where the assertion could not be read.
    pub decisions: Vec<Decision>,
}

/// What the allow-list says of one offered role.
#[derive(Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The role, or the value that the IdP sent.
    pub role_arn: String,
    /// Whether it would be granted.
    pub granted: bool,
    /// The entry that decides.
    pub entry: Option<String>,
    /// Why not, and what mends it.
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
    /// Whether a sign-in would be refused, or was.
    pub fn is_refused(&self) -> bool {
        self.checks.iter().any(|check| !check.ok)
    }

    fn of(check: Check) -> Self {
        Self {
            checks: vec![check],
            decisions: Vec::new(),
        }
    }
}

/// Explains.
pub struct Explain {
    /// Sessions, the store and the time.
    pub access: Arc<Access>,
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// What is permitted.
    pub allow_list: Arc<AllowList>,
    /// What holds for every sign-in.
    pub rules: SignInRules,
}

impl Explain {
    /// Examines `text`, XML or base64, as if it came now: whether it came before, and answers a request of
    /// ours, is asked of the store. As of `at`, the store is not asked.
    pub async fn response(
        &self,
        text: &str,
        only: Option<IdpName>,
        at: Option<DateTime<Utc>>,
    ) -> Result<Explanation, Unavailable> {
        let raw = match RawResponse::from_text(text) {
            Ok(raw) => raw,
            Err(problem) => return Ok(Explanation::of(Check::of_form(&problem))),
        };
        let now = at.unwrap_or_else(|| self.access.clock.now());
        let (idps, rules) = (Arc::clone(&self.idps), self.rules.clone());
        let entries = self.allow_list.rules();
        let examined = tokio::task::spawn_blocking(move || {
            Examined::of(raw, &idps, only.as_ref(), &rules, &entries, now)
        });
        let mut examined = examined.await.map_err(|error| {
            tracing::error!(event = "explain_failed", %error, "a response could not be examined");
            Unavailable
        })?;
        let checks = match at {
            Some(_) => examined.unasked(),
            None => examined.asked(&self.access.store).await?,
        };
        examined.explanation.checks.extend(checks);
        Ok(examined.explanation)
    }

    /// What the allow-list decides now of what the newest sign-in of `user` offers, at each IdP or at
    /// `idp`, or of `role` alone.
    pub async fn user(
        &self,
        user: &UserName,
        idp: Option<&IdpName>,
        role: Option<&RoleArn>,
    ) -> Result<Explanation, Unavailable> {
        let now = self.access.clock.now();
        let sessions = self.access.sessions_of(user, idp).await?;
        if sessions.is_empty() {
            let wanted = format!("a live session of {user}");
            let mend = format!("have {user} sign in; what is offered is known only then");
            return Ok(Explanation::of(Check::failed(
                "session", wanted, "none", mend,
            )));
        }
        let rules = self.allow_list.rules();
        let previews = sessions
            .iter()
            .flat_map(|live| preview(live.subject.parts(), &rules, now));
        let mut decisions: Vec<Decision> = previews
            .filter(|preview| role.is_none_or(|role| preview.role_arn == role.as_str()))
            .map(Decision::from)
            .collect();
        if let (Some(role), true) = (role, decisions.is_empty()) {
            decisions.push(Decision {
                role_arn: role.to_string(),
                granted: false,
                entry: None,
                reasons: vec![Reason::NotOffered.to_string()],
            });
        }
        Ok(Explanation {
            checks: Vec::new(),
            decisions,
        })
    }
}
