//! `GET /v1/credentials`: the container-credentials protocol that every AWS SDK speaks.

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::error::{for_job, job_error};
use crate::flow::Fetch;
use crate::model::{Token, TokenKind, rfc3339};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerCredentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
    account_id: &'a str,
    role_arn: &'a str,
}

/// Answers a job's SDK by its lease token; `Bearer ` before it is optional.
pub(super) async fn credentials(request: HttpRequest, fetch: web::Data<Fetch>) -> HttpResponse {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header
        .map(|text| text.strip_prefix("Bearer ").unwrap_or(text).trim())
        .and_then(|text| text.parse::<Token>().ok())
        .filter(|token| token.kind() == TokenKind::Lease);
    let Some(token) = token else {
        let message = "send a lease token (rgj_...) as Authorization; a launcher gets one with POST /api/v1/leases";
        return job_error(StatusCode::UNAUTHORIZED, "unknown_token", message);
    };
    match fetch.for_lease(&token.hash()).await {
        Ok(served) => {
            let credentials = &served.credentials;
            HttpResponse::Ok().json(ContainerCredentials {
                access_key_id: &credentials.access_key_id,
                secret_access_key: credentials.secret_access_key.expose(),
                token: credentials.session_token.expose(),
                expiration: rfc3339(credentials.expires_at),
                account_id: served.role.account().as_str(),
                role_arn: served.role.as_str(),
            })
        }
        Err(error) => for_job(&error),
    }
}
