//! Single logout: an IdP asks for a person's end here, or is asked for it there. The asking of OpenID providers
//! stands in `at_provider`, what is ended here in `ending`.
//!
//! A request is followed once, if the IdP signed it; what it ends is what `single_logout` says: the
//! browser's way in, or sessions and leases as well. A stranger's request ends nothing and hears nothing.

mod at_provider;
mod ending;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::TimeDelta;
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::Instrument;

use super::verifiers::{Busy, Verifiers};
use super::{Addresses, Fetch, Idp, Idps, Providers, ServiceKeys, Unavailable, Underway};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{Clock, Entropy, Reference, ReplayId, Secret};
use crate::saml::Refusal;
use crate::saml::logout::{
    self, Delivery, LogoutError, LogoutExpectation, LogoutRequest, LogoutSender, UnverifiedLogout,
    VerifiedLogout,
};
use crate::store::{LiveSession, Store, StoreError};

/// For how long what a request ended is told to the audit once more where the request comes again.
const REPEATED_FOR: TimeDelta = TimeDelta::minutes(10);
/// Logout requests that are followed at once, of those with different ids.
const TURNS: usize = 16;

/// What [`Logout`] works with.
pub struct LogoutParts {
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// The OpenID providers in force.
    pub providers: Arc<Providers>,
    /// Our own keys: nothing is sent unsigned.
    pub keys: Arc<ServiceKeys>,
    /// The store.
    pub store: Store,
    /// Whose cache must learn of an ended session.
    pub fetch: Arc<Fetch>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Whose turns verifications take.
    pub verifiers: Verifiers,
    /// Who and where we are.
    pub addresses: Addresses,
    /// Where an OpenID provider sends a browser back to that it signed out.
    pub back_to: String,
    /// `saml.clock_skew_seconds`.
    pub clock_skew: TimeDelta,
    /// `saml.strict_certificates`.
    pub strict_certificates: bool,
    /// What must end before the process does.
    pub underway: Underway,
}

/// Why a logout message was not followed.
#[derive(Debug, Error)]
pub enum LogoutFailure {
    /// It was refused; the reason stands in log and audit.
    #[error("the logout message was refused")]
    Refused(Reference),
    /// Too many verifications at once.
    #[error("too many verifications at once; try again")]
    Busy,
    /// The store is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<StoreError> for LogoutFailure {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<Busy> for LogoutFailure {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// What came of a logout message.
#[derive(Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// Done; the browser takes the answer there.
    Answer(String),
    /// Done; the IdP takes no answer by redirect, or nothing of ours can sign it.
    Done,
    /// The IdP's answer to our request: whether it signed the person out.
    Answered(bool),
}

/// Where a browser that signed out here goes next.
#[derive(Debug)]
pub struct LogoutNext {
    /// The address.
    pub url: String,
    /// The value of the binding cookie that it wants, if it does.
    pub binding: Option<Secret>,
}

/// Why a verified shape is refused.
enum Reason {
    Message(LogoutError),
    UnknownIssuer(String),
    Replayed,
}

impl Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::Message(error) => error.code(),
            Self::UnknownIssuer(_) => "unknown_issuer",
            Self::Replayed => "replay",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Message(error) => format!("{}: {error}", error.code()),
            Self::UnknownIssuer(issuer) => {
                format!("unknown_issuer: no configured IdP has the entityID {issuer:?}")
            }
            Self::Replayed => "replay: this logout request was followed before".to_owned(),
        }
    }
}

/// Why nothing came of a message.
enum Stop {
    Refused(Reason),
    Failed(LogoutFailure),
}

impl<E: Into<LogoutFailure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Follows and sends logout messages.
pub struct Logout {
    parts: LogoutParts,
    /// Taken by the first byte of a request's id, so that copies of one are followed one after another.
    turns: [Mutex<()>; TURNS],
}

