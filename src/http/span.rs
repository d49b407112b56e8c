//! The span of a request, for traces.
//!
//! Without traces nothing is made. It names the route, never the path, and nobody: neither address nor user. A
//! `traceparent` that a request brings does not count: whoever may choose a trace's id decides what is sampled, and
//! callers of the front door are strangers until they are verified.

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::web;
use tracing::field::Empty;
use tracing::{Level, Span};

use super::Site;
use super::middleware::Noted;
use crate::model::TRACES;

/// The span that a request is served in.
pub(super) fn begin(request: &ServiceRequest) -> Span {
    if !tracing::span_enabled!(target: TRACES, Level::INFO) {
        return Span::none();
    }
    let method = method(request.method());
    let route = request.match_pattern();
    let name = route
        .as_ref()
        .map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    tracing::info_span!(
        target: TRACES,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.scheme = scheme(request),
        rolegate.reference = Empty,
    )
}

/// Tells `span` what came of it.
pub(super) fn end(span: &Span, response: &ServiceResponse<impl MessageBody>) {
    if span.is_disabled() {
        return;
    }
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "error");
    }
    let extensions = response.request().extensions();
    if let Some(noted) = extensions.get::<Noted>() {
        span.record("rolegate.reference", noted.reference());
    }
}

/// A stranger may send any word; OpenTelemetry's conventions name these.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

/// As people see it, whatever a proxy's headers say.
fn scheme(request: &ServiceRequest) -> &'static str {
    let site = request.app_data::<web::Data<Site>>();
    match site {
        Some(site) if site.public_url.starts_with("https:") => "https",
        _ => "http",
    }
}
