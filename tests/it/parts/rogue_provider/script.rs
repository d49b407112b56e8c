//! What a test may change of the provider's answers.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::forge::Draft;

/// A change of an answer, made each time that it is given.
pub(crate) type Change<T> = Arc<dyn Fn(&mut T) + Send + Sync>;

/// A change, where there is one.
pub(crate) type Edit<T> = Option<Change<T>>;

/// Changes an ID token.
#[expect(clippy::unnecessary_wraps, reason = "the fields of a script are Edits")]
pub(crate) fn token(change: impl Fn(&mut Draft) + Send + Sync + 'static) -> Edit<Draft> {
    Some(Arc::new(change))
}

/// Changes an answer.
#[expect(clippy::unnecessary_wraps, reason = "the fields of a script are Edits")]
pub(crate) fn reply(change: impl Fn(&mut Reply) + Send + Sync + 'static) -> Edit<Reply> {
    Some(Arc::new(change))
}

/// Parameters of the callback.
pub(crate) type Brought = Vec<(String, String)>;

/// Changes what the browser brings to the callback.
#[expect(clippy::unnecessary_wraps, reason = "the fields of a script are Edits")]
pub(crate) fn brought(change: impl Fn(&mut Brought) + Send + Sync + 'static) -> Edit<Brought> {
    Some(Arc::new(change))
}

/// How the provider departs from honesty.
#[derive(Clone)]
pub(crate) struct Script {
    /// The discovery document.
    pub(crate) discovery: Edit<Reply>,
    /// The key set.
    pub(crate) keys: Edit<Reply>,
    /// The parameters that the browser brings to the callback.
    pub(crate) authorization: Edit<Brought>,
    /// The ID token for a code.
    pub(crate) id_token: Edit<Draft>,
    /// The whole answer for a code.
    pub(crate) exchange: Edit<Reply>,
    /// The ID token for a refresh token.
    pub(crate) refreshed: Edit<Draft>,
    /// The whole answer for a refresh token.
    pub(crate) refresh: Edit<Reply>,
    /// The answer to a sign-out.
    pub(crate) end_session: Edit<Reply>,
    /// How many seconds an ID token for a code lives.
    pub(crate) life: i64,
    /// How many seconds a refreshed ID token lives.
    pub(crate) refreshed_life: i64,
    /// Whether a refresh token comes with the ID token.
    pub(crate) gives_refresh_token: bool,
    /// Whether a refresh brings a new refresh token and ends the old one; a second use ends all.
    pub(crate) rotates: bool,
    /// Whether `iss` comes to the callback and is announced (RFC 9207).
    pub(crate) names_itself: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            discovery: None,
            keys: None,
            authorization: None,
            id_token: None,
            exchange: None,
            refreshed: None,
            refresh: None,
            end_session: None,
            life: 3600,
            refreshed_life: 3600,
            gives_refresh_token: true,
            rotates: true,
            names_itself: true,
        }
    }
}

/// An answer of the provider's.
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The content type.
    pub(crate) kind: &'static str,
    /// More headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body,
    pub(crate) json: Value,
    /// and what is sent in its place.
    pub(crate) raw: Option<Vec<u8>>,
    /// What is waited for before the answer goes out.
    pub(crate) gate: Option<Gate>,
}

impl Reply {
    /// 200 with JSON.
    pub(crate) fn ok(json: Value) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            headers: Vec::new(),
            json,
            raw: None,
            gate: None,
        }
    }

    /// An error of RFC 6749, 5.2.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let json = json!({ "error": code, "error_description": "of the rogue provider" });
        let status = Self {
            status,
            ..Self::ok(json)
        };
        status.header("Cache-Control", "no-store")
    }

    /// 303 to `target`.
    pub(crate) fn to(target: &str) -> Self {
        let reply = Self {
            status: 303,
            ..Self::ok(Value::Null)
        };
        reply.header("Location", target)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// Holds answers back until a test opens it.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed one.
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets go of all that wait, and of all that come.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(super) async fn passed(&self) {
        // A closed semaphore is the open gate.
        let _open = self.0.acquire().await;
    }
}
