//! The single logout address: messages of IdPs, by redirect or POST.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};

use super::{Problem, Site, address, middleware, page};
use crate::flow::{Delivery, LoggedOut, Logout, LogoutFailure};

/// Base64 of the largest message, percent-encoded at worst, with room for RelayState.
const BODY_LIMIT: usize = 128 * 1024;

/// A message in the query.
pub(super) async fn redirect(
    request: HttpRequest,
    logout: web::Data<Logout>,
    site: web::Data<Site>,
) -> HttpResponse {
    let message = Delivery::Redirect(request.query_string());
    let address = address::client(&request, &site);
    let outcome = logout.follow(message, address).await;
    answer(&request, outcome)
}

/// A message in a form.
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    logout: web::Data<Logout>,
    site: web::Data<Site>,
) -> HttpResponse {
    let body = match middleware::read_body(payload, BODY_LIMIT, site.request_timeout).await {
        Ok(body) => body,
        Err(problem) => return problem.answer(&request),
    };
    let kind = request.headers().get(CONTENT_TYPE);
    let form = kind
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    if !form || !request.query_string().is_empty() {
        return Problem::bad_request("single logout takes a form and no query string")
            .answer(&request);
    }
    let outcome = logout
        .follow(Delivery::Post(&body), address::client(&request, &site))
        .await;
    answer(&request, outcome)
}

fn answer(request: &HttpRequest, outcome: Result<LoggedOut, LogoutFailure>) -> HttpResponse {
    // No cookie is touched: whose browser brings a message need not be the person that it means.
    match outcome {
        Ok(LoggedOut::Answer(url)) => HttpResponse::SeeOther()
            .insert_header((LOCATION, url))
            .finish(),
        Ok(LoggedOut::Done) => page::signed_out(None, None),
        Ok(LoggedOut::Answered(everywhere)) => page::signed_out(None, Some(everywhere)),
        Err(error) => {
            if let LogoutFailure::Refused(reference) = &error {
                middleware::note_reference(request, reference);
            }
            Problem::from(error).answer(request)
        }
    }
}

impl From<LogoutFailure> for Problem {
    fn from(error: LogoutFailure) -> Self {
        match error {
            LogoutFailure::Refused(reference) => Self::new(
                StatusCode::FORBIDDEN,
                "logout_refused",
                "The sign-out was refused. Give the reference to an administrator, who can see why.",
            )
            .with("reference", reference.to_string()),
            LogoutFailure::Busy => Self::busy(),
            LogoutFailure::Unavailable(_) => Self::store_away(),
        }
    }
}
