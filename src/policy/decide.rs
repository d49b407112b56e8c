//! The decision: a matching `deny` wins; else the closest entry decides alone.
//!
//! `expires` is a condition like the others: an entry that has ended still is the closest one, so that a
//! role never falls to a wider entry because a narrower one ran out.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::denial::{Denial, Reason, Tried};
use super::grant::Limit;
use super::terms::{Terms, job_tags};
use super::{Grant, Rules};
use crate::model::{
    Entry, EntryId, JobName, Method, Narrowing, Offer, RoleArn, SamlProviderArn, SessionDuration,
    SessionName, SessionPolicy, Subject, SubjectParts, TokenName, hex, seconds_between,
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

/// What a permit is made of.
struct Verdict<'a> {
    entry: &'a Entry,
    method: Method,
    /// Of method `saml` alone.
    provider: Option<SamlProviderArn>,
    session_name: SessionName,
    duration: SessionDuration,
    ends_at: DateTime<Utc>,
    limit: Limit,
    terms: Terms,
}

impl Verdict<'_> {
    fn into_grant(self, subject: &Subject, request: &Request<'_>) -> Grant {
        let draft = &self.entry.draft;
        Grant {
            role: request.role.clone(),
            provider: self.provider,
            method: self.method,
            duration: self.duration,
            entry: self.entry.id.clone(),
            label: draft.label.clone(),
            person: subject.person().clone(),
            session: subject.session().clone(),
            session_name: self.session_name,
            ends_at: self.ends_at,
            limit: self.limit,
            external_id: draft.external_id.clone(),
            hand_out_tokens: draft.hand_out_tokens,
            session_policy: request.narrowing.session_policy.clone(),
            tags: self.terms.tags,
            transitive_tag_keys: self.terms.transitive,
            narrowed: narrowed(self.entry, request),
        }
    }
}

/// What makes a job's credentials its own, as a hash; empty where they are shared.
fn narrowed(entry: &Entry, request: &Request<'_>) -> String {
    let own = job_tags(entry, request);
    if request.narrowing.is_empty() && own.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    let policy = request.narrowing.session_policy.as_ref();
    // No value holds a line break: policies are JSON without white space, tags are of AWS's grammar.
    let _ = writeln!(text, "{}", policy.map_or("", SessionPolicy::as_str));
    for (key, value) in &request.narrowing.tags {
        let _ = writeln!(text, "{key}\n{value}");
    }
    for (key, value) in &own {
        let _ = writeln!(text, "{key}\n{value}");
    }
    hex(&openssl::sha::sha256(text.as_bytes()))
}

/// A sign-in before the allow-list.
struct Case<'a> {
    parts: &'a SubjectParts,
    signed_in_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    rules: &'a Rules,
}

