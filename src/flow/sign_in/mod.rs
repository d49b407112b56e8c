//! A posted response, or a provider's callback, becomes a session: read, verify, accept once, open, mint.
//!
//! The two protocols come in by ways of their own (`oidc` is the one beside the ACS here) and end alike.
//! Verification runs off the async threads, at most one per core at a time, with a deadline. To the
//! stranger every refusal looks alike; the reason goes to log and audit under the reference, and every
//! check to the keeper, behind the answer.

mod counts;
mod error;
mod keeper;
mod oidc;
mod oidc_reason;
mod opening;
mod rules;
mod session;
mod shapes;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

use counts::SignInCounts;
pub use error::SignInError;
use error::{Reason, Stop};
use keeper::{Examiner, Form, Refused};
use opening::Opening;
pub use rules::{SignInRules, return_target};
pub(in crate::flow) use session::digest;
pub use shapes::{Arrived, Confirmed, Output, Posted, SignedIn, Started};

use super::mint::MintTurn;
use super::{Busy, Counted, Fetch, Idp, Idps, Mint, Providers, Underway, Verifiers};
use crate::audit::{Event, EventKind, Recorder};
use crate::config::IdpInitiated;
use crate::model::{Clock, Entropy, IdpName, Reference, TRACES, Token};
use crate::saml::{RawResponse, UnverifiedResponse, VerifiedAssertion, verify};
use crate::store::{ConsumedRequest, SignInRequest, Store};

/// Refusals on their way to the keeper at once, whose bodies wait with them.
const REFUSALS: usize = 256;

/// What [`SignIn`] works with.
pub struct SignInParts {
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// The OpenID providers in force.
    pub providers: Arc<Providers>,
    /// The store.
    pub store: Store,
    /// Turns grants into credentials.
    pub mint: Arc<Mint>,
    /// Whose cache must learn of a new session.
    pub fetch: Arc<Fetch>,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Whose turns verifications take.
    pub verifiers: Verifiers,
    /// What holds for every IdP.
    pub rules: SignInRules,
    /// How many sign-ins may be begun and not ended.
    pub open_sign_ins: u32,
    /// What must end before the process does.
    pub underway: Underway,
}

/// Takes responses and opens sessions.
pub struct SignIn {
    parts: Arc<SignInParts>,
    refusals: Arc<Semaphore>,
    keeper: mpsc::Sender<(Refused, Counted)>,
    begun: AtomicU64,
    counts: SignInCounts,
}

impl SignIn {
    /// Takes responses with `parts`. Must be called within a Tokio runtime.
    pub fn new(parts: SignInParts) -> Self {
        let examiner = Examiner {
            idps: Arc::clone(&parts.idps),
            rules: parts.rules.clone(),
            allow_list: Arc::clone(&parts.mint.allow_list),
        };
        let providers = parts.providers.all().iter();
        let providers = providers.map(|provider| provider.settings.name.clone());
        Self {
            counts: SignInCounts::of(parts.idps.names().into_iter().chain(providers)),
            keeper: keeper::start(examiner, parts.store.clone()),
            parts: Arc::new(parts),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            begun: AtomicU64::new(0),
        }
    }

    /// Takes what was posted to the ACS.
    pub async fn accept(&self, posted: Posted<'_>) -> Result<SignedIn, SignInError> {
        let mut idp = None;
        let outcome = self.accepted(posted, &mut idp).await;
        self.counts.count(idp.as_ref(), &outcome);
        outcome
    }

