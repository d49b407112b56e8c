//! What AWS reads of rolegate as an OIDC issuer: two public documents, the same for everyone.
//!
//! Publishes public halves of keys alone.

use actix_web::{HttpResponse, web};

use super::Problem;
use crate::flow::RelayKeys;

/// Where the keys are, and what tokens look like (OpenID Connect Discovery 1.0, 4).
pub(super) async fn configuration(keys: web::Data<RelayKeys>) -> HttpResponse {
    document(keys.configuration())
}

/// The keys. The first one is made now where there is none: AWS would remember that there was none.
pub(super) async fn jwks(keys: web::Data<RelayKeys>) -> Result<HttpResponse, Problem> {
    match keys.prepare().await {
        Ok(()) => Ok(document(keys.jwks())),
        Err(error) => {
            tracing::error!(event = "relay_key_missing", %error, "there is no relay key to publish");
            Err(Problem::store_away())
        }
    }
}

fn document(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text)
}