impl<'a> Case<'a> {
    fn judge(&self, request: &Request<'_>) -> Result<Verdict<'a>, Denial> {
        let role = request.role;
        let denied = |reason| Denial::of(role, reason);
        if is_reserved(role) {
            return Err(denied(Reason::Reserved));
        }
        let offer = self.parts.offers.iter().find(|offer| offer.role == *role);
        let offer = offer.ok_or_else(|| denied(Reason::NotOffered))?;
        let entry = self.entry(request)?;
        let denied = |reason| Denial::by(role, entry, reason);
        let method = self.rules.method(entry);
        let (ends_at, limit) = self.bound(entry, method);
        if ends_at <= request.now {
            return Err(denied(over(ends_at, limit)));
        }
        match method {
            Method::Saml => can_narrow(method, request),
            Method::Relay | Method::Broker => Ok(()),
            Method::WebIdentity => Err(Reason::MethodUnavailable(method)),
        }
        .map_err(denied)?;
        let (provider, session_name, terms) = match method {
            Method::Saml => {
                let session_name = self.forwardable(role).map_err(denied)?;
                let provider = self.provider(offer).map_err(denied)?;
                (Some(provider), session_name, Terms::default())
            }
            // Stable over renewals, and the person's own name whatever the IdP sends beside it.
            _ => {
                let terms = Terms::of(self.parts, entry, request).map_err(denied)?;
                (None, self.parts.person.user.clone().into(), terms)
            }
        };
        Ok(Verdict {
            entry,
            method,
            provider,
            session_name,
            duration: self.duration(entry, method, request).map_err(denied)?,
            ends_at,
            limit,
            terms,
        })
    }

    /// When serving stops: with the session, or where the entry renews beyond it, `renew_for` after the
    /// sign-in; with the entry in any case.
    fn bound(&self, entry: &Entry, method: Method) -> (DateTime<Utc>, Limit) {
        let renews = entry.draft.renew_for_seconds;
        let mut bound = match renews.filter(|_| method != Method::Saml) {
            Some(seconds) => {
                let end = self.signed_in_at + TimeDelta::seconds(i64::from(seconds));
                (end, Limit::RenewFor)
            }
            None => (self.expires_at, Limit::Session),
        };
        if let Some(end) = entry.draft.expires_at
            && end < bound.0
        {
            bound = (end, Limit::Entry);
        }
        bound
    }

    /// The entry that permits the role.
    fn entry(&self, request: &Request<'_>) -> Result<&'a Entry, Denial> {
        let role = request.role;
        let denying = self.rules.denying(role);
        if let Some(entry) = denying
            .iter()
            .find(|entry| self.condition(entry, request).is_none())
        {
            return Err(Denial::by(
                role,
                entry,
                Reason::DeniedBy {
                    entry: entry.id.clone(),
                    reason: entry.draft.reason.clone(),
                },
            ));
        }
        let mut tried = Vec::new();
        for entry in self.rules.closest(role) {
            match self.condition(entry, request) {
                None => return Ok(entry),
                Some(why) => tried.push(Tried {
                    entry: entry.id.clone(),
                    arn: entry.draft.arn.to_string(),
                    why,
                }),
            }
        }
        let mut reasons: Vec<Reason> = tried.iter().map(|tried| tried.why.clone()).collect();
        if reasons.is_empty() {
            reasons.push(Reason::NoEntry);
        }
        Err(Denial {
            role_arn: role.to_string(),
            reasons,
            tried,
        })
    }

    /// The first condition of `entry` that does not hold.
    fn condition(&self, entry: &Entry, request: &Request<'_>) -> Option<Reason> {
        let (draft, id) = (&entry.draft, || entry.id.clone());
        if let Some(at) = draft.expires_at.filter(|at| *at <= request.now) {
            return Some(Reason::Expired { entry: id(), at });
        }
        if let Some(idp) = draft
            .idp
            .as_ref()
            .filter(|idp| **idp != self.parts.person.idp)
        {
            let wanted = idp.to_string();
            return Some(Reason::OtherIdp {
                entry: id(),
                wanted,
            });
        }
        if let Some(launcher) = &draft.launcher
            && request.launcher != Some(launcher)
        {
            let wanted = launcher.to_string();
            return Some(Reason::OtherLauncher {
                entry: id(),
                wanted,
            });
        }
        let holds = |(attribute, wanted): &(&String, &String)| {
            let values = self.parts.attributes.get(*attribute);
            values.is_some_and(|values| values.contains(*wanted))
        };
        let failing = draft.when.iter().find(|condition| !holds(condition));
        failing.map(|(attribute, wanted)| Reason::AttributeDiffers {
            entry: id(),
            attribute: attribute.clone(),
            wanted: wanted.clone(),
        })
    }

    /// Whether STS will take this very assertion, and the session name it will use.
    fn forwardable(&self, role: &RoleArn) -> Result<SessionName, Reason> {
        let forwarding = self.parts.forwarding.as_ref().ok_or(Reason::NoAssertion)?;
        if forwarding.encrypted {
            return Err(Reason::Encrypted);
        }
        if !forwarding.role_attribute_is_aws {
            return Err(Reason::RoleAttributeRenamed);
        }
        let partition = role.partition();
        let wanted = partition.saml_audience();
        let wanted = wanted.ok_or_else(|| Reason::PartitionWithoutSaml(partition.to_string()))?;
        if !forwarding
            .audiences
            .iter()
            .any(|audience| audience == wanted)
        {
            return Err(Reason::AudienceNotAws {
                partition: partition.to_string(),
                wanted: wanted.to_owned(),
            });
        }
        forwarding
            .role_session_name
            .clone()
            .ok_or(Reason::NoRoleSessionName)
    }

    /// The pair's provider where it may be used, else the one configured for the role's account.
    fn provider(&self, offer: &Offer) -> Result<SamlProviderArn, Reason> {
        let (partition, account) = (offer.role.partition(), offer.role.account());
        let mut known = self
            .rules
            .limits()
            .saml_providers
            .iter()
            .filter(|known| known.partition() == partition && known.account() == account)
            .peekable();
        match &offer.provider {
            None => known
                .next()
                .cloned()
                .ok_or_else(|| Reason::ProviderMissing(account.to_string())),
            Some(found) if known.peek().is_none() || known.any(|known| known == found) => {
                Ok(found.clone())
            }
            Some(found) => Err(Reason::ProviderUnknown {
                found: found.to_string(),
            }),
        }
    }

    /// The smallest of what was asked, said by the IdP, and permitted; AWS issues nothing below 900 s.
    fn duration(
        &self,
        entry: &Entry,
        method: Method,
        request: &Request<'_>,
    ) -> Result<SessionDuration, Reason> {
        let said = self
            .parts
            .session_duration
            .unwrap_or(SessionDuration::DEFAULT);
        let permitted = entry
            .draft
            .max_duration_seconds
            .unwrap_or(SessionDuration::MAX);
        let asked = request.duration.unwrap_or(SessionDuration::MAX);
        let duration = said
            .min(permitted)
            .min(asked)
            .min(self.rules.limits().max_duration);
        let duration = match method {
            // AWS's limit for role chaining, which a broker that runs as a role is.
            Method::Broker => duration.min(SessionDuration::DEFAULT),
            _ => duration,
        };
        let Some(end) = self.parts.not_after.filter(|_| method == Method::Saml) else {
            return Ok(duration);
        };
        // Counted from the sign-in, when credentials are minted, so that it stays what it was.
        let seconds = seconds_between(self.signed_in_at, end);
        if seconds >= u64::from(duration.seconds()) {
            return Ok(duration);
        }
        let left = u32::try_from(seconds)
            .ok()
            .and_then(|seconds| SessionDuration::from_seconds(seconds).ok());
        left.ok_or(Reason::TooShort {
            limit: "the SessionNotOnOrAfter of the sign-in",
            seconds,
        })
    }
}

/// Why a grant that has ended is none.
fn over(at: DateTime<Utc>, limit: Limit) -> Reason {
    match limit {
        Limit::RenewFor => Reason::RenewalOver(at),
        Limit::Session | Limit::Entry => Reason::SessionOver(at),
    }
}

/// An assertion is forwarded as it came: nothing can be added to it.
fn can_narrow(method: Method, request: &Request<'_>) -> Result<(), Reason> {
    let what = if request.narrowing.session_policy.is_some() {
        "session policy"
    } else if request.narrowing.tags.is_empty() {
        return Ok(());
    } else {
        "tags"
    };
    Err(Reason::MethodCannot { method, what })
}

/// AWS's own roles, which no entry can allow.
fn is_reserved(role: &RoleArn) -> bool {
    role.name().starts_with("AWSReservedSSO_")
        || role.path_and_name().starts_with("aws-service-role/")
}
