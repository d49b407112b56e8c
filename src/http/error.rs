//! The one place that turns errors into a status, a stable code and a text.
//!
//! What a stranger gets is the same whichever check failed; the cause was logged where it was met.

use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, ContentType, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::routes::matched;
use super::{Site, page};
use crate::flow::{AssignmentError, FetchError, LeaseError, SignInError, Unavailable};
use crate::model::IdpName;

/// In which form a path answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What SDKs in jobs read.
    Job,
    /// `application/problem+json`.
    Api,
    /// A page for a browser.
    Page,
}

impl Form {
    /// By the path that routes are found by, whether or not there is one.
    pub(super) fn of(request: &HttpRequest) -> Self {
        match matched(request) {
            path if path.starts_with("/v1/") => Self::Job,
            path if path.starts_with("/api/") => Self::Api,
            _ => Self::Page,
        }
    }
}

/// An error on its way to an API client, as `application/problem+json` (RFC 9457).
#[derive(Debug, Error)]
#[error("{code}: {title}")]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: String,
    more: Map<String, Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'static str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, title: impl Into<String>) -> Self {
        Self {
            status,
            code,
            title: title.into(),
            more: Map::new(),
        }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// The request is not what the call takes.
    pub(super) fn bad_request(title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", title)
    }

    /// The body is longer than `limit` bytes.
    pub(super) fn too_large(limit: usize) -> Self {
        let title = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", title)
    }

    /// No token, or none that counts here.
    pub(super) fn unauthorized(title: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
    }

    /// More documents to verify than cores to verify them.
    pub(super) fn busy() -> Self {
        let title = "too many sign-ins at once; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title)
    }

    pub(super) fn store_away() -> Self {
        let title = "the store does not answer; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_away", title)
    }

    /// Says where to sign in, where that is what is missing.
    pub(super) fn with_login(self, site: &Site, idp: Option<&IdpName>) -> Self {
        if self.code != "sign_in_needed" {
            return self;
        }
        let path = idp.map_or_else(|| "/login".to_owned(), |idp| site.login_path(idp));
        self.with("login_url", format!("{}{path}", site.public_url))
    }

    /// Answers in the form of the path; where it is a page's, whoever asks for JSON gets that.
    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        match Form::of(request) {
            Form::Job => job_error(self.status, self.code, &self.title),
            Form::Page if !wants_json(request) => page::refusal(
                self.status,
                &self.title,
                self.more.get("reference").and_then(Value::as_str),
            ),
            Form::Api | Form::Page => self.error_response(),
        }
    }

    /// As [`answer`](Self::answer), on its way.
    pub(super) fn answered(&self, request: &HttpRequest) -> actix_web::Error {
        InternalError::from_response(self.code, self.answer(request)).into()
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, "1"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.insert_header((RETRY_AFTER, "60"));
        }
        response
            .content_type("application/problem+json")
            .json(Body {
                r#type: "about:blank",
                title: &self.title,
                status: self.status.as_u16(),
                code: self.code,
                more: &self.more,
            })
    }
}

/// Whether the client asks for JSON rather than a page.
pub(super) fn wants_json(request: &HttpRequest) -> bool {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    accept.contains("application/json") && !accept.contains("text/html")
}

impl From<Unavailable> for Problem {
    fn from(_: Unavailable) -> Self {
        Self::store_away()
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Form(problem, reference) => Self::new(
                StatusCode::BAD_REQUEST,
                "not_a_response",
                problem.to_string(),
            )
            .with("reference", reference.to_string()),
            SignInError::Refused(reference) => Self::new(
                StatusCode::FORBIDDEN,
                "sign_in_refused",
                "The sign-in was refused. Give the reference to an administrator, who can see why.",
            )
            .with("reference", reference.to_string()),
            SignInError::Busy => Self::busy(),
            SignInError::StoreAway => Self::store_away(),
            SignInError::IdpNotReady(name) => {
                let title = format!(
                    "{name} cannot be used yet: its metadata_url has not answered; try again"
                );
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "idp_not_ready", title)
            }
            SignInError::ProviderAway(name) => {
                let title = format!("{name} does not answer; begin the sign-in again in a moment");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "provider_away", title)
            }
            SignInError::UnknownIdp(name) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown_idp",
                format!("no IdP is called {name}; /login lists those there are"),
            ),
        }
    }
}

