//! The OpenID Connect endpoints: the way to a provider, its callback, and the way out.
//!
//! Only translates. What comes back is answered as at the ACS; the callback's address holds a code, so that no
//! page of it says where it came from.

use actix_web::http::header::{HeaderValue, LOCATION, REFERRER_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::cookies::Kind;
use super::{Problem, Site, acs, address};
use crate::flow::{Arrived, Grants, Logout, SignIn};

/// Sends the browser to the provider.
pub(super) async fn start(
    request: HttpRequest,
    provider: web::Path<String>,
    query: Result<web::Query<acs::StartQuery>, actix_web::Error>,
    sign_in: web::Data<SignIn>,
    site: web::Data<Site>,
) -> HttpResponse {
    let return_to = acs::return_to(query);
    let started = sign_in
        .start_at_provider(&provider, return_to.as_deref())
        .await;
    acs::depart(&request, started, &site)
}

/// Takes the browser that a provider sent back.
pub(super) async fn callback(
    request: HttpRequest,
    provider: web::Path<String>,
    sign_in: web::Data<SignIn>,
    grants: web::Data<Grants>,
    site: web::Data<Site>,
) -> HttpResponse {
    let binding = Kind::Binding.read(&site, &request);
    let arrived = Arrived {
        provider: &provider,
        query: request.query_string(),
        binding: binding.as_deref(),
        address: address::client(&request, &site),
    };
    let outcome = sign_in.arrive(arrived).await;
    let output = acs::output(&request);
    let mut response = acs::answer(&request, outcome, output, &grants, &site).await;
    without_referrer(&mut response);
    response
}

#[derive(Deserialize)]
pub(super) struct LeaveQuery {
    request: String,
}

/// Sends a browser that signed out here to where its provider signs it out too. The address there may
/// name an ID token that has ended, which stands in no page of ours.
pub(super) async fn sign_out(
    request: HttpRequest,
    provider: web::Path<String>,
    query: Option<web::Query<LeaveQuery>>,
    logout: web::Data<Logout>,
    site: web::Data<Site>,
) -> HttpResponse {
    let binding = Kind::Binding.read(&site, &request);
    let asked = query.map(|query| query.into_inner().request);
    let (asked, binding) = (asked.unwrap_or_default(), binding.unwrap_or_default());
    let url = match logout.leave(&provider, &asked, &binding).await {
        Ok(url) => url.unwrap_or_else(|| "/login".to_owned()),
        Err(error) => return Problem::from(error).answer(&request),
    };
    let mut response = HttpResponse::SeeOther()
        .insert_header((LOCATION, url))
        .cookie(Kind::Binding.remove(&site))
        .finish();
    without_referrer(&mut response);
    response
}

fn without_referrer(response: &mut HttpResponse) {
    let value = HeaderValue::from_static("no-referrer");
    response.headers_mut().insert(REFERRER_POLICY, value);
}
