//! Signing a command line in: it shows a code, its person allows it in a browser, it takes a token.
//!
//! Trusts the browser's session for who answers, and the code for what is answered: the person compares
//! it, so it is short, and guesses are counted. The token is made when it is taken, so that nothing
//! keeps it meanwhile. RFC 8628 names the steps; whoever has the device code alone has nothing yet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::{Access, Unavailable};
use crate::audit::{Event, EventKind};
use crate::model::{Entropy, Secret, SessionId, Token, TokenKind, rfc3339};
use crate::store::{
    LOGIN_LIVES, LiveSession, LoginAnswer, LoginPoll, NewLogin, PendingLogin, StoreError,
};

/// How long a command line waits between two questions (RFC 8628, 3.5).
const INTERVAL: TimeDelta = TimeDelta::seconds(2);

/// The letters of codes (RFC 8628, 6.1): none is a vowel or looks like a figure, so that no code is a word.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many letters a code has: 34 bits.
const LETTERS: usize = 8;

/// Wrong codes that one session may send within [`GUESS_WINDOW`].
const GUESSES: u32 = 5;
const GUESS_WINDOW: TimeDelta = TimeDelta::minutes(1);
/// From how many sessions with wrong codes on, those of past minutes are let go.
const COUNTED: usize = 1000;

/// What a command line is given to begin with.
#[derive(Debug)]
pub struct LoginBegun {
    /// What it asks with.
    pub device_code: Secret,
    /// What its person compares, as `XXXX-XXXX`.
    pub user_code: String,
    /// For how many seconds both are good.
    pub expires_in: i64,
    /// How many seconds lie between two questions.
    pub interval: i64,
}

/// A command line's own way onto its person's session.
#[derive(Debug)]
pub struct LoginDone {
    /// The bearer token.
    pub session_token: Secret,
    /// The session that it leads to.
    pub live: LiveSession,
}

/// A code that waits for its person's answer.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginAsked {
    /// The code, as the command line shows it.
    pub user_code: String,
    /// Where it was asked for.
    pub address: IpAddr,
    /// When.
    pub asked_at: String,
}

/// Why a step of the sign-in is not done.
#[derive(Debug, Error)]
pub enum LoginError {
    /// Nobody has answered yet.
    #[error("nobody has allowed this yet; ask again after the interval")]
    Pending,
    /// Asked too soon.
    #[error("asked too soon; wait five seconds longer between questions")]
    SlowDown,
    /// The person said no.
    #[error("the person at the browser denied this sign-in")]
    Denied,
    /// Unknown, expired, taken, or the session ended.
    #[error("this code is unknown, older than ten minutes, or was used; begin again")]
    Expired,
    /// One address has too many codes open.
    #[error("too many sign-ins wait for an answer from this address; try again in a minute")]
    TooManyOpen,
    /// No sign-in waits under this code.
    #[error(
        "No sign-in waits under this code. It may be mistyped, answered already, or older than ten minutes; the command line shows the one that counts."
    )]
    WrongCode,
    /// Too many wrong codes.
    #[error("Too many wrong codes. Wait a minute, then type the one that your command line shows.")]
    TooManyGuesses,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// The wrong codes of one session, and since when they are counted.
#[derive(Clone, Copy)]
struct Guesses {
    since: DateTime<Utc>,
    wrong: u32,
}

/// Signs command lines in.
pub struct Login {
    access: Arc<Access>,
    entropy: Arc<dyn Entropy>,
    guesses: Mutex<HashMap<SessionId, Guesses>>,
}

