//! Assignments: an admin names roles for a person whose IdP names none.
//!
//! Trusts the store to merge them at every read of a session, and to delete them with the first sign-in that
//! names a role. Permits nothing: an assigned role is an offer, and the allow-list decides about it as about
//! any other. Every edit is audited with what stood before.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AllowList, Fetch, Unavailable, good_reason};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Effect, Entry, IdpName, Method, PatternError, Person, RoleArn, RolePattern, SessionId,
    UserName, rfc3339, split_arn_list,
};
use crate::store::{Assignment, AssignmentFilter, Store, StoreError};

/// As many roles as one person is assigned; an audit record names them all, before and after.
const MOST: usize = 100;

/// Why an assignment is not edited or not shown.
#[derive(Debug, Error)]
pub enum AssignmentError {
    /// Two IdPs may have a user of the name.
    #[error("there are several IdPs, and each may have a user of that name; name one of them: {}", names(.0))]
    IdpNeeded(Vec<IdpName>),
    /// Nobody can have signed in.
    #[error(
        "no IdP is configured, so there is nobody to assign roles to; add [[saml.idp]] or [[oidc.provider]]"
    )]
    NoIdp,
    /// No such IdP.
    #[error("{0} is no configured IdP; name one of them: {known}", known = names(.1))]
    UnknownIdp(IdpName, Vec<IdpName>),
    /// Switched off.
    #[error(
        "{0} takes no assignments: its configuration says assignments = \"off\"; have it send the roles, or switch them on there"
    )]
    Off(IdpName),
    /// No ARN at all.
    #[error("name one role ARN at least; unset-role-arns takes the assignment away")]
    NoRole,
    /// A text that is no role ARN.
    #[error("{found:?} {why}; nothing was assigned")]
    NotARole {
        /// The text, cut to 256 characters.
        found: String,
        /// Why.
        why: String,
    },
    /// A role of AWS's own.
    #[error(
        "{0} cannot be assigned: AWSReservedSSO_ and aws-service-role/ roles belong to AWS, and nobody can be given them here"
    )]
    Reserved(RoleArn),
    /// Too many.
    #[error("a person is assigned {MOST} roles at most")]
    TooMany,
    /// The reason does not do.
    #[error("{0}")]
    Reason(String),
    /// There is none.
    #[error("{} of {} has no assignment", .0.user, .0.idp)]
    NotAssigned(Person),
    /// The store does not answer.
    #[error(transparent)]
    Away(#[from] Unavailable),
}

impl From<StoreError> for AssignmentError {
    fn from(error: StoreError) -> Self {
        Self::Away(error.into())
    }
}

fn names(idps: &[IdpName]) -> String {
    let names: Vec<&str> = idps.iter().map(IdpName::as_str).collect();
    names.join(", ")
}

/// What is to be assigned.
pub struct AssignmentOrder<'a> {
    /// To whom.
    pub user: UserName,
    /// Of which IdP; may be `None` where there is one alone.
    pub idp: Option<IdpName>,
    /// Which roles; a text may be a list as [`split_arn_list`] reads it.
    pub role_arns: &'a [String],
    /// Why.
    pub reason: Option<&'a str>,
    /// By whom, as the audit names people: `local:root`, `admin:ops`.
    pub by: &'a str,
}

/// An assignment as API and commands show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentView {
    /// The user.
    pub user: String,
    /// The IdP.
    pub idp: String,
    /// The roles, in the order given.
    pub role_arns: Vec<String>,
    /// Who assigned them.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// What keeps a role from being had now; after an edit alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl From<Assignment> for AssignmentView {
    fn from(assignment: Assignment) -> Self {
        Self {
            user: assignment.person.user.to_string(),
            idp: assignment.person.idp.to_string(),
            role_arns: assignment.roles.iter().map(ToString::to_string).collect(),
            by: assignment.by,
            reason: assignment.reason,
            at: rfc3339(assignment.at),
            notes: Vec::new(),
        }
    }
}

