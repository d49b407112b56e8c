//! What is asked of every request before its route: a head of bounded length, and https on the way to the proxy.
//!
//! `X-Forwarded-Proto` is believed from `server.trusted_proxies` alone. Where it says that the person came by plain
//! http, a page is sent to its https address, and everything else is refused, a token above all: what it carried went in
//! the clear. Nothing is ever derived from the Host header.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, LOCATION, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};

use super::error::Form;
use super::{Problem, Site, address};
use crate::flow::{Limit, Pressure};

/// Balancers ask these of the process itself, by whatever way they have, and send no secret along.
const OPEN: &[&str] = &["/healthz", "/readyz"];

/// Answers what must not come further.
pub(super) async fn admit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(refused) = objection(request.request()) {
        return Ok(request.into_response(refused).map_into_right_body());
    }
    let mut response = next.call(request).await?;
    if may_be_drowned(response.request(), response.status()) {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response.map_into_left_body())
}

/// Whether a body may go on for ever that nobody reads: the connection is then closed behind the answer. Kept open,
/// it would be read to its end. One whose length is told the server gives up by itself.
fn may_be_drowned(request: &HttpRequest, status: StatusCode) -> bool {
    let is_wanted = status.is_success() && !request.method().is_safe();
    request.headers().contains_key(TRANSFER_ENCODING) && !is_wanted
}

fn objection(request: &HttpRequest) -> Option<HttpResponse> {
    let site = request.app_data::<web::Data<Site>>()?;
    if let Some(problem) = too_long(request, site.max_head_bytes) {
        if let Some(pressure) = request.app_data::<web::Data<Pressure>>() {
            pressure.turn_away(Limit::Head);
        }
        return Some(problem.answer(request));
    }
    let open = OPEN.contains(&request.path());
    if site.https_only && !open && address::came_in_the_clear(request, site) {
        return Some(in_the_clear(request, site));
    }
    None
}

fn too_long(request: &HttpRequest, most: usize) -> Option<Problem> {
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    if target > most {
        let title = format!("the address is longer than {most} bytes");
        return Some(Problem::new(
            StatusCode::URI_TOO_LONG,
            "address_too_long",
            title,
        ));
    }
    let headers = request.headers().iter();
    let length: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    (target + length > most).then(|| {
        let title = format!("address and headers are longer than {most} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Problem::new(status, "headers_too_long", title)
    })
}

fn in_the_clear(request: &HttpRequest, site: &Site) -> HttpResponse {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Sent on, a token would come in the clear every time, and nobody would hear of it.
    let has_token = request.headers().contains_key(AUTHORIZATION);
    if Form::of(request) == Form::Page && reads && !has_token {
        let target = request.uri().path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        let location = format!("{}{target}", site.public_url);
        return HttpResponse::PermanentRedirect()
            .insert_header((LOCATION, location))
            .finish();
    }
    let title = format!(
        "this came by plain http; send it to {} over https, and change what secret it held",
        site.public_url
    );
    Problem::new(StatusCode::FORBIDDEN, "https_needed", title).answer(request)
}