impl Login {
    /// Over `access`, with codes from `entropy`.
    pub fn new(access: Arc<Access>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            access,
            entropy,
            guesses: Mutex::new(HashMap::new()),
        }
    }

    /// Begins a sign-in, for whoever asks from `address`.
    pub async fn begin(&self, address: IpAddr) -> Result<LoginBegun, LoginError> {
        let device = Token::fresh(TokenKind::Device, &*self.entropy);
        let letters = fresh_letters(&*self.entropy);
        let login = NewLogin {
            device: device.hash(),
            user_code: digest(&letters),
            address,
        };
        if !self.access.store.add_login(&login).await? {
            return Err(LoginError::TooManyOpen);
        }
        Ok(LoginBegun {
            device_code: device.into_secret(),
            user_code: shown(&letters),
            expires_in: LOGIN_LIVES.num_seconds(),
            interval: INTERVAL.num_seconds(),
        })
    }

    /// Refuses a poll that comes to nothing; anybody may send any number of those.
    pub async fn glance(&self, device: &Token) -> Result<(), LoginError> {
        let store = &self.access.store;
        match store.glance_at_login(&device.hash(), INTERVAL).await? {
            None => Ok(()),
            Some(LoginPoll::TooSoon) => Err(LoginError::SlowDown),
            Some(_) => Err(LoginError::Expired),
        }
    }

    /// Says what has become of a device code; a yes is told once, with the token.
    pub async fn poll(&self, device: &Token, address: IpAddr) -> Result<LoginDone, LoginError> {
        if device.kind() != TokenKind::Device {
            return Err(LoginError::Expired);
        }
        let token = Token::fresh(TokenKind::Session, &*self.entropy);
        let (device, hash) = (device.hash(), token.hash());
        let store = &self.access.store;
        let session = match store.poll_login(&device, &hash, address, INTERVAL).await? {
            LoginPoll::Approved(session) => session,
            LoginPoll::Pending => return Err(LoginError::Pending),
            LoginPoll::TooSoon => return Err(LoginError::SlowDown),
            LoginPoll::Denied => return Err(LoginError::Denied),
            LoginPoll::Gone => return Err(LoginError::Expired),
        };
        // By the way that every later call takes, with all that may stand in it.
        let live = self.access.session(&token).await?;
        let live = live.ok_or(LoginError::Expired)?;
        let event = Event {
            person: Some(live.subject.person().clone()),
            session: Some(session),
            address: Some(address),
            ..Event::new(EventKind::LoginCompleted)
        };
        self.access.recorder.record(event).await?;
        Ok(LoginDone {
            session_token: token.into_secret(),
            live,
        })
    }

    /// What waits under the code that the person of `live` typed or followed.
    pub async fn look(&self, live: &LiveSession, code: &str) -> Result<LoginAsked, LoginError> {
        let letters = self.guess(live, code)?;
        let pending = self.access.store.pending_login(&digest(&letters)).await?;
        let pending = pending.ok_or(LoginError::WrongCode)?;
        self.guessed_right(live);
        Ok(asked(&letters, &pending))
    }

    /// Answers the code for the person of `live`, whose browser is at `address`.
    pub async fn answer(
        &self,
        live: &LiveSession,
        code: &str,
        answer: LoginAnswer,
        address: IpAddr,
    ) -> Result<LoginAsked, LoginError> {
        let letters = self.guess(live, code)?;
        let (session, digest) = (live.subject.session(), digest(&letters));
        let store = &self.access.store;
        let answered = store.answer_login(&digest, session, answer).await?;
        let asked = asked(&letters, &answered.ok_or(LoginError::WrongCode)?);
        self.guessed_right(live);
        let event = Event {
            person: Some(live.subject.person().clone()),
            session: Some(session.clone()),
            address: Some(address),
            reason: Some(format!(
                "asked from {} at {}",
                asked.address, asked.asked_at
            )),
            ..Event::new(match answer {
                LoginAnswer::Allow => EventKind::LoginApproved,
                LoginAnswer::Deny => EventKind::LoginDenied,
            })
        };
        self.access.recorder.record(event).await?;
        Ok(asked)
    }

    /// Counts a guess before it is looked up, so that many at once are not more than the limit.
    fn guess(&self, live: &LiveSession, code: &str) -> Result<String, LoginError> {
        let now = self.access.clock.now();
        let mut all = self.guesses();
        if all.len() >= COUNTED {
            all.retain(|_, guesses| now < guesses.since + GUESS_WINDOW);
        }
        let fresh = Guesses {
            since: now,
            wrong: 0,
        };
        let session = live.subject.session().clone();
        let guesses = all.entry(session).or_insert(fresh);
        if now >= guesses.since + GUESS_WINDOW {
            *guesses = fresh;
        }
        if guesses.wrong >= GUESSES {
            return Err(LoginError::TooManyGuesses);
        }
        guesses.wrong += 1;
        letters_of(code).ok_or(LoginError::WrongCode)
    }

    fn guessed_right(&self, live: &LiveSession) {
        if let Some(guesses) = self.guesses().get_mut(live.subject.session()) {
            guesses.wrong = guesses.wrong.saturating_sub(1);
        }
    }

    fn guesses(&self) -> MutexGuard<'_, HashMap<SessionId, Guesses>> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asked(letters: &str, pending: &PendingLogin) -> LoginAsked {
    LoginAsked {
        user_code: shown(letters),
        address: pending.address,
        asked_at: rfc3339(pending.created_at),
    }
}

