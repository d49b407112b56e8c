//! Signing a command line in: two calls of its own, and the page where its person answers.
//!
//! Only translates. The calls set no cookie and read none; the page is a browser's with a session, and
//! its form carries that session's token, as every form does.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::actor::{Browser, Sent};
use super::people::to_login_and_back;
use super::{Problem, Site, address, middleware, page};
use crate::flow::{Login, LoginAnswer, LoginError, Underway};
use crate::model::{Token, rfc3339};

/// An empty object, with room for white space.
const BODY_LIMIT: usize = 1024;

/// RFC 8628, 3.2.
#[derive(Serialize)]
struct Begun<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

/// `POST /api/v1/login/codes`.
pub(super) async fn begin(
    request: HttpRequest,
    payload: web::Payload,
    login: web::Data<Login>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Problem> {
    let body = middleware::read_body(payload, BODY_LIMIT, site.request_timeout).await?;
    let object = serde_json::from_slice::<Map<String, Value>>(&body);
    if !body.is_empty() && !object.is_ok_and(|object| object.is_empty()) {
        return Err(Problem::bad_request("send {} or nothing"));
    }
    let begun = login.begin(address::client(&request, &site)).await?;
    let page = format!("{}/login/device", site.public_url);
    Ok(HttpResponse::Created().json(Begun {
        device_code: begun.device_code.expose(),
        user_code: &begun.user_code,
        verification_uri_complete: format!("{page}?code={}", begun.user_code),
        verification_uri: page,
        expires_in: begun.expires_in,
        interval: begun.interval,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    device_code: String,
}

#[derive(Serialize)]
struct Done<'a> {
    session_token: &'a str,
    user: &'a str,
    idp: &'a str,
    expires_at: String,
}

/// `POST /api/v1/login/tokens`.
pub(super) async fn poll(
    request: HttpRequest,
    asked: Sent<web::Json<Poll>>,
    login: web::Data<Login>,
    underway: web::Data<Underway>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let device: Result<Token, _> = asked?.0.device_code.parse();
    let device = device.map_err(|_| Problem::from(LoginError::Expired))?;
    let from = address::client(&request, &site);
    login.glance(&device).await.map_err(Problem::from)?;
    let done = underway.see_through(async move { login.poll(&device, from).await });
    let done = done.await.map_err(Problem::from)?;
    let person = done.live.subject.person();
    Ok(HttpResponse::Ok().json(Done {
        session_token: done.session_token.expose(),
        user: person.user.as_str(),
        idp: person.idp.as_str(),
        expires_at: rfc3339(done.live.expires_at),
    }))
}

#[derive(Deserialize)]
pub(super) struct CodeQuery {
    code: Option<String>,
}

/// `GET /login/device`: what waits under the code, or a form to type it.
pub(super) async fn show(
    request: HttpRequest,
    browser: Result<Browser, Problem>,
    query: Option<web::Query<CodeQuery>>,
    login: web::Data<Login>,
) -> HttpResponse {
    let browser = match browser {
        Ok(browser) => browser,
        Err(problem) => return to_login_and_back(&request, &problem),
    };
    let code = query.and_then(|query| query.into_inner().code);
    let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
        return page::type_code(StatusCode::OK, None);
    };
    match login.look(browser.live(), &code).await {
        Ok(asked) => page::device(browser.live(), &asked, browser.csrf()),
        Err(error) => not_done(&request, error),
    }
}

#[derive(Deserialize)]
pub(super) struct AnswerForm {
    csrf: String,
    code: String,
    answer: String,
}

/// `POST /login/device`: the buttons.
pub(super) async fn answer(
    request: HttpRequest,
    browser: Result<Browser, Problem>,
    form: Option<middleware::InTime<web::Form<AnswerForm>>>,
    login: web::Data<Login>,
    underway: web::Data<Underway>,
    site: web::Data<Site>,
) -> HttpResponse {
    let browser = match browser {
        Ok(browser) => browser,
        Err(problem) => return to_login_and_back(&request, &problem),
    };
    let sent = form.as_ref().map_or("", |form| form.0.csrf.as_str());
    if let Err(problem) = browser.require_form(&request, &site, sent) {
        return problem.answer(&request);
    }
    let Some(middleware::InTime(form)) = form else {
        return Problem::bad_request("send the page's form").answer(&request);
    };
    let answer = match form.answer.as_str() {
        "allow" => LoginAnswer::Allow,
        "deny" => LoginAnswer::Deny,
        _ => return Problem::bad_request("answer with allow or deny").answer(&request),
    };
    let from = address::client(&request, &site);
    let (live, code) = (browser.into_live(), form.into_inner().code);
    let answering = underway.see_through(async move {
        let answered = login.answer(&live, &code, answer, from).await;
        answered.map(|_| live)
    });
    match answering.await {
        Ok(live) if answer == LoginAnswer::Allow => page::device_answered(Some(&live)),
        Ok(_) => page::device_answered(None),
        Err(error) => not_done(&request, error),
    }
}

/// A code that does not do is asked for again; other trouble is a refusal.
fn not_done(request: &HttpRequest, error: LoginError) -> HttpResponse {
    let title = error.to_string();
    let again = matches!(error, LoginError::WrongCode | LoginError::TooManyGuesses);
    let problem = Problem::from(error);
    if again && !super::error::wants_json(request) {
        let status = actix_web::ResponseError::status_code(&problem);
        return page::type_code(status, Some(&title));
    }
    problem.answer(request)
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let title = error.to_string();
        let (status, code) = match error {
            LoginError::Pending => (StatusCode::BAD_REQUEST, "authorization_pending"),
            LoginError::SlowDown => (StatusCode::BAD_REQUEST, "slow_down"),
            LoginError::Denied => (StatusCode::BAD_REQUEST, "access_denied"),
            LoginError::Expired => (StatusCode::BAD_REQUEST, "expired_token"),
            LoginError::TooManyOpen => (StatusCode::TOO_MANY_REQUESTS, "too_many_codes"),
            LoginError::WrongCode => (StatusCode::NOT_FOUND, "wrong_code"),
            LoginError::TooManyGuesses => (StatusCode::TOO_MANY_REQUESTS, "too_many_guesses"),
            LoginError::Unavailable(_) => return Self::store_away(),
        };
        Self::new(status, code, title)
    }
}
