//! The SAML endpoints: metadata, the way to the IdP, the ACS, the confirm page's button.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::cookies::Kind;
use super::csrf::same_origin;
use super::error::wants_json;
use super::{Problem, Site, address, middleware, page};
use crate::flow::{
    Grants, Me, Output, Posted, ServiceKeys, SignIn, SignInError, SignedIn, Started,
};

/// Our own SP metadata, for the IdP's admin.
pub(super) async fn metadata(keys: web::Data<ServiceKeys>) -> HttpResponse {
    match keys.metadata() {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/samlmetadata+xml")
            .body(text),
        Err(error) => {
            tracing::error!(event = "metadata_failed", %error, "our metadata could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[derive(Deserialize)]
pub(super) struct StartQuery {
    return_to: Option<String>,
}

/// Where the browser wants to go after the sign-in.
pub(super) fn return_to(query: Result<web::Query<StartQuery>, actix_web::Error>) -> Option<String> {
    query.ok().and_then(|query| query.into_inner().return_to)
}

/// Sends the browser to the IdP.
pub(super) async fn start(
    request: HttpRequest,
    idp: web::Path<String>,
    query: Result<web::Query<StartQuery>, actix_web::Error>,
    sign_in: web::Data<SignIn>,
    site: web::Data<Site>,
) -> HttpResponse {
    let return_to = return_to(query);
    let started = sign_in.start(&idp, return_to.as_deref()).await;
    depart(&request, started, &site)
}

/// Sends the browser to where a sign-in was begun.
pub(super) fn depart(
    request: &HttpRequest,
    started: Result<Started, SignInError>,
    site: &Site,
) -> HttpResponse {
    match started {
        Ok(started) => HttpResponse::SeeOther()
            .insert_header((LOCATION, started.redirect_url))
            .cookie(Kind::Binding.set(site, &started.binding))
            .finish(),
        Err(error) => Problem::from(error).answer(request),
    }
}

/// The body of a JSON sign-in: `me` and the session's token.
#[derive(Serialize)]
struct SignedInBody<'a> {
    #[serde(flatten)]
    me: Me,
    session_token: &'a str,
}

/// Takes a response that an IdP's page posted.
pub(super) async fn accept(
    request: HttpRequest,
    payload: web::Payload,
    sign_in: web::Data<SignIn>,
    grants: web::Data<Grants>,
    site: web::Data<Site>,
) -> HttpResponse {
    let body = match middleware::read_body(payload, site.max_body_bytes, site.request_timeout).await
    {
        Ok(body) => body,
        Err(problem) => return problem.answer(&request),
    };
    let output = output(&request);
    let binding = Kind::Binding.read(&site, &request);
    let posted = Posted {
        content_type: header(&request, &CONTENT_TYPE),
        content_encoding: header(&request, &CONTENT_ENCODING),
        body: &body,
        binding: binding.as_deref(),
        output,
        address: address::client(&request, &site),
    };
    if !request.query_string().is_empty() {
        let title = "the ACS takes a form and no query string";
        return Problem::new(StatusCode::BAD_REQUEST, "not_a_response", title).answer(&request);
    }
    let outcome = sign_in.accept(posted).await;
    answer(&request, outcome, output, &grants, &site).await
}

/// What the client accepts.
pub(super) fn output(request: &HttpRequest) -> Output {
    if wants_json(request) {
        Output::Json
    } else {
        Output::Browser
    }
}

/// Answers whoever signed in, or was refused, by whichever protocol.
pub(super) async fn answer(
    request: &HttpRequest,
    outcome: Result<SignedIn, SignInError>,
    output: Output,
    grants: &Grants,
    site: &Site,
) -> HttpResponse {
    match outcome {
        Ok(signed_in) => welcome(request, signed_in, output, grants, site).await,
        Err(error) => {
            if let SignInError::Refused(reference) | SignInError::Form(_, reference) = &error {
                middleware::note_reference(request, reference);
            }
            Problem::from(error).answer(request)
        }
    }
}

fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    // A header that is no text is there all the same, and must not count as absent.
    request
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap_or("?"))
}

async fn welcome(
    request: &HttpRequest,
    signed_in: SignedIn,
    output: Output,
    grants: &Grants,
    site: &Site,
) -> HttpResponse {
    match signed_in {
        SignedIn::Confirm {
            user,
            idp,
            one_time,
            cookie,
            return_to,
        } => {
            let mut response = page::confirm(&user, &idp, one_time.expose(), return_to.as_deref());
            // A cookie that cannot be set leaves a page whose button is refused.
            let _set = response.add_cookie(&Kind::Confirm.set(site, &cookie));
            response
        }
        SignedIn::Open { live, token, .. } if output == Output::Json => {
            match grants.of(&live, None).await {
                Ok(me) => HttpResponse::Ok().json(SignedInBody {
                    me,
                    session_token: token.expose(),
                }),
                Err(error) => Problem::from(error).answer(request),
            }
        }
        SignedIn::Open {
            token, return_to, ..
        } => HttpResponse::SeeOther()
            .insert_header((LOCATION, return_to.unwrap_or_else(|| "/".to_owned())))
            .cookie(Kind::Session.set(site, &token))
            .cookie(Kind::Binding.remove(site))
            .finish(),
    }
}

#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    token: String,
    #[serde(default)]
    return_to: String,
}

/// The confirm page's button: opens the session for the browser that was shown the page.
pub(super) async fn confirm(
    request: HttpRequest,
    middleware::InTime(form): middleware::InTime<web::Form<ConfirmForm>>,
    sign_in: web::Data<SignIn>,
    site: web::Data<Site>,
) -> HttpResponse {
    let refused = || {
        let title = "This confirmation is used, older than five minutes, or another browser's. Sign in again.";
        Problem::new(StatusCode::FORBIDDEN, "confirm_refused", title).answer(&request)
    };
    let Some(cookie) = Kind::Confirm.read(&site, &request) else {
        return refused();
    };
    if !same_origin(&request, &site) {
        return refused();
    }
    match sign_in.confirm(&form.token, &cookie).await {
        Ok(Some(confirmed)) => {
            let target = crate::flow::return_target(&form.return_to, &site.return_origins);
            HttpResponse::SeeOther()
                .insert_header((LOCATION, target.unwrap_or_else(|| "/".to_owned())))
                .cookie(Kind::Session.set(&site, &confirmed.token))
                .cookie(Kind::Confirm.remove(&site))
                .finish()
        }
        Ok(None) => refused(),
        Err(error) => Problem::from(error).answer(&request),
    }
}
