//! The two ends of a sign-in: the request to the IdP, and the session that an accepted response opens.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::error::{Reason, Stop};
use super::{Confirmed, SignIn, SignInError, SignedIn, Started, return_target};
use crate::audit::{Event, EventKind};
use crate::flow::assignments;
use crate::flow::mint::MintTurn;
use crate::model::{IdpName, Secret, SessionId, Subject, TRACES, Token, TokenHash, TokenKind, hex};
use crate::saml::{VerifiedAssertion, authn_request};
use crate::store::{Fresh, NewSession, Opened, SessionState, SignInRequest};

/// How long an answer may wait for STS; the mint goes on behind it.
const MINT_WAIT: Duration = Duration::from_secs(4);

/// The ways into a session that is about to be opened.
pub(super) struct Doors {
    pub(super) new: NewSession,
    /// The session's, or of a pending one the cookie's.
    token: Token,
    /// The confirm page's button's.
    one_time: Token,
    /// Where the sign-in came from.
    address: IpAddr,
}

impl SignIn {
    /// Begins a sign-in at `idp`: an `AuthnRequest`, remembered for ten minutes and bound to the browser.
    pub async fn start(&self, idp: &str, return_to: Option<&str>) -> Result<Started, SignInError> {
        let parts = &self.parts;
        let unknown = || SignInError::UnknownIdp(idp.chars().take(64).collect());
        let name: IdpName = idp.parse().map_err(|_| unknown())?;
        let Some(idp) = parts.idps.by_name(&name) else {
            return Err(if parts.idps.waiting().contains(&name) {
                SignInError::IdpNotReady(name)
            } else {
                unknown()
            });
        };
        let (clock, entropy) = (&*parts.clock, &*parts.entropy);
        let rules = &parts.rules;
        let request = authn_request(
            &idp.trust,
            &rules.entity_id,
            &rules.acs_url,
            rules.keys.current().signer(),
            clock,
            entropy,
        )
        .map_err(|_| unknown())?;
        let (id, url) = (request.id, request.redirect_url);
        self.remember(id, name, return_to, None, url).await
    }

    /// Remembers the request `id` for ten minutes, bound to the browser that is sent to `redirect_url`.
    pub(super) async fn remember(
        &self,
        id: String,
        idp: IdpName,
        return_to: Option<&str>,
        secret: Option<Secret>,
        redirect_url: String,
    ) -> Result<Started, SignInError> {
        let (parts, rules) = (&self.parts, &self.parts.rules);
        let binding = Token::fresh(TokenKind::Session, &*parts.entropy);
        let request = SignInRequest {
            id,
            idp,
            binding: digest(&binding.hash()),
            return_to: return_to.and_then(|target| return_target(target, &rules.return_origins)),
            secret,
        };
        parts.store.save_request(request).await?;
        self.bound_requests().await?;
        Ok(Started {
            redirect_url,
            binding: binding.into_secret(),
        })
    }

    /// Forgets the oldest beginnings where there are too many, looked at once in a while.
    ///
    /// Whoever has many addresses can begin more sign-ins than are kept, and an honest one that takes its time at the
    /// IdP is then forgotten and has to begin again. To refuse new ones instead would be worse: a tenth of the
    /// addresses would do, and nobody could sign in at all.
    async fn bound_requests(&self) -> Result<(), SignInError> {
        let most = self.parts.open_sign_ins;
        let once_in = u64::from(most / 20).clamp(1, 1000);
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        if begun.is_multiple_of(once_in) {
            let forgotten = self.parts.store.bound_requests(most).await?;
            if forgotten > 0 {
                tracing::warn!(
                    event = "sign_ins_forgotten",
                    forgotten,
                    "more sign-ins were begun than server.limits.open_sign_ins; the oldest must begin again"
                );
            }
        }
        Ok(())
    }

    pub(super) async fn open(
        &self,
        fresh: Fresh<VerifiedAssertion>,
        confirm: bool,
        address: IpAddr,
        return_to: Option<String>,
        turn: MintTurn,
    ) -> Result<SignedIn, Stop> {
        let parts = &self.parts;
        let doors = self.doors(confirm, address);
        let opened = parts.store.open_session(fresh, doors.new.clone());
        let opened = opened
            .instrument(tracing::info_span!(target: TRACES, "store.open_session"))
            .await?;
        let mint = |subject, proof| parts.mint.start(subject, proof, turn);
        self.welcome(opened, doors, return_to, mint).await
    }