/// Sets, shows and takes away assignments.
pub struct Assignments {
    /// Where they are.
    pub store: Store,
    /// The audit.
    pub recorder: Recorder,
    /// What would decide about them.
    pub allow_list: Arc<AllowList>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Everyone who signs people in.
    pub idps: Vec<IdpName>,
    /// Those of them that take no assignments.
    pub without: BTreeSet<IdpName>,
    /// What this process serves from; a command serves nothing.
    pub fetch: Option<Arc<Fetch>>,
}

impl Assignments {
    /// Assigns roles in the place of those assigned before; running gateways go by it within a second.
    pub async fn set(&self, order: AssignmentOrder<'_>) -> Result<AssignmentView, AssignmentError> {
        let idp = self.idp(order.idp)?;
        if !self.idps.contains(&idp) {
            return Err(AssignmentError::UnknownIdp(idp, self.idps.clone()));
        }
        if self.without.contains(&idp) {
            return Err(AssignmentError::Off(idp));
        }
        let assignment = Assignment {
            person: Person {
                idp,
                user: order.user,
            },
            roles: roles(order.role_arns)?,
            by: order.by.to_owned(),
            reason: reason(order.reason)?,
            at: self.clock.now(),
        };
        let before = self.store.set_assignment(&assignment).await?;
        if let Err(error) = self
            .recorder
            .record(set(&assignment, before.as_ref()))
            .await
        {
            // An assignment that the audit does not know must not be drawn on.
            self.undo(&assignment.person, before).await;
            return Err(error.into());
        }
        self.forget(&assignment.person).await;
        let notes = self.notes(&assignment).await?;
        Ok(AssignmentView {
            notes,
            ..assignment.into()
        })
    }

    /// What is assigned to a person, be it in force or not.
    pub async fn get(
        &self,
        user: UserName,
        idp: Option<IdpName>,
    ) -> Result<AssignmentView, AssignmentError> {
        let idp = self.idp(idp)?;
        let person = Person { idp, user };
        let found = self.store.assignment(&person).await?;
        let found = found.ok_or(AssignmentError::NotAssigned(person))?;
        Ok(found.into())
    }

    /// Takes a person's assignment away, also that of an IdP which takes none or is gone; gives what it was.
    pub async fn unset(
        &self,
        user: UserName,
        idp: Option<IdpName>,
        why: Option<&str>,
        by: &str,
    ) -> Result<AssignmentView, AssignmentError> {
        let reason = reason(why)?;
        let person = Person {
            idp: self.idp(idp)?,
            user,
        };
        let Some(before) = self.store.remove_assignment(&person).await? else {
            return Err(AssignmentError::NotAssigned(person));
        };
        // Whatever the audit says, what is cached must go.
        self.forget(&person).await;
        let event = Event {
            person: Some(person),
            roles_before: Some(before.roles.clone()),
            reason,
            by: Some(by.to_owned()),
            ..Event::new(EventKind::AssignmentRemoved)
        };
        self.recorder.record(event).await?;
        Ok(before.into())
    }

    /// The assignments that fit, by user and IdP, after that of `after`.
    pub async fn list(
        &self,
        filter: &AssignmentFilter,
        after: Option<&Person>,
        limit: u32,
    ) -> Result<Vec<AssignmentView>, AssignmentError> {
        let found = self.store.assignments(filter, after, limit).await?;
        Ok(found.into_iter().map(AssignmentView::from).collect())
    }

    /// The IdP that was named, or the only one.
    fn idp(&self, named: Option<IdpName>) -> Result<IdpName, AssignmentError> {
        match (named, self.idps.as_slice()) {
            (Some(idp), _) => Ok(idp),
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(AssignmentError::NoIdp),
            (None, _) => Err(AssignmentError::IdpNeeded(self.idps.clone())),
        }
    }

    async fn undo(&self, person: &Person, before: Option<Assignment>) {
        let undone = match &before {
            Some(before) => self.store.set_assignment(before).await,
            None => self.store.remove_assignment(person).await,
        };
        if let Err(error) = undone {
            tracing::error!(event = "assignment_unaudited", %error, user = %person.user, idp = %person.idp,
                "an assignment stands that the audit does not know; set it again");
        }
    }

