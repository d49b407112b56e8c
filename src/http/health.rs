//! `/healthz`: the process runs. `/readyz`: it can do its job, or what is missing.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::flow::{Check, Readiness};

/// Whether the gateway is about to end.
#[derive(Debug, Default)]
pub struct Leaving(AtomicBool);

impl Leaving {
    /// Says so from now on, so that balancers send nobody any more.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether that was said.
    pub fn is_announced(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Always 200 while the process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("ok\n")
}

#[derive(Serialize)]
struct Answer {
    ready: bool,
    /// What is wrong, in words.
    problems: Vec<String>,
    checks: Vec<CheckAnswer>,
}

#[derive(Serialize)]
struct CheckAnswer {
    name: &'static str,
    ok: bool,
    /// Whether it takes the gateway out of service.
    needed: bool,
}

impl From<Vec<Check>> for Answer {
    fn from(checks: Vec<Check>) -> Self {
        Self {
            ready: checks.iter().all(Check::lets_serve),
            checks: checks
                .iter()
                .map(|check| CheckAnswer {
                    name: check.name,
                    ok: check.problem.is_none(),
                    needed: check.needed,
                })
                .collect(),
            problems: checks
                .into_iter()
                .filter_map(|check| check.problem)
                .collect(),
        }
    }
}

/// 200 where people and jobs can be served, else 503; what is wrong stands there either way.
pub(super) async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    let answer = Answer::from(readiness.checks().await);
    let mut response = if answer.ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(answer)
}
