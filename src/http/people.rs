//! The portal, the sign-in chooser and the way out.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::actor::Browser;
use super::cookies::Kind;
use super::middleware::InTime;
use super::page::{Door, Waiting};
use super::{Problem, Site, page};
use crate::flow::{
    Access, Admins, Grants, Idps, Logout, Providers, Revoke, Underway, return_target,
};

/// What the person has, and what not.
pub(super) async fn portal(
    request: HttpRequest,
    browser: Result<Browser, Problem>,
    grants: web::Data<Grants>,
    admins: web::Data<Admins>,
    site: web::Data<Site>,
) -> HttpResponse {
    let browser = match browser {
        Ok(browser) => browser,
        Err(problem) => return to_login(&request, &problem),
    };
    match grants.of(browser.live(), None).await {
        Ok(me) => {
            let admin = admins.include(&browser.live().subject);
            page::portal(&me, browser.csrf(), admin, &site.portal_policy())
        }
        Err(error) => Problem::from(error).answer(&request),
    }
}

/// A browser without a session is sent to the sign-in; other trouble is shown.
pub(super) fn to_login(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    if actix_web::ResponseError::status_code(problem) != StatusCode::UNAUTHORIZED {
        return problem.answer(request);
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, "/login"))
        .finish()
}

/// As [`to_login`], and after the sign-in the browser comes back to the page that it asked for.
pub(super) fn to_login_and_back(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    if actix_web::ResponseError::status_code(problem) != StatusCode::UNAUTHORIZED {
        return problem.answer(request);
    }
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let target = utf8_percent_encode(target, NON_ALPHANUMERIC);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("/login?return_to={target}")))
        .finish()
}

#[derive(Deserialize)]
pub(super) struct LoginQuery {
    return_to: Option<String>,
}

/// The IdPs to choose from. Whoever wanted another page, and has but one, is sent there at once; who came for
/// this one, perhaps after signing out, is not.
pub(super) async fn login(
    idps: web::Data<Idps>,
    providers: web::Data<Providers>,
    query: Option<web::Query<LoginQuery>>,
    site: web::Data<Site>,
) -> HttpResponse {
    let idps_at_hand = idps.all();
    let begins = idps_at_hand
        .iter()
        .filter(|idp| idp.trust.sso_redirect_url().is_some());
    let names = begins.map(|idp| idp.settings.name.clone());
    let doors: Vec<Door> = names
        .chain(providers.names())
        .map(|name| Door {
            path: site.login_path(&name),
            name: name.to_string(),
        })
        .collect();
    let waiting = Waiting {
        idps: idps.waiting(),
        providers: providers.waiting(),
    };
    let target = query.and_then(|query| query.into_inner().return_to);
    let target = target.and_then(|target| return_target(&target, &site.return_origins));
    let none = idps.is_empty() && providers.is_empty();
    let mut response = page::login(&doors, &waiting, none, target.as_deref());
    if let ([only], Some(target), true) = (doors.as_slice(), target, waiting.is_empty()) {
        let target = utf8_percent_encode(&target, NON_ALPHANUMERIC);
        let url = format!("{}?return_to={target}", only.path);
        if let Ok(url) = HeaderValue::from_str(&url) {
            // The page stays as the hint of RFC 9110, 15.4.4 for whoever does not follow.
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(LOCATION, url);
        }
    }
    response
}

#[derive(Deserialize)]
pub(super) struct LogoutForm {
    csrf: String,
    /// `1`: every session of the person, and the leases.
    #[serde(default)]
    everywhere: Option<String>,
}

/// Ends the browser's session, after which leases go on; or with `everywhere` all sessions and leases of
/// the person. Where its IdP takes logout requests, by either protocol, the browser goes there next.
pub(super) async fn sign_out(
    request: HttpRequest,
    browser: Result<Browser, Problem>,
    form: Option<InTime<web::Form<LogoutForm>>>,
    (access, revoke, logout): (web::Data<Access>, web::Data<Revoke>, web::Data<Logout>),
    underway: web::Data<Underway>,
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
    let everywhere = form.is_some_and(|form| form.0.everywhere.as_deref() == Some("1"));
    // Before the end of the session, which takes along what the provider wants to be told.
    let next = logout.begin(browser.live()).await;
    let live = browser.into_live();
    let ended = underway.see_through(async move {
        if everywhere {
            revoke.everywhere(&live).await
        } else {
            access.sign_out(&live).await
        }
    });
    if let Err(error) = ended.await {
        return Problem::from(error).answer(&request);
    }
    let mut response = match &next {
        // A page and not a redirect: browsers hold `form-action` against where a form's redirects lead.
        Some(next) => page::signed_out(Some(&next.url), None),
        None => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/login"))
            .finish(),
    };
    if let Some(binding) = next.and_then(|next| next.binding) {
        // Without the cookie the provider's own session goes on, as it would without the page.
        let _set = response.add_cookie(&Kind::Binding.set(&site, &binding));
    }
    // The session behind it has ended; a cookie that cannot be removed opens nothing.
    let _removed = response.add_cookie(&Kind::Session.remove(&site));
    response
}
