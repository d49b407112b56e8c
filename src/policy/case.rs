//! One role of one sign-in before the allow-list: conditions, method, provider, duration, end.

use chrono::{DateTime, TimeDelta, Utc};

use super::Rules;
use super::decide::Request;
use super::denial::{Denial, Reason, Tried};
use super::grant::Limit;
use super::terms::{Terms, vouched};
use super::verdict::{Means, Verdict};
use crate::model::{
    Entry, Method, Offer, RoleArn, SamlProviderArn, SessionDuration, SessionName, SubjectParts,
    seconds_between,
};

/// A sign-in before the allow-list.
pub(super) struct Case<'a> {
    pub(super) parts: &'a SubjectParts,
    pub(super) signed_in_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) rules: &'a Rules,
}

impl<'a> Case<'a> {
    pub(super) fn judge(&self, request: &Request<'_>) -> Result<Verdict<'a>, Denial> {
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
        let duration = self.shortest(entry, method, request);
        let (ends_at, limit) = self.bound(entry, method, duration);
        if ends_at <= request.now {
            return Err(denied(over(ends_at, limit)));
        }
        can_narrow(method, entry, request).map_err(denied)?;
        let means = self.means(offer, entry, method, request).map_err(denied)?;
        Ok(Verdict {
            entry,
            method,
            means,
            duration: self.redeemable(method, duration).map_err(denied)?,
            ends_at,
            limit,
        })
    }

    /// What the method has of the sign-in.
    fn means(
        &self,
        offer: &Offer,
        entry: &Entry,
        method: Method,
        request: &Request<'_>,
    ) -> Result<Means, Reason> {
        // Stable over renewals, and the person's own name whatever the IdP sends beside it.
        let own = Means::named(self.parts.person.user.clone().into());
        match method {
            Method::Saml => Ok(Means {
                session_name: self.forwardable(request.role)?,
                provider: Some(self.provider(offer)?),
                ..own
            }),
            Method::WebIdentity => Ok(Means {
                vouched: vouched(self.parts).ok_or(Reason::NoIdToken)?,
                ..own
            }),
            Method::Relay | Method::Broker => Ok(Means {
                terms: Terms::of(self.parts, entry, request)?,
                ..own
            }),
        }
    }

    /// When serving stops: with the session, or where the entry renews beyond it, `renew_for` after the
    /// sign-in; with the last that an ID token can be redeemed for, where no newer one can be had; with the
    /// entry in any case.
    fn bound(
        &self,
        entry: &Entry,
        method: Method,
        duration: SessionDuration,
    ) -> (DateTime<Utc>, Limit) {
        let renews = entry.draft.renew_for_seconds;
        let session = match renews.filter(|_| method != Method::Saml) {
            Some(seconds) => {
                let end = self.signed_in_at + TimeDelta::seconds(i64::from(seconds));
                (end, Limit::RenewFor)
            }
            None => (self.expires_at, Limit::Session),
        };
        let identity = self.parts.web_identity.as_ref();
        let identity = identity.filter(|_| method == Method::WebIdentity);
        let id_token = identity
            .and_then(|identity| identity.redeemable_until)
            .map(|until| until + TimeDelta::seconds(duration.seconds().into()))
            .map(|end| (end, Limit::IdToken));
        let own = entry.draft.expires_at.map(|end| (end, Limit::Entry));
        let others = id_token.into_iter().chain(own);
        others.fold(
            session,
            |least, other| {
                if other.0 < least.0 { other } else { least }
            },
        )
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
        if self.parts.assigned {
            return Err(Reason::Assigned);
        }
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

    /// The smallest of what was asked, said by the IdP, and permitted.
    fn shortest(&self, entry: &Entry, method: Method, request: &Request<'_>) -> SessionDuration {
        let said = self.parts.session_duration;
        let permitted = entry.draft.max_duration_seconds;
        let duration = said
            .unwrap_or(SessionDuration::DEFAULT)
            .min(permitted.unwrap_or(SessionDuration::MAX))
            .min(request.duration.unwrap_or(SessionDuration::MAX))
            .min(self.rules.limits().max_duration);
        match method {
            // AWS's limit for role chaining, which a broker that runs as a role is.
            Method::Broker => duration.min(SessionDuration::DEFAULT),
            _ => duration,
        }
    }

    /// `duration`, or what an assertion's end leaves of it; AWS issues nothing below 900 s.
    fn redeemable(
        &self,
        method: Method,
        duration: SessionDuration,
    ) -> Result<SessionDuration, Reason> {
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
        Limit::IdToken => Reason::IdTokenOver(at),
        Limit::Session | Limit::Entry => Reason::SessionOver(at),
    }
}

/// An assertion and an ID token are forwarded as they came: no tag can be added to them. A session policy goes
/// beside an ID token; what an assertion is redeemed for, once, is shared by all jobs.
fn can_narrow(method: Method, entry: &Entry, request: &Request<'_>) -> Result<(), Reason> {
    let narrowing = request.narrowing;
    let what = match method {
        Method::Saml if narrowing.session_policy.is_some() => Some("session policy"),
        Method::Saml | Method::WebIdentity if !narrowing.tags.is_empty() => Some("tags"),
        // The default method of an entry that names none may have changed since it was checked.
        Method::WebIdentity if entry.draft.job_tag => Some("job tag"),
        Method::Saml | Method::WebIdentity | Method::Relay | Method::Broker => None,
    };
    what.map_or(Ok(()), |what| Err(Reason::MethodCannot { method, what }))
}

/// AWS's own roles, which no entry can allow.
fn is_reserved(role: &RoleArn) -> bool {
    role.name().starts_with("AWSReservedSSO_")
        || role.path_and_name().starts_with("aws-service-role/")
}
