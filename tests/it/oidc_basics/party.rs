//! An OpenID provider on loopback that signs in whoever asks, and deceives where a test wants it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jws::{self, ES256, JwsHeader};
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The client that rolegate is there.
pub(super) const CLIENT: &str = "gate";

/// What is wrong with the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The authorization endpoint answers `access_denied`.
    Denies,
    /// Another provider's `iss` in the answer.
    NamesAnother,
    /// The token has another nonce.
    Nonce,
    /// The token is another client's.
    Audience,
    /// The token endpoint says `invalid_grant`.
    Grant,
    /// The token endpoint answers with status 500.
    Away,
    /// The token is signed with a key that is not published.
    Key,
}

/// The provider; it ends with the test.
pub(super) struct Party {
    pub(super) issuer: String,
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    key: Jwk,
    stranger: Jwk,
    claims: Mutex<Value>,
    fault: Mutex<Fault>,
    /// Nonce and PKCE challenge, by code.
    codes: Mutex<HashMap<String, (String, String)>>,
    given: Mutex<Vec<String>>,
}

type Pairs = HashMap<String, String>;

impl Party {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            issuer: issuer.clone(),
            key: key("one"),
            stranger: key("two"),
            claims: Mutex::new(json!({})),
            fault: Mutex::new(Fault::None),
            codes: Mutex::default(),
            given: Mutex::default(),
        });
        let shared = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.meet(stream).await });
            }
        });
        Self { issuer, inner }
    }

    /// What is said of everybody from now on, beside the protocol's own claims.
    pub(super) fn says(&self, claims: Value) {
        *self.inner.claims.lock().unwrap() = claims;
    }

    pub(super) fn has(&self, fault: Fault) {
        *self.inner.fault.lock().unwrap() = fault;
    }

    /// Every token that was given out: ID tokens and refresh tokens.
    pub(super) fn given(&self) -> Vec<String> {
        self.inner.given.lock().unwrap().clone()
    }
}

fn key(id: &str) -> Jwk {
    let mut key = Jwk::generate_ec_key(EcCurve::P256).unwrap();
    key.set_key_id(id);
    key
}

fn pairs(text: &str) -> Pairs {
    let read = url::form_urlencoded::parse(text.as_bytes());
    read.into_owned().collect()
}

impl Inner {
    async fn meet(&self, mut stream: TcpStream) {
        let Some((path, query, form)) = read(&mut stream).await else {
            return;
        };
        let (status, header, body) = match path.as_str() {
            "/.well-known/openid-configuration" => (200, String::new(), self.metadata()),
            "/jwks" => {
                let mut key = self.key.to_public_key().unwrap();
                key.set_key_id(self.key.key_id().unwrap());
                let keys = json!({ "keys": [key] });
                (200, String::new(), keys)
            }
            "/authorize" => (302, self.authorize(&query), Value::Null),
            "/token" => self.token(&form),
            _ => (404, String::new(), Value::Null),
        };
        let body = body.to_string();
        let text = format!(
            "HTTP/1.1 {status} X\r\n{header}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // Whoever hung up needs no answer.
        let _sent = stream.write_all(text.as_bytes()).await;
    }

    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "end_session_endpoint": format!("{issuer}/end"),
            "authorization_response_iss_parameter_supported": true,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    /// The header that sends the browser back.
    fn authorize(&self, query: &Pairs) -> String {
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        let kept = (query["nonce"].clone(), query["code_challenge"].clone());
        codes.insert(code.clone(), kept);
        let mut back = url::Url::parse(&query["redirect_uri"]).unwrap();
        let issuer = match self.fault() {
            Fault::NamesAnother => "http://127.0.0.1:1",
            _ => &self.issuer,
        };
        let mut answer = back.query_pairs_mut();
        answer.append_pair("state", &query["state"]);
        answer.append_pair("iss", issuer);
        if self.fault() == Fault::Denies {
            answer.append_pair("error", "access_denied");
        } else {
            answer.append_pair("code", &code);
        }
        drop(answer);
        format!("location: {back}\r\n")
    }

    fn token(&self, form: &Pairs) -> (u16, String, Value) {
        let kept = self.codes.lock().unwrap().remove(&form["code"]);
        let verifier = openssl::sha::sha256(form["code_verifier"].as_bytes());
        let fits = |challenge: &str| challenge == URL_SAFE_NO_PAD.encode(verifier);
        let kept = kept.filter(|(_, challenge)| fits(challenge));
        let (Some((nonce, _)), true) = (kept, self.fault() != Fault::Grant) else {
            return (400, String::new(), json!({ "error": "invalid_grant" }));
        };
        if self.fault() == Fault::Away {
            return (500, String::new(), Value::Null);
        }
        let (id_token, refresh_token) = (self.sign(&nonce), format!("refresh-{nonce}"));
        let given = [id_token.clone(), refresh_token.clone()];
        self.given.lock().unwrap().extend(given);
        let answer = json!({
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": id_token,
            "refresh_token": refresh_token,
        });
        (200, String::new(), answer)
    }

    fn sign(&self, nonce: &str) -> String {
        let fault = self.fault();
        let now = SystemClock.now().timestamp();
        let mut claims = json!({
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": if fault == Fault::Audience { "another" } else { CLIENT },
            "iat": now,
            "exp": now + 3600,
            "nonce": if fault == Fault::Nonce { "another" } else { nonce },
        });
        let more = self.claims.lock().unwrap().clone();
        let claims_map = claims.as_object_mut().unwrap();
        claims_map.extend(more.as_object().unwrap().clone());
        let key = if fault == Fault::Key {
            &self.stranger
        } else {
            &self.key
        };
        let mut header = JwsHeader::new();
        header.set_key_id(key.key_id().unwrap());
        let signer = ES256.signer_from_jwk(key).unwrap();
        jws::serialize_compact(claims.to_string().as_bytes(), &header, &signer).unwrap()
    }
}

/// Path, query and form of a request.
async fn read(stream: &mut TcpStream) -> Option<(String, Pairs, Pairs)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                let target = text.split_whitespace().nth(1)?;
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                return Some((path.to_owned(), pairs(query), pairs(body)));
            }
        }
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}
