//! `/healthz`: the process runs. `/readyz`: it can do its job, or what is missing.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::flow::{Idps, Providers, Pulse};

/// Whether the gateway is about to end.
#[derive(Debug, Default)]
pub struct Leaving(AtomicBool);

impl Leaving {
    /// Says so from now on, so that balancers send nobody any more.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Always 200 while the process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("ok\n")
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    problems: Vec<String>,
}

/// 200 where people can be served, else 503; what is missing stands there either way.
pub(super) async fn readyz(
    pulse: web::Data<Pulse>,
    idps: web::Data<Idps>,
    providers: web::Data<Providers>,
    leaving: web::Data<Leaving>,
) -> HttpResponse {
    let mut problems = Vec::new();
    let leaving = leaving.0.load(Ordering::Relaxed);
    if leaving {
        problems.push("the gateway is about to end".to_owned());
    }
    let current = pulse.is_current();
    if !current {
        let away = "the store has not answered for 5 seconds; look at its log and disk";
        problems.push(away.to_owned());
    }
    if idps.is_empty() && providers.is_empty() {
        let none = "no IdP is configured; add [[saml.idp]] with its metadata_url or metadata_file, or [[oidc.provider]] with its issuer";
        problems.push(none.to_owned());
    }
    for idp in idps.waiting() {
        problems.push(format!(
            "IdP {idp} cannot be used yet: its metadata_url has not given good metadata; `rolegate idps list` says why"
        ));
    }
    for name in providers.waiting() {
        problems.push(format!(
            "OpenID provider {name} cannot be used yet: it has not answered as it should; `rolegate idps list` says why"
        ));
    }
    // One IdP that waits does not take the gateway away from the people of the others.
    let usable = !idps.all().is_empty() || !providers.names().is_empty();
    let ready = current && usable && !leaving;
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(Readiness { ready, problems })
}
