//! `GET /api/v1/admin/audit`: the audit's records, as `rolegate audit export` prints them. Only translates.

use actix_web::{Error, HttpResponse, web};

use super::Problem;
use super::actor::{Auditing, Sent};
use crate::flow::{Access, AuditQuery};

/// A page of records, by time, kind, user, IdP or reference.
pub(super) async fn list(
    _: Auditing,
    query: Sent<web::Query<Vec<(String, String)>>>,
    access: web::Data<Access>,
) -> Result<HttpResponse, Error> {
    let pairs = query?.0.into_inner();
    let query = AuditQuery::read(&pairs, access.clock.now());
    let query = query.map_err(|problem| Problem::bad_request(problem.to_string()))?;
    let page = access.audit(&query).await.map_err(Problem::from)?;
    Ok(HttpResponse::Ok().json(page))
}
