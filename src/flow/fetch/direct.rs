//! Credentials for a person who asks by the session itself, through portal, command line or console.

use std::sync::Arc;

use super::{Fetch, FetchError, Served, granted, sign_in_needed};
use crate::audit::{Event, EventKind};
use crate::model::{RoleArn, SessionDuration, Subject};
use crate::policy::Request;

impl Fetch {
    /// The credentials that a person may take out directly.
    pub async fn for_subject(
        &self,
        subject: &Subject,
        role: &RoleArn,
        duration: Option<SessionDuration>,
    ) -> Result<Served, FetchError> {
        let found = self.until_settled(|rules, patience| async move {
            self.require_pulse()?;
            self.parts.holds.permit(subject.person(), role, None)?;
            let before = self.arrivals.of(subject.person());
            let session = self.parts.store.session(subject.session()).await?;
            let live = session.ok_or_else(|| sign_in_needed(subject.person(), role))?;
            // As the session says now: its ID token may have been renewed since it was read.
            let subject = &*live.subject;
            let request = Request {
                duration,
                ..Request::of(role, self.parts.clock.now())
            };
            let grant = granted(subject, &request, &rules)?;
            let found = self.credentials_for(subject, grant, None, patience).await;
            if !self.arrivals.stands_at(before) {
                return Err(FetchError::Unsettled);
            }
            found
        });
        let found = found.await;
        if let Err(error) = &found {
            self.refuse_person(subject, role, error);
        }
        let credentials = found?.credentials;
        self.parts
            .recorder
            .record(Event {
                person: Some(subject.person().clone()),
                session: Some(subject.session().clone()),
                role: Some(role.clone()),
                access_key_id: Some(credentials.access_key_id.clone()),
                ..Event::new(EventKind::CredentialsFetched)
            })
            .await?;
        Ok(Served {
            credentials,
            role: Arc::new(role.clone()),
        })
    }

    /// Whether the role is permitted to the person now, for what is still to be done with its credentials.
    pub fn still_grants(&self, subject: &Subject, role: &RoleArn) -> Result<(), FetchError> {
        self.require_pulse()?;
        self.parts.holds.permit(subject.person(), role, None)?;
        let request = Request::of(role, self.parts.clock.now());
        granted(subject, &request, &self.parts.allow_list.rules()).map(drop)
    }
}