/// Each letter equally likely: a byte beyond the last whole multiple of the alphabet is drawn again.
fn fresh_letters(entropy: &dyn Entropy) -> String {
    let mut letters = String::with_capacity(LETTERS);
    while letters.len() < LETTERS {
        let mut bytes = [0; LETTERS];
        entropy.fill(&mut bytes);
        let drawn = bytes.iter().filter(|byte| **byte < 240);
        let drawn = drawn.filter_map(|byte| ALPHABET.get(usize::from(byte % 20)));
        letters.extend(
            drawn
                .take(LETTERS - letters.len())
                .map(|letter| char::from(*letter)),
        );
    }
    letters
}

/// The letters of a code as people type it, or nothing where it is none.
fn letters_of(code: &str) -> Option<String> {
    let letters: String = code
        .chars()
        .take(64)
        .filter(|character| !matches!(character, '-' | ' '))
        .map(|character| character.to_ascii_uppercase())
        .collect();
    let good = letters.len() == LETTERS && letters.bytes().all(|letter| ALPHABET.contains(&letter));
    good.then_some(letters)
}

fn shown(letters: &str) -> String {
    let (first, second) = letters
        .split_at_checked(LETTERS / 2)
        .unwrap_or((letters, ""));
    format!("{first}-{second}")
}

