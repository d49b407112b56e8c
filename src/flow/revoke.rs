//! The kill switch: ends what exists, at once, and with a hold refuses what would come next.
//!
//! Takes effect in the store first, then in this process's memory, then in the audit: a revocation that
//! the audit could not take stands all the same. Other processes hear of it by their pulse.

mod advice;
mod records;
mod tokens;

use std::sync::Arc;

use futures_util::future::try_join_all;

pub use advice::{AwsAdvice, Counts, RevokedView};
pub use records::token_created;
pub(super) use records::{EVENTS, lease_revoked, session_ended};
pub use tokens::TokensView;

use super::{Fetch, Holds, Unavailable};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{Hold, HoldId};
use crate::store::{LiveSession, Revocation, RevokeOrder, Selector, Store, StoreError};

/// The longest reason: jobs and logs repeat it.
const REASON: usize = 500;

/// The reason without white space around it, or what is wrong with it.
pub fn good_reason(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a reason is needed; the audit and whom it refuses are told".to_owned());
    }
    if text.chars().count() > REASON || text.chars().any(char::is_control) {
        return Err(format!(
            "the reason must be one line of at most {REASON} characters"
        ));
    }
    Ok(text)
}

/// What of this process must hear of a revocation at once.
pub struct InForce {
    /// Whose caches are dropped.
    pub fetch: Arc<Fetch>,
    /// What is held.
    pub holds: Arc<Holds>,
}

/// Revokes, holds and releases.
pub struct Revoke {
    /// Where sessions, leases and holds are.
    pub store: Store,
    /// The audit.
    pub recorder: Recorder,
    /// What this process serves from; a command serves nothing.
    pub in_force: Option<InForce>,
}

impl Revoke {
    /// Revokes what `selector` names, and holds it where `order` says so. `None`: no such session or lease.
    pub async fn revoke(
        &self,
        selector: &Selector,
        order: RevokeOrder<'_>,
    ) -> Result<Option<RevokedView>, Unavailable> {
        let Some(done) = self.store.revoke(selector, order).await? else {
            return Ok(None);
        };
        // Whatever became of the holds, what is cached must go.
        let taken_up = self.take_up().await;
        self.audit(selector, &done, order).await?;
        taken_up?;
        tracing::warn!(event = "access_revoked", what = %described(selector), by = order.by,
            sessions = done.sessions.len(), leases = done.leases.len(), hold = order.hold, "revoked");
        Ok(Some(RevokedView::of(selector, &done)))
    }

    /// Ends every session of the person of `live`, and revokes the leases, as the person asked for.
    pub async fn everywhere(&self, live: &LiveSession) -> Result<(), Unavailable> {
        let person = live.subject.person();
        let selector = Selector::User {
            user: person.user.clone(),
            idp: Some(person.idp.clone()),
        };
        let by = format!("user:{}", person.user);
        let order = RevokeOrder {
            reason: "signed out everywhere",
            by: &by,
            hold: false,
        };
        self.revoke(&selector, order).await.map(drop)
    }

    /// The holds in force, oldest first.
    pub async fn holds(&self) -> Result<Vec<Hold>, Unavailable> {
        Ok(self.store.holds().await?)
    }

    /// Releases a hold; says whether one of that id was in force. What was revoked stays revoked.
    pub async fn release(&self, id: &HoldId, by: &str) -> Result<bool, Unavailable> {
        let Some(hold) = self.store.release_hold(id, by).await? else {
            return Ok(false);
        };
        self.take_up().await?;
        let event = Event {
            reason: Some(format!("{} of {}: {}", hold.id, hold.scope, hold.reason)),
            by: Some(by.to_owned()),
            ..about_hold(EventKind::HoldReleased, &hold)
        };
        self.recorder.record(event).await?;
        Ok(true)
    }

    async fn take_up(&self) -> Result<(), StoreError> {
        let Some(here) = &self.in_force else {
            return Ok(());
        };
        let held = here.holds.refresh().await;
        here.fetch.forget();
        held
    }

    /// One event that sums up, one for each session and lease up to a bound, one for the hold.
    async fn audit(
        &self,
        selector: &Selector,
        done: &Revocation,
        order: RevokeOrder<'_>,
    ) -> Result<(), StoreError> {
        let by = Some(order.by.to_owned());
        let summary = Event {
            reason: Some(format!(
                "{}: {} sessions, {} leases, {} credentials: {}",
                described(selector),
                done.sessions.len(),
                done.leases.len(),
                done.forgotten,
                order.reason
            )),
            by: by.clone(),
            ..about(selector)
        };
        let hold = done.hold.iter().map(|hold| Event {
            reason: Some(format!("{} of {}: {}", hold.id, hold.scope, hold.reason)),
            by: by.clone(),
            ..about_hold(EventKind::HoldPlaced, hold)
        });
        let sessions = done.sessions.iter();
        let sessions =
            sessions.map(|(id, person)| session_ended(id, person, order.reason, order.by));
        let leases = done.leases.iter();
        let leases = leases.map(|lease| lease_revoked(lease, order.reason, order.by));
        let events = std::iter::once(summary)
            .chain(hold)
            .chain(sessions.take(EVENTS))
            .chain(leases.take(EVENTS));
        try_join_all(events.map(|event| self.recorder.record(event))).await?;
        Ok(())
    }
}

/// A revocation, found by whom or what it names; a pattern of roles stands in its reason alone.
fn about(selector: &Selector) -> Event {
    let event = Event::new(EventKind::AccessRevoked);
    match selector.clone() {
        Selector::User { user, idp } => Event {
            user: Some(user),
            idp,
            ..event
        },
        Selector::Role(role) => Event {
            role: role.as_str().parse().ok(),
            ..event
        },
        Selector::Launcher(name) => Event {
            launcher: Some(name),
            ..event
        },
        Selector::Session(id) => Event {
            session: Some(id),
            ..event
        },
        Selector::Lease(id) => Event {
            lease: Some(id),
            ..event
        },
        Selector::All => event,
    }
}

/// What becomes of a hold, found in the same way.
fn about_hold(kind: EventKind, hold: &Hold) -> Event {
    let scope = hold.scope.clone();
    let role = scope.role.and_then(|role| role.as_str().parse().ok());
    Event {
        user: scope.user,
        idp: scope.idp,
        role,
        launcher: scope.launcher,
        ..Event::new(kind)
    }
}

/// The selector in the words of the command line.
fn described(selector: &Selector) -> String {
    match selector {
        Selector::User { user, idp: None } => format!("user {user}"),
        Selector::User {
            user,
            idp: Some(idp),
        } => format!("user {user} idp {idp}"),
        Selector::Role(role) => format!("role {role}"),
        Selector::Launcher(name) => format!("launcher {name}"),
        Selector::Session(id) => format!("session {id}"),
        Selector::Lease(id) => format!("lease {id}"),
        Selector::All => "all".to_owned(),
    }
}

#[cfg(test)]
mod tests;