    async fn forget(&self, person: &Person) {
        if let Some(fetch) = &self.fetch {
            fetch.forget_person(person).await;
        }
    }

    /// What keeps the roles from being had, as the allow-list is now.
    async fn notes(&self, assignment: &Assignment) -> Result<Vec<String>, AssignmentError> {
        let entries = self.allow_list.entries().await?;
        let counts = |entry: &&Entry| {
            let ended = entry
                .draft
                .expires_at
                .is_some_and(|end| end <= assignment.at);
            let other = |idp: &IdpName| *idp != assignment.person.idp;
            !ended && !entry.draft.idp.as_ref().is_some_and(other)
        };
        let entries: Vec<&Entry> = entries.iter().filter(counts).collect();
        Ok(assignment
            .roles
            .iter()
            .filter_map(|role| note(role, &entries))
            .collect())
    }
}

/// The roles of `texts`, each once.
fn roles(texts: &[String]) -> Result<Vec<RoleArn>, AssignmentError> {
    let mut roles: Vec<RoleArn> = Vec::new();
    for text in texts.iter().flat_map(|text| split_arn_list(text)) {
        let role: RoleArn =
            text.parse()
                .map_err(|error: crate::model::ArnError| AssignmentError::NotARole {
                    found: text.chars().take(256).collect(),
                    why: error.to_string(),
                })?;
        if let Err(PatternError::Reserved) = role.as_str().parse::<RolePattern>() {
            return Err(AssignmentError::Reserved(role));
        }
        if !roles.contains(&role) {
            roles.push(role);
        }
        if roles.len() > MOST {
            return Err(AssignmentError::TooMany);
        }
    }
    if roles.is_empty() {
        return Err(AssignmentError::NoRole);
    }
    Ok(roles)
}

fn reason(text: Option<&str>) -> Result<Option<String>, AssignmentError> {
    let text = text.filter(|text| !text.trim().is_empty());
    let good = text.map(good_reason).transpose();
    Ok(good.map_err(AssignmentError::Reason)?.map(str::to_owned))
}

/// What an admin should know of `role`: no entry, a denying one, or one whose method cannot serve it.
fn note(role: &RoleArn, entries: &[&Entry]) -> Option<String> {
    let matching = || entries.iter().filter(|entry| entry.draft.arn.matches(role));
    let denying =
        matching().find(|entry| entry.draft.effect == Effect::Deny && entry.draft.when.is_empty());
    if let Some(entry) = denying {
        return Some(format!("{role}: entry {} denies it", entry.id));
    }
    let closest = matching()
        .filter(|entry| entry.draft.effect == Effect::Allow)
        .min_by_key(|entry| Reverse(entry.draft.arn.specificity()));
    match closest {
        None => Some(format!(
            "{role}: the allow-list does not allow it yet; the assignment works once an entry does"
        )),
        Some(entry) if matches!(entry.draft.method, None | Some(Method::Saml)) => Some(format!(
            "{role}: entry {} has method saml, and an assigned role is in no assertion; have the entry use relay or broker",
            entry.id
        )),
        Some(_) => None,
    }
}

fn set(assignment: &Assignment, before: Option<&Assignment>) -> Event {
    Event {
        person: Some(assignment.person.clone()),
        roles: Some(assignment.roles.clone()),
        roles_before: before.map(|before| before.roles.clone()),
        reason: assignment.reason.clone(),
        by: Some(assignment.by.clone()),
        ..Event::new(EventKind::AssignmentSet)
    }
}

/// The event of an assignment that went when the IdP sent a role value, with what it was.
pub(super) fn overwritten(assignment: &Assignment, session: &SessionId) -> Event {
    Event {
        person: Some(assignment.person.clone()),
        session: Some(session.clone()),
        roles_before: Some(assignment.roles.clone()),
        reason: Some(format!(
            "the IdP sent a role value; the assignment was by {}",
            assignment.by
        )),
        ..Event::new(EventKind::AssignmentOverwritten)
    }
}

#[cfg(test)]
mod tests;