    /// The ways into a session that is about to be opened.
    pub(super) fn doors(&self, confirm: bool, address: IpAddr) -> Doors {
        let parts = &self.parts;
        let entropy = &*parts.entropy;
        let token = Token::fresh(TokenKind::Session, entropy);
        let one_time = Token::fresh(TokenKind::Session, entropy);
        let new = NewSession {
            id: SessionId::fresh(&*parts.clock, entropy),
            state: if confirm {
                SessionState::Pending
            } else {
                SessionState::Confirmed
            },
            token: (!confirm).then(|| token.hash()),
            confirm: confirm.then(|| confirmation(&one_time.hash(), &token.hash())),
            expires_at: parts.clock.now() + parts.rules.max_age,
        };
        Doors {
            new,
            token,
            one_time,
            address,
        }
    }

    /// What every sign-in comes to, by whichever protocol: refused after all where a hold says so, recorded, and
    /// turned into credentials by `mint`, whose outcome is waited for a moment.
    pub(super) async fn welcome<P>(
        &self,
        opened: Opened<P>,
        doors: Doors,
        return_to: Option<String>,
        mint: impl FnOnce(Arc<Subject>, P) -> JoinHandle<()>,
    ) -> Result<SignedIn, Stop> {
        let parts = &self.parts;
        let Opened {
            live,
            proof,
            overwritten,
        } = opened;
        let subject = Arc::clone(&live.subject);
        if let Some(gone) = &overwritten {
            let event = assignments::overwritten(gone, subject.session());
            self.record_or_end(&subject, event).await?;
        }
        if let Err(stop) = self.refuse_held(&subject).await {
            parts.store.end_session(subject.session()).await?;
            return Err(stop);
        }
        self.record_or_end(&subject, accepted(&subject, doors.address))
            .await?;
        parts.fetch.forget_person(subject.person()).await;
        let minting = mint(Arc::clone(&subject), proof);
        if doors.new.state == SessionState::Pending {
            return Ok(SignedIn::Confirm {
                user: subject.person().user.to_string(),
                idp: subject.person().idp.to_string(),
                one_time: doors.one_time.into_secret(),
                cookie: doors.token.into_secret(),
                return_to,
            });
        }
        // Dropping the handle when the time is up leaves the task running.
        let _waited = tokio::time::timeout(MINT_WAIT, minting).await;
        Ok(SignedIn::Open {
            live,
            token: doors.token.into_secret(),
            return_to,
        })
    }

    /// A session that the audit does not know must not be drawn on.
    async fn record_or_end(&self, subject: &Subject, event: Event) -> Result<(), Stop> {
        let parts = &self.parts;
        if let Err(error) = parts.recorder.record(event).await {
            parts.store.end_session(subject.session()).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Asked once the session stands: a revocation either found it, or its hold is there to be seen.
    async fn refuse_held(&self, subject: &Subject) -> Result<(), Stop> {
        let person = subject.person();
        match self.parts.store.hold_on(person).await? {
            Some(hold) => Err(Reason::Held(person.clone(), Box::new(hold)).into()),
            None => Ok(()),
        }
    }

    /// Opens the pending session that `one_time` and the cookie of the same answer name.
    pub async fn confirm(
        &self,
        one_time: &str,
        cookie: &str,
    ) -> Result<Option<Confirmed>, SignInError> {
        let parts = &self.parts;
        let (Ok(one_time), Ok(cookie)) = (one_time.parse::<Token>(), cookie.parse::<Token>())
        else {
            return Ok(None);
        };
        let hash = confirmation(&one_time.hash(), &cookie.hash());
        let token = Token::fresh(TokenKind::Session, &*parts.entropy);
        let Some(session) = parts.store.confirm_session(&hash, token.hash()).await? else {
            return Ok(None);
        };
        let Some(live) = parts.store.subject_by_token(&token.hash()).await? else {
            return Ok(None);
        };
        let event = Event {
            person: Some(live.subject.person().clone()),
            session: Some(session),
            ..Event::new(EventKind::SessionConfirmed)
        };
        parts.recorder.record(event).await?;
        parts.fetch.forget_person(live.subject.person()).await;
        Ok(Some(Confirmed {
            token: token.into_secret(),
            expires_at: live.expires_at,
        }))
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

/// What the store keeps of a binding cookie.
pub(in crate::flow) fn digest(hash: &TokenHash) -> [u8; 32] {
    openssl::sha::sha256(hash.as_bytes())
}

/// What the store keeps of a confirm page: neither the button nor the cookie alone gives it.
fn confirmation(one_time: &TokenHash, cookie: &TokenHash) -> [u8; 32] {
    let text = format!("{}.{}", hex(one_time.as_bytes()), hex(cookie.as_bytes()));
    openssl::sha::sha256(text.as_bytes())
}
