//! The way into the AWS console: a URL for programs, a redirect for the portal's button.
//!
//! Only translates. The URL is a secret of fifteen minutes: no answer with it is cached.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::actor::{Browser, Sent, User};
use super::middleware::InTime;
use super::people::to_login;
use super::{Problem, Site, address};
use crate::flow::{Console, ConsoleError, FederationError};
use crate::model::RoleArn;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    role_arn: RoleArn,
}

#[derive(Serialize)]
struct Opened<'a> {
    url: &'a str,
}

/// `POST /api/v1/console`.
pub(super) async fn url(
    request: HttpRequest,
    user: User,
    order: Sent<web::Json<Order>>,
    console: web::Data<Console>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let role = order?.0.into_inner().role_arn;
    let from = address::client(&request, &site);
    let url = console.open(user.live(), &role, from).await;
    let url = url.map_err(|error| Problem::from(error).with_login(&site, None))?;
    Ok(HttpResponse::Ok().json(Opened { url: url.expose() }))
}

#[derive(Deserialize)]
pub(super) struct ConsoleForm {
    csrf: String,
    role_arn: String,
}

/// `POST /console`: the portal's button.
pub(super) async fn open(
    request: HttpRequest,
    browser: Result<Browser, Problem>,
    form: Option<InTime<web::Form<ConsoleForm>>>,
    console: web::Data<Console>,
    site: web::Data<Site>,
) -> HttpResponse {
    let browser = match browser {
        Ok(browser) => browser,
        Err(problem) => return to_login(&request, &problem),
    };
    let sent = form.as_ref().map_or("", |form| form.0.csrf.as_str());
    if let Err(problem) = browser.require_form(&request, &site, sent) {
        return problem.answer(&request);
    }
    let role = form.map(|form| form.0.into_inner().role_arn.parse::<RoleArn>());
    let Some(Ok(role)) = role else {
        return Problem::bad_request("send the page's form, with a role_arn").answer(&request);
    };
    let from = address::client(&request, &site);
    match console.open(browser.live(), &role, from).await {
        Ok(url) => HttpResponse::SeeOther()
            .insert_header((LOCATION, url.expose()))
            .finish(),
        Err(error) => Problem::from(error).answer(&request),
    }
}

impl From<ConsoleError> for Problem {
    fn from(error: ConsoleError) -> Self {
        match error {
            ConsoleError::Fetch(error) => error.into(),
            ConsoleError::Federation(error) => error.into(),
            ConsoleError::SessionEnded => Self::unauthorized(error.to_string()),
            ConsoleError::Unavailable(_) => Self::store_away(),
        }
    }
}

impl From<FederationError> for Problem {
    fn from(error: FederationError) -> Self {
        let (status, code) = match &error {
            FederationError::NoConsole(_) => (StatusCode::CONFLICT, "no_console"),
            FederationError::Client(_)
            | FederationError::Unreachable(_)
            | FederationError::TimedOut
            | FederationError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "console_away"),
            FederationError::Refused(_) => (StatusCode::FORBIDDEN, "refused_by_console"),
            FederationError::BadAnswer(_) => (StatusCode::BAD_GATEWAY, "console_bad_answer"),
        };
        tracing::warn!(event = "console_failed", %error, "nobody was signed into the console");
        Self::new(status, code, error.to_string())
    }
}
