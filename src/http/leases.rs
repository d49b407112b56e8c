//! `/api/v1/leases`.

use std::collections::BTreeMap;

use actix_web::{Error, HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actor::{Managing, Ordering, Sent};
use super::listing::{ASKED, Listing};
use super::{Problem, Site};
use crate::flow::{LeaseMade, LeaseOrder, LeaseView as Shown, Leases, Underway};
use crate::model::{
    IdpName, JobName, Lease, LeaseId, Narrowing, RoleArn, SessionDuration, UserName, rfc3339,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    user: UserName,
    role_arn: RoleArn,
    job: JobName,
    #[serde(default)]
    idp: Option<IdpName>,
    #[serde(default)]
    ttl_seconds: Option<u32>,
    #[serde(default)]
    duration_seconds: Option<SessionDuration>,
    #[serde(default)]
    needed_until: Option<DateTime<Utc>>,
    #[serde(default)]
    session_policy: Option<Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Made<'a> {
    lease: &'a str,
    user: &'a str,
    idp: &'a str,
    role_arn: &'a str,
    job: &'a str,
    method: &'static str,
    expires_at: String,
    lasts_until: String,
    limited_by: &'static str,
    token: &'a str,
    env: Env<'a>,
    agent_env: AgentEnv<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Env<'a> {
    aws_container_credentials_full_uri: String,
    aws_container_authorization_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct AgentEnv<'a> {
    rolegate_url: &'a str,
    rolegate_lease_token: &'a str,
}

/// `POST /api/v1/leases`.
pub(super) async fn create(
    by: Ordering,
    request: HttpRequest,
    order: Sent<web::Json<Order>>,
    leases: web::Data<Leases>,
    underway: web::Data<Underway>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let order = order?.0.into_inner();
    let idempotency_key = idempotency_key(&request)?;
    let narrowing = Narrowing::new(order.session_policy.as_ref(), order.tags)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let asked = LeaseOrder {
        user: order.user,
        idp: order.idp,
        role: order.role_arn,
        job: order.job,
        ttl_seconds: order.ttl_seconds,
        duration: order.duration_seconds,
        needed_until: order.needed_until,
        narrowing,
        idempotency_key,
    };
    let idp = asked.idp.clone();
    let by = by.into_orderer();
    let made = underway.see_through(async move { leases.create(&by, asked).await });
    match made.await {
        Ok(made) => Ok(created(&made, &site)),
        Err(error) => Err(Problem::from(error).with_login(&site, idp.as_ref()).into()),
    }
}

/// The key of a call that may be repeated: 1 to 255 printable ASCII characters, at most one.
fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut sent = request.headers().get_all("Idempotency-Key");
    let Some(key) = sent.next() else {
        return Ok(None);
    };
    let good = |text: &&str| {
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    };
    let key = key
        .to_str()
        .ok()
        .filter(good)
        .filter(|_| sent.next().is_none());
    let bad =
        || Problem::bad_request("send one Idempotency-Key of 1 to 255 printable ASCII characters");
    Ok(Some(key.ok_or_else(bad)?.to_owned()))
}

fn created(made: &LeaseMade, site: &Site) -> HttpResponse {
    let (lease, token) = (&made.lease, made.token.expose());
    HttpResponse::Created().json(Made {
        lease: lease.id.as_str(),
        user: lease.person.user.as_str(),
        idp: lease.person.idp.as_str(),
        role_arn: lease.role.as_str(),
        job: lease.job.as_str(),
        method: made.method.as_str(),
        expires_at: rfc3339(lease.expires_at),
        lasts_until: rfc3339(made.lasts_until),
        limited_by: made.limited_by,
        token,
        env: Env {
            aws_container_credentials_full_uri: format!("{}/v1/credentials", site.public_url),
            aws_container_authorization_token: token,
        },
        agent_env: AgentEnv {
            rolegate_url: &site.public_url,
            rolegate_lease_token: token,
        },
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    user: Option<UserName>,
    job: Option<JobName>,
    after: Option<LeaseId>,
}

/// `GET /api/v1/leases`.
pub(super) async fn list(
    by: Managing,
    query: Sent<web::Query<ListQuery>>,
    leases: web::Data<Leases>,
) -> Result<HttpResponse, Error> {
    let ListQuery { user, job, after } = query?.0.into_inner();
    let found = leases
        .list(by.orderer(), user, job, after.as_ref(), ASKED)
        .await
        .map_err(Problem::from)?;
    let page = Listing::<Shown>::of(found, |lease: &Lease| lease.id.to_string());
    Ok(HttpResponse::Ok().json(page))
}

/// `GET /api/v1/leases/{lease}`.
pub(super) async fn read(
    by: Managing,
    id: Sent<web::Path<LeaseId>>,
    leases: web::Data<Leases>,
) -> Result<HttpResponse, Error> {
    let lease = leases
        .read(by.orderer(), &id?.0)
        .await
        .map_err(Problem::from)?;
    Ok(HttpResponse::Ok().json(Shown::from(lease)))
}

/// `DELETE /api/v1/leases/{lease}`.
pub(super) async fn revoke(
    by: Managing,
    id: Sent<web::Path<LeaseId>>,
    leases: web::Data<Leases>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let (by, id) = (by.into_orderer(), id?.0.into_inner());
    let revoked = underway.see_through(async move { leases.revoke(&by, &id).await });
    revoked.await.map_err(Problem::from)?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobQuery {
    job: JobName,
}

/// `DELETE /api/v1/leases?job=`.
pub(super) async fn revoke_job(
    by: Managing,
    query: Sent<web::Query<JobQuery>>,
    leases: web::Data<Leases>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let (by, job) = (by.into_orderer(), query?.0.into_inner().job);
    let revoked = underway.see_through(async move { leases.revoke_job(&by, job).await });
    let revoked = revoked.await.map_err(Problem::from)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "revoked": revoked })))
}
