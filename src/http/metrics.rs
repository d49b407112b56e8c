//! `/metrics`: with an admin's or auditor's token beside the other routes, and without one on
//! `server.metrics_listen`, where nothing else is served.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};

use super::actor::Auditing;
use super::server::{ServeError, Serving};
use crate::flow::Metrics;

/// OpenMetrics text, which Prometheus reads since its version 2.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A scraper sends its whole request within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET /metrics` beside the other routes.
pub(super) async fn with_token(_: Auditing, metrics: web::Data<Metrics>) -> HttpResponse {
    text(&metrics).await
}

async fn without_token(metrics: web::Data<Metrics>) -> HttpResponse {
    text(&metrics).await
}

async fn text(metrics: &Metrics) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .body(metrics.text().await)
}

/// Serves `/metrics` alone on `listener`, to whoever reaches it, until the returned server is stopped.
pub fn serve_metrics(metrics: Arc<Metrics>, listener: TcpListener) -> Result<Serving, ServeError> {
    let address = listener.local_addr().unwrap_or(([0, 0, 0, 0], 0).into());
    let metrics = web::Data::from(metrics);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(metrics.clone())
            .route("/metrics", web::get().to(without_token))
    })
    .workers(1)
    .client_request_timeout(PATIENCE)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)
    .map_err(|error| ServeError::ListenMetrics(address, error))?;
    Ok(Serving::of(server.run()))
}