    /// As [`Self::accept`]; `idp` becomes the one that the response names, once it is one of ours.
    async fn accepted(
        &self,
        posted: Posted<'_>,
        idp: &mut Option<IdpName>,
    ) -> Result<SignedIn, SignInError> {
        let (kind, encoding) = (posted.content_type, posted.content_encoding);
        let form = RawResponse::from_form(kind, encoding, posted.body).map_err(|problem| {
            let reason = Reason::Form(problem.clone());
            let reference = self.refuse(reason, posted.address, None, None);
            SignInError::Form(problem, reference)
        })?;
        let relay_state = form.relay_state;
        match self.journey(form.response, relay_state, &posted, idp).await {
            Ok(signed_in) => Ok(signed_in),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(reason)) => {
                let reference = self.refuse(reason, posted.address, Some(&posted), None);
                Err(SignInError::Refused(reference))
            }
        }
    }

    async fn journey(
        &self,
        raw: RawResponse,
        relay_state: Option<String>,
        posted: &Posted<'_>,
        known: &mut Option<IdpName>,
    ) -> Result<SignedIn, Stop> {
        let response = self.off_thread(move || raw.read()).await??;
        let idp = self
            .parts
            .idps
            .by_issuer(response.issuer_hint())
            .ok_or_else(|| {
                Reason::UnknownIssuer(response.issuer_hint().chars().take(256).collect())
            })?;
        *known = Some(idp.settings.name.clone());
        let request = self.request_of(&response, &idp, posted.binding).await?;
        let request_id = request.as_ref().map(|request| request.id.clone());
        let verified = self
            .verify(response, Arc::clone(&idp), request_id)
            .instrument(tracing::info_span!(target: TRACES, "saml.verify"))
            .await?;
        let turn = self.turn().await?;
        let consumed = self.consume(request.as_ref()).await?;
        let return_to = match request {
            Some(request) => request.return_to,
            None => relay_state
                .and_then(|state| return_target(&state, &self.parts.rules.return_origins)),
        };
        let confirm = consumed.is_none()
            && posted.output == Output::Browser
            && idp.settings.idp_initiated == IdpInitiated::Confirm;
        let opening = Opening {
            verified,
            request: consumed,
            idp: idp.settings.name.clone(),
            doors: self.parts.doors(confirm, posted.address),
            return_to,
            turn,
        };
        let opened = Arc::clone(&self.parts).open(opening);
        self.parts.underway.see_through(opened).await
    }

    /// The request of ours that `response` says it answers, if it is one, this IdP's and this browser's.
    async fn request_of(
        &self,
        response: &UnverifiedResponse,
        idp: &Idp,
        binding: Option<&str>,
    ) -> Result<Option<SignInRequest>, Stop> {
        let name = &idp.settings.name;
        let Some(id) = response.request_hint() else {
            if idp.settings.idp_initiated == IdpInitiated::Refuse {
                return Err(Reason::Unsolicited(name.clone()).into());
            }
            return Ok(None);
        };
        let request = self.parts.store.find_request(id).await?;
        let request = request.filter(|request| request.idp == *name);
        let request = request.ok_or_else(|| Reason::RequestUnknown(name.clone()))?;
        if !is_bound(&request, binding) {
            return Err(Reason::OtherBrowser.into());
        }
        Ok(Some(request))
    }

    async fn verify(
        &self,
        response: UnverifiedResponse,
        idp: Arc<Idp>,
        request: Option<String>,
    ) -> Result<VerifiedAssertion, Stop> {
        let rules = self.parts.rules.clone();
        let now = self.parts.clock.now();
        let verified = self
            .off_thread(move || {
                let keys = rules.keys.current();
                let expectation = rules.expectation(&idp, request.as_deref(), &keys, now);
                verify(response, &expectation)
            })
            .await??;
        Ok(verified)
    }

    async fn consume(
        &self,
        request: Option<&SignInRequest>,
    ) -> Result<Option<ConsumedRequest>, Stop> {
        let Some(request) = request else {
            return Ok(None);
        };
        let consumed = self
            .parts
            .store
            .consume_request(&request.id, &request.idp, &request.binding)
            .await?;
        match consumed {
            Some(consumed) => Ok(Some(consumed)),
            None => Err(Reason::RequestUnknown(request.idp.clone()).into()),
        }
    }

    /// A turn to have credentials made, taken before the document is used up: who finds none may send it again.
    async fn turn(&self) -> Result<MintTurn, Stop> {
        let turn = self.parts.mint.turns.take().await;
        turn.map_err(|Busy| Stop::Failed(SignInError::Busy))
    }

    /// Runs C code where it cannot stall other requests.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let done = self.parts.verifiers.run(work).await;
        done.map_err(|Busy| Stop::Failed(SignInError::Busy))
    }

    /// Logs, audits and keeps why; the client learns the reference alone. Nothing of it is waited for, so
    /// that a stranger's document costs no disk flush of a request, and the answer's time tells nothing. Of a flood
    /// the audit has the number. `idp` is who was to sign the person in, where that does not hang on the document.
    fn refuse(
        &self,
        reason: Reason,
        address: IpAddr,
        posted: Option<&Posted<'_>>,
        idp: Option<IdpName>,
    ) -> Reference {
        let reference = Reference::fresh(&*self.parts.clock, &*self.parts.entropy);
        let (code, text, alarm) = (reason.code(), reason.to_string(), reason.is_alarm());
        tracing::warn!(event = "sign_in_refused", %reference, code, reason = ?text, "a response was refused");
        let event = Event {
            reference: Some(reference.clone()),
            idp,
            reason: Some(format!("{code}: {text}")),
            address: Some(address),
            ..Event::new(if alarm {
                EventKind::Alarm
            } else {
                EventKind::SignInRefused
            })
        };
        // What a provider has signed is worth a record, unless somebody sends it again and again.
        if reason.is_signed() {
            self.parts.recorder.note_signed(event, code);
        } else {
            self.parts.recorder.note(event, code);
        }
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return reference;
        };
        // Where the queue is full, the audit has the reason.
        if let Ok(place) = self.keeper.try_reserve() {
            let refused = Refused {
                reference: reference.clone(),
                reason,
                at: self.parts.clock.now(),
                form: posted.map(Form::of),
                turn,
            };
            place.send((refused, self.parts.underway.count()));
        }
        reference
    }
}

/// Whether the binding cookie is the one that the browser got which made `request`.
fn is_bound(request: &SignInRequest, binding: Option<&str>) -> bool {
    binding
        .and_then(|cookie| cookie.parse::<Token>().ok())
        .is_some_and(|token| openssl::memcmp::eq(&digest(&token.hash()), &request.binding))
}
