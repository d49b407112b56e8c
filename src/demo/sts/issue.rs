//! What the Assume actions share: asking the trust policy, bounding the duration, issuing.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::answer::{Failure, element};
use super::checks::Checks;
use super::context::Context;
use super::fault::Fault;
use super::parameters::Asked;
use super::policy::Principal;
use super::sessions::{Plan, Session};
use super::settings::Role;
use super::tags::Tags;
use super::{Inner, locked, session_policy};
use crate::model::{SessionName, rfc3339};

/// A request that is about to be decided.
pub(super) struct Request<'a> {
    /// Without `sts:`.
    pub(super) action: &'static str,
    pub(super) asked: &'a Asked<'a>,
    pub(super) principal: Principal,
    pub(super) context: Context,
    pub(super) session_name: &'a SessionName,
    pub(super) tags: Tags,
    pub(super) source_identity: Option<String>,
    /// When the session ends at the latest, beside the duration asked for.
    pub(super) end: Option<DateTime<Utc>>,
    pub(super) chained: bool,
    /// How the denied are told.
    pub(super) denied: &'a dyn Fn(&str) -> Failure,
}

/// Credentials that were issued, as XML, and the packed size.
pub(super) struct Issued {
    pub(super) user: String,
    pub(super) credentials: String,
    pub(super) packed: String,
}

impl Inner {
    /// Decides by the role's trust policy and issues.
    pub(super) fn issue(
        &self,
        mut request: Request<'_>,
        policy_check: &'static str,
        checks: &mut Checks,
        fault: &Fault,
    ) -> Result<Issued, Failure> {
        let context = std::mem::take(&mut request.context);
        request.context = context
            .with("sts:RoleSessionName", Some(request.session_name.as_str()))
            .with("sts:SourceIdentity", request.source_identity.as_deref())
            .with(
                "sts:DurationSeconds",
                Some(&request.asked.seconds.to_string()),
            )
            .with_tags(&request.tags.all, &request.tags.transitive);
        let role = checks.note(policy_check, self.permitted(&request, request.action))?;
        if !request.tags.all.is_empty() {
            let tagging = self.permitted(&request, "TagSession");
            checks.note("trust policy with sts:TagSession", tagging)?;
        }
        if request.source_identity.is_some() {
            let naming = self.permitted(&request, "SetSourceIdentity");
            checks.note("trust policy with sts:SetSourceIdentity", naming)?;
        }
        let asked = request.asked;
        let short = asked.seconds <= role.max_session_duration;
        checks.require("maximum duration of the role", short, || {
            Failure::invalid(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        })?;
        let packed = session_policy::packed(asked.policy, &request.tags);
        let packed = checks.note("packed size of policy and tags", packed)?;
        let session = self.session(request, fault);
        let issued = Issued {
            user: format!(
                "<AssumedRoleUser>{}{}</AssumedRoleUser>",
                element("AssumedRoleId", &session.user_id),
                element("Arn", &session.arn)
            ),
            credentials: format!(
                "<Credentials>{}{}</Credentials>",
                session.keys(),
                element("Expiration", &rfc3339(session.expires_at))
            ),
            packed: element("PackedPolicySize", &packed.to_string()),
        };
        self.sessions.keep(session);
        Ok(issued)
    }

    /// The role, if its trust policy lets the principal do `action`.
    fn permitted(&self, request: &Request<'_>, action: &str) -> Result<&Role, Failure> {
        let full = format!("sts:{action}");
        let mut roles = self.roles.iter();
        roles
            .find(|role| {
                role.role_arn == request.asked.role.as_str()
                    && role
                        .policy
                        .permits(&request.principal, &full, &request.context)
            })
            .ok_or_else(|| (request.denied)(action))
    }

    fn session(&self, request: Request<'_>, fault: &Fault) -> Session {
        let role = &request.asked.role;
        let now = self.clock.now();
        let mut end = now + TimeDelta::seconds(i64::from(request.asked.seconds));
        let lifetime = locked(&self.lifetime).and_then(|life| TimeDelta::from_std(life).ok());
        for earlier in [request.end, lifetime.map(|life| now + life)] {
            end = earlier.map_or(end, |earlier| earlier.min(end));
        }
        let plan = Plan {
            role,
            name: if *fault == Fault::WrongRole {
                "another-role"
            } else {
                role.name()
            },
            session_name: request.session_name,
            issued_at: now,
            // What is answered has whole seconds, and what is answered counts.
            expires_at: end.trunc_subsecs(0),
            chained: request.chained,
            policy: request.asked.policy,
            tags: request.tags,
            source_identity: request.source_identity,
        };
        Session::new(&*self.entropy, plan)
    }
}
