//! What an accepted sign-in comes to: a session, in the audit, and credentials.
//!
//! From the moment that a document is used up all of this goes on though the client goes away. A session is opened
//! pending, when nobody draws on it, and is confirmed once no hold forbids it and the audit has it: where the process
//! is killed in between, or the store goes away, what is left is dropped unused, and jobs go on with what they had.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::error::{Reason, Stop};
use super::oidc_reason::OidcReason;
use super::session::confirmation;
use super::{SignInParts, SignedIn};
use crate::audit::{Event, EventKind};
use crate::flow::mint::MintTurn;
use crate::flow::{assignments, refresh_at};
use crate::model::{IdpName, SessionId, SignIn as Proven, Subject, TRACES, Token, TokenKind};
use crate::oidc::VerifiedIdToken;
use crate::saml::VerifiedAssertion;
use crate::store::{
    AcceptError, Assignment, ConsumedRequest, Fresh, NewSession, Opened, SessionState, StoreError,
};

/// How long an answer may wait for STS; the mint goes on behind it.
const MINT_WAIT: Duration = Duration::from_secs(4);
/// For how long, and how often, a session is confirmed whose confirmation the store does not answer.
const WITHIN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);

/// What is to be accepted, once, and whom it is for.
pub(super) struct Opening<T> {
    pub(super) verified: T,
    /// The request of ours that it answers, used up.
    pub(super) request: Option<ConsumedRequest>,
    /// Who signed the person in.
    pub(super) idp: IdpName,
    pub(super) doors: Doors,
    /// Where the person wanted to go.
    pub(super) return_to: Option<String>,
    /// The turn to have credentials made.
    pub(super) turn: MintTurn,
}

/// The ways into a session that is about to be opened.
pub(super) struct Doors {
    new: NewSession,
    /// The session's, or of a confirm page the cookie's.
    token: Token,
    /// The confirm page's button's.
    one_time: Token,
    /// Where the sign-in came from.
    address: IpAddr,
}

impl Doors {
    /// Whether a browser must confirm first.
    fn has_button(&self) -> bool {
        self.new.confirm.is_some()
    }
}

impl SignInParts {
    /// The ways into a session that is about to be opened, with a button in between where `confirm` says so.
    pub(super) fn doors(&self, confirm: bool, address: IpAddr) -> Doors {
        let entropy = &*self.entropy;
        let token = Token::fresh(TokenKind::Session, entropy);
        let one_time = Token::fresh(TokenKind::Session, entropy);
        let new = NewSession {
            id: SessionId::fresh(&*self.clock, entropy),
            state: SessionState::Pending,
            token: (!confirm).then(|| token.hash()),
            confirm: confirm.then(|| confirmation(&one_time.hash(), &token.hash())),
            expires_at: self.clock.now() + self.rules.max_age,
        };
        Doors {
            new,
            token,
            one_time,
            address,
        }
    }

    /// Accepts a response once and opens its session.
    pub(super) async fn open(
        self: Arc<Self>,
        opening: Opening<VerifiedAssertion>,
    ) -> Result<SignedIn, Stop> {
        let Opening { doors, turn, .. } = opening;
        let accepted = self.accept_once(opening.verified, opening.request.as_ref());
        let fresh = accepted.await.map_err(|error| match error {
            AcceptError::Replayed => Reason::Replayed.into(),
            AcceptError::RequestUnknown => Reason::RequestUnknown(opening.idp).into(),
            AcceptError::Store(error) => Stop::from(error),
        })?;
        let opened = self.store.open_session(fresh, doors.new.clone());
        let opened = opened
            .instrument(tracing::info_span!(target: TRACES, "store.open_session"))
            .await?;
        let mint = |subject, proof| self.mint.start(subject, proof, turn);
        self.welcome(opened, doors, opening.return_to, mint).await
    }

    /// Accepts an ID token once, opens its session and keeps the tokens with it.
    pub(super) async fn open_with_tokens(
        self: Arc<Self>,
        opening: Opening<VerifiedIdToken>,
    ) -> Result<SignedIn, Stop> {
        let Opening { doors, turn, .. } = opening;
        let (id, now) = (&doors.new.id, self.clock.now());
        let refresh_at = refresh_at(opening.verified.id_token(), id, now);
        let accepted = self.accept_once(opening.verified, opening.request.as_ref());
        let fresh = accepted.await.map_err(|error| match error {
            AcceptError::Replayed => OidcReason::Replayed(opening.idp).into(),
            AcceptError::RequestUnknown => OidcReason::RequestUnknown(opening.idp).into(),
            AcceptError::Store(error) => Stop::from(error),
        })?;
        let new = doors.new.clone();
        let opened = self.store.open_session_with_tokens(fresh, new, refresh_at);
        let opened = opened
            .instrument(tracing::info_span!(target: TRACES, "store.open_session"))
            .await?;
        let mint = |subject, _tokens| self.mint.start_with_id_token(subject, turn);
        self.welcome(opened, doors, opening.return_to, mint).await
    }

