//! An OpenID provider on loopback: signs what it is told, and keeps which refresh tokens it was shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jws::{self, ES256, JwsHeader};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::model::{Clock, FixedClock};
use crate::store::testing::role;

pub(super) const CLIENT: &str = "gate";
/// How long an ID token lives, in seconds.
pub(super) const LIFE: i64 = 300;

/// No status.
const HANGS: u16 = 0;

/// What the token endpoint does with one request. Without any, it gives tokens and rotates.
pub(super) enum Reply {
    /// An ID token whose claims differ in this, and the next refresh token.
    Tokens(Value),
    /// An ID token, and no other refresh token.
    SameRefreshToken,
    /// The next refresh token alone.
    NoIdToken,
    /// An error.
    Refused(u16, &'static str),
    /// Closes after the request.
    Drop,
    /// Never answers.
    Hang,
}

/// What its tasks share.
struct Own {
    issuer: String,
    clock: Arc<FixedClock>,
    keys: Mutex<Vec<Jwk>>,
    replies: Mutex<VecDeque<Reply>>,
    shown: Mutex<Vec<String>>,
}

pub(super) struct Party(Arc<Own>);

impl Party {
    pub(super) async fn start(clock: Arc<FixedClock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = Arc::new(Own {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            clock,
            keys: Mutex::new(vec![fresh_key("one")]),
            replies: Mutex::default(),
            shown: Mutex::default(),
        });
        let mine = Arc::clone(&own);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&mine), stream));
            }
        });
        Self(own)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub(super) fn will(&self, reply: Reply) {
        self.0.replies.lock().unwrap().push_back(reply);
    }

    /// Signs by another key from now on, and publishes that alone.
    pub(super) fn rotates_its_key(&self) {
        *self.0.keys.lock().unwrap() = vec![fresh_key("two")];
    }

    /// The refresh tokens that it was shown, in turn.
    pub(super) fn shown(&self) -> Vec<String> {
        self.0.shown.lock().unwrap().clone()
    }

    /// An ID token of now.
    pub(super) fn id_token(&self, changes: &Value) -> String {
        self.0.id_token(changes)
    }
}

impl Own {
    fn id_token(&self, changes: &Value) -> String {
        let now = self.clock.now().timestamp();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "s-1", "iat": now, "exp": now + LIFE,
            "jti": self.shown.lock().unwrap().len(), "aws_role_arn": [role("reader").as_str()],
        });
        let into = claims.as_object_mut().unwrap();
        into.extend(changes.as_object().unwrap().clone());
        let key = self.keys.lock().unwrap()[0].clone();
        let mut header = JwsHeader::new();
        header.set_key_id(key.key_id().unwrap());
        let signer = ES256.signer_from_jwk(&key).unwrap();
        jws::serialize_compact(claims.to_string().as_bytes(), &header, &signer).unwrap()
    }

    fn answer(&self, path: &str, body: &str) -> Option<(u16, Value)> {
        let issuer = &self.issuer;
        Some(match path {
            "/.well-known/openid-configuration" => {
                let document = json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/jwks"),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                });
                (200, document)
            }
            "/jwks" => {
                let keys = self.keys.lock().unwrap();
                let public = keys.iter().map(|key| {
                    let mut public = key.to_public_key().unwrap();
                    public.set_key_id(key.key_id().unwrap());
                    public
                });
                (200, json!({ "keys": public.collect::<Vec<_>>() }))
            }
            _ => return self.tokens(body),
        })
    }

    fn tokens(&self, body: &str) -> Option<(u16, Value)> {
        let form: std::collections::HashMap<String, String> =
            url::form_urlencoded::parse(body.as_bytes())
                .into_owned()
                .collect();
        assert_eq!(form["grant_type"], "refresh_token");
        self.shown
            .lock()
            .unwrap()
            .push(form["refresh_token"].clone());
        let next = format!("refresh-{}", self.shown.lock().unwrap().len());
        let mut answer = json!({ "access_token": "a", "token_type": "Bearer" });
        let reply = self.replies.lock().unwrap().pop_front();
        match reply.unwrap_or_else(|| Reply::Tokens(json!({}))) {
            Reply::Tokens(changes) => {
                answer["id_token"] = json!(self.id_token(&changes));
                answer["refresh_token"] = json!(next);
            }
            Reply::SameRefreshToken => answer["id_token"] = json!(self.id_token(&json!({}))),
            Reply::NoIdToken => answer["refresh_token"] = json!(next),
            Reply::Refused(status, error) => return Some((status, json!({ "error": error }))),
            Reply::Drop => return None,
            Reply::Hang => return Some((HANGS, answer)),
        }
        Some((200, answer))
    }
}

fn fresh_key(id: &str) -> Jwk {
    let mut key = Jwk::generate_ec_key(EcCurve::P256).unwrap();
    key.set_key_id(id);
    key
}

async fn serve(own: Arc<Own>, mut stream: TcpStream) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let (path, body) = loop {
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lower = head.to_ascii_lowercase();
        let mut lines = lower.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            let path = head.split_whitespace().nth(1).unwrap();
            break (path.to_owned(), body.to_owned());
        }
    };
    let Some((status, answer)) = own.answer(&path, &body) else {
        return;
    };
    if status == HANGS {
        return std::future::pending().await;
    }
    let answer = answer.to_string();
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
}
