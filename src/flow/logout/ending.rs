//! What an IdP's logout request ends, and what the audit is told of it.
//!
//! Sessions and leases end in one transaction. What the audit missed, since the process was killed behind it, it is
//! told when the request comes again.

use futures_util::future::try_join_all;

use super::{Logout, LogoutFailure};
use crate::audit::{Event, EventKind};
use crate::config::SingleLogout;
use crate::flow::Idp;
use crate::flow::revoke::{EVENTS, lease_revoked, session_ended};
use crate::store::{NamedSession, SignOut, SignedOut};

impl Logout {
    /// Ends what `single_logout` says, and has the audit know of it before anybody is answered.
    pub(super) async fn end(
        &self,
        idp: &Idp,
        sessions: &[NamedSession],
    ) -> Result<(), LogoutFailure> {
        let ended = self.end_in_store(idp, sessions).await;
        // Also where it broke off: what is cached may stand for what has ended.
        self.parts.fetch.forget();
        let records = ended?.into_iter();
        try_join_all(records.map(|event| self.parts.recorder.record(event))).await?;
        Ok(())
    }

    async fn end_in_store(
        &self,
        idp: &Idp,
        sessions: &[NamedSession],
    ) -> Result<Vec<Event>, LogoutFailure> {
        let by = format!("idp:{}", idp.settings.name);
        match idp.settings.single_logout {
            SingleLogout::Browser => self.end_browsers(sessions, &by).await,
            SingleLogout::Leases => {
                let orders: Vec<SignOut> = sessions.iter().map(order).collect();
                let done = self.parts.store.sign_out(&orders).await?;
                Ok(records(&orders, &done, &by))
            }
        }
    }

    async fn end_browsers(
        &self,
        sessions: &[NamedSession],
        by: &str,
    ) -> Result<Vec<Event>, LogoutFailure> {
        let mut events = Vec::new();
        for session in sessions.iter().filter(|one| one.ended_at.is_none()) {
            let subject = &session.live.subject;
            self.parts.store.end_browser(subject.session()).await?;
            events.push(Event {
                person: Some(subject.person().clone()),
                session: Some(subject.session().clone()),
                by: Some(by.to_owned()),
                reason: Some("single logout of the browser".to_owned()),
                ..Event::new(EventKind::SignedOut)
            });
        }
        Ok(events)
    }
}

fn order(session: &NamedSession) -> SignOut {
    let subject = &session.live.subject;
    SignOut {
        session: subject.session().clone(),
        person: subject.person().clone(),
        ended_at: session.ended_at,
    }
}

/// An event for each session, and one for each lease up to a bound.
fn records(orders: &[SignOut], done: &SignedOut, by: &str) -> Vec<Event> {
    let count = done.revoked.len();
    let sessions = orders.iter().map(|one| {
        let reason = match one.ended_at {
            None => format!("single logout, {count} leases revoked"),
            Some(_) => "single logout, ended before".to_owned(),
        };
        session_ended(&one.session, &one.person, &reason, by)
    });
    let now = done.revoked.iter().map(|lease| (lease, "single logout"));
    let before = done.revoked_before.iter();
    let before = before.map(|lease| (lease, "single logout, revoked before"));
    let leases = now.chain(before).take(EVENTS);
    let leases = leases.map(|(lease, reason)| lease_revoked(lease, reason, by));
    sessions.chain(leases).collect()
}
