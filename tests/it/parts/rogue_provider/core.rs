//! The honest provider: what it checks, what it gives, what it remembers.

use std::collections::HashMap;

use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::sha::sha256;
use rolegate::model::{Clock, Entropy, OsEntropy, SystemClock};
use serde_json::{Value, json};

use super::Secrets;
use super::forge::{Draft, Key, Sign};
use super::script::{Change, Reply, Script};

/// The client's secret: of characters that every encoding changes.
pub(crate) const CLIENT_SECRET: &str = "client secret/+:%&=of-the-rogue~provider";

/// A request.
pub(super) struct Asked {
    method: String,
    path: String,
    query: String,
    authorization: Option<String>,
    kind: Option<String>,
    body: String,
}

impl Asked {
    pub(super) fn of(request: &HttpRequest, body: &[u8]) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        Self {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            authorization: header("authorization"),
            kind: header("content-type"),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }
}

/// A code that was given.
struct Code {
    challenge: String,
    nonce: String,
    used: bool,
    person: Value,
}

/// What came of a code: one refresh token after another.
struct Family {
    current: String,
    revoked: bool,
    person: Value,
}

pub(super) struct Core {
    issuer: String,
    client_id: String,
    redirect_uri: String,
    codes: HashMap<String, Code>,
    families: Vec<Family>,
    /// Every refresh token that ever was, by its family.
    refresh_tokens: HashMap<String, usize>,
    pub(super) keys: Vec<Key>,
    pub(super) person: Value,
    pub(super) script: Script,
    pub(super) counts: HashMap<String, usize>,
    pub(super) breaches: Vec<String>,
    pub(super) secrets: Secrets,
    pub(super) token_requests: Vec<String>,
}

/// Something that nobody guesses, of characters that every encoding changes.
fn unguessable(kind: &str) -> String {
    let mut bytes = [0; 24];
    OsEntropy.fill(&mut bytes);
    format!("{kind}/{}+~=", STANDARD.encode(bytes))
}

fn apply<T>(edit: Option<&Change<T>>, to: &mut T) {
    if let Some(edit) = edit {
        edit(to);
    }
}

/// The parameters of a form or a query, each of them once.
fn once(text: &str) -> Result<HashMap<String, String>, String> {
    let mut found = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if found.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(format!("{name} is repeated"));
        }
    }
    Ok(found)
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| what.to_owned())
}

