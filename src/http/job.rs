//! What jobs ask for by their lease: credentials, in the container-credentials protocol that every AWS SDK
//! speaks, or the relay's token.

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::error::{for_job, job_error};
use crate::flow::Fetch;
use crate::model::{Token, TokenHash, TokenKind, rfc3339};

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
    let Some(token) = lease_token(&request) else {
        return no_lease_token();
    };
    match fetch.for_lease(&token).await {
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

#[derive(Serialize)]
struct WebIdentityToken<'a> {
    token: &'a str,
    role_arn: &'a str,
    expires_at: String,
}

/// `GET /v1/web-identity-token`: what `AWS_WEB_IDENTITY_TOKEN_FILE` holds, for entries that hand it out.
pub(super) async fn web_identity_token(
    request: HttpRequest,
    fetch: web::Data<Fetch>,
) -> HttpResponse {
    let Some(token) = lease_token(&request) else {
        return no_lease_token();
    };
    match fetch.web_identity_token(&token).await {
        Ok(handed_out) => HttpResponse::Ok().json(WebIdentityToken {
            token: handed_out.token.expose(),
            role_arn: handed_out.role.as_str(),
            expires_at: rfc3339(handed_out.expires_at),
        }),
        Err(error) => for_job(&error),
    }
}

fn lease_token(request: &HttpRequest) -> Option<TokenHash> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let text = header.strip_prefix("Bearer ").unwrap_or(header).trim();
    let token: Token = text.parse().ok()?;
    (token.kind() == TokenKind::Lease).then(|| token.hash())
}

fn no_lease_token() -> HttpResponse {
    let message = "send a lease token (rgj_...) as Authorization; a launcher gets one with POST /api/v1/leases";
    job_error(StatusCode::UNAUTHORIZED, "unknown_token", message)
}