    async fn accept_once<T: Proven>(
        &self,
        verified: T,
        request: Option<&ConsumedRequest>,
    ) -> Result<Fresh<T>, AcceptError> {
        let accepted = self.store.accept(verified, request);
        let span = tracing::info_span!(target: TRACES, "store.accept");
        accepted.instrument(span).await
    }

    /// What every sign-in comes to, by whichever protocol: refused after all where a hold says so, recorded,
    /// confirmed, and turned into credentials by `mint`, whose outcome is waited for a moment.
    async fn welcome<P>(
        &self,
        opened: Opened<P>,
        doors: Doors,
        return_to: Option<String>,
        mint: impl FnOnce(Arc<Subject>, P) -> JoinHandle<()>,
    ) -> Result<SignedIn, Stop> {
        let Opened {
            mut live,
            proof,
            overwritten,
        } = opened;
        let subject = Arc::clone(&live.subject);
        if let Err(stop) = self.admit(&subject, overwritten, doors.address).await {
            // Nobody draws on it, nor will where the store does not take this.
            let _ended = self.store.end_session(subject.session()).await;
            return Err(stop);
        }
        if doors.has_button() {
            // Nobody draws on it before the button; but the assertion does not wait.
            let _minting = mint(Arc::clone(&subject), proof);
            return Ok(SignedIn::Confirm {
                user: subject.person().user.to_string(),
                idp: subject.person().idp.to_string(),
                one_time: doors.one_time.into_secret(),
                cookie: doors.token.into_secret(),
                return_to,
            });
        }
        let confirmed = self.confirm_opened(subject.session()).await;
        if confirmed.is_err() {
            // It may have been done: the person's newest, for which nothing was minted.
            let _ended = self.store.end_session(subject.session()).await;
        }
        // Where it was ended meanwhile, its token opens nothing: as if that had come a moment later.
        if confirmed? {
            self.fetch.forget_person(subject.person()).await;
            // Dropping the handle when the time is up leaves the task running.
            let _waited = tokio::time::timeout(MINT_WAIT, mint(subject, proof)).await;
        }
        live.state = SessionState::Confirmed;
        Ok(SignedIn::Open {
            live,
            token: doors.token.into_secret(),
            return_to,
        })
    }

    /// A session that an admin's hold forbids, or that the audit does not know, must not be drawn on.
    async fn admit(
        &self,
        subject: &Subject,
        overwritten: Option<Assignment>,
        address: IpAddr,
    ) -> Result<(), Stop> {
        if let Some(gone) = &overwritten {
            let event = assignments::overwritten(gone, subject.session());
            self.recorder.record(event).await?;
        }
        self.refuse_held(subject).await?;
        Ok(self.recorder.record(accepted(subject, address)).await?)
    }

    /// Asked once the session stands: a revocation either found it, or its hold is there to be seen.
    async fn refuse_held(&self, subject: &Subject) -> Result<(), Stop> {
        let person = subject.person();
        match self.store.hold_on(person).await? {
            Some(hold) => Err(Reason::Held(person.clone(), Box::new(hold)).into()),
            None => Ok(()),
        }
    }

    /// Lets the session be drawn on; says whether it was still going. Asked again where there is no answer: it may
    /// have been done, and then the credentials are wanted.
    async fn confirm_opened(&self, session: &SessionId) -> Result<bool, StoreError> {
        let until = Instant::now() + WITHIN;
        loop {
            match self.store.confirm_opened(session).await {
                Err(_) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                confirmed => return confirmed,
            }
        }
    }
}

fn accepted(subject: &Subject, address: IpAddr) -> Event {
    Event {
        address: Some(address),
        person: Some(subject.person().clone()),
        session: Some(subject.session().clone()),
        reason: Some(format!("{} roles offered", subject.parts().offers.len())),
        ..Event::new(EventKind::SignInAccepted)
    }
}
