//! `/healthz`: the process runs. `/readyz`: it can do its job, or what is missing.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::flow::{Idps, Pulse};

/// Always 200 while the process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("ok\n")
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    problems: Vec<&'static str>,
}

/// 200 where everything is in place, else 503 and what is not.
pub(super) async fn readyz(pulse: web::Data<Pulse>, idps: web::Data<Idps>) -> HttpResponse {
    let mut problems = Vec::new();
    if !pulse.is_current() {
        problems.push("the store has not answered for 5 seconds; look at its log and disk");
    }
    if idps.all().is_empty() {
        problems.push("no IdP is configured; add [[saml.idp]] with its metadata_file");
    }
    let ready = problems.is_empty();
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(Readiness { ready, problems })
}
