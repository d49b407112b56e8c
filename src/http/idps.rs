//! `GET /api/v1/admin/idps`: the IdPs with their keys, as `rolegate idps list` shows them.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::actor::Auditing;
use crate::flow::{Access, IdpView, Idps, Providers};

#[derive(Serialize)]
struct Page {
    items: Vec<IdpView>,
    /// There are never so many that they need a second page.
    next: Option<String>,
}

/// Every IdP of the configuration, in its order, the OpenID providers last.
pub(super) async fn list(
    _: Auditing,
    idps: web::Data<Idps>,
    providers: web::Data<Providers>,
    access: web::Data<Access>,
) -> HttpResponse {
    let now = access.clock.now();
    let mut items = idps.views(now);
    items.extend(providers.views(now));
    HttpResponse::Ok().json(Page { items, next: None })
}