impl Logout {
    /// Over `parts`.
    pub fn new(parts: LogoutParts) -> Self {
        Self {
            parts,
            turns: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// Follows what arrived at the single logout address, from `address`.
    pub async fn follow(
        self: &Arc<Self>,
        delivery: Delivery<'_>,
        address: IpAddr,
    ) -> Result<LoggedOut, LogoutFailure> {
        match self.journey(delivery).await {
            Ok(done) => Ok(done),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(reason)) => {
                Err(LogoutFailure::Refused(self.refuse(&reason, address)))
            }
        }
    }

    async fn journey(self: &Arc<Self>, delivery: Delivery<'_>) -> Result<LoggedOut, Stop> {
        let refused = |error: LogoutError| Stop::Refused(Reason::Message(error));
        // Bounded by the sizes that the binding takes, and linear: no turn needed.
        let message = logout::read(delivery).map_err(refused)?;
        let idp = self
            .parts
            .idps
            .by_issuer(message.issuer_hint())
            .ok_or_else(|| {
                let issuer = message.issuer_hint().chars().take(256).collect();
                Stop::Refused(Reason::UnknownIssuer(issuer))
            })?;
        let verified = self.verify(message, Arc::clone(&idp)).await?;
        match verified.map_err(|refusal| refused(refusal.into()))? {
            VerifiedLogout::Response { success, .. } => Ok(LoggedOut::Answered(success)),
            VerifiedLogout::Request(request) => self.see_through(idp, request).await,
        }
    }

    /// Follows a request to its end, also where the browser that brought it goes away.
    async fn see_through(
        self: &Arc<Self>,
        idp: Arc<Idp>,
        request: LogoutRequest,
    ) -> Result<LoggedOut, Stop> {
        let this = Arc::clone(self);
        let work = async move { this.sign_out(&idp, &request).await };
        let done = self.parts.underway.spawn(work.in_current_span()).await;
        done.unwrap_or(Err(Stop::Failed(Unavailable.into())))
    }

    async fn verify(
        &self,
        message: UnverifiedLogout,
        idp: Arc<Idp>,
    ) -> Result<Result<VerifiedLogout, Refusal>, Busy> {
        let parts = &self.parts;
        let destination = parts.addresses.slo_url.clone();
        let (skew, strict_certificates) = (parts.clock_skew, parts.strict_certificates);
        let now = parts.clock.now();
        parts
            .verifiers
            .run(move || {
                message.verify(&LogoutExpectation {
                    trust: &idp.trust,
                    destination: &destination,
                    skew,
                    strict_certificates,
                    now,
                })
            })
            .await
    }

    async fn sign_out(&self, idp: &Idp, request: &LogoutRequest) -> Result<LoggedOut, Stop> {
        let parts = &self.parts;
        // Of copies that come at once one does it, and the others are replays.
        let ReplayId([first, ..]) = request.replay_id;
        let _turn = match self.turns.get(usize::from(first) % TURNS) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let id = std::slice::from_ref(&request.replay_id);
        if parts.store.find_replay(id).await?.is_some() {
            return Err(Stop::Refused(Reason::Replayed));
        }
        let since = parts.clock.now() - REPEATED_FOR;
        let mut sessions = parts
            .store
            .sessions_of_name_id(&idp.settings.name, &request.name_id, since)
            .await?;
        sessions.retain(|session| meant(&session.live, request));
        if !sessions.is_empty() {
            self.end(idp, &sessions).await?;
        }
        // Last, so that a request that broke off halfway can be sent again: ending twice ends nothing more, and what
        // the audit has missed it is told then.
        parts
            .store
            .take_logout(&request.replay_id, request.remember_until)
            .await?;
        Ok(self.answer(idp, request))
    }

    fn answer(&self, idp: &Idp, request: &LogoutRequest) -> LoggedOut {
        let ring = self.parts.keys.current();
        let answer = ring
            .signer()
            .map(|signer| self.sender(idp, signer).response(request));
        match answer.transpose() {
            Ok(Some(Some(url))) => LoggedOut::Answer(url),
            Ok(_) => LoggedOut::Done,
            Err(error) => {
                tracing::error!(event = "logout_unsigned", %error, "the answer could not be signed");
                LoggedOut::Done
            }
        }
    }

    /// Where to send a browser that signed out here, so that its IdP signs the person out too; `None`
    /// where the IdP takes no logout request, or nothing of ours can sign one. To be asked before the session
    /// ends, whose tokens go with it.
    pub async fn begin(&self, live: &LiveSession) -> Option<LogoutNext> {
        match self.parts.providers.by_name(&live.subject.person().idp) {
            Some(provider) => self.begin_at_provider(&provider, live).await,
            None => self
                .request(live)
                .map(|url| LogoutNext { url, binding: None }),
        }
    }

    fn request(&self, live: &LiveSession) -> Option<String> {
        let handle = live.subject.parts().logout.as_ref()?;
        let idp = self.parts.idps.by_name(&live.subject.person().idp)?;
        let ring = self.parts.keys.current();
        let request = self.sender(&idp, ring.signer()?).request(handle);
        request
            .inspect_err(|error| {
                tracing::error!(event = "logout_unsigned", %error, "the request could not be signed");
            })
            .ok()
            .flatten()
    }

    fn sender<'a>(&'a self, idp: &'a Idp, signer: &'a crate::saml::ServiceKey) -> LogoutSender<'a> {
        LogoutSender {
            trust: &idp.trust,
            entity_id: &self.parts.addresses.entity_id,
            signer,
            clock: &*self.parts.clock,
            entropy: &*self.parts.entropy,
        }
    }

    /// Logs and audits why, not waited for: a stranger's message costs no disk flush of a request.
    fn refuse(&self, reason: &Reason, address: IpAddr) -> Reference {
        let reference = Reference::fresh(&*self.parts.clock, &*self.parts.entropy);
        let text = reason.text();
        tracing::warn!(event = "logout_refused", %reference, reason = ?text, "a logout message was refused");
        let event = Event {
            reference: Some(reference.clone()),
            reason: Some(text),
            address: Some(address),
            ..Event::new(EventKind::LogoutRefused)
        };
        self.parts.recorder.note(event, reason.code());
        reference
    }
}

/// Core 3.7.1: without a SessionIndex every session of the person is meant.
fn meant(session: &LiveSession, request: &LogoutRequest) -> bool {
    let handle = session.subject.parts().logout.as_ref();
    let known = handle.map_or(&[][..], |handle| handle.session_indexes.as_slice());
    request.session_indexes.is_empty()
        || request
            .session_indexes
            .iter()
            .any(|index| known.contains(index))
}
