//! `AssumeRole`: signed by a user's long-term key, or by credentials issued here (role chaining).

use std::collections::HashMap;

use super::Inner;
use super::answer::{Failure, element};
use super::caller::Caller;
use super::checks::Checks;
use super::context::Context;
use super::fault::Fault;
use super::issue::Request;
use super::parameters::{Asked, external_id, session_name, source_identity};
use super::tags::Tags;

const CHAINED: &str = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";

impl Inner {
    /// The result's XML.
    pub(super) fn assume_role(
        &self,
        caller: &Caller,
        form: &HashMap<String, String>,
        checks: &mut Checks,
        fault: &Fault,
    ) -> Result<String, Failure> {
        let asked = checks.note("parameters", Asked::read(form))?;
        let name = checks.note("RoleSessionName", session_name(form))?;
        let external_id = checks.note("ExternalId", external_id(form))?;
        let named = source_identity(form).and_then(|named| inherited_identity(caller, named));
        let source_identity = checks.note("SourceIdentity", named)?;
        let tags = Tags::read(form).and_then(|tags| match caller {
            Caller::Role(session) => tags.inheriting(&session.tags),
            Caller::User(_) => Ok(tags),
        });
        let tags = checks.note("session tags", tags)?;
        let chained = matches!(caller, Caller::Role(_));
        checks.require(
            "an hour at most when chained",
            !chained || asked.seconds <= 3600,
            || Failure::invalid(CHAINED),
        )?;
        let denied = |action: &str| {
            let (who, role) = (caller.arn(), asked.role.as_str());
            let text = format!(
                "User: {who} is not authorized to perform: sts:{action} on resource: {role}"
            );
            Failure::new(403, "AccessDenied", text)
        };
        let request = Request {
            action: "AssumeRole",
            asked: &asked,
            principal: caller.principal(),
            context: context(caller, external_id),
            session_name: &name,
            tags,
            source_identity: source_identity.clone(),
            end: None,
            chained,
            denied: &denied,
        };
        let issued = self.issue(request, "trust policy", checks, fault)?;
        let named =
            source_identity.map_or_else(String::new, |name| element("SourceIdentity", &name));
        Ok([issued.user, issued.credentials, issued.packed, named].concat())
    }
}

fn context(caller: &Caller, external_id: Option<&str>) -> Context {
    let mut context = Context::default()
        .with("sts:ExternalId", external_id)
        .with("aws:PrincipalArn", Some(caller.principal_arn()))
        .with("aws:PrincipalAccount", Some(&caller.account()));
    if let Caller::Role(session) = caller {
        context = context.with("aws:SourceIdentity", session.source_identity.as_deref());
        for tag in &session.tags.all {
            context = context.with(&format!("aws:PrincipalTag/{}", tag.key), Some(&tag.value));
        }
    }
    context
}

/// A source identity stays through a chain and cannot be changed.
fn inherited_identity(caller: &Caller, named: Option<String>) -> Result<Option<String>, Failure> {
    let Caller::Role(session) = caller else {
        return Ok(named);
    };
    match (&session.source_identity, named) {
        (Some(set), Some(named)) if *set != named => {
            let text = format!("User: {} cannot change its source identity", session.arn);
            Err(Failure::new(403, "AccessDenied", text))
        }
        (Some(set), _) => Ok(Some(set.clone())),
        (None, named) => Ok(named),
    }
}
