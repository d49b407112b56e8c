//! From a session to the AWS console: the credentials that the person has become a sign-in URL.
//!
//! The allow-list and the session are asked before AWS is, and again before the URL leaves: whoever was
//! stopped meanwhile gets nothing. The URL is a secret; it goes to the person alone and is never logged.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::{Fetch, FetchError, Unavailable};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{RoleArn, Secret};
use crate::store::{LiveSession, Store, StoreError};
use crate::sts::Federation;
pub use crate::sts::FederationError;

/// Why nobody gets into the console.
#[derive(Debug, Error)]
pub enum ConsoleError {
    /// There are no credentials for it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// AWS gave no way in.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The session ended while AWS was asked.
    #[error("this session has ended; sign in again")]
    SessionEnded,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<StoreError> for ConsoleError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Opens the console for people.
pub struct Console {
    /// Where sessions are.
    pub store: Store,
    /// Credentials.
    pub fetch: Arc<Fetch>,
    /// The audit.
    pub recorder: Recorder,
    /// The way to AWS's console sign-in.
    pub federation: Federation,
}

impl Console {
    /// A URL that signs a browser into the console as `role`, for the person of `live`.
    pub async fn open(
        &self,
        live: &LiveSession,
        role: &RoleArn,
        address: IpAddr,
    ) -> Result<Secret, ConsoleError> {
        let subject = &live.subject;
        let served = self.fetch.for_subject(subject, role, None).await?;
        let url = self
            .federation
            .sign_in_url(role.partition(), &served.credentials)
            .await?;
        if self.store.session(subject.session()).await?.is_none() {
            return Err(ConsoleError::SessionEnded);
        }
        self.fetch.still_grants(subject, role)?;
        self.recorder
            .record(Event {
                person: Some(subject.person().clone()),
                session: Some(subject.session().clone()),
                role: Some(role.clone()),
                access_key_id: Some(served.credentials.access_key_id.clone()),
                address: Some(address),
                ..Event::new(EventKind::ConsoleOpened)
            })
            .await?;
        Ok(url)
    }
}
