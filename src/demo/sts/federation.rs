//! The console's federation endpoint: real credentials for a sign-in token, the token for a page.
//!
//! A token is good once and for 15 minutes, and what is shown is the page that the console would be.

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;

use super::answer::Failure;
use super::sessions::Session;
use super::{Inner, locked};
use crate::demo::xml::escape;

const GOOD_FOR: TimeDelta = TimeDelta::minutes(15);

/// Tokens that nobody used yet: whose they are, and until when.
#[derive(Default)]
pub(super) struct SigninTokens(Mutex<HashMap<String, (String, DateTime<Utc>)>>);

/// The credentials as the endpoint names them.
#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "sessionId")]
    id: String,
    #[serde(rename = "sessionKey")]
    key: String,
    #[serde(rename = "sessionToken")]
    token: String,
}

pub(super) async fn handle(
    request: HttpRequest,
    body: web::Bytes,
    sts: web::Data<Inner>,
) -> HttpResponse {
    let query = request.query_string().as_bytes();
    let query = url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(&body));
    let form: HashMap<String, String> = query
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let outcome = match form.get("Action").map(String::as_str) {
        Some("getSigninToken") => sts.signin_token(&form),
        Some("login") => sts.login(&form),
        _ => Err(Failure::invalid("Action must be getSigninToken or login")),
    };
    outcome.unwrap_or_else(|failure| {
        let status = actix_web::http::StatusCode::from_u16(failure.status);
        let status = status.unwrap_or(actix_web::http::StatusCode::BAD_REQUEST);
        HttpResponse::build(status)
            .content_type("text/html")
            .body(format!(
                "<html><body>{}</body></html>",
                escape(&failure.message)
            ))
    })
}

impl Inner {
    fn signin_token(&self, form: &HashMap<String, String>) -> Result<HttpResponse, Failure> {
        let keys = form.get("Session").map_or("", String::as_str);
        let keys: Result<Keys, _> = serde_json::from_str(keys);
        let keys = keys.map_err(|_| {
            Failure::invalid("Session must be JSON of sessionId, sessionKey and sessionToken")
        })?;
        let session = self
            .sessions
            .find(&keys.id)
            .filter(|session| session.secret == keys.key && session.token == keys.token);
        let wrong = || Failure::invalid("The credentials of the session are invalid");
        let session = session.ok_or_else(wrong)?;
        self.unexpired(&session).map_err(|_| wrong())?;
        if self.sessions.is_revoked(&session) {
            return Err(wrong());
        }
        duration(form, &session)?;
        let mut random = [0; 48];
        self.entropy.fill(&mut random);
        let token = URL_SAFE_NO_PAD.encode(random);
        let until = self.clock.now() + GOOD_FOR;
        let mut tokens = locked(&self.signin_tokens.0);
        tokens.insert(token.clone(), (session.access_key_id, until));
        Ok(HttpResponse::Ok().json(json!({ "SigninToken": token })))
    }

    fn login(&self, form: &HashMap<String, String>) -> Result<HttpResponse, Failure> {
        let destination = form.get("Destination").map_or("", String::as_str);
        let url = url::Url::parse(destination);
        if !url.is_ok_and(|url| url.scheme() == "https") {
            return Err(Failure::invalid(
                "Destination must be an https URL of the console",
            ));
        }
        let issuer = form.get("Issuer").map_or("", String::as_str);
        if !issuer.is_empty() && url::Url::parse(issuer).is_err() {
            return Err(Failure::invalid("Issuer must be a URL"));
        }
        let token = form.get("SigninToken").map_or("", String::as_str);
        // Taken out before it is looked at: it is good once, whatever comes of it.
        let found = locked(&self.signin_tokens.0).remove(token);
        let found = found.filter(|(_, until)| self.clock.now() < *until);
        let session = found.and_then(|(key, _)| self.sessions.find(&key));
        let bad = || Failure::invalid("The sign-in token is unknown, used or expired");
        let session = session.ok_or_else(bad)?;
        self.unexpired(&session).map_err(|_| bad())?;
        let page = format!(
            "<html><body>Signed in as <code id=\"arn\">{}</code>, going to {}, from {}</body></html>",
            escape(&session.arn),
            escape(destination),
            escape(issuer)
        );
        Ok(HttpResponse::Ok().content_type("text/html").body(page))
    }
}

/// `SessionDuration` is 900 to 43200, and never for a role of a chain.
fn duration(form: &HashMap<String, String>, session: &Session) -> Result<(), Failure> {
    let Some(text) = form.get("SessionDuration") else {
        return Ok(());
    };
    let good = text
        .parse()
        .is_ok_and(|seconds: u32| (900..=43_200).contains(&seconds));
    if !good {
        return Err(Failure::invalid(
            "SessionDuration must be from 900 to 43200",
        ));
    }
    if session.chained {
        let text = "SessionDuration cannot be given for credentials of role chaining";
        return Err(Failure::invalid(text));
    }
    Ok(())
}