/// The status and the stable code of a fetch that gets nothing.
fn fetch_status(error: &FetchError) -> (StatusCode, &'static str) {
    match error {
        FetchError::UnknownToken => (StatusCode::UNAUTHORIZED, "unknown_token"),
        FetchError::LeaseExpired(_) => (StatusCode::FORBIDDEN, "lease_expired"),
        FetchError::LeaseRevoked => (StatusCode::FORBIDDEN, "revoked"),
        FetchError::Held { .. } => (StatusCode::FORBIDDEN, "held"),
        FetchError::NotOffered { .. } => (StatusCode::FORBIDDEN, "not_offered"),
        FetchError::NotAllowed { .. } | FetchError::CannotNarrow { .. } => {
            (StatusCode::FORBIDDEN, "not_allowed")
        }
        FetchError::TokenStays(_) => (StatusCode::CONFLICT, "method_cannot"),
        FetchError::RefusedBySts { .. } => (StatusCode::FORBIDDEN, "refused_by_sts"),
        FetchError::SignInNeeded { .. } => (StatusCode::FORBIDDEN, "sign_in_needed"),
        FetchError::StsAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, "sts_away"),
        FetchError::Pending(_) | FetchError::Unsettled => {
            (StatusCode::SERVICE_UNAVAILABLE, "pending")
        }
        FetchError::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "store_away"),
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        let (mut status, code) = fetch_status(&error);
        if matches!(error, FetchError::SignInNeeded { .. }) {
            status = StatusCode::CONFLICT;
        }
        if matches!(error, FetchError::CannotNarrow { .. }) {
            return Self::new(StatusCode::CONFLICT, "method_cannot", error.to_string());
        }
        Self::new(status, code, error.to_string())
    }
}

impl From<AssignmentError> for Problem {
    fn from(error: AssignmentError) -> Self {
        let title = error.to_string();
        let named =
            |idps: Vec<IdpName>| -> Vec<String> { idps.iter().map(ToString::to_string).collect() };
        match error {
            AssignmentError::IdpNeeded(idps) => {
                Self::new(StatusCode::BAD_REQUEST, "idp_needed", title).with("idps", named(idps))
            }
            AssignmentError::NoIdp => Self::new(StatusCode::CONFLICT, "no_idp", title),
            AssignmentError::UnknownIdp(_, idps) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_idp", title).with("idps", named(idps))
            }
            AssignmentError::Off(_) => Self::new(StatusCode::CONFLICT, "assignments_off", title),
            AssignmentError::NoRole
            | AssignmentError::NotARole { .. }
            | AssignmentError::TooMany
            | AssignmentError::Reason(_) => Self::bad_request(title),
            AssignmentError::Reserved(_) => {
                Self::new(StatusCode::BAD_REQUEST, "reserved_role", title)
            }
            AssignmentError::NotAssigned(_) => {
                Self::new(StatusCode::NOT_FOUND, "not_assigned", title)
            }
            AssignmentError::Away(away) => away.into(),
        }
    }
}

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Self {
        let title = error.to_string();
        match error {
            LeaseError::SignInNeeded(_) => Self::new(StatusCode::CONFLICT, "sign_in_needed", title),
            LeaseError::UserAmbiguous { idps, .. } => {
                let idps: Vec<String> = idps.iter().map(ToString::to_string).collect();
                Self::new(StatusCode::CONFLICT, "user_ambiguous", title).with("idps", idps)
            }
            LeaseError::OutsideToken(_) => Self::new(StatusCode::FORBIDDEN, "outside_token", title),
            LeaseError::Gone => Self::new(StatusCode::FORBIDDEN, "revoked", title),
            LeaseError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                title,
            ),
            LeaseError::WouldExpireEarly {
                lasts_until,
                limited_by,
                ..
            } => Self::new(StatusCode::CONFLICT, "would_expire_early", title)
                .with("lasts_until", lasts_until)
                .with("limited_by", limited_by),
            LeaseError::TtlOutOfRange(_) | LeaseError::NeededInThePast => Self::bad_request(title),
            LeaseError::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", title),
            LeaseError::Fetch(error) => error.into(),
        }
    }
}

/// What SDKs read: both spellings, since each SDK knows one of them.
pub(super) fn for_job(error: &FetchError) -> HttpResponse {
    let (status, code) = fetch_status(error);
    job_error(status, code, &error.to_string())
}

/// As [`for_job`], for what is no [`FetchError`].
pub(super) fn job_error(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response
        .insert_header(ContentType::json())
        .json(json!({ "code": code, "message": message, "Code": code, "Message": message }))
}

/// A known path with another method.
pub(super) async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    let title = format!("{} is not taken here", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title).answer(&request)
}

/// No such path.
pub(super) async fn not_found(request: HttpRequest) -> HttpResponse {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here").answer(&request)
}