impl Core {
    pub(super) fn new(issuer: &str, client_id: &str, redirect_uri: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            codes: HashMap::new(),
            families: Vec::new(),
            refresh_tokens: HashMap::new(),
            keys: vec![Key::rsa("a-key")],
            person: json!({ "sub": "1234567890", "aws_role_session_name": "alice" }),
            script: Script::default(),
            counts: HashMap::new(),
            breaches: Vec::new(),
            secrets: Secrets::default(),
            token_requests: Vec::new(),
        }
    }

    pub(super) fn respond(&mut self, asked: &Asked) -> Reply {
        self.tick(&asked.path);
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/.well-known/openid-configuration") => self.discovery(),
            ("GET", "/jwks") => self.jwks(),
            ("GET", "/authorize") => self.authorize(&asked.query),
            ("POST", "/token") => self.token(asked),
            ("GET", "/end_session") => self.end_session(&asked.query),
            _ => {
                self.tick("stray");
                Reply::error(404, "not_found")
            }
        }
    }

    fn tick(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    fn breach(&mut self, what: &str) {
        self.breaches.push(what.to_owned());
    }

    fn discovery(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut reply = Reply::ok(json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"),
            "end_session_endpoint": at("/end_session"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "email", "offline_access"],
            "id_token_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.script.names_itself,
        }));
        apply(self.script.discovery.as_ref(), &mut reply);
        reply
    }

    fn jwks(&self) -> Reply {
        let keys: Vec<Value> = self.keys.iter().map(Key::public).collect();
        let mut reply = Reply::ok(json!({ "keys": keys }));
        apply(self.script.keys.as_ref(), &mut reply);
        reply
    }

    /// Signs the person in without a question, and sends the browser back.
    fn authorize(&mut self, query: &str) -> Reply {
        let asked = match self.good_request(query) {
            Ok(asked) => asked,
            Err(breach) => {
                self.breach(&breach);
                return Reply::error(400, "invalid_request");
            }
        };
        let code = unguessable("code");
        self.secrets.codes.insert(code.clone());
        self.secrets.nonces.insert(asked["nonce"].clone());
        self.codes.insert(
            code.clone(),
            Code {
                challenge: asked["code_challenge"].clone(),
                nonce: asked["nonce"].clone(),
                used: false,
                person: self.person.clone(),
            },
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut brought = vec![pair("code", &code), pair("state", &asked["state"])];
        if self.script.names_itself {
            brought.push(pair("iss", &self.issuer));
        }
        apply(self.script.authorization.as_ref(), &mut brought);
        let mut target = url::Url::parse(&self.redirect_uri).unwrap();
        target.query_pairs_mut().extend_pairs(brought);
        Reply::to(target.as_str())
    }

    fn good_request(&self, query: &str) -> Result<HashMap<String, String>, String> {
        let asked = once(query)?;
        let get = |name: &str| asked.get(name).map_or("", String::as_str);
        ensure(
            get("response_type") == "code",
            "the response type is not code",
        )?;
        ensure(get("client_id") == self.client_id, "another client's id")?;
        ensure(
            get("redirect_uri") == self.redirect_uri,
            "a redirect_uri that is not registered",
        )?;
        ensure(
            get("scope").split(' ').any(|one| one == "openid"),
            "no scope openid",
        )?;
        ensure(get("state").len() >= 22, "a state that can be guessed")?;
        ensure(get("nonce").len() >= 22, "a nonce that can be guessed")?;
        ensure(get("nonce") != get("state"), "the nonce is the state")?;
        ensure(get("code_challenge_method") == "S256", "PKCE is not S256")?;
        let challenge = URL_SAFE_NO_PAD.decode(get("code_challenge"));
        ensure(
            challenge.is_ok_and(|bytes| bytes.len() == 32),
            "no SHA-256 as challenge",
        )?;
        let offline = get("scope").split(' ').any(|one| one == "offline_access");
        ensure(
            !offline || get("prompt") == "consent",
            "offline_access without prompt=consent",
        )?;
        ensure(
            !asked.contains_key("client_secret"),
            "the secret went through the browser",
        )?;
        ensure(
            !asked.contains_key("code_verifier"),
            "the verifier went through the browser",
        )?;
        Ok(asked)
    }

    fn token(&mut self, asked: &Asked) -> Reply {
        self.token_requests.push(asked.body.clone());
        let form = match self.authenticated(asked) {
            Ok(form) => form,
            Err(breach) => {
                self.breach(&breach);
                return Reply::error(401, "invalid_client");
            }
        };
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        match get("grant_type") {
            "authorization_code" => {
                self.tick("exchange");
                self.exchange(&form)
            }
            "refresh_token" => {
                self.tick("refresh");
                self.refresh(get("refresh_token"))
            }
            other => {
                self.breach(&format!("grant type {other}"));
                Reply::error(400, "unsupported_grant_type")
            }
        }
    }

    /// The form, where the client proved who it is in the one way that was announced (RFC 6749, 2.3.1).
    fn authenticated(&self, asked: &Asked) -> Result<HashMap<String, String>, String> {
        let kind = asked.kind.as_deref().unwrap_or("");
        let form = kind.split(';').next() == Some("application/x-www-form-urlencoded");
        ensure(form, "the token endpoint takes a form")?;
        ensure(
            asked.query.is_empty(),
            "parameters in the token endpoint's query",
        )?;
        let form = once(&asked.body)?;
        ensure(
            !form.contains_key("client_secret"),
            "the secret in the form beside Basic",
        )?;
        let basic = asked.authorization.as_deref().unwrap_or("");
        let basic = basic
            .strip_prefix("Basic ")
            .ok_or("no Basic authentication")?;
        let basic = STANDARD.decode(basic).map_err(|_| "Basic is no base64")?;
        let basic = String::from_utf8(basic).map_err(|_| "Basic is no text")?;
        let (id, secret) = basic.split_once(':').ok_or("Basic has no colon")?;
        let decoded = |text: &str| {
            let mut pairs = url::form_urlencoded::parse(text.as_bytes());
            pairs.next().map(|(name, _)| name.into_owned())
        };
        let known = decoded(id).as_deref() == Some(&self.client_id);
        ensure(known, "an unknown client at the token endpoint")?;
        ensure(
            decoded(secret).as_deref() == Some(CLIENT_SECRET),
            "another secret",
        )?;
        let same = form.get("client_id").is_none_or(|id| *id == self.client_id);
        ensure(same, "another client's id in the form")?;
        Ok(form)
    }

    fn exchange(&mut self, form: &HashMap<String, String>) -> Reply {
        let checked = self.good_exchange(form);
        let (nonce, person) = match checked {
            Ok(had) => had,
            Err(breach) => {
                self.breach(&breach);
                return Reply::error(400, "invalid_grant");
            }
        };
        let life = self.script.life;
        let mut draft = self.draft(&person, life);
        draft.claims["nonce"] = json!(nonce);
        let edit = self.script.id_token.clone();
        let refresh_token = self.script.gives_refresh_token.then(|| {
            let token = unguessable("refresh");
            self.families.push(Family {
                current: token.clone(),
                revoked: false,
                person,
            });
            let family = self.families.len() - 1;
            self.refresh_tokens.insert(token.clone(), family);
            token
        });
        let mut reply = Self::tokens(draft, edit.as_ref(), refresh_token);
        apply(self.script.exchange.as_ref(), &mut reply);
        self.note_given(&reply);
        reply
    }

    fn good_exchange(&mut self, form: &HashMap<String, String>) -> Result<(String, Value), String> {
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        let verifier = get("code_verifier");
        self.secrets.verifiers.insert(verifier.to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let grammar = (43..=128).contains(&verifier.len()) && verifier.bytes().all(plain);
        ensure(grammar, "no PKCE verifier by RFC 7636, 4.1")?;
        let code = self.codes.get_mut(get("code")).ok_or("an unknown code")?;
        ensure(!code.used, "a code was used twice")?;
        code.used = true;
        ensure(
            get("redirect_uri") == self.redirect_uri,
            "another redirect_uri than before",
        )?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        ensure(
            challenge == code.challenge,
            "the verifier is not the challenge's",
        )?;
        Ok((code.nonce.clone(), code.person.clone()))
    }

    fn refresh(&mut self, token: &str) -> Reply {
        // A reply that never looks at the token is given before anything is changed.
        let Some(&family) = self.refresh_tokens.get(token) else {
            self.breach("an unknown refresh token");
            return Reply::error(400, "invalid_grant");
        };
        if self.families[family].current != token {
            self.families[family].revoked = true;
            self.breach("a refresh token was used twice");
        }
        if self.families[family].revoked {
            return Reply::error(400, "invalid_grant");
        }
        let mut given = None;
        if self.script.rotates {
            let fresh = unguessable("refresh");
            self.refresh_tokens.insert(fresh.clone(), family);
            self.families[family].current.clone_from(&fresh);
            given = Some(fresh);
        }
        let person = self.families[family].person.clone();
        let draft = self.draft(&person, self.script.refreshed_life);
        let edit = self.script.refreshed.clone();
        let mut reply = Self::tokens(draft, edit.as_ref(), given);
        apply(self.script.refresh.as_ref(), &mut reply);
        self.note_given(&reply);
        // Who was told nothing of the new token still has the old one.
        if reply.status != 200 {
            token.clone_into(&mut self.families[family].current);
        }
        reply
    }

    /// What a person's claims become, for `life` seconds from now.
    fn draft(&self, person: &Value, life: i64) -> Draft {
        let now = SystemClock.now().timestamp();
        let key = self.keys[0].clone();
        let mut claims = json!({
            "iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + life,
            "auth_time": now, "jti": unguessable("jti"),
        });
        for (name, value) in person.as_object().unwrap() {
            claims[name] = value.clone();
        }
        Draft {
            header: json!({ "alg": key.algorithm, "kid": key.kid, "typ": "JWT" }),
            claims,
            sign: Sign::Key(key),
        }
    }

    fn tokens(mut draft: Draft, edit: Option<&Change<Draft>>, refresh: Option<String>) -> Reply {
        apply(edit, &mut draft);
        let mut json = json!({
            "access_token": unguessable("access"), "token_type": "Bearer", "expires_in": 300,
            "id_token": draft.finish(), "scope": "openid email offline_access",
        });
        if let Some(token) = refresh {
            json["refresh_token"] = json!(token);
        }
        Reply::ok(json)
    }

    fn note_given(&mut self, reply: &Reply) {
        let secrets = &mut self.secrets;
        for (name, known) in [
            ("id_token", &mut secrets.id_tokens),
            ("access_token", &mut secrets.access_tokens),
            ("refresh_token", &mut secrets.refresh_tokens),
        ] {
            // What never went out is a secret of nobody.
            if let (Some(text), None) = (reply.json[name].as_str(), &reply.raw) {
                known.insert(text.to_owned());
            }
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.families
            .iter_mut()
            .for_each(|family| family.revoked = true);
    }

    fn end_session(&mut self, query: &str) -> Reply {
        let mut reply = match once(query) {
            Ok(asked) => Reply::to(
                asked
                    .get("post_logout_redirect_uri")
                    .map_or("/", String::as_str),
            ),
            Err(breach) => {
                self.breach(&breach);
                Reply::error(400, "invalid_request")
            }
        };
        apply(self.script.end_session.as_ref(), &mut reply);
        reply
    }
}
