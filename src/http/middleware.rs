//! What holds for every request: a bounded body, security headers, one log line.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use tokio::time::Instant;
use tracing::Instrument;

use super::error::Form;
use super::request_id::{RequestId, RequestIds};
use super::routes::Position;
use super::{Problem, Site, address, span};
use crate::flow::Requests;
use crate::model::Reference;

/// Reads a body of at most `limit` bytes that arrives within `patience`.
pub(super) async fn read_body(
    payload: web::Payload,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(patience, payload.to_bytes_limited(limit));
    let Ok(read) = read.await else {
        return Err(too_slow());
    };
    let Ok(body) = read else {
        return Err(Problem::too_large(limit));
    };
    body.map_err(|_| Problem::bad_request("the body broke off"))
}

/// What `T` reads from a request, whose body must arrive within the time that a request may take.
pub(super) struct InTime<T>(pub(super) T);

impl<T: FromRequest + 'static> FromRequest for InTime<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let site = request.app_data::<web::Data<Site>>();
        let patience = site.map_or(Duration::ZERO, |site| site.request_timeout);
        let read = T::from_request(request, payload);
        Box::pin(async move {
            match tokio::time::timeout(patience, read).await {
                Ok(read) => read.map(Self).map_err(Into::into),
                Err(_) => Err(too_slow().into()),
            }
        })
    }
}

fn too_slow() -> Problem {
    let title = "the body did not arrive in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", title)
}

/// Where jobs fetch credentials.
const FETCHES: &str = "/v1/credentials";

/// The reference of a refusal, for the log line.
pub(super) struct Noted(String);

impl Noted {
    pub(super) fn reference(&self) -> &str {
        &self.0
    }
}

/// Has the request's log line carry `reference`.
pub(super) fn note_reference(request: &HttpRequest, reference: &Reference) {
    request
        .extensions_mut()
        .insert(Noted(reference.to_string()));
}

/// Sets the headers that keep pages from being framed, sniffed, cached or scripted.
pub(super) async fn secure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let site = request.app_data::<web::Data<Site>>().cloned();
    let mut response = next.call(request).await?;
    let caching = match response.request().path() {
        path if path.starts_with("/assets/") => "public, max-age=3600",
        path if path.starts_with("/.well-known/") && response.status().is_success() => {
            "public, max-age=300"
        }
        _ => "no-store",
    };
    let is_page = Form::of(response.request()) == Form::Page;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let site = site.as_ref().filter(|_| is_page);
        let policy = site.and_then(|site| HeaderValue::from_str(&site.policy()).ok());
        let strictest = || HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or_else(strictest));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Not no-referrer: browsers then send `Origin: null` with our own forms.
    if !headers.contains_key(REFERRER_POLICY) {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    if site.is_some_and(|site| site.tls) {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
    Ok(response)
}

/// Where an answer that shows no reference says by which id its line is found.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Counts each request, has it traced and logs one line of it: never a query, a header or a body. That a job was served is in the
/// audit the first time and after that of no news, so its line is for debugging. The handbook's page of the request
/// log names every field.
pub(super) async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let requests = request.app_data::<web::Data<Requests>>().cloned();
    let id = request
        .app_data::<web::Data<RequestIds>>()
        .map(|ids| ids.next());
    let method = request.method().clone();
    let span = span::begin(&request);
    let mut response = match next.call(request).instrument(span.clone()).await {
        Ok(response) => response,
        Err(error) => {
            if let Some(requests) = requests {
                let status = error.as_response_error().status_code().as_u16();
                requests.count(None, method.as_str(), status, started.elapsed());
            }
            return Err(error);
        }
    };
    span::end(&span, &response);
    let position = response.request().app_data::<Position>();
    let position = position.map(|position| position.0);
    if let Some(requests) = &requests {
        let status = response.status().as_u16();
        requests.count(position, method.as_str(), status, started.elapsed());
    }
    // A refusal of a stranger is found by its reference, and is else the same whatever was wrong.
    let noted = response.request().extensions().contains::<Noted>();
    if let Some(id) = id
        && !noted
        && let Ok(value) = HeaderValue::from_str(&id.to_string())
    {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let served = response.status() == StatusCode::OK && response.request().path() == FETCHES;
    if !served || tracing::enabled!(tracing::Level::DEBUG) {
        let route = requests.as_ref().map(|requests| requests.route(position));
        let line = Line { id, route, served };
        tell(&response, &line, started);
    }
    Ok(response)
}

/// What the line says beside what stands in the answer.
struct Line {
    id: Option<RequestId>,
    route: Option<&'static str>,
    served: bool,
}

fn tell(response: &ServiceResponse<impl MessageBody>, line: &Line, started: Instant) {
    let request = response.request();
    let (method, status) = (request.method(), response.status().as_u16());
    let site = request.app_data::<web::Data<Site>>();
    let peer = site.map(|site| tracing::field::display(address::client(request, site)));
    let (request_id, route) = (line.id.map(tracing::field::display), line.route);
    let reference = {
        let extensions = request.extensions();
        extensions.get::<Noted>().map(|noted| noted.0.clone())
    };
    let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if line.served {
        tracing::debug!(event = "request", request_id, %method, route, status, microseconds, peer, reference, "request");
    } else {
        tracing::info!(event = "request", request_id, %method, route, status, microseconds, peer, reference, "request");
    }
}
