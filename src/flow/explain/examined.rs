//! One response examined: the checks of the document, the decisions, and what only the store can say.

use std::cell::OnceCell;

use chrono::{DateTime, Utc};

use super::{Decision, Explanation};
use crate::config::IdpInitiated;
use crate::flow::{Idps, SignInRules, Unavailable};
use crate::model::{IdpName, ReplayId, SubjectParts, rfc3339};
use crate::policy::{Rules, preview};
use crate::saml::{Check, RawResponse, Vendor, examine, mend};
use crate::store::{Store, Taken};

const REQUEST: &str = "request";
const BINDING: &str = "browser_binding";
const REPLAY: &str = "replay";

const REQUEST_WANTED: &str =
    "InResponseTo names an open request of ours to this IdP, or there is none";
const BINDING_WANTED: &str = "the browser that posts it is the one that made the request";
const REPLAY_WANTED: &str = "neither assertion nor response was accepted before";

/// What an examination of a response found.
pub(in crate::flow) struct Examined {
    /// The checks of the document, and the decisions where it could be read.
    pub(in crate::flow) explanation: Explanation,
    /// Whom it comes from by its Issuer, which the signature may not bear out.
    claims: Option<Claims>,
    replay_ids: Vec<ReplayId>,
}

/// What a response says of itself.
struct Claims {
    idp: IdpName,
    idp_initiated: IdpInitiated,
    vendor: Option<Vendor>,
    request: Option<String>,
}

impl Examined {
    /// Examines `response` as of `now`, as if it answered the very request that it names, and came first.
    pub(in crate::flow) fn of(
        response: RawResponse,
        idps: &Idps,
        only: Option<&IdpName>,
        rules: &SignInRules,
        allow_list: &Rules,
        now: DateTime<Utc>,
    ) -> Self {
        let all = idps.all();
        let keys = rules.keys.current();
        let claims: OnceCell<Claims> = OnceCell::new();
        let examination = examine(response, |response| {
            let idp = all.iter().find(|idp| {
                idp.trust.entity_id() == response.issuer_hint()
                    && only.is_none_or(|name| idp.settings.name == *name)
            })?;
            let claims = claims.get_or_init(|| Claims {
                idp: idp.settings.name.clone(),
                idp_initiated: idp.settings.idp_initiated,
                vendor: Vendor::of(idp.trust.entity_id()),
                request: response.request_hint().map(str::to_owned),
            });
            Some(rules.expectation(idp, claims.request.as_deref(), &keys, now))
        });
        let mut checks = examination.checks;
        let claims = claims.into_inner();
        let vendor = claims.as_ref().and_then(|claims| claims.vendor);
        if let Some(subject) = &examination.subject {
            checks.extend(no_role(subject, vendor));
        }
        let decisions = examination
            .subject
            .map(|subject| preview(&subject, allow_list, now));
        Self {
            explanation: Explanation {
                checks,
                decisions: decisions
                    .into_iter()
                    .flatten()
                    .map(Decision::from)
                    .collect(),
            },
            claims,
            replay_ids: examination.replay_ids,
        }
    }

    /// Whose console the advice is for.
    pub(in crate::flow) fn vendor(&self) -> Option<Vendor> {
        self.claims.as_ref().and_then(|claims| claims.vendor)
    }

    /// Whether the signature held.
    pub(in crate::flow) fn is_signed(&self) -> bool {
        !self.replay_ids.is_empty()
    }

    /// What depends on the store, said to be not checked.
    pub(super) fn unasked(&self) -> Vec<Check> {
        if self.claims.is_none() {
            return Vec::new();
        }
        let not_checked = |check, wanted| Check::held(check, wanted, "not checked");
        vec![
            not_checked(REQUEST, REQUEST_WANTED),
            not_checked(REPLAY, REPLAY_WANTED),
        ]
    }

    /// What depends on the store; it is read, and nothing in it changes.
    pub(super) async fn asked(&self, store: &Store) -> Result<Vec<Check>, Unavailable> {
        let Some(claims) = &self.claims else {
            return Ok(Vec::new());
        };
        let mut checks = Vec::new();
        match &claims.request {
            None if claims.idp_initiated == IdpInitiated::Refuse => {
                checks.push(unsolicited_check(&claims.idp));
            }
            None => checks.push(Check::held(REQUEST, REQUEST_WANTED, "none is named")),
            Some(id) => {
                let open = store.find_request(id).await?;
                checks.push(if open.is_some_and(|open| open.idp == claims.idp) {
                    Check::held(REQUEST, REQUEST_WANTED, "open")
                } else {
                    request_check(&claims.idp, claims.vendor)
                });
                checks.push(Check::held(BINDING, BINDING_WANTED, "not checked"));
            }
        }
        if self.is_signed() {
            checks.push(match store.find_replay(&self.replay_ids).await? {
                Some(taken) => replay_check(Some(taken)),
                None => Check::held(REPLAY, REPLAY_WANTED, "new"),
            });
        }
        Ok(checks)
    }
}

/// No refusal, but a portal without a role: worth a word.
fn no_role(subject: &SubjectParts, vendor: Option<Vendor>) -> Option<Check> {
    if !subject.offers.is_empty() || !subject.refused_offers.is_empty() {
        return None;
    }
    let general = "nobody is refused for it, but the portal is empty: let the identity provider send a Role value for the person";
    Some(Check {
        mend: mend("role_missing", general, vendor),
        ..Check::held("roles", "one or more Role values", "none")
    })
}

/// The response answers no request, and its IdP may not begin.
pub(in crate::flow) fn unsolicited_check(idp: &IdpName) -> Check {
    let wanted = "InResponseTo of an open request of ours: idp_initiated = \"refuse\"";
    let mend = format!(
        "begin at rolegate's /saml/{idp}/login, or set saml.idp.{idp}.idp_initiated = \"confirm\""
    );
    Check::failed(REQUEST, wanted, "InResponseTo is absent", mend)
}

/// The request that the response names cannot be answered.
pub(in crate::flow) fn request_check(idp: &IdpName, vendor: Option<Vendor>) -> Check {
    let found = format!(
        "no open request to IdP {idp}: unknown, used, older than ten minutes, or another IdP's"
    );
    let general = format!("begin the sign-in again at rolegate's /saml/{idp}/login");
    Check::failed(
        REQUEST,
        REQUEST_WANTED,
        found,
        mend("request_unknown", &general, vendor),
    )
}

/// Another browser made the request.
pub(in crate::flow) fn browser_check() -> Check {
    Check::failed(
        BINDING,
        BINDING_WANTED,
        "its binding cookie is missing or another's",
        "begin and end the sign-in in one browser, which takes cookies of rolegate's address; over https, with public_url as the browser sees it",
    )
}

/// The ids are in the ledger.
pub(in crate::flow) fn replay_check(taken: Option<Taken>) -> Check {
    let at = taken
        .and_then(|taken| taken.accepted_at)
        .map_or_else(String::new, |at| format!(" at {}", rfc3339(at)));
    Check::failed(
        REPLAY,
        REPLAY_WANTED,
        format!("accepted{at} before: this one is replayed"),
        "begin a new sign-in; a page that was reloaded, or gone back to, posts the old response again",
    )
}