fn digest(letters: &str) -> [u8; 32] {
    openssl::sha::sha256(format!("rolegate login code {letters}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Recorder;
    use crate::model::{Clock, OsEntropy};
    use crate::store::Store;
    use crate::store::testing::{Bench, TestSignIn, person};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    async fn login(bench: &Bench) -> (Login, Store) {
        let store = bench.open().await;
        let clock: Arc<dyn Clock> = bench.clock.clone();
        let access = Access {
            store: store.clone(),
            recorder: Recorder::start(store.clone(), Arc::clone(&clock)),
            clock,
        };
        (Login::new(Arc::new(access), Arc::new(OsEntropy)), store)
    }

    async fn live(bench: &Bench, store: &Store, user: &str) -> LiveSession {
        let open = bench.new_session(crate::store::SessionState::Confirmed);
        let sign_in = TestSignIn::new(user).by(person("okta", user));
        let subject = bench.open_as(store, sign_in, open).await;
        store.session(subject.session()).await.unwrap().unwrap()
    }

    fn device(begun: &LoginBegun) -> Token {
        begun.device_code.expose().parse().unwrap()
    }

    #[tokio::test]
    async fn a_command_line_becomes_who_allowed_it() {
        let bench = Bench::new();
        let (login, store) = login(&bench).await;
        let ann = live(&bench, &store, "ann").await;
        let begun = login.begin(HERE).await.unwrap();
        let other = login.begin(HERE).await.unwrap();
        assert_eq!((begun.expires_in, begun.interval), (600, 2));
        let early = login.poll(&device(&begun), HERE).await;
        assert!(matches!(early, Err(LoginError::Pending)));

        let typed = begun.user_code.to_lowercase().replace('-', " ");
        let asked = login.look(&ann, &typed).await.unwrap();
        assert_eq!((&asked.user_code, asked.address), (&begun.user_code, HERE));
        let yes = login.answer(&ann, &typed, LoginAnswer::Allow, HERE).await;
        assert_eq!(yes.unwrap(), asked);
        let soon = login.poll(&device(&begun), HERE).await;
        assert!(matches!(soon, Err(LoginError::SlowDown)));
        bench.clock.advance(INTERVAL);
        let done = login.poll(&device(&begun), HERE).await.unwrap();
        assert_eq!(done.live.subject.session(), ann.subject.session());
        let token: Token = done.session_token.expose().parse().unwrap();
        assert_eq!(token.kind(), TokenKind::Session);
        assert!(login.access.session(&token).await.unwrap().is_some());
        bench.clock.advance(INTERVAL);
        let again = login.poll(&device(&begun), HERE).await;
        assert!(matches!(again, Err(LoginError::Expired)));

        login
            .answer(&ann, &other.user_code, LoginAnswer::Deny, HERE)
            .await
            .unwrap();
        let denied = login.poll(&device(&other), HERE).await;
        assert!(matches!(denied, Err(LoginError::Denied)));
    }

    #[tokio::test]
    async fn a_token_of_another_kind_is_no_device_code() {
        let bench = Bench::new();
        let (login, _store) = login(&bench).await;
        for kind in [TokenKind::Session, TokenKind::Device] {
            let token = Token::fresh(kind, &OsEntropy);
            let refused = login.poll(&token, HERE).await;
            assert!(matches!(refused, Err(LoginError::Expired)), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn wrong_codes_are_counted_by_session_and_minute() {
        let bench = Bench::new();
        let (login, store) = login(&bench).await;
        let (ann, bob) = (
            live(&bench, &store, "ann").await,
            live(&bench, &store, "bob").await,
        );
        let begun = login.begin(HERE).await.unwrap();
        for right in 0..10 {
            let looked = login.look(&ann, &begun.user_code).await;
            assert!(looked.is_ok(), "{right}: a right code is no guess");
        }
        for wrong in ["BBBB-BBBB", "", "AEIO-UAEI", "BCDF-GHJ", "é"] {
            let refused = login.look(&ann, wrong).await;
            assert!(matches!(refused, Err(LoginError::WrongCode)), "{wrong}");
        }
        let refused = login.look(&ann, &begun.user_code).await;
        assert!(matches!(refused, Err(LoginError::TooManyGuesses)));
        let refused = login
            .answer(&ann, &begun.user_code, LoginAnswer::Allow, HERE)
            .await;
        assert!(matches!(refused, Err(LoginError::TooManyGuesses)));
        assert!(login.look(&bob, &begun.user_code).await.is_ok());
        bench.clock.advance(GUESS_WINDOW);
        assert!(login.look(&ann, &begun.user_code).await.is_ok());
    }

    #[test]
    fn codes_are_letters_that_nobody_confuses_and_are_read_however_typed() {
        for _ in 0..200 {
            let letters = fresh_letters(&OsEntropy);
            let code = shown(&letters);
            assert_eq!((letters.len(), code.len()), (8, 9));
            assert!(letters.bytes().all(|letter| ALPHABET.contains(&letter)));
            let typed = format!(" {} ", code.to_lowercase());
            assert_eq!(letters_of(&typed).as_deref(), Some(letters.as_str()));
        }
    }
}
