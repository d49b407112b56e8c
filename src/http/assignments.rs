//! Assignments for admins: what is assigned to a person, assigning and taking away.
//!
//! Only translates. An answer is to the letter what `rolegate users --json` prints.

use actix_web::{Error, HttpResponse, web};
use serde::Deserialize;

use super::Problem;
use super::actor::{Administering, Auditing, Sent};
use super::listing::{ASKED, Listing};
use crate::flow::{AssignmentFilter, AssignmentOrder, AssignmentView, Assignments, Underway};
use crate::model::{IdpName, Person, UserName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtIdp {
    idp: Option<IdpName>,
}

/// `GET /api/v1/admin/users/{user}/role-arns`.
pub(super) async fn read(
    _: Auditing,
    user: Sent<web::Path<UserName>>,
    query: Sent<web::Query<AtIdp>>,
    assignments: web::Data<Assignments>,
) -> Result<HttpResponse, Error> {
    let (user, idp) = (user?.0.into_inner(), query?.0.into_inner().idp);
    let found = assignments.get(user, idp).await.map_err(Problem::from)?;
    Ok(HttpResponse::Ok().json(found))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    role_arns: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// `PUT /api/v1/admin/users/{user}/role-arns`: in the place of what was assigned before.
pub(super) async fn set(
    by: Administering,
    user: Sent<web::Path<UserName>>,
    query: Sent<web::Query<AtIdp>>,
    order: Sent<web::Json<Order>>,
    assignments: web::Data<Assignments>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let (order, by) = (order?.0.into_inner(), by.name());
    let (user, idp) = (user?.0.into_inner(), query?.0.into_inner().idp);
    let done = underway.see_through(async move {
        let order = AssignmentOrder {
            user,
            idp,
            role_arns: &order.role_arns,
            reason: order.reason.as_deref(),
            by: &by,
        };
        assignments.set(order).await
    });
    let done = done.await.map_err(Problem::from)?;
    Ok(HttpResponse::Ok().json(done))
}

/// A `DELETE` has no body to give a reason in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    idp: Option<IdpName>,
    reason: Option<String>,
}

/// `DELETE /api/v1/admin/users/{user}/role-arns`.
pub(super) async fn unset(
    by: Administering,
    user: Sent<web::Path<UserName>>,
    query: Sent<web::Query<Removal>>,
    assignments: web::Data<Assignments>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let (user, query) = (user?.0.into_inner(), query?.0.into_inner());
    let by = by.name();
    let done = underway.see_through(async move {
        let reason = query.reason.as_deref();
        assignments.unset(user, query.idp, reason, &by).await
    });
    done.await.map_err(Problem::from)?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    user: Option<UserName>,
    idp: Option<IdpName>,
    after: Option<String>,
}

/// `GET /api/v1/admin/role-arns`: everything that is assigned, by user and IdP.
pub(super) async fn list(
    _: Auditing,
    query: Sent<web::Query<ListQuery>>,
    assignments: web::Data<Assignments>,
) -> Result<HttpResponse, Error> {
    let ListQuery { user, idp, after } = query?.0.into_inner();
    let after = after.as_deref().map(position).transpose()?;
    let filter = AssignmentFilter { user, idp };
    let found = assignments.list(&filter, after.as_ref(), ASKED).await;
    let found = found.map_err(Problem::from)?;
    let key = |item: &AssignmentView| format!("{}/{}", item.user, item.idp);
    Ok(HttpResponse::Ok().json(Listing::<AssignmentView>::of(found, key)))
}

/// Where a page ended: neither user nor IdP has a slash in its name.
fn position(text: &str) -> Result<Person, Problem> {
    let wrong = || Problem::bad_request("after is what `next` of the page before said");
    let (user, idp) = text.split_once('/').ok_or_else(wrong)?;
    Ok(Person {
        user: user.parse().map_err(|_| wrong())?,
        idp: idp.parse().map_err(|_| wrong())?,
    })
}
