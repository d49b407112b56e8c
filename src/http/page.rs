//! Pages, by askama, which escapes every value. No script anywhere.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use askama::Template;

use crate::flow::{Explanation, LiveSession, LoginAsked, Me};
use crate::model::{IdpName, rfc3339};

const CONTENT_TYPE: &str = "text/html; charset=utf-8";

#[derive(Template)]
#[template(path = "portal.html", config = "src/http/pages/askama.toml")]
struct Portal<'a> {
    me: &'a Me,
    csrf: &'a str,
    admin: bool,
}

/// A way to sign in: an IdP's name, and the path where its sign-in begins.
pub(super) struct Door {
    pub(super) name: String,
    pub(super) path: String,
}

/// The IdPs that cannot be used yet.
pub(super) struct Waiting {
    pub(super) idps: Vec<IdpName>,
    pub(super) providers: Vec<IdpName>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.idps.is_empty() && self.providers.is_empty()
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/http/pages/askama.toml")]
struct Login<'a> {
    doors: &'a [Door],
    waiting: &'a Waiting,
    none: bool,
    return_to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "device.html", config = "src/http/pages/askama.toml")]
struct Device<'a> {
    user: &'a str,
    asked: &'a LoginAsked,
    ends: &'a str,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "device_code.html", config = "src/http/pages/askama.toml")]
struct DeviceCode<'a> {
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "device_answered.html", config = "src/http/pages/askama.toml")]
struct DeviceAnswered<'a> {
    ends: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "confirm.html", config = "src/http/pages/askama.toml")]
struct Confirm<'a> {
    user: &'a str,
    idp: &'a str,
    token: &'a str,
    return_to: &'a str,
}

#[derive(Template)]
#[template(path = "signed_out.html", config = "src/http/pages/askama.toml")]
struct SignedOut<'a> {
    next: Option<&'a str>,
    everywhere: Option<bool>,
}

#[derive(Template)]
#[template(path = "refusal.html", config = "src/http/pages/askama.toml")]
struct Refusal<'a> {
    title: &'a str,
    reference: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "explain.html", config = "src/http/pages/askama.toml")]
struct Explained<'a> {
    reference: &'a str,
    problem: Option<&'a str>,
    explanation: Option<&'a Explanation>,
}

fn html(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(text) => HttpResponse::build(status)
            .content_type(CONTENT_TYPE)
            .body(text),
        Err(error) => {
            tracing::error!(event = "page_failed", %error, "a page could not be made");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// What a person has; `admin` adds the way to the admin's pages, `policy` says where its forms may lead.
pub(super) fn portal(me: &Me, csrf: &str, admin: bool, policy: &str) -> HttpResponse {
    let mut response = html(StatusCode::OK, &Portal { me, csrf, admin });
    if let Ok(policy) = HeaderValue::from_str(policy) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The IdPs to sign in at, and those that cannot be used yet; `none` says that none is configured,
/// `return_to` where the browser goes after the sign-in.
pub(super) fn login(
    doors: &[Door],
    waiting: &Waiting,
    none: bool,
    return_to: Option<&str>,
) -> HttpResponse {
    let login = Login {
        doors,
        waiting,
        none,
        return_to,
    };
    html(StatusCode::OK, &login)
}

/// A command line that waits to be allowed onto the session of `live`.
pub(super) fn device(live: &LiveSession, asked: &LoginAsked, csrf: &str) -> HttpResponse {
    let device = Device {
        user: live.subject.person().user.as_str(),
        asked,
        ends: &rfc3339(live.expires_at),
        csrf,
    };
    html(StatusCode::OK, &device)
}

/// A form to type a command line's code, with what was wrong with the last one.
pub(super) fn type_code(status: StatusCode, problem: Option<&str>) -> HttpResponse {
    html(status, &DeviceCode { problem })
}

/// What was answered: a command line allowed onto `allowed`, or denied.
pub(super) fn device_answered(allowed: Option<&LiveSession>) -> HttpResponse {
    let ends = allowed.map(|live| rfc3339(live.expires_at));
    let ends = ends.as_deref();
    html(StatusCode::OK, &DeviceAnswered { ends })
}

/// Whom this browser is about to become.
pub(super) fn confirm(user: &str, idp: &str, token: &str, return_to: Option<&str>) -> HttpResponse {
    let return_to = return_to.unwrap_or("");
    html(
        StatusCode::OK,
        &Confirm {
            user,
            idp,
            token,
            return_to,
        },
    )
}

/// The way out; `next` is where the browser signs out of its IdP, `everywhere` what that IdP answered.
pub(super) fn signed_out(next: Option<&str>, everywhere: Option<bool>) -> HttpResponse {
    html(StatusCode::OK, &SignedOut { next, everywhere })
}

/// A refusal, with its reference where there is one.
pub(super) fn refusal(status: StatusCode, title: &str, reference: Option<&str>) -> HttpResponse {
    html(status, &Refusal { title, reference })
}

/// What a reference stands for, or why that is not known; a form to ask for it in any case.
pub(super) fn explain(
    status: StatusCode,
    reference: &str,
    problem: Option<&str>,
    explanation: Option<&Explanation>,
) -> HttpResponse {
    html(
        status,
        &Explained {
            reference,
            problem,
            explanation,
        },
    )
}

/// The one style sheet.
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("pages/style.css"))
}
