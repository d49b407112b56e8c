//! `GET /api/v1/admin/idps`: the IdPs with their keys, as `rolegate idps list` shows them.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::actor::Auditing;
use crate::flow::{Access, IdpView, Idps};

#[derive(Serialize)]
struct Page {
    items: Vec<IdpView>,
    /// There are never so many that they need a second page.
    next: Option<String>,
}

/// Every IdP of the configuration, in its order.
pub(super) async fn list(
    _: Auditing,
    idps: web::Data<Idps>,
    access: web::Data<Access>,
) -> HttpResponse {
    HttpResponse::Ok().json(Page {
        items: idps.views(access.clock.now()),
        next: None,
    })
}
