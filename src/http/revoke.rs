//! The kill switch for admins: what there is, revoking, holds.
//!
//! Only translates. A revocation's answer is to the letter what `rolegate revoke --json` prints.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use serde::Deserialize;

use super::Problem;
use super::actor::{Administering, Auditing, Sent};
use super::listing::{ASKED, Listing};
use crate::flow::{
    Access, HoldView, Revoke, RevokeOrder, Selector, SessionRow, SessionView as SessionShown,
    Underway, good_reason,
};
use crate::model::{HoldId, IdpName, LeaseId, RolePattern, SessionId, TokenName, UserName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionsQuery {
    user: Option<UserName>,
    after: Option<SessionId>,
}

/// `GET /api/v1/admin/sessions`.
pub(super) async fn sessions(
    _: Auditing,
    query: Sent<web::Query<SessionsQuery>>,
    access: web::Data<Access>,
) -> Result<HttpResponse, Error> {
    let SessionsQuery { user, after } = query?.0.into_inner();
    let found = access.sessions(user.as_ref(), after.as_ref(), ASKED);
    let found = found.await.map_err(Problem::from)?;
    let page = Listing::<SessionShown>::of(found, |row: &SessionRow| row.id.to_string());
    Ok(HttpResponse::Ok().json(page))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    #[serde(default)]
    user: Option<UserName>,
    #[serde(default)]
    idp: Option<IdpName>,
    #[serde(default)]
    role_arn: Option<RolePattern>,
    #[serde(default)]
    launcher: Option<TokenName>,
    #[serde(default)]
    session: Option<SessionId>,
    #[serde(default)]
    lease: Option<LeaseId>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    hold: bool,
}

impl Order {
    /// The one selector that is given.
    fn selector(self) -> Result<Selector, Problem> {
        let idp = self.idp.clone();
        let user = self.user.map(|user| Selector::User {
            user,
            idp: self.idp,
        });
        let of_idp = idp.is_some() && user.is_none();
        let given = [
            user,
            self.role_arn.map(Selector::Role),
            self.launcher.map(Selector::Launcher),
            self.session.map(Selector::Session),
            self.lease.map(Selector::Lease),
            self.all.then_some(Selector::All),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(selector), None) if !of_idp => Ok(selector),
            _ => Err(Problem::bad_request(
                "send exactly one of user, role_arn, launcher, session, lease and all: true; idp goes with user alone",
            )),
        }
    }
}

/// `POST /api/v1/admin/revoke`.
pub(super) async fn revoke(
    by: Administering,
    order: Sent<web::Json<Order>>,
    revoke: web::Data<Revoke>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let order = order?.0.into_inner();
    let (reason, hold, by) = (order.reason.clone(), order.hold, by.name());
    let selector = order.selector()?;
    let reason = good_reason(&reason).map_err(Problem::bad_request)?;
    let reason = reason.to_owned();
    let done = underway.see_through(async move {
        let order = RevokeOrder {
            reason: &reason,
            by: &by,
            hold,
        };
        revoke.revoke(&selector, order).await
    });
    let done = done.await.map_err(Problem::from)?;
    let unknown = "there is no such session or lease";
    let done = done.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not_found", unknown))?;
    Ok(HttpResponse::Ok().json(done))
}

/// `GET /api/v1/admin/holds`: all in one page, for there are few.
pub(super) async fn holds(_: Auditing, revoke: web::Data<Revoke>) -> Result<HttpResponse, Error> {
    let holds = revoke.holds().await.map_err(Problem::from)?;
    let items = holds.iter().map(HoldView::from).collect();
    Ok(HttpResponse::Ok().json(Listing::<HoldView>::whole(items)))
}

/// `DELETE /api/v1/admin/holds/{hold}`.
pub(super) async fn release(
    by: Administering,
    id: Sent<web::Path<HoldId>>,
    revoke: web::Data<Revoke>,
    underway: web::Data<Underway>,
) -> Result<HttpResponse, Error> {
    let (id, by) = (id?.0.into_inner(), by.name());
    let released = underway.see_through(async move { revoke.release(&id, &by).await });
    if released.await.map_err(Problem::from)? {
        return Ok(HttpResponse::NoContent().finish());
    }
    let title = "no hold of this id is in force; GET /api/v1/admin/holds lists them";
    Err(Problem::new(StatusCode::NOT_FOUND, "not_found", title).into())
}
