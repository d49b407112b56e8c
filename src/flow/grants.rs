//! What a person has now: grants with the state of their credentials, and denials with reasons.

use std::sync::Arc;

use serde::Serialize;

use super::outcome::{best, reasons};
use super::{AllowList, Holds, MintFailure, Unavailable};
use crate::model::{Clock, Method, TokenName, rfc3339};
use crate::policy::{Grant, decide_all};
use crate::store::{CredentialState, KnownCredentials, LiveSession, Store};

/// The body of `GET /api/v1/me`.
#[derive(Debug, Serialize)]
pub struct Me {
    /// The user.
    pub user: String,
    /// The IdP that vouches for the user.
    pub idp: String,
    /// When the session ends.
    pub session_expires_at: String,
    /// What is permitted.
    pub grants: Vec<GrantView>,
    /// What was offered and is not permitted.
    pub denied: Vec<DeniedView>,
}

/// A role that the person may use.
#[derive(Debug, Serialize)]
pub struct GrantView {
    /// The role.
    pub role_arn: String,
    /// Its account.
    pub account_id: String,
    /// How credentials are had.
    pub method: Method,
    /// How long they are issued for.
    pub duration_seconds: u32,
    /// When the present ones stop; null where AWS is asked when they are wanted, or is being asked.
    pub credentials_expire_at: Option<String>,
    /// Until when they can be renewed without a sign-in; null where they cannot.
    pub renewable_until: Option<String>,
    /// The entry's name for people.
    pub label: Option<String>,
}

/// A role that the person may not use.
#[derive(Debug, Serialize)]
pub struct DeniedView {
    /// The role, or the value that the IdP sent.
    pub role_arn: String,
    /// Why not, and what mends it.
    pub reasons: Vec<String>,
}

/// Says what a person has.
pub struct Grants {
    /// Where credentials are kept.
    pub store: Store,
    /// What is permitted.
    pub allow_list: Arc<AllowList>,
    /// What is held.
    pub holds: Arc<Holds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Grants {
    /// What the person of `live` has, through the portal or through `launcher`.
    pub async fn of(
        &self,
        live: &LiveSession,
        launcher: Option<&TokenName>,
    ) -> Result<Me, Unavailable> {
        let subject = &live.subject;
        let rules = self.allow_list.rules();
        let decisions = decide_all(subject, launcher, &rules, self.clock.now());
        let mut me = Me {
            user: subject.person().user.to_string(),
            idp: subject.person().idp.to_string(),
            session_expires_at: rfc3339(live.expires_at),
            grants: Vec::new(),
            denied: Vec::new(),
        };
        let known = self.store.credentials_of(subject.session()).await?;
        for grant in &decisions.grants {
            let held = self
                .holds
                .permit(subject.person(), grant.role(), launcher)
                .map_err(|error| error.to_string());
            match held.and_then(|()| self.expiry(grant, &known)) {
                Ok(expiry) => me.grants.push(view(grant, expiry)),
                Err(reason) => me.denied.push(DeniedView {
                    role_arn: grant.role().to_string(),
                    reasons: vec![reason],
                }),
            }
        }
        me.denied
            .extend(decisions.denials.iter().map(|denial| DeniedView {
                role_arn: denial.role_arn.clone(),
                reasons: reasons(denial),
            }));
        Ok(me)
    }

    /// When the credentials stop, nothing while there are none yet that can be had, or why there are none.
    fn expiry(&self, grant: &Grant, known: &[KnownCredentials]) -> Result<Option<String>, String> {
        let now = self.clock.now();
        if grant.is_renewable() {
            let key = grant.issue_key();
            let own = known.iter().find(|known| known.key == key);
            return match own.map(|known| &known.state) {
                Some(CredentialState::Issued(found)) => Ok(Some(rfc3339(found.expires_at))),
                Some(CredentialState::Failed(failure)) => {
                    let failure = MintFailure::read(failure);
                    if failure.transient {
                        Ok(None)
                    } else {
                        Err(failure.message)
                    }
                }
                Some(CredentialState::Busy) | None => Ok(None),
            };
        }
        match best(known, grant.role()) {
            Some(CredentialState::Issued(found)) if now < found.expires_at => {
                Ok(Some(rfc3339(found.expires_at)))
            }
            Some(CredentialState::Issued(found)) => Err(format!(
                "the credentials ended at {}; sign in again",
                rfc3339(found.expires_at)
            )),
            Some(CredentialState::Busy) => Ok(None),
            Some(CredentialState::Failed(failure)) => Err(MintFailure::read(failure).message),
            None => Err("allowed, but not when you signed in, and AWS takes an assertion for five minutes only; sign in again".to_owned()),
        }
    }
}

fn view(grant: &Grant, credentials_expire_at: Option<String>) -> GrantView {
    GrantView {
        role_arn: grant.role().to_string(),
        account_id: grant.role().account().to_string(),
        method: grant.method(),
        duration_seconds: grant.duration().seconds(),
        credentials_expire_at,
        renewable_until: grant.renewable_until().map(rfc3339),
        label: grant.label().map(str::to_owned),
    }
}
